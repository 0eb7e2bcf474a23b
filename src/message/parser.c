/*
 * message/parser.c - a message taken apart while it comes in.
 *
 * Layer: message.
 *
 * Everything happens at the ends of lines, and a line is the same however it was
 * cut into pieces; so is the tree.  Between pieces the parser keeps the header
 * block it is in, the parts that are open (from the root to the innermost) and,
 * of a line that may be a boundary, its beginning.
 */
#include <assert.h>

#include "message/content.h"
#include "message/decode.h"
#include "message/envelope.h"

enum {
    LINE_KEPT_MAX = 1024, /* a longer line is no boundary */
    BOUNDARY_MAX = 1000,  /* RFC 2046 section 5.1.1 allows 70 */
    HEADER_ROOM_FIRST = 4096,
};

/* A place in the message: offset, and lines that have ended before it. */
struct place {
    uint64_t offset, lines;
};

struct open_part {
    struct mime_part *part, *last_child;
    struct slice boundary; /* empty: none is looked for */
    struct place body;     /* where its body begins */
};

struct message_parser {
    struct arena *arena;
    struct message_limits limits;
    struct mime_part root;
    unsigned parts;

    struct open_part open[MIME_DEPTH_MAX + 1]; /* open[0] is the root */
    size_t open_count;
    bool has_boundaries; /* any of them */

    char *header; /* the innermost part's header block so far */
    size_t header_len, header_room;
    bool in_header;

    struct place here;        /* behind what was fed */
    struct place line;        /* where the present line began */
    size_t line_header_len;   /* header_len then */
    unsigned last_line_end;   /* length of the line end before it: 0, 1 or 2 */
    bool maybe_boundary;      /* so far, the present line may be one */
    bool ends_in_cr;          /* so far, its last byte is CR */
    char kept[LINE_KEPT_MAX]; /* its beginning, if it may be one */
};

void message_limits_default(struct message_limits *l)
{
    *l = (struct message_limits){
        .header_bytes = 256 * 1024, .depth = 50, .parts = 2000, .parameters = 100, .addresses = 5000};
}

struct message_parser *message_parser_create(struct arena *a, const struct message_limits *limits)
{
    struct message_parser *p = arena_new(a, struct message_parser);

    assert(p != NULL); /* an arena without room even for a parser is the caller's mistake */
    p->arena = a;
    p->limits = *limits;
    if (p->limits.depth > MIME_DEPTH_MAX)
        p->limits.depth = MIME_DEPTH_MAX;
    p->open[p->open_count++] = (struct open_part){.part = &p->root};
    p->parts = 1;
    p->in_header = true;
    p->maybe_boundary = true;
    return p;
}

static struct open_part *innermost(struct message_parser *p)
{
    return &p->open[p->open_count - 1];
}

/* Grown by doubling: all of it together is at most twice the limit. */
static void keep_header(struct message_parser *p, struct slice s)
{
    size_t want =
        s.len < p->limits.header_bytes - p->header_len ? s.len : p->limits.header_bytes - p->header_len;

    if (want > p->header_room - p->header_len) {
        size_t room = p->header_room == 0 ? HEADER_ROOM_FIRST : p->header_room * 2;

        while (room < p->header_len + want)
            room *= 2;
        char *more = arena_alloc(p->arena, room);
        if (more == NULL)
            return;
        if (p->header_len > 0)
            memcpy(more, p->header, p->header_len);
        p->header = more;
        p->header_room = room;
    }
    if (want > 0)
        memcpy(p->header + p->header_len, s.ptr, want);
    p->header_len += want;
}

static bool has_room_for_child(const struct message_parser *p)
{
    return p->parts < p->limits.parts && p->open_count <= p->limits.depth && !p->arena->failed;
}

