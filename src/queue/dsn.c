/*
 * queue/dsn.c - delivery status notifications: the report and its machine's part.
 *
 * Layer: queue.
 *
 *     multipart/report
 *       text/plain                  dsn_text.c
 *       message/delivery-status     or message/global-delivery-status (RFC 6533) where an address has UTF-8
 *       text/rfc822-headers         or message/rfc822, and their global forms
 *
 * The boundary is 128 random bits: nothing that anybody wrote before can contain it.
 */
#include "queue/dsn.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/scoped.h"
#include "base/unicode.h"
#include "message/header.h"
#include "queue/dsn_text.h"

enum {
    HEADER_MAX = 64 * 1024, /* of the original's header, where it is returned alone */
    FIELD_MAX = 1000,       /* of a value in the machine's part */
    ID_BYTES = 16,
};

bool dsn_wanted(struct slice sender, const struct recipient_options *o, enum dsn_kind kind)
{
    if (sender.len == 0)
        return false;
    switch (kind) {
    case DSN_FAILED:
        return o->notify == 0 || (o->notify & NOTIFY_FAILURE) != 0;
    case DSN_DELAYED:
        return o->notify == 0 || (o->notify & NOTIFY_DELAY) != 0;
    case DSN_DELIVERED:
    case DSN_RELAYED:
    case DSN_EXPANDED:
        return (o->notify & NOTIFY_SUCCESS) != 0;
    }
    bug("kind %d", (int)kind);
}

/* What is made of one request. */
struct report {
    const struct dsn_request *q;
    struct arena              arena;
    struct buf                original; /* what is returned of it */
    bool                      whole, global, original_global;
    struct buf                text, status;
    char                      boundary[2 * ID_BYTES + 3];
    struct slice              message_id; /* the original's */
    struct buf                subject;    /* the same's, decoded */
};

/* ---- the original ---- */

static bool is_multi_line_safe(const struct dsn_request *q)
{
    return q->options->body != BODY_BINARYMIME; /* bare CR, LF, NUL: not to be put into lines */
}

/* RET speaks of failures only (RFC 3461 section 4.3); who said nothing gets what is short. */
static bool wants_whole(const struct dsn_request *q)
{
    bool failed = false;

    for (size_t i = 0; i < q->recipient_count; i++)
        failed = failed || q->recipients[i].kind == DSN_FAILED;
    /* RFC 8689 section 5: what went over TLS only comes back over TLS only, and without its text. */
    return failed && q->options->ret != RET_HDRS && !q->options->requiretls && q->size <= q->full_max && is_multi_line_safe(q);
}

/* Where the header ends, its empty line not included; of one that was cut, behind its last whole line. */
static size_t header_end(struct slice text)
{
    size_t end = 0;

    while (end < text.len) {
        size_t line = slice_find_char(slice_from(text, end), '\n');
        if (line == text.len - end)
            return end;
        if (line == 0 || (line == 1 && text.ptr[end] == '\r'))
            return end;
        end += line + 1;
    }
    return end;
}

static bool read_original(struct report *r, struct fail *why)
{
    const struct dsn_request *q = r->q;
    struct header_field       field;

    r->whole = wants_whole(q);
    uint64_t n = r->whole || q->size < HEADER_MAX ? q->size : HEADER_MAX;
    buf_init(&r->original, (size_t)n);
    char *room = n > 0 ? buf_room(&r->original, (size_t)n) : NULL;
    if (room != NULL) {
        if (!q->read(q->read_ctx, 0, room, (size_t)n, why))
            return fail_at(why, "notification");
        buf_grew(&r->original, (size_t)n);
    }
    struct slice header = slice_sub(buf_slice(&r->original), 0, header_end(buf_slice(&r->original)));
    if (header_find(header, SLICE("Message-ID"), &field))
        r->message_id = arena_keep(&r->arena, header_message_id(field.body));
    if (header_find(header, SLICE("Subject"), &field))
        header_decode_text(&r->subject, field.body);
    r->original_global = !slice_is_ascii(header);
    if (!r->whole)
        r->original.len = header.len;
    return true;
}

/* ---- the machine's part ---- */

static void add_field(struct report *r, const char *name, const char *type, struct slice value)
{
    struct buf words;
    char       first[60];

    (void)snprintf(first, sizeof first, "%s: ", name);
    buf_init(&words, SIZE_MAX);
    buf_add(&words, slice_of(type));
    dsn_add_clean(&words, value, r->global, FIELD_MAX);
    if (words.len > 0)
        dsn_add_wrapped(&r->status, first, " ", buf_slice(&words));
    buf_finish(&words);
}

static void add_date(struct report *r, const char *name, int64_t at)
{
    if (at > 0)
        add_field(r, name, "", slice_of(clock_rfc5322(at).text));
}

