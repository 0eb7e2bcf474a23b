/*
 * smtp/client_prepare.c - what a message needs, what the peer can, and the message's bytes.
 *
 * Layer: smtp.  Nearly all messages are small: they are read once, looked at, and written in one piece.  A larger one is
 * taken for 8-bit where the peer does not mind, and looked at where it does.
 */
#include "smtp/client_prepare.h"

#include <stdlib.h>

#include "base/unicode.h"
#include "base/clock.h"
#include "smtp/client_lines.h"

enum { SMALL = 128 * 1024, PIECE = 64 * 1024, CHUNKED_AT_ONCE = 32 * 1024 };

void sending_refuse(struct sending *s, unsigned code, const char *status, const char *text)
{
    for (size_t i = 0; i < s->m->recipient_count; i++) {
        struct smtp_client_recipient *r = &s->m->recipients[i];

        if (r->reply.code == 0)
            r->reply = (struct smtp_reply_text){.code = code, .ours = true, .status = slice_of(status), .text = arena_keep(s->a, slice_of(text))};
    }
}

static void refuse_one(struct sending *s, size_t i, unsigned code, const char *status, const char *text)
{
    s->m->recipients[i].reply =
        (struct smtp_reply_text){.code = code, .ours = true, .status = slice_of(status), .text = slice_of(text)};
}

/* ---- the bytes ---- */

static uint64_t size_of(const struct sending *s)
{
    return s->m->source.prefix.len + s->m->source.size;
}

static bool load(struct sending *s, struct fail *why)
{
    const struct smtp_source *source = &s->m->source;
    struct buf *body = &s->c->body;

    buf_reset(body);
    if (size_of(s) > SMALL)
        return true;
    buf_add(body, source->prefix);
    char *to = buf_room(body, (size_t)source->size);
    if (source->size > 0 && (to == NULL || !source->read(source->ctx, 0, to, (size_t)source->size, why)))
        return to != NULL ? false : fail_set(why, FAIL_TEMP, FAIL_OTHER, "no memory for a message");
    buf_grew(body, (size_t)source->size);
    s->in_memory = true;
    return true;
}

void sending_add_body(struct sending *s)
{
    struct line_writer lines;

    if (s->offer.binary) {
        buf_add(&s->c->out, buf_slice(&s->c->body));
        return;
    }
    line_writer_init(&lines, !s->chunk);
    line_writer_feed(&lines, buf_slice(&s->c->body), &s->c->out);
    line_writer_finish(&lines, &s->c->out);
}

struct data_stream {
    struct sending *s;
    struct line_writer lines;
};

static bool flush_stream(struct data_stream *d, size_t above, struct fail *why)
{
    struct smtp_client *c = d->s->c;
    bool ok;

    if (c->out.len <= above)
        return true;
    ok = wire_write(&c->wire, buf_slice(&c->out), c->limits.data_seconds, why);
    buf_reset(&c->out);
    return ok;
}

static bool take_piece(void *ctx, struct slice piece, struct fail *why)
{
    struct data_stream *d = ctx;

    line_writer_feed(&d->lines, piece, &d->s->c->out);
    return flush_stream(d, PIECE, why);
}

static bool stream_source(struct data_stream *d, struct fail *why)
{
    const struct smtp_source *source = &d->s->m->source;
    char *piece = xmalloc(PIECE);
    bool ok = true;

    for (uint64_t at = 0; ok && at < source->size;) {
        size_t n = source->size - at < PIECE ? (size_t)(source->size - at) : PIECE;

        ok = source->read(source->ctx, at, piece, n, why) && take_piece(d, slice_make(piece, n), why);
        at += n;
    }
    free(piece);
    return ok;
}

bool sending_write_data(struct sending *s, struct fail *why)
{
    struct data_stream d = {.s = s};

    line_writer_init(&d.lines, true);
    if (!take_piece(&d, s->m->source.prefix, why))
        return false;
    if (s->plan != NULL ? !downconvert_write(s->plan, take_piece, &d, why) : !stream_source(&d, why))
        return false;
    line_writer_finish(&d.lines, &s->c->out);
    return flush_stream(&d, 0, why);
}

/* ---- what it needs ---- */

static bool plan(struct sending *s, enum downconvert_to to, struct fail *why)
{
    struct downconvert_source source = {s->m->source.read, s->m->source.ctx, s->m->source.size};

    downconvert_destroy(&s->plan);
    if (downconvert_plan(&source, to, &s->plan, why))
        return true;
    if (why->kind == FAIL_PERM)
        sending_refuse(s, 554, "5.6.3", why->text);
    return why->kind == FAIL_PERM;
}

static bool is_refused(const struct sending *s)
{
    for (size_t i = 0; i < s->m->recipient_count; i++)
        if (s->m->recipients[i].reply.code == 0)
            return false;
    return true;
}

/* RFC 6531 section 3.2: where SMTPUTF8 is not offered, nothing that needs it may be sent. */
static bool without_utf8(struct sending *s, bool eight, struct fail *why)
{
    if (!client_address(s->m->sender, false, s->a, &s->offer.sender)) {
        sending_refuse(s, 550, "5.6.7", "the sender's address has characters outside of ASCII, and the next server does not take such addresses (no SMTPUTF8)");
        return true;
    }
    for (size_t i = 0; i < s->m->recipient_count; i++)
        if (!client_address(s->m->recipients[i].address, false, s->a, &s->addresses[i]))
            refuse_one(s, i, 550, "5.6.7", "this address has characters outside of ASCII, and the next server does not take such addresses (no SMTPUTF8)");
    if (!s->m->options.utf8 || !eight || is_refused(s))
        return true;
    if (!plan(s, DOWNCONVERT_7BIT, why))
        return false;
    if (s->plan != NULL && downconvert_header_is_8bit(s->plan))
        sending_refuse(s, 554, "5.6.7", "the message's header has characters outside of ASCII, and the next server does not take that (no SMTPUTF8)");
    return true;
}

