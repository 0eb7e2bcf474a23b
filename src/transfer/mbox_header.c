/*
 * transfer/mbox_header.c - what the header of a message in an mbox says for the mailbox's sake.
 *
 * Layer: transfer.
 */
#include "message/header.h"
#include "store/store.h"
#include "transfer/mbox.h"

struct reading {
    struct arena        *arena;
    struct mbox_fields  *fields;
    struct mbox_message *message;
    bool                 internal_subject;
};

static void add_keyword(struct reading *r, struct slice name)
{
    struct mbox_message *m = r->message;

    for (size_t i = 0; i < m->keyword_count; i++)
        if (slice_eq_nocase(m->keywords[i], name))
            return;
    if (name.len > 0 && m->keyword_count < MBOX_KEYWORDS_MAX)
        m->keywords[m->keyword_count++] = name;
    else if (name.len > 0)
        m->keywords_cut = true;
}

/* Status: RO, X-Status: AFTD; UW-IMAP takes either letter in either field. */
static void read_status(struct reading *r, struct slice text)
{
    static const struct { char letter; uint32_t flag; } letters[] = {
        {'R', STORE_SEEN}, {'A', STORE_ANSWERED}, {'F', STORE_FLAGGED}, {'T', STORE_DRAFT}, {'D', STORE_DELETED}};

    for (size_t i = 0; i < text.len; i++)
        for (size_t k = 0; k < ARRAY_LEN(letters); k++)
            r->message->flags |= text.ptr[i] == letters[k].letter ? letters[k].flag : 0;
}

static void read_keywords(struct reading *r, struct slice text)
{
    for (struct slice rest = header_unfold(r->arena, text); rest.len > 0;)
        add_keyword(r, arena_keep(r->arena, slice_trim(slice_cut(&rest, ' '))));
}

static void read_uid(struct reading *r, struct slice text)
{
    uint64_t n;

    if (slice_to_u64(text, UINT32_MAX - 1, &n))
        r->message->uid = (uint32_t)n;
}

static void read_uidl(struct reading *r, struct slice text)
{
    bool good = text.len >= 1 && text.len <= 70; /* RFC 1939 section 7 */

    for (size_t i = 0; i < text.len && good; i++)
        good = text.ptr[i] > ' ' && text.ptr[i] <= '~';
    if (good)
        r->message->uidl = arena_keep(r->arena, text);
}

/* UIDVALIDITY SP last-UID *(SP keyword); the keywords come again with each message that has them. */
static void read_base(struct reading *r, struct slice text)
{
    uint64_t validity, last;

    if (!slice_to_u64(slice_cut(&text, ' '), UINT32_MAX, &validity) || validity == 0)
        return;
    text = slice_trim(text);
    if (!slice_to_u64(slice_cut(&text, ' '), UINT32_MAX - 1, &last))
        return;
    r->fields->has_base = true;
    r->fields->base.uidvalidity = (uint32_t)validity;
    r->fields->base.last_uid = (uint32_t)last;
}

static void read_length(struct reading *r, struct slice text)
{
    if (!r->fields->has_length)
        r->fields->has_length = slice_to_u64(text, INT64_MAX, &r->fields->length);
}