/*
 * RFC 6533 section 3: an address of UTF-8 is written as it is where UTF-8 may stand, else each letter
 * beyond ASCII as \x{...}.  What came as type "utf-8" may be in that form already.
 */
static void add_address(struct report *r, const char *name, const char *type, struct slice address)
{
    struct buf text;
    size_t     at = 0;

    if (slice_is_ascii(address) || r->global) {
        add_field(r, name, type, address);
        return;
    }
    buf_init(&text, FIELD_MAX);
    while (at < address.len) {
        uint32_t c = utf8_next(address, &at);
        if (c < 0x80)
            buf_add_char(&text, (char)c);
        else
            buf_addf(&text, "\\x{%X}", c);
    }
    add_field(r, name, type, buf_slice(&text));
    buf_finish(&text);
}

static const char *action_of(enum dsn_kind kind)
{
    switch (kind) {
    case DSN_FAILED: return "failed";
    case DSN_DELAYED: return "delayed";
    case DSN_DELIVERED: return "delivered";
    case DSN_RELAYED: return "relayed";
    case DSN_EXPANDED: return "expanded";
    }
    bug("kind %d", (int)kind);
}

/* "smtp; 550 5.1.1 no such user" is a server's word, "X-Posthorn; ..." is ours (RFC 3464 section 2.3.6). */
static void add_diagnostic(struct report *r, const struct dsn_recipient *to)
{
    struct buf text;

    if (to->code == 0 && to->text.len == 0)
        return;
    buf_init(&text, SIZE_MAX);
    if (to->code != 0)
        buf_addf(&text, "%u ", to->code);
    if (to->code != 0 && to->status.len > 0 && !slice_starts(to->text, to->status)) {
        buf_add(&text, to->status);
        buf_add_char(&text, ' ');
    }
    buf_add(&text, to->text);
    add_field(r, "Diagnostic-Code", to->code != 0 ? "smtp; " : "X-Posthorn; ", buf_slice(&text));
    buf_finish(&text);
}

static void add_recipient(struct report *r, const struct dsn_recipient *to)
{
    char         status[STATUS_TEXT_MAX];
    struct slice original = to->options.orcpt, type;

    buf_add(&r->status, SLICE("\r\n"));
    if (original.len > 0) {
        type = slice_cut(&original, ';');
        struct buf clean;
        buf_init(&clean, FIELD_MAX);
        dsn_add_clean(&clean, type, false, FIELD_MAX / 2);
        buf_add(&clean, SLICE("; "));
        add_address(r, "Original-Recipient", arena_cstr(&r->arena, buf_slice(&clean)), original);
        buf_finish(&clean);
    }
    add_address(r, "Final-Recipient", slice_is_ascii(to->address) ? "rfc822; " : "utf-8; ", to->address);
    dsn_status(to, status);
    add_field(r, "Action", "", slice_of(action_of(to->kind)));
    add_field(r, "Status", "", slice_of(status));
    if (to->remote.len > 0)
        add_field(r, "Remote-MTA", "dns; ", to->remote);
    add_diagnostic(r, to);
    add_date(r, "Last-Attempt-Date", to->last_attempt);
    if (to->kind == DSN_DELAYED)
        add_date(r, "Will-Retry-Until", r->q->expires);
}

static void write_status(struct report *r)
{
    const struct dsn_request *q = r->q;

    r->global = q->options->utf8;
    for (size_t i = 0; i < q->recipient_count; i++)
        r->global = r->global || !slice_is_ascii(q->recipients[i].address);
    if (q->options->envid.len > 0)
        add_field(r, "Original-Envelope-Id", "", q->options->envid);
    add_field(r, "Reporting-MTA", "dns; ", q->hostname);
    if (q->trace.len > 0)
        add_field(r, "X-Posthorn-Trace", "", q->trace);
    add_date(r, "Arrival-Date", q->received);
    for (size_t i = 0; i < q->recipient_count; i++)
        add_recipient(r, &q->recipients[i]);
}

/* ---- the whole ---- */

static void make_random(char out[2 * ID_BYTES + 1])
{
    unsigned char bytes[ID_BYTES];
    struct buf    hex;

    random_bytes(bytes, sizeof bytes);
    buf_init(&hex, 2 * ID_BYTES);
    hex_encode(&hex, slice_make(bytes, sizeof bytes));
    memcpy(out, hex.data, hex.len);
    out[hex.len] = '\0';
    buf_finish(&hex);
}

static const char *encoding_of(struct slice part)
{
    return slice_is_ascii(part) ? "7bit" : "8bit";
}

