/*
 * base/buf.h - a growing buffer that knows its limit and remembers its failure.
 *
 * Layer: base.  Add ten pieces, ask `failed` once.  A buffer that failed holds
 * what it held before the piece that did not fit, and takes nothing more until
 * it is reset.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "base/slice.h"

struct buf {
    char  *data; /* NULL while cap is 0 */
    size_t len, cap, max; /* len <= cap <= max, always */
    bool   failed;
};

/* An empty buffer that will never hold more than `max` bytes.  Allocates nothing. */
void buf_init(struct buf *b, size_t max);
/* Frees the memory; the buffer may be used again as after buf_init(b, b->max). */
void buf_finish(struct buf *b);
/* The same, after overwriting it: a password was in it. */
void buf_wipe(struct buf *b);
/* Empties it and clears `failed`; keeps the memory. */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, struct slice s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t n); /* decimal */
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/*
 * Makes room for `n` more bytes and returns where to write them, or NULL (and
 * `failed`) if that would pass the limit.  buf_grew(b, m) with m <= n says how
 * many were written.
 */
char *buf_room(struct buf *b, size_t n);
void  buf_grew(struct buf *b, size_t n);

/* Drops the first `n` bytes (n <= len) by moving the rest down. */
void buf_drop(struct buf *b, size_t n);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data, b->len};
}

#endif
