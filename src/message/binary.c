/*
 * message/binary.c - binary parts as something that every protocol can carry.
 *
 * Layer: message.  The message is read three times: for its structure, for where
 * the bytes in question stand, and to be copied.
 */
#include "message/binary.h"

#include <stdlib.h>

#include "base/encode.h"
#include "base/fail.h"
#include "base/scoped.h"
#include "message/decode.h"
#include "message/header.h"
#include "message/message.h"

enum {
    PIECE = 64 * 1024,
    LINE_OCTETS = 57,               /* 76 characters of base64 */
    ENCODE_OCTETS = LINE_OCTETS * 1024,
    HEADER_MAX = 1024 * 1024,       /* of a part whose header has to be changed */
    PARSE_MAX = 64 << 20,
};

struct encoding {
    const struct body *in;
    struct body *out;
    struct fail *why;
    bool lines;
    char *piece;   /* PIECE bytes */
    uint64_t done; /* of `in`, all before is in `out` */
    struct arena arena;
};

static bool read_at(struct encoding *e, uint64_t at, char *out, size_t n)
{
    size_t got;

    return body_read(e->in, at, out, n, &got, e->why) &&
           (got == n || fail_set(e->why, FAIL_TEMP, FAIL_OTHER, "a body ended early"));
}

static bool parse(struct encoding *e, struct mime_part **root)
{
    struct message_limits limits;

    message_limits_default(&limits);
    struct message_parser *p = message_parser_create(&e->arena, &limits);
    for (uint64_t at = 0, size = body_size(e->in); at < size;) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if (!read_at(e, at, e->piece, n))
            return false;
        message_parser_feed(p, slice_make(e->piece, n));
        at += n;
    }
    *root = message_parser_finish(p);
    return true;
}

/* CR not before LF or LF not after CR, across pieces: `before` is the byte before `s`, or 0. */
static bool has_lone_line_end(struct slice s, char before, bool is_last)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (before == '\r' && c != '\n')
            return true;
        if (c == '\n' && before != '\r')
            return true;
        before = c;
    }
    return is_last && before == '\r';
}

/* Does [begin, end) hold what cannot stay?  false: reading failed. */
static bool is_binary(struct encoding *e, uint64_t begin, uint64_t end, bool *out)
{
    char before = '\0';

    *out = false;
    for (uint64_t at = begin; at < end && !*out;) {
        size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
        if (!read_at(e, at, e->piece, n))
            return false;
        *out = memchr(e->piece, '\0', n) != NULL ||
               (e->lines && has_lone_line_end(slice_make(e->piece, n), before, at + n == end));
        before = e->piece[n - 1];
        at += n;
    }
    return true;
}

static bool not_possible(struct encoding *e, const char *where)
{
    return fail_code(e->why, FAIL_PERM, FAIL_INVALID, "5.6.3", "NUL%s in %s",
                     e->lines ? ", or CR or LF by itself," : "", where);
}

/* Everything up to `end` as it is; it must be what can stay. */
static bool copy_to(struct encoding *e, uint64_t end)
{
    bool binary;

    if (!is_binary(e, e->done, end, &binary))
        return false;
    if (binary)
        return not_possible(e, "a header or between parts");
    while (e->done < end) {
        size_t n = end - e->done < PIECE ? (size_t)(end - e->done) : PIECE;
        if (!read_at(e, e->done, e->piece, n) || !body_add(e->out, slice_make(e->piece, n), e->why))
            return false;
        e->done += n;
    }
    return true;
}

/* Octets of the empty line that ends a header; 0: there is none. */
static size_t empty_line(struct slice header)
{
    if (slice_ends(header, SLICE("\n\r\n")) || slice_eq(header, SLICE("\r\n")))
        return 2;
    return slice_ends(header, SLICE("\n\n")) || slice_eq(header, SLICE("\n"));
}

