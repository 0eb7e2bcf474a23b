/*
 * message/header.c - fields of a header block.
 *
 * Layer: message.  Lines end in LF or CRLF; a CR alone is a byte like any other.
 */
#include "message/header.h"

/* The line at `at` with its line end, or what is left. */
static struct slice line_at(struct slice block, size_t at)
{
    const char *lf = at < block.len ? memchr(block.ptr + at, '\n', block.len - at) : NULL;

    return lf != NULL ? slice_sub(block, at, (size_t)(lf - (block.ptr + at)) + 1) : slice_from(block, at);
}

static struct slice without_line_end(struct slice line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\n')
        line.len--;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

/*
 * field-name = 1*ftext, ftext any printable US-ASCII but ":" (RFC 5322 section
 * 3.6.8); blanks before the colon are obsolete but read (section 4.5).
 */
static bool split_field(struct slice field, struct header_field *out)
{
    size_t name = 0, colon;

    while (name < field.len && field.ptr[name] > ' ' && field.ptr[name] < 0x7f && field.ptr[name] != ':')
        name++;
    for (colon = name; colon < field.len && is_wsp(field.ptr[colon]);)
        colon++;
    if (name == 0 || colon == field.len || field.ptr[colon] != ':')
        return false;
    out->name = slice_sub(field, 0, name);
    out->body = without_line_end(slice_from(field, colon + 1));
    out->raw = field;
    return true;
}

bool header_next(struct slice block, size_t *at, struct header_field *out)
{
    while (*at < block.len) {
        struct slice line = line_at(block, *at);
        size_t end = *at + line.len;

        if (without_line_end(line).len == 0)
            return false;
        while (end < block.len && is_wsp(block.ptr[end]))
            end += line_at(block, end).len;

        struct slice field = slice_sub(block, *at, end - *at);
        *at = end;
        if (split_field(field, out))
            return true;
    }
    return false;
}

bool header_find(struct slice block, struct slice name, struct header_field *out)
{
    struct header_field field;

    for (size_t at = 0; header_next(block, &at, &field);) {
        if (slice_eq_nocase(field.name, name)) {
            *out = field;
            return true;
        }
    }
    return false;
}

void header_add_without_bcc(struct buf *out, struct slice block)
{
    struct header_field field;
    size_t copied = 0;

    for (size_t at = 0; header_next(block, &at, &field);) {
        if (!slice_eq_nocase(field.name, SLICE("Bcc")) && !slice_eq_nocase(field.name, SLICE("Resent-Bcc")))
            continue;
        size_t from = (size_t)(field.raw.ptr - block.ptr);
        buf_add(out, slice_sub(block, copied, from - copied));
        copied = from + field.raw.len;
    }
    buf_add(out, slice_from(block, copied));
}

struct slice header_unfold(struct arena *a, struct slice body)
{
    struct slice trimmed = slice_trim(body);
    size_t len = 0;

    if (trimmed.len == 0 || memchr(trimmed.ptr, '\n', trimmed.len) == NULL)
        return trimmed;

    char *text = arena_alloc(a, trimmed.len);
    if (text == NULL)
        return slice_make(NULL, 0);
    for (size_t at = 0; at < trimmed.len;) {
        struct slice line = line_at(trimmed, at), kept = line;
        size_t after = at + line.len;

        if (after < trimmed.len && is_wsp(trimmed.ptr[after]))
            kept = without_line_end(line);
        memcpy(text + len, kept.ptr, kept.len);
        len += kept.len;
        at = after;
    }
    return slice_make(text, len);
}