/* A new part inside the innermost one; its header begins at `offset`. */
static bool open_child(struct message_parser *p, uint64_t offset)
{
    struct open_part *top = innermost(p);
    struct mime_part *child = arena_new(p->arena, struct mime_part);

    if (child == NULL)
        return false;
    if (top->last_child != NULL)
        top->last_child->next = child;
    else
        top->part->first_child = child;
    top->last_child = child;
    child->parent = top->part;
    child->header_offset = offset;
    p->parts++;
    p->open[p->open_count++] = (struct open_part){.part = child};
    p->in_header = true;
    p->header_len = 0;
    return true;
}

static bool is_message_type(const struct mime_part *part)
{
    return slice_eq_nocase(part->type, SLICE("message")) &&
           (slice_eq_nocase(part->subtype, SLICE("rfc822")) ||
            slice_eq_nocase(part->subtype, SLICE("global")));
}

static bool is_encoded(const struct mime_part *part)
{
    enum transfer_encoding e = transfer_encoding_of(part->encoding);

    return e == ENCODING_BASE64 || e == ENCODING_QUOTED_PRINTABLE;
}

static void keep_envelope(struct message_parser *p, struct mime_part *part)
{
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    envelope_write(&text, part->header, &p->limits);
    part->envelope = arena_keep(p->arena, buf_slice(&text));
    buf_finish(&text);
}

/* The innermost part's header is complete; its body, which may have nothing in it, begins at `body`. */
static void end_header(struct message_parser *p, struct place body)
{
    struct mime_part *part = innermost(p)->part, *parent = part->parent;
    struct slice header = slice_make(p->header, p->header_len);
    bool in_digest =
        parent != NULL && parent->is_multipart && slice_eq_nocase(parent->subtype, SLICE("digest"));

    p->in_header = false;
    part->body_offset = body.offset;
    innermost(p)->body = body;
    content_read(p->arena, &p->limits, header, in_digest, part);
    if (parent == NULL || parent->is_message)
        part->header = arena_keep(p->arena, header);
    if (parent != NULL && parent->is_message)
        keep_envelope(p, part);
}

/* A body follows: what is to be looked for in it? */
static void begin_body(struct message_parser *p)
{
    struct open_part *top = innermost(p);
    struct slice boundary;

    if (!has_room_for_child(p))
        return;
    if (slice_eq_nocase(top->part->type, SLICE("multipart"))) {
        if (mime_parameter_find(top->part->parameters, top->part->parameter_count, SLICE("boundary"),
                                &boundary)) {
            boundary = slice_trim(boundary);
            if (boundary.len <= BOUNDARY_MAX)
                top->boundary = boundary;
            p->has_boundaries |= top->boundary.len > 0;
        }
    } else if (is_message_type(top->part) && !is_encoded(top->part)) {
        top->part->is_message = open_child(p, top->part->body_offset);
    }
}

/*
 * The innermost part ends at `end`, or where its body begins if that is later.
 * The answer is where, so that no part ends before one inside it.
 */
static struct place close_part(struct message_parser *p, struct place end)
{
    struct open_part *top = innermost(p);

    if (p->in_header)
        end_header(p, end);
    if (end.offset < top->body.offset)
        end = top->body;
    top->part->end_offset = end.offset;
    top->part->body_lines = end.lines - top->body.lines;
    p->open_count--;
    return end;
}

/*
 * delimiter = "--" boundary, close-delimiter = delimiter "--", both with blanks
 * behind (RFC 2046 section 5.1.1).  The innermost open multipart it belongs to;
 * 0 if it is none (the root is open[0], so its answer is 1).
 */
static size_t find_boundary(const struct message_parser *p, struct slice line, bool *closing)
{
    if (!slice_starts(line, SLICE("--")))
        return 0;
    while (line.len > 2 && strchr(" \t\r\n", line.ptr[line.len - 1]) != NULL &&
           line.ptr[line.len - 1] != '\0')
        line.len--;
    line = slice_from(line, 2);
    for (size_t n = p->open_count; n > 0; n--) {
        struct slice boundary = p->open[n - 1].boundary;

        if (boundary.len == 0 || !slice_starts(line, boundary))
            continue;
        *closing = line.len == boundary.len + 2 && slice_ends(line, SLICE("--"));
        if (*closing || line.len == boundary.len)
            return n;
    }
    return 0;
}