static void write_header(const struct report *r, struct buf *out)
{
    const struct dsn_request *q = r->q;
    char                      id[2 * ID_BYTES + 1];
    bool ascii = slice_is_ascii(buf_slice(&r->text)) && slice_is_ascii(buf_slice(&r->status)) &&
                 slice_is_ascii(buf_slice(&r->original));

    make_random(id);
    buf_addf(out, "Date: %s\r\nFrom: Mail Delivery System <", clock_rfc5322(q->now).text);
    if (q->postmaster.len > 0)
        dsn_add_clean(out, q->postmaster, true, FIELD_MAX);
    else
        buf_addf(out, "postmaster@" PRIslice, SLICE_ARG(q->hostname));
    buf_add(out, SLICE(">\r\nTo: <"));
    dsn_add_clean(out, q->sender, true, FIELD_MAX);
    buf_add(out, SLICE(">\r\nSubject: "));
    dsn_write_subject(out, q, buf_slice(&r->subject));
    buf_addf(out, "\r\nMessage-ID: <%s@" PRIslice ">\r\n", id, SLICE_ARG(q->hostname));
    if (r->message_id.len > 0 && r->message_id.len <= FIELD_MAX && slice_is_ascii(r->message_id)) {
        dsn_add_wrapped(out, "In-Reply-To: ", " ", r->message_id);
        dsn_add_wrapped(out, "References: ", " ", r->message_id);
    }
    buf_addf(out,
             "Auto-Submitted: auto-replied\r\n"
             "MIME-Version: 1.0\r\n"
             "Content-Type: multipart/report; report-type=delivery-status;\r\n"
             " boundary=\"%s\"\r\n"
             "Content-Transfer-Encoding: %s\r\n\r\n"
             "This is a message in several parts, for mail programs that know MIME.\r\n",
             r->boundary, ascii ? "7bit" : "8bit");
}

/* A part's own head; the line end before the boundary belongs to the boundary (RFC 2046 section 5.1.1). */
static void begin_part(const struct report *r, struct buf *out, const char *type, struct slice content)
{
    buf_addf(out, "\r\n--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", r->boundary, type,
             encoding_of(content));
}

static const char *original_type(const struct report *r)
{
    if (r->whole)
        return r->original_global ? "message/global" : "message/rfc822";
    return r->original_global ? "message/global-headers" : "text/rfc822-headers";
}

static void write_parts(const struct report *r, struct buf *out)
{
    struct slice text = buf_slice(&r->text), status = buf_slice(&r->status);

    begin_part(r, out, slice_is_ascii(text) ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8", text);
    buf_add(out, text);
    begin_part(r, out, slice_is_ascii(status) ? "message/delivery-status" : "message/global-delivery-status", status);
    buf_add(out, status);
    begin_part(r, out, original_type(r), buf_slice(&r->original));
}

static bool put_together(const struct report *r, const struct body_limits *limits, struct body **out,
                         struct envelope_options *envelope, struct fail *why)
{
    SCOPED(body_destroy) struct body *body = body_create(limits);
    struct buf   head, tail;
    struct slice header;

    buf_init(&head, SIZE_MAX);
    buf_init(&tail, SIZE_MAX);
    write_header(r, &head);
    header = buf_slice(&head);
    *envelope = (struct envelope_options){.utf8 = !slice_is_ascii(header), .requiretls = r->q->options->requiretls};
    write_parts(r, &head);
    buf_addf(&tail, "\r\n--%s--\r\n", r->boundary);
    if (!slice_is_ascii(buf_slice(&head)) || !slice_is_ascii(buf_slice(&r->original)))
        envelope->body = BODY_8BITMIME;
    bool ok = body_add(body, buf_slice(&head), why) && body_add(body, buf_slice(&r->original), why) &&
              body_add(body, buf_slice(&tail), why);
    buf_finish(&head);
    buf_finish(&tail);
    if (!ok)
        return fail_at(why, "notification");
    *out = body;
    body = NULL;
    return true;
}

bool dsn_write(const struct dsn_request *q, const struct body_limits *limits, struct body **out,
               struct envelope_options *envelope, struct fail *why)
{
    struct report r = {.q = q};
    char          random[2 * ID_BYTES + 1];

    arena_init(&r.arena, SIZE_MAX);
    buf_init(&r.text, SIZE_MAX);
    buf_init(&r.status, SIZE_MAX);
    buf_init(&r.subject, HEADER_MAX * 3);
    make_random(random);
    (void)snprintf(r.boundary, sizeof r.boundary, "==%s", random);

    bool ok = read_original(&r, why);
    if (ok) {
        write_status(&r);
        dsn_write_text(&r.text, q, buf_slice(&r.subject), r.whole);
        ok = put_together(&r, limits, out, envelope, why);
    }
    buf_finish(&r.original);
    buf_finish(&r.text);
    buf_finish(&r.status);
    buf_finish(&r.subject);
    arena_finish(&r.arena);
    return ok;
}
