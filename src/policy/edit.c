/*
 * policy/edit.c - see policy/edit.h.
 *
 * Layer: policy.
 */
#include "policy/edit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/scoped.h"

enum {
    HEADER_MAX = 64 << 20,
    PIECE = 64 << 10,
    FIELD_MAX = 64 << 10, /* of what a helper adds */
    ADDED_MAX = 1 << 20,  /* on top of the limit of a message */
    FIELDS_MAX = 1000000,
};

/* ---- reading ---- */

/* How many bytes belong to the header, its empty line included; 0: not to be seen yet. */
static size_t header_end(struct slice s)
{
    if (slice_starts(s, SLICE("\r\n")))
        return 2;
    size_t at = slice_find(s, SLICE("\r\n\r\n"));
    return at < s.len ? at + 4 : 0;
}

static bool add_field(struct edit *e, size_t position, const struct edit_field *f)
{
    if (e->count >= FIELDS_MAX)
        return false;
    if (e->count == e->cap) {
        e->cap = e->cap == 0 ? 64 : e->cap * 2;
        e->fields = xrealloc(e->fields, e->cap * sizeof *e->fields);
    }
    memmove(&e->fields[position + 1], &e->fields[position], (e->count - position) * sizeof *e->fields);
    e->fields[position] = *f;
    e->count++;
    return true;
}

static struct slice without_end(struct slice line)
{
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    return line;
}

/* ftext: visible ASCII but the colon                           RFC 5322 section 3.6.8 */
static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == ':')
            return false;
    return name.len > 0 && name.len <= 200;
}

static void split_header(struct edit *e, struct slice header, unsigned own_fields)
{
    for (size_t at = 0; at < header.len;) {
        size_t end = at;
        do { /* a line, and those that go on with it */
            end += slice_find_char(slice_from(header, end), '\n') + 1;
        } while (end < header.len && (header.ptr[end] == ' ' || header.ptr[end] == '\t'));
        if (end > header.len)
            end = header.len;
        struct edit_field f = {.raw = slice_sub(header, at, end - at)};
        struct slice rest = f.raw, name = slice_cut(&rest, ':');
        at = end;
        if (rest.ptr != f.raw.ptr && is_name(slice_trim(name)) && name.len < f.raw.len) {
            f.name = slice_trim(name);
            f.value = without_end(rest);
        }
        f.own = e->count < own_fields;
        if (!add_field(e, e->count, &f))
            return;
    }
}

bool edit_open(struct edit *e, struct body *message, unsigned own_fields, struct fail *why)
{
    struct buf bytes;
    size_t got = PIECE, end = 0;
    bool ok = true;

    *e = (struct edit){.source = body_share(message)};
    arena_init(&e->arena, 2 * (size_t)HEADER_MAX);
    buf_init(&bytes, HEADER_MAX + PIECE);
    while (ok && end == 0 && got == PIECE && bytes.len < HEADER_MAX) {
        char *room = buf_room(&bytes, PIECE);
        const size_t looked = bytes.len > 3 ? bytes.len - 3 : 0;
        ok = room != NULL && body_read(message, bytes.len, room, PIECE, &got, why);
        if (!ok)
            break;
        buf_grew(&bytes, got);
        end = looked == 0 ? header_end(buf_slice(&bytes)) : 0;
        if (end == 0 && looked > 0) {
            size_t at = slice_find(slice_from(buf_slice(&bytes), looked), SLICE("\r\n\r\n"));
            end = at < bytes.len - looked ? looked + at + 4 : 0;
        }
    }
    if (ok && end == 0 && bytes.len >= HEADER_MAX)
        ok = fail_code(why, FAIL_TEMP, FAIL_TOO_BIG, "4.3.0", "the header is too large to be looked at");
    if (ok) {
        struct slice all = arena_keep(&e->arena, slice_sub(buf_slice(&bytes), 0, end > 0 ? end : bytes.len));
        e->body_at = end > 0 ? end : bytes.len;
        split_header(e, end >= 2 ? slice_sub(all, 0, all.len - 2) : all, own_fields);
    }
    buf_finish(&bytes);
    if (!ok)
        edit_close(e);
    return ok;
}

void edit_close(struct edit *e)
{
    body_destroy(&e->source);
    body_destroy(&e->body);
    free(e->fields);
    arena_finish(&e->arena);
    *e = (struct edit){0};
}

/* ---- the header ---- */

/* A value on one line or folded; nothing in it begins a new field. */
static void add_value(struct buf *out, struct slice value)
{
    value = without_end(value);
    if (value.len > 0 && value.ptr[0] != ' ' && value.ptr[0] != '\t')
        buf_add_char(out, ' ');
    for (size_t i = 0; i < value.len; i++) {
        const char c = value.ptr[i];
        if (c == '\n') {
            buf_add(out, SLICE("\r\n"));
            if (i + 1 == value.len || (value.ptr[i + 1] != ' ' && value.ptr[i + 1] != '\t'))
                buf_add_char(out, '\t');
        } else if ((unsigned char)c >= ' ' || c == '\t') {
            buf_add_char(out, c == 0x7f ? '?' : c);
        }
    }
    buf_add(out, SLICE("\r\n"));
}