static bool choose_addresses(struct sending *s, bool eight, struct fail *why)
{
    bool utf8 = s->m->options.utf8 || !slice_is_ascii(s->m->sender);

    s->addresses = arena_new_array(s->a, struct slice, s->m->recipient_count);
    if (s->addresses == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "too many recipients for one transaction's memory");
    s->offer.sender = s->m->sender;
    for (size_t i = 0; i < s->m->recipient_count; i++) {
        s->addresses[i] = s->m->recipients[i].address;
        utf8 |= !slice_is_ascii(s->addresses[i]);
        if (!client_address_is_clean(s->addresses[i]))
            refuse_one(s, i, 553, "5.1.3", "this is not an address");
    }
    if (!client_address_is_clean(s->m->sender))
        sending_refuse(s, 553, "5.1.7", "the sender's address is not one");
    s->offer.utf8 = utf8 && (s->c->can & SMTP_CAN_SMTPUTF8);
    return !utf8 || s->offer.utf8 || without_utf8(s, eight, why);
}

/* RFC 6152 section 3, RFC 3030 section 3. */
static bool choose_body(struct sending *s, bool eight, struct fail *why)
{
    unsigned can = s->c->can;
    bool converts;

    if (s->m->options.body == BODY_BINARYMIME) {
        s->offer.binary = (can & SMTP_CAN_BINARYMIME) != 0;
        if (s->offer.binary)
            return true;
        eight = true;
        converts = true;
    } else {
        converts = eight && !(can & SMTP_CAN_8BITMIME);
    }
    s->offer.eight = eight && (can & SMTP_CAN_8BITMIME);
    if (!converts) {
        downconvert_destroy(&s->plan);
        return true;
    }
    if (!plan(s, s->offer.eight ? DOWNCONVERT_8BIT : DOWNCONVERT_7BIT, why) || s->plan == NULL)
        return s->plan == NULL && is_refused(s);
    if (!s->offer.eight && downconvert_header_is_8bit(s->plan))
        sending_refuse(s, 554, "5.6.3", "the message's header has characters outside of ASCII, and the next server takes only 7-bit mail");
    if (!downconvert_is_needed(s->plan))
        downconvert_destroy(&s->plan);
    s->in_memory = s->in_memory && s->plan == NULL;
    return true;
}

/* What is in the way of the whole message. */
static void refuse_what_cannot(struct sending *s)
{
    const struct envelope_options *o = &s->m->options;
    unsigned can = s->c->can;
    int64_t left = o->by - clock_now();

    /* A notification goes on all the same (RFC 8689 section 5): over verified TLS, which relay/ has seen to. */
    if (o->requiretls && !(can & SMTP_CAN_REQUIRETLS) && s->m->sender.len > 0)
        sending_refuse(s, 550, "5.7.30", "the sender demanded that this message goes only over verified TLS (REQUIRETLS), and the next server does not support that");
    if (o->by_mode == BY_RETURN && left <= 0)
        sending_refuse(s, 554, "5.4.7", "the time within which the sender wanted this message delivered is over");
    if (o->by_mode == BY_RETURN && (!(can & SMTP_CAN_DELIVERBY) || (s->c->by_min > 0 && left < (int64_t)s->c->by_min)))
        sending_refuse(s, 554, "5.4.7", "the next server cannot promise delivery within the time that the sender wanted (DELIVERBY)");
    if (s->c->size_max > 0 && size_of(s) > s->c->size_max && s->plan == NULL) {
        struct slice text = arena_printf(s->a, "the message has %llu bytes, and the next server takes at most %llu",
                                         (unsigned long long)size_of(s), (unsigned long long)s->c->size_max);
        sending_refuse(s, 552, "5.3.4", arena_cstr(s->a, text));
    }
}

bool sending_prepare(struct sending *s, struct fail *why)
{
    unsigned can = s->c->can;
    bool eight;

    if (!load(s, why))
        return false;
    eight = s->in_memory ? !slice_is_ascii(buf_slice(&s->c->body)) : true;
    if (!choose_addresses(s, eight, why))
        return false;
    if (!is_refused(s) && !choose_body(s, eight, why))
        return false;
    s->offer.eight |= s->offer.utf8; /* RFC 6531 section 3.1, item 8: the two come together */
    s->offer.size = s->plan == NULL ? size_of(s) : 0;
    /* With everything in one write a chunk saves the round trip of DATA's 354; what it risks is its own size. */
    s->chunk = s->offer.binary || (s->in_memory && !s->c->lmtp && size_of(s) <= CHUNKED_AT_ONCE && (can & SMTP_CAN_CHUNKING) &&
                                   (can & SMTP_CAN_PIPELINING));
    refuse_what_cannot(s);
    return true;
}

void sending_finish(struct sending *s)
{
    downconvert_destroy(&s->plan);
    buf_reset(&s->c->body);
}