/* The part's header with another Content-Transfer-Encoding, behind what is there: trace fields stay on top. */
static bool write_header(struct encoding *e, const struct mime_part *part, struct slice encoding)
{
    uint64_t length = part->body_offset - part->header_offset;
    struct header_field field;
    bool binary, ok = true;
    size_t kept = 0;

    if (length > HEADER_MAX)
        return fail_code(e->why, FAIL_PERM, FAIL_INVALID, "5.6.3", "the header of a binary part is too long");
    if (!is_binary(e, part->header_offset, part->body_offset, &binary))
        return false;
    if (binary)
        return not_possible(e, "a header");
    SCOPED(scoped_free) char *header = xmalloc((size_t)length + 1);
    if (!read_at(e, part->header_offset, header, (size_t)length))
        return false;
    struct slice block = slice_make(header, (size_t)length);
    block = slice_sub(block, 0, block.len - empty_line(block));
    for (size_t at = 0; ok && header_next(block, &at, &field);) {
        if (!slice_eq_nocase(field.name, SLICE("content-transfer-encoding")))
            continue;
        size_t start = (size_t)(field.raw.ptr - block.ptr);
        ok = body_add(e->out, slice_sub(block, kept, start - kept), e->why);
        kept = start + field.raw.len;
    }
    e->done = part->body_offset;
    ok = ok && body_add(e->out, slice_from(block, kept), e->why);
    if (kept < block.len && block.ptr[block.len - 1] != '\n')
        ok = ok && body_add(e->out, SLICE("\r\n"), e->why);
    return ok && body_add(e->out, SLICE("Content-Transfer-Encoding: "), e->why) && body_add(e->out, encoding, e->why) &&
           body_add(e->out, SLICE("\r\n\r\n"), e->why);
}

static bool write_base64(struct encoding *e, uint64_t end)
{
    SCOPED(scoped_free) char *octets = xmalloc(ENCODE_OCTETS);
    struct buf text;
    bool ok = true;

    buf_init(&text, (size_t)ENCODE_OCTETS * 2);
    while (ok && e->done < end) {
        size_t n = end - e->done < ENCODE_OCTETS ? (size_t)(end - e->done) : ENCODE_OCTETS;
        ok = read_at(e, e->done, octets, n);
        buf_reset(&text);
        for (size_t at = 0; ok && at < n; at += LINE_OCTETS) {
            if (at > 0)
                buf_add(&text, SLICE("\r\n"));
            base64_encode(&text, slice_make(octets + at, n - at < LINE_OCTETS ? n - at : LINE_OCTETS));
        }
        e->done += n;
        if (e->done < end)
            buf_add(&text, SLICE("\r\n"));
        ok = ok && body_add(e->out, buf_slice(&text), e->why);
    }
    buf_finish(&text);
    return ok;
}

static bool write_leaf(struct encoding *e, const struct mime_part *part)
{
    enum transfer_encoding now = transfer_encoding_of(part->encoding);
    bool binary;

    if (!is_binary(e, part->body_offset, part->end_offset, &binary))
        return false;
    if (!binary)
        return true; /* copied with what follows */
    if (now == ENCODING_BASE64 || now == ENCODING_QUOTED_PRINTABLE || now == ENCODING_UNKNOWN)
        return not_possible(e, "a part that says it is encoded");
    return copy_to(e, part->header_offset) && write_header(e, part, SLICE("base64")) &&
           write_base64(e, part->end_offset);
}

static bool write_part(struct encoding *e, const struct mime_part *part)
{
    if (!part->is_multipart && !part->is_message)
        return write_leaf(e, part);
    if (transfer_encoding_of(part->encoding) == ENCODING_BINARY &&
        !(copy_to(e, part->header_offset) && write_header(e, part, SLICE("8bit"))))
        return false;
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        if (!write_part(e, child))
            return false;
    return true;
}

bool binary_encode(const struct body *in, const struct body_limits *limits, bool lines, struct body **out,
                   struct fail *why)
{
    SCOPED(scoped_free) char *piece = xmalloc(PIECE);
    struct encoding e = {.in = in, .out = body_create(limits), .why = why, .lines = lines, .piece = piece};
    struct mime_part *root;

    arena_init(&e.arena, PARSE_MAX);
    bool ok = parse(&e, &root) && write_part(&e, root) && copy_to(&e, body_size(in));
    arena_finish(&e.arena);
    if (ok)
        *out = e.out;
    else
        body_destroy(&e.out);
    return ok;
}
