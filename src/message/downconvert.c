/*
 * message/downconvert.c - a message with 8-bit or binary parts, written in a way that others can take.
 *
 * Layer: message.  The plan is a list in the order in which parts begin: what is done to each.  Writing walks the same
 * tree in the same order.
 */
#include "message/downconvert.h"

#include <stdlib.h>

#include "base/encode.h"
#include "message/decode.h"
#include "message/header.h"
#include "message/message.h"

enum {
    PIECE = 32 * 1024,
    LINE_MOST = 998,              /* RFC 5322 section 2.1.1 */
    HEADER_MOST = 1024 * 1024,    /* of a part whose header is to be changed */
    TREE_MOST = 16 * 1024 * 1024, /* memory */
    BASE64_LINE = 57,
};

enum treatment {
    KEEP,
    RELABEL,        /* the bytes stay, the field says 7bit (or 8bit) */
    TO_QP,
    TO_BASE64,
    ESCAPE,         /* is quoted-printable, with raw octets in it */
    DROP,           /* is base64, with octets that are none of it */
};

struct step {
    enum treatment treatment;
};

struct downconvert {
    struct downconvert_source source;
    enum downconvert_to to;
    struct arena arena;
    struct mime_part *root;
    struct step *steps;
    size_t step_count;
    bool header_8bit, needed;
    uint64_t eight; /* octets outside of ASCII in headers and leaves */
};

/* ---- looking ---- */

struct sight {
    uint64_t eight, line;
    bool nul, bare, long_line;
    char last;
};

static void look_at(struct sight *s, struct slice piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        char c = piece.ptr[i];

        s->eight += (unsigned char)c >= 0x80;
        s->nul |= c == '\0';
        s->bare |= (c == '\n') != (s->last == '\r');
        s->line = c == '\n' ? 0 : s->line + 1;
        s->long_line |= s->line > LINE_MOST + 1; /* the CR was counted */
        s->last = c;
    }
}

typedef bool piece_taker(void *ctx, struct slice piece, struct fail *why);

static bool each_piece(const struct downconvert_source *source, uint64_t from, uint64_t to, piece_taker *take, void *ctx, struct fail *why)
{
    char *piece = xmalloc(PIECE);
    bool ok = true;

    while (ok && from < to) {
        size_t n = to - from < PIECE ? (size_t)(to - from) : PIECE;

        ok = source->read(source->ctx, from, piece, n, why) && take(ctx, slice_make(piece, n), why);
        from += n;
    }
    free(piece);
    return ok;
}

static bool take_look(void *ctx, struct slice piece, struct fail *why)
{
    (void)why;
    look_at(ctx, piece);
    return true;
}

static bool look(const struct downconvert *d, uint64_t from, uint64_t to, struct sight *s, struct fail *why)
{
    *s = (struct sight){0};
    return each_piece(&d->source, from, to, take_look, s, why);
}

static bool take_parse(void *ctx, struct slice piece, struct fail *why)
{
    (void)why;
    message_parser_feed(ctx, piece);
    return true;
}

/* ---- planning ---- */

static bool cannot(struct fail *why, const struct mime_part *part)
{
    return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.6.3",
                     "a part of type " PRIslice "/" PRIslice " holds 8-bit data that cannot be encoded, and the next server takes only 7-bit mail",
                     SLICE_ARG(part->type), SLICE_ARG(part->subtype));
}

/* RFC 2046 sections 5.1 and 5.2: what may not be encoded as a whole. */
static bool must_not_encode(const struct mime_part *part)
{
    if (slice_eq_nocase(part->type, SLICE("multipart")))
        return true;
    return slice_eq_nocase(part->type, SLICE("message")) &&
           (slice_eq_nocase(part->subtype, SLICE("rfc822")) || slice_eq_nocase(part->subtype, SLICE("partial")) ||
            slice_eq_nocase(part->subtype, SLICE("external-body")));
}

static enum treatment encoding_for(const struct mime_part *part, const struct sight *s)
{
    uint64_t size = part->end_offset - part->body_offset;
    bool text = slice_eq_nocase(part->type, SLICE("text")) || slice_eq_nocase(part->type, SLICE("message"));

    return text && !s->nul && s->eight <= size / 4 ? TO_QP : TO_BASE64;
}