static bool make_field(struct edit *e, struct slice name, struct slice value, struct edit_field *out)
{
    struct buf raw;

    name = slice_trim(name);
    if (!is_name(name) || value.len > FIELD_MAX)
        return false;
    buf_init(&raw, 4 * (size_t)FIELD_MAX);
    buf_add(&raw, name);
    buf_add_char(&raw, ':');
    add_value(&raw, value);
    *out = (struct edit_field){.raw = arena_keep(&e->arena, buf_slice(&raw))};
    bool ok = !raw.failed && out->raw.len > 0;
    buf_finish(&raw);
    if (!ok)
        return false;
    out->name = slice_sub(out->raw, 0, name.len);
    out->value = without_end(slice_from(out->raw, name.len + 1));
    return true;
}

bool edit_insert(struct edit *e, size_t position, struct slice name, struct slice value)
{
    struct edit_field f;

    if (!make_field(e, name, value, &f) || !add_field(e, position < e->count ? position : e->count, &f))
        return false;
    e->changed = true;
    return true;
}

static void drop(struct edit *e, size_t at)
{
    memmove(&e->fields[at], &e->fields[at + 1], (e->count - at - 1) * sizeof *e->fields);
    e->count--;
    e->changed = true;
}

static bool is_named(const struct edit_field *f, struct slice name)
{
    return !f->own && f->name.len > 0 && slice_eq_nocase(f->name, name);
}

/* Where the index-th field of that name stands; e->count: nowhere. */
static size_t find_nth(const struct edit *e, struct slice name, size_t index)
{
    for (size_t i = 0, n = 0; i < e->count; i++)
        if (is_named(&e->fields[i], name) && ++n == index)
            return i;
    return e->count;
}

bool edit_change(struct edit *e, size_t index, struct slice name, struct slice value)
{
    const size_t at = find_nth(e, slice_trim(name), index);
    struct edit_field f;

    if (value.len == 0) {
        if (at < e->count)
            drop(e, at);
        return true;
    }
    if (at == e->count)
        return edit_insert(e, e->count, name, value);
    if (!make_field(e, name, value, &f))
        return false;
    e->fields[at] = f;
    e->changed = true;
    return true;
}

void edit_remove(struct edit *e, struct slice name, int64_t index)
{
    int64_t n = 0, count = 0;

    for (size_t i = 0; i < e->count; i++)
        count += is_named(&e->fields[i], name);
    const int64_t wanted = index < 0 ? count + 1 + index : index;
    for (size_t i = 0; i < e->count;) {
        if (is_named(&e->fields[i], name) && (++n == wanted || index == 0))
            drop(e, i);
        else
            i++;
    }
}

const struct edit_field *edit_find(const struct edit *e, struct slice name)
{
    const size_t at = find_nth(e, name, 1);

    return at < e->count ? &e->fields[at] : NULL;
}

/* ---- the body ---- */

bool edit_add_body(struct edit *e, const struct body_limits *limits, struct slice piece, struct fail *why)
{
    struct body_limits mine = *limits;

    mine.size_max += ADDED_MAX;
    if (e->body == NULL)
        e->body = body_create(&mine);
    e->changed = true;
    for (size_t at = 0; at < piece.len;) { /* lines end in CRLF, whatever the helper thinks */
        size_t n = slice_find_char(slice_from(piece, at), '\n');
        const bool ends = at + n < piece.len;
        const bool has_cr = n > 0 ? piece.ptr[at + n - 1] == '\r' : e->after_cr;
        if (!body_add(e->body, slice_sub(piece, at, n), why) ||
            (ends && !body_add(e->body, has_cr ? SLICE("\n") : SLICE("\r\n"), why)))
            return false;
        e->after_cr = !ends && has_cr;
        at += n + ends;
    }
    return true;
}

bool edit_read_body(const struct edit *e, uint64_t offset, void *out, size_t n, size_t *got, struct fail *why)
{
    return e->body != NULL ? body_read(e->body, offset, out, n, got, why)
                           : body_read(e->source, e->body_at + offset, out, n, got, why);
}

bool edit_write(const struct edit *e, const struct body_limits *limits, struct body **out, struct fail *why)
{
    struct body_limits mine = *limits;
    SCOPED(scoped_free) char *piece = xmalloc(PIECE);
    size_t got = PIECE;
    bool ok = true;

    *out = NULL;
    if (!e->changed)
        return true;
    mine.size_max += 2 * (uint64_t)ADDED_MAX + HEADER_MAX;
    *out = body_create(&mine);
    for (size_t i = 0; ok && i < e->count; i++) {
        const struct slice raw = e->fields[i].raw;
        ok = body_add(*out, raw, why) && (slice_ends(raw, SLICE("\n")) || body_add(*out, SLICE("\r\n"), why));
    }
    ok = ok && body_add(*out, SLICE("\r\n"), why);
    for (uint64_t at = 0; ok && got == PIECE; at += got)
        ok = edit_read_body(e, at, piece, PIECE, &got, why) && body_add(*out, slice_make(piece, got), why);
    if (!ok)
        body_destroy(out);
    return ok;
}
