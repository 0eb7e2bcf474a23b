/*
 * pop3/stuff.c - a message's lines as POP3 sends them.
 *
 * Layer: pop3.
 */
#include "pop3/stuff.h"

static bool begins_with_dot(char last, struct slice piece)
{
    return last == '\n' && piece.len > 0 && piece.ptr[0] == '.';
}

/* The next line feed at or behind `at`; piece.len if there is none. */
static size_t next_lf(struct slice piece, size_t at)
{
    const char *lf = at < piece.len ? memchr(piece.ptr + at, '\n', piece.len - at) : NULL;

    return lf != NULL ? (size_t)(lf - piece.ptr) : piece.len;
}

static bool is_bare(char last, struct slice piece, size_t lf)
{
    return (lf > 0 ? piece.ptr[lf - 1] : last) != '\r';
}

uint64_t stuff_extra(char *last, struct slice piece)
{
    uint64_t n = begins_with_dot(*last, piece);

    for (size_t lf = next_lf(piece, 0); lf < piece.len; lf = next_lf(piece, lf + 1)) {
        n += is_bare(*last, piece, lf);
        n += lf + 1 < piece.len && piece.ptr[lf + 1] == '.';
    }
    if (piece.len > 0)
        *last = piece.ptr[piece.len - 1];
    return n;
}

void stuff_write(struct buf *out, char *last, struct slice piece)
{
    size_t from = 0; /* what is not written yet */

    if (begins_with_dot(*last, piece))
        buf_add_char(out, '.');
    for (size_t lf = next_lf(piece, 0); lf < piece.len; lf = next_lf(piece, lf + 1)) {
        if (is_bare(*last, piece, lf)) {
            buf_add(out, slice_sub(piece, from, lf - from));
            buf_add_char(out, '\r');
            from = lf;
        }
        if (lf + 1 < piece.len && piece.ptr[lf + 1] == '.') {
            buf_add(out, slice_sub(piece, from, lf + 1 - from));
            buf_add_char(out, '.');
            from = lf + 1;
        }
    }
    buf_add(out, slice_from(piece, from));
    if (piece.len > 0)
        *last = piece.ptr[piece.len - 1];
}

size_t stuff_top(struct stuff_top *t, struct slice piece, bool *end)
{
    size_t at = 0;

    *end = t->in_body && t->lines == 0;
    while (!*end && at < piece.len) {
        const size_t lf = next_lf(piece, at), text = lf - at;
        t->has_text = t->has_text || text > 1 || (text == 1 && piece.ptr[at] != '\r');
        if (lf == piece.len)
            return piece.len;
        at = lf + 1;
        if (t->in_body)
            t->lines--;
        else
            t->in_body = !t->has_text;
        t->has_text = false;
        *end = t->in_body && t->lines == 0;
    }
    return at;
}