static bool treat_leaf(struct downconvert *d, const struct mime_part *part, enum treatment *out, struct fail *why)
{
    enum transfer_encoding e = transfer_encoding_of(part->encoding);
    struct sight s;

    if (!look(d, part->body_offset, part->end_offset, &s, why))
        return false;
    d->eight += s.eight;
    bool eight = s.eight > 0 && d->to == DOWNCONVERT_7BIT;
    bool unruly = s.nul || (e == ENCODING_BINARY && (s.bare || s.long_line));

    *out = KEEP;
    switch (e) {
    case ENCODING_7BIT:
    case ENCODING_8BIT:
    case ENCODING_BINARY:
        if (eight || unruly) {
            if (must_not_encode(part))
                return cannot(why, part);
            *out = encoding_for(part, &s);
        } else if (e == ENCODING_BINARY || (e == ENCODING_8BIT && d->to == DOWNCONVERT_7BIT)) {
            *out = RELABEL;
        }
        return true;
    case ENCODING_QUOTED_PRINTABLE: *out = eight || s.nul ? ESCAPE : KEEP; return true;
    case ENCODING_BASE64: *out = eight || s.nul ? DROP : KEEP; return true;
    case ENCODING_UNKNOWN: return eight || unruly ? cannot(why, part) : true;
    }
    return true;
}

static enum treatment treat_container(const struct downconvert *d, const struct mime_part *part)
{
    enum transfer_encoding e = transfer_encoding_of(part->encoding);

    return e == ENCODING_BINARY || (e == ENCODING_8BIT && d->to == DOWNCONVERT_7BIT) ? RELABEL : KEEP;
}

static size_t count_parts(const struct mime_part *part)
{
    size_t n = 1;

    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        n += count_parts(child);
    return n;
}

static bool plan_part(struct downconvert *d, const struct mime_part *part, struct fail *why)
{
    struct step *step = &d->steps[d->step_count++];
    struct sight s;
    bool leaf = part->first_child == NULL;

    if (!look(d, part->header_offset, part->body_offset, &s, why))
        return false;
    d->header_8bit |= s.eight > 0;
    d->eight += s.eight;
    step->treatment = treat_container(d, part);
    if (leaf && !treat_leaf(d, part, &step->treatment, why))
        return false;
    d->needed |= step->treatment != KEEP;
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        if (!plan_part(d, child, why))
            return false;
    return true;
}

/* A preamble or what stands behind the last boundary: octets there become "?", for nobody shows them. */
static bool look_at_gaps(struct downconvert *d, struct fail *why)
{
    struct sight s;

    if (!look(d, 0, d->source.size, &s, why))
        return false;
    d->needed |= s.eight > d->eight && d->to == DOWNCONVERT_7BIT;
    return true;
}

bool downconvert_plan(const struct downconvert_source *source, enum downconvert_to to, struct downconvert **out, struct fail *why)
{
    struct downconvert *d = xcalloc(1, sizeof(*d));
    struct message_limits limits;

    d->source = *source;
    d->to = to;
    message_limits_default(&limits);
    arena_init(&d->arena, TREE_MOST);
    struct message_parser *parser = message_parser_create(&d->arena, &limits);
    bool ok = each_piece(source, 0, source->size, take_parse, parser, why);

    if (ok) {
        d->root = message_parser_finish(parser);
        d->steps = xcalloc(count_parts(d->root), sizeof(*d->steps));
        ok = plan_part(d, d->root, why) && look_at_gaps(d, why);
    }
    if (!ok) {
        downconvert_destroy(&d);
        return false;
    }
    *out = d;
    return true;
}

void downconvert_destroy(struct downconvert **d_)
{
    struct downconvert *d = *d_;

    if (d == NULL)
        return;
    arena_finish(&d->arena);
    free(d->steps);
    free(d);
    *d_ = NULL;
}

bool downconvert_header_is_8bit(const struct downconvert *d)
{
    return d->header_8bit;
}

bool downconvert_is_needed(const struct downconvert *d)
{
    return d->needed;
}

/* ---- writing ---- */

struct writer {
    const struct downconvert *d;
    struct fail *why;
    piece_taker *write;
    void *ctx;
    struct buf out;
    size_t step;
    bool mask; /* octets outside of ASCII become "?" */

    /* the part that is being encoded */
    unsigned column;
    int held; /* a blank or CR whose fate the next byte decides; -1: none */
    char block[BASE64_LINE];
    size_t block_len;
    bool base64_begun;
};

static bool drain(struct writer *w, size_t above)
{
    bool ok = w->out.len <= above || w->write(w->ctx, buf_slice(&w->out), w->why);

    if (w->out.failed)
        ok = fail_set(w->why, FAIL_TEMP, FAIL_OTHER, "a message grew beyond its buffer");
    if (w->out.len > above)
        buf_reset(&w->out);
    return ok;
}