static bool hex(struct slice text, uint32_t *out)
{
    uint32_t n = 0;

    for (size_t i = 0; i < text.len && i < 8; i++) {
        char c = ascii_lower(text.ptr[i]);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
            return false;
        n = n << 4 | (uint32_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *out = n;
    return text.len > 0 && text.len <= 8;
}

/* Thunderbird's nsMsgMessageFlags. */
static void read_mozilla(struct reading *r, struct slice text)
{
    uint32_t bits;

    if (!hex(text, &bits))
        return;
    r->message->flags |= (bits & 1 ? STORE_SEEN : 0) | (bits & 2 ? STORE_ANSWERED : 0) | (bits & 4 ? STORE_FLAGGED : 0);
    r->message->expunged = (bits & 8) != 0;
    if (bits & 0x1000)
        add_keyword(r, SLICE("$Forwarded"));
}

/* The old labels, 1 to 5. */
static void read_mozilla2(struct reading *r, struct slice text)
{
    static const char *const labels[] = {"$label1", "$label2", "$label3", "$label4", "$label5"};
    uint32_t                 bits;

    if (hex(text, &bits) && (bits >> 25 & 7) >= 1 && (bits >> 25 & 7) <= 5)
        add_keyword(r, slice_of(labels[(bits >> 25 & 7) - 1]));
}

static void read_labels(struct reading *r, struct slice text)
{
    struct buf decoded;

    buf_init(&decoded, 64 * 1024);
    header_decode_text(&decoded, text);
    r->message->labels = arena_keep(r->arena, buf_slice(&decoded));
    r->message->has_labels = true;
    buf_finish(&decoded);
}

static void read_nothing(struct reading *r, struct slice text)
{
    (void)r;
    (void)text;
}

static const struct field {
    const char *name;
    void (*read)(struct reading *r, struct slice text);
} fields[] = {
    {"Status", read_status},
    {"X-Status", read_status},
    {"X-Keywords", read_keywords},
    {"X-UID", read_uid},
    {"X-UIDL", read_uidl},
    {"X-IMAP", read_base},
    {"X-IMAPbase", read_base},
    {"X-Mozilla-Status", read_mozilla},
    {"X-Mozilla-Status2", read_mozilla2},
    {"X-Mozilla-Keys", read_keywords},
    {"X-Gmail-Labels", read_labels},
    {"X-GM-THRID", read_nothing},
};

static const struct field *find_field(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (slice_eq_nocase(name, slice_of(fields[i].name)))
            return &fields[i];
    return NULL;
}

bool mbox_header_is_ours(struct slice name)
{
    return find_field(name) != NULL;
}

/* With CRLF, whatever the line ends were. */
static void add_lines(struct buf *out, struct slice lines)
{
    while (lines.len > 0) {
        size_t       at = slice_find_char(lines, '\n');
        struct slice line = slice_sub(lines, 0, at);
        if (at == lines.len) { /* the file's end */
            buf_add(out, line);
            return;
        }
        buf_add(out, line.len > 0 && line.ptr[line.len - 1] == '\r' ? slice_sub(line, 0, line.len - 1) : line);
        buf_add(out, SLICE("\r\n"));
        lines = slice_from(lines, at + 1);
    }
}

/* The field's lines, from *at: up to the next line that does not go on with it. */
static struct slice next_field(struct slice header, size_t *at)
{
    size_t from = *at;

    do
        *at += slice_find_char(slice_from(header, *at), '\n') + 1;
    while (*at < header.len && (header.ptr[*at] == ' ' || header.ptr[*at] == '\t'));
    if (*at > header.len)
        *at = header.len;
    return slice_sub(header, from, *at - from);
}

/* For the date, if the From_ line has none; and the pseudo message's mark. */
static void look_at(struct reading *r, struct slice name, struct slice text)
{
    struct mbox_message *m = r->message;

    if (slice_eq_nocase(name, SLICE("Subject")))
        r->internal_subject = slice_find(text, SLICE("FOLDER INTERNAL DATA")) < text.len;
    if (!m->has_date && slice_eq_nocase(name, SLICE("Received")) && slice_rfind_char(text, ';') < text.len)
        m->has_date = header_parse_date(slice_from(text, slice_rfind_char(text, ';') + 1), &m->date, &m->zone);
}

void mbox_header_read(struct arena *a, struct slice header, struct buf *out, struct mbox_fields *f, struct mbox_message *m)
{
    struct reading r = {.arena = a, .fields = f, .message = m};
    struct slice   date = {0};

    for (size_t at = 0; at < header.len;) {
        struct slice raw = next_field(header, &at), name, text = raw;

        if (slice_starts(raw, SLICE(">From "))) /* of the time of UUCP: how it came, no field */
            continue;
        name = slice_trim(slice_cut(&text, ':'));
        if (slice_starts_nocase(raw, SLICE(MBOX_KEPT))) {
            add_lines(out, slice_from(raw, sizeof MBOX_KEPT - 1));
            continue;
        }
        const struct field *field = find_field(name);
        if (field != NULL) {
            field->read(&r, slice_trim(text));
            continue;
        }
        if (slice_eq_nocase(name, SLICE("Content-Length"))) {
            read_length(&r, slice_trim(text));
            if (f->content_length_counts)
                continue;
        }
        look_at(&r, name, text);
        if (slice_eq_nocase(name, SLICE("Date")))
            date = text;
        add_lines(out, raw);
    }
    if (!m->has_date)
        m->has_date = header_parse_date(date, &m->date, &m->zone);
    m->internal = r.internal_subject && f->has_base;
}