static bool looks_for_boundaries(const struct message_parser *p)
{
    for (size_t i = 0; i < p->open_count; i++)
        if (p->open[i].boundary.len > 0)
            return true;
    return false;
}

/* The present line is a boundary of open[level - 1].  The line end before it is part of it (RFC 2046
 * section 5.1.1). */
static void at_boundary(struct message_parser *p, size_t level, bool closing)
{
    struct place end = p->line;

    if (p->in_header) { /* it cuts a header short, whose last line keeps its end */
        p->header_len = p->line_header_len;
    } else {
        end.offset -= p->last_line_end;
        end.lines -= p->last_line_end > 0;
    }
    while (p->open_count > level)
        end = close_part(p, end);
    if (closing) {
        innermost(p)->boundary.len = 0;
        p->has_boundaries = looks_for_boundaries(p);
    } else {
        struct mime_part *multipart = innermost(p)->part;

        multipart->is_multipart = true; /* before its child's header is read */
        if (!open_child(p, p->here.offset))
            multipart->is_multipart = multipart->first_child != NULL;
    }
}

/* The present line is complete; `line` is all of it, if it may be a boundary. */
static void end_line(struct message_parser *p, struct slice line, unsigned line_end)
{
    size_t level = 0;
    bool closing = false, empty = line_end > 0 && p->here.offset - p->line.offset == line_end;

    p->here.lines += line_end > 0;
    if (p->maybe_boundary && p->has_boundaries && p->parts < p->limits.parts)
        level = find_boundary(p, line, &closing);
    if (level > 0) {
        at_boundary(p, level, closing);
    } else if (p->in_header) {
        innermost(p)->part->header_lines += line_end > 0;
        if (empty) {
            end_header(p, p->here);
            begin_body(p);
        }
    }
    p->line = p->here;
    p->line_header_len = p->header_len;
    p->last_line_end = line_end;
    p->maybe_boundary = true;
    p->ends_in_cr = false;
}

/* Some of the present line, at least a byte; `whole`: its end is in there. */
static void feed_line(struct message_parser *p, struct slice s, bool whole)
{
    uint64_t before = p->here.offset - p->line.offset;
    size_t had = before < LINE_KEPT_MAX ? (size_t)before : LINE_KEPT_MAX;

    if (p->in_header)
        keep_header(p, s);
    p->here.offset += s.len;
    bool cr = s.len > 1 ? s.ptr[s.len - 2] == '\r' : p->ends_in_cr;
    p->ends_in_cr = s.ptr[s.len - 1] == '\r';
    p->maybe_boundary = p->maybe_boundary && p->has_boundaries && s.len <= LINE_KEPT_MAX - had &&
                        (had > 0 || s.ptr[0] == '-');
    if (p->maybe_boundary && (had > 0 || !whole)) {
        memcpy(p->kept + had, s.ptr, s.len);
        s = slice_make(p->kept, had + s.len);
    }
    if (whole)
        end_line(p, s, cr ? 2 : 1);
}

void message_parser_feed(struct message_parser *p, struct slice piece)
{
    while (piece.len > 0) {
        const char *lf = memchr(piece.ptr, '\n', piece.len);
        size_t len = lf != NULL ? (size_t)(lf - piece.ptr) + 1 : piece.len;

        feed_line(p, slice_sub(piece, 0, len), lf != NULL);
        piece = slice_from(piece, len);
    }
}

struct mime_part *message_parser_finish(struct message_parser *p)
{
    if (p->here.offset > p->line.offset) { /* a last line without an end */
        uint64_t len = p->here.offset - p->line.offset;

        end_line(p, slice_make(p->kept, p->maybe_boundary ? (size_t)len : 0), 0);
    }
    for (struct place end = p->here; p->open_count > 0;)
        end = close_part(p, end);
    return &p->root;
}