static bool take_copy(void *ctx, struct slice piece, struct fail *why)
{
    struct writer *w = ctx;

    (void)why;
    if (!w->mask)
        return drain(w, 0) && w->write(w->ctx, piece, w->why);
    for (size_t i = 0; i < piece.len; i++)
        buf_add_char(&w->out, (unsigned char)piece.ptr[i] < 0x80 ? piece.ptr[i] : '?');
    return drain(w, PIECE);
}

static bool take_escaped(void *ctx, struct slice piece, struct fail *why)
{
    struct writer *w = ctx;

    (void)why;
    for (size_t i = 0; i < piece.len; i++) {
        unsigned char c = (unsigned char)piece.ptr[i];

        if (c >= 0x80 || c == 0)
            buf_addf(&w->out, "=%02X", c);
        else
            buf_add_char(&w->out, (char)c);
    }
    return drain(w, PIECE);
}

static bool take_dropped(void *ctx, struct slice piece, struct fail *why)
{
    struct writer *w = ctx;

    (void)why;
    for (size_t i = 0; i < piece.len; i++)
        if ((unsigned char)piece.ptr[i] < 0x80 && piece.ptr[i] != '\0')
            buf_add_char(&w->out, piece.ptr[i]);
    return drain(w, PIECE);
}

/* RFC 2045 section 6.7: lines of at most 76 characters, the soft break's "=" included. */
static void qp_put(struct writer *w, unsigned char c, bool as_is)
{
    static const char digits[] = "0123456789ABCDEF";
    char token[3] = {'=', digits[c >> 4], digits[c & 15]};
    unsigned len = as_is ? 1 : 3;

    if (w->column + len > 75) {
        buf_add(&w->out, SLICE("=\r\n"));
        w->column = 0;
    }
    if (as_is)
        buf_add_char(&w->out, (char)c);
    else
        buf_add(&w->out, slice_make(token, 3));
    w->column += len;
}

static void qp_byte(struct writer *w, unsigned char c)
{
    int held = w->held;

    w->held = -1;
    if (held == '\r' && c == '\n') {
        buf_add(&w->out, SLICE("\r\n"));
        w->column = 0;
        return;
    }
    if (held == '\r')
        qp_put(w, '\r', false);
    else if (held >= 0)
        qp_put(w, (unsigned char)held, c != '\r'); /* no blank stands at the end of a line */
    if (c == '\r' || c == ' ' || c == '\t')
        w->held = c;
    else
        qp_put(w, c, c > ' ' && c <= '~' && c != '=');
}

static bool take_qp(void *ctx, struct slice piece, struct fail *why)
{
    struct writer *w = ctx;

    (void)why;
    for (size_t i = 0; i < piece.len; i++)
        qp_byte(w, (unsigned char)piece.ptr[i]);
    return drain(w, PIECE);
}

static void base64_line(struct writer *w)
{
    if (w->block_len == 0)
        return;
    if (w->base64_begun)
        buf_add(&w->out, SLICE("\r\n"));
    w->base64_begun = true;
    base64_encode(&w->out, slice_make(w->block, w->block_len));
    w->block_len = 0;
}

static bool take_base64(void *ctx, struct slice piece, struct fail *why)
{
    struct writer *w = ctx;

    (void)why;
    while (piece.len > 0) {
        size_t room = BASE64_LINE - w->block_len, n = piece.len < room ? piece.len : room;

        memcpy(w->block + w->block_len, piece.ptr, n);
        w->block_len += n;
        piece = slice_from(piece, n);
        if (w->block_len == BASE64_LINE)
            base64_line(w);
    }
    return drain(w, PIECE);
}

static bool write_range(struct writer *w, uint64_t from, uint64_t to, bool mask)
{
    w->mask = mask;
    return each_piece(&w->d->source, from, to, take_copy, w, w->why);
}

static bool write_body(struct writer *w, const struct mime_part *part, enum treatment treatment)
{
    const struct downconvert_source *source = &w->d->source;
    uint64_t from = part->body_offset, to = part->end_offset;
    bool ok = true;

    w->column = 0;
    w->held = -1;
    w->block_len = 0;
    w->base64_begun = false;
    switch (treatment) {
    case KEEP:
    case RELABEL: return write_range(w, from, to, false);
    case ESCAPE: return each_piece(source, from, to, take_escaped, w, w->why);
    case DROP: return each_piece(source, from, to, take_dropped, w, w->why);
    case TO_QP:
        ok = each_piece(source, from, to, take_qp, w, w->why);
        if (w->held >= 0)
            qp_put(w, (unsigned char)w->held, false);
        return ok && drain(w, PIECE);
    case TO_BASE64:
        ok = each_piece(source, from, to, take_base64, w, w->why);
        base64_line(w);
        return ok && drain(w, PIECE);
    }
    return ok;
}

