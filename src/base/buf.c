/*
 * base/buf.c - a growing buffer that knows its limit and remembers its failure.
 *
 * Layer: base.
 */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"

enum { BUF_FIRST = 64 }; /* bytes of the first allocation */

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_finish(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_finish(b);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

/* Makes cap at least `wanted` (<= max): doubling, so that adding stays linear. */
static void grow_to(struct buf *b, size_t wanted)
{
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;

    while (cap < wanted && cap <= b->max / 2)
        cap *= 2;
    if (cap < wanted || cap > b->max)
        cap = b->max;
    b->data = xrealloc(b->data, cap);
    b->cap = cap;
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    if (b->data == NULL || n > b->cap - b->len)
        grow_to(b, b->len + n);
    return b->data + b->len;
}

void buf_grew(struct buf *b, size_t n)
{
    if (n > b->cap - b->len)
        bug("buffer of %zu with %zu in it grew by %zu", b->cap, b->len, n);
    b->len += n;
}

void buf_add(struct buf *b, struct slice s)
{
    if (s.len == 0)
        return;
    char *to = buf_room(b, s.len);
    if (to == NULL)
        return;
    memcpy(to, s.ptr, s.len);
    b->len += s.len;
}

void buf_add_char(struct buf *b, char c)
{
    if (!b->failed && b->len < b->cap)
        b->data[b->len++] = c;
    else
        buf_add(b, slice_make(&c, 1));
}

void buf_add_u64(struct buf *b, uint64_t n)
{
    char   digits[20]; /* 2^64 - 1 has twenty */
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_add(b, slice_make(digits + at, sizeof digits - at));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(b, fmt, ap);
    va_end(ap);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
    char    text[256]; /* most pieces fit; longer ones are formatted twice */
    va_list again;

    va_copy(again, ap);
    int wanted = vsnprintf(text, sizeof text, fmt, ap);
    if (wanted < 0) {
        b->failed = true;
    } else if ((size_t)wanted < sizeof text) {
        buf_add(b, slice_make(text, (size_t)wanted));
    } else {
        size_t n = (size_t)wanted;
        char  *whole = n <= b->max ? xmalloc(n + 1) : NULL;

        if (whole == NULL) {
            b->failed = true;
        } else {
            (void)vsnprintf(whole, n + 1, fmt, again);
            buf_add(b, slice_make(whole, n));
            free(whole);
        }
    }
    va_end(again);
}

void buf_drop(struct buf *b, size_t n)
{
    if (n > b->len)
        bug("%zu dropped of a buffer of %zu", n, b->len);
    b->len -= n;
    if (n > 0 && b->len > 0)
        memmove(b->data, b->data + n, b->len);
}