static const char *label_of(const struct writer *w, enum treatment treatment)
{
    if (treatment == TO_QP)
        return "quoted-printable";
    if (treatment == TO_BASE64)
        return "base64";
    return w->d->to == DOWNCONVERT_7BIT ? "7bit" : "8bit";
}

/* The header with its Content-Transfer-Encoding changed, and what a message without MIME lacks (RFC 1428 section 3). */
static void relabel(struct writer *w, const struct mime_part *part, struct slice header, enum treatment treatment)
{
    struct header_field field;
    size_t at = 0, written = 0;
    bool is_message = part->parent == NULL || part->parent->is_message, mime = false, typed = false;
    size_t end = header.len; /* without the empty line */

    if (slice_ends(header, SLICE("\r\n\r\n")) || slice_eq(header, SLICE("\r\n")))
        end -= 2;
    else if (slice_ends(header, SLICE("\n\n")) || slice_eq(header, SLICE("\n")))
        end -= 1;
    while (header_next(header, &at, &field)) {
        size_t begin = (size_t)(field.raw.ptr - header.ptr);

        mime |= slice_eq_nocase(field.name, SLICE("MIME-Version"));
        typed |= slice_eq_nocase(field.name, SLICE("Content-Type"));
        if (!slice_eq_nocase(field.name, SLICE("Content-Transfer-Encoding")))
            continue;
        buf_add(&w->out, slice_sub(header, written, begin - written));
        written = begin + field.raw.len;
    }
    if (written < end)
        buf_add(&w->out, slice_sub(header, written, end - written));
    if (end > 0 && header.ptr[end - 1] != '\n')
        buf_add(&w->out, SLICE("\r\n"));
    if (is_message && !mime)
        buf_add(&w->out, SLICE("MIME-Version: 1.0\r\n"));
    if (is_message && !typed)
        buf_add(&w->out, SLICE("Content-Type: text/plain; charset=unknown-8bit\r\n"));
    buf_addf(&w->out, "Content-Transfer-Encoding: %s\r\n", label_of(w, treatment));
    buf_add(&w->out, SLICE("\r\n"));
}

static bool write_header(struct writer *w, const struct mime_part *part, enum treatment treatment)
{
    uint64_t size = part->body_offset - part->header_offset;

    if (treatment == KEEP || treatment == ESCAPE || treatment == DROP || part->body_offset == part->end_offset)
        return write_range(w, part->header_offset, part->body_offset, false);
    if (size > HEADER_MOST)
        return fail_code(w->why, FAIL_PERM, FAIL_LIMIT, "5.6.3", "the header of a part is too long to be changed");
    char *header = xmalloc((size_t)size + 1);
    bool ok = w->d->source.read(w->d->source.ctx, part->header_offset, header, (size_t)size, w->why);
    if (ok)
        relabel(w, part, slice_make(header, (size_t)size), treatment);
    free(header);
    return ok && drain(w, PIECE);
}

static bool write_part(struct writer *w, const struct mime_part *part)
{
    enum treatment treatment = w->d->steps[w->step++].treatment;
    uint64_t at = part->body_offset;
    bool mask = w->d->to == DOWNCONVERT_7BIT;

    if (!write_header(w, part, treatment))
        return false;
    if (part->first_child == NULL)
        return write_body(w, part, treatment);
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next) {
        if (!write_range(w, at, child->header_offset, mask) || !write_part(w, child))
            return false;
        at = child->end_offset;
    }
    return write_range(w, at, part->end_offset, mask);
}

bool downconvert_write(const struct downconvert *d, piece_taker *write, void *ctx, struct fail *why)
{
    struct writer w = {.d = d, .why = why, .write = write, .ctx = ctx};

    buf_init(&w.out, (size_t)HEADER_MOST * 2 + PIECE * 8);
    bool ok = write_part(&w, d->root) && write_range(&w, d->root->end_offset, d->source.size, d->to == DOWNCONVERT_7BIT) && drain(&w, 0);
    buf_finish(&w.out);
    return ok;
}
