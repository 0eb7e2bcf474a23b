/*
 * net/output.c - what is queued to be sent.
 *
 * Layer: net.  Output is a list of pieces (bytes, or a source that net reads as
 * the socket drains) followed by the buffer that conn_out() gives.  Appending a
 * source turns what is in the buffer into a piece, so the order stays.
 *
 * What was read from a source and not taken by the socket is read again later:
 * a slow reader costs us reading, never memory.
 */
#include "net/loop.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    OUT_MAX = 256 * 1024 * 1024, /* of one turn; conn_is_full() is asked long before */
    SEND_MAX = 1024 * 1024,      /* in one turn; epoll says at once that there is room for more */
    SEND_PIECES = 32,            /* gathered into one write */
};

struct buf *conn_out(struct conn *c)
{
    if (c->out.data == NULL && c->worker != NULL) {
        c->out = c->worker->out; /* lent; turn.c takes it back */
        buf_init(&c->worker->out, 0);
        c->out.max = OUT_MAX;
        c->out_at = 0;
    }
    return &c->out;
}

void conn_write(struct conn *c, struct slice s)
{
    buf_add(conn_out(c), s);
}

void conn_printf(struct conn *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(conn_out(c), fmt, ap);
    va_end(ap);
}

static void add_piece(struct conn *c, struct out_piece piece)
{
    struct out_piece *p = xmalloc(sizeof(*p));

    *p = piece;
    if (c->pieces == NULL)
        c->pieces_end = &c->pieces;
    *c->pieces_end = p;
    c->pieces_end = &p->next;
    c->pieces_len += p->end - p->offset;
}

void conn_send_source(struct conn *c, struct conn_source source, uint64_t offset, uint64_t len)
{
    size_t ready = c->out.len - c->out_at;

    if (len > UINT64_MAX - offset)
        bug("a source of %llu bytes from %llu", (unsigned long long)len, (unsigned long long)offset);
    if (ready > 0) {
        char *copy = xmalloc(ready);
        memcpy(copy, c->out.data + c->out_at, ready);
        add_piece(c, (struct out_piece){.data = copy, .end = ready});
        c->out.len = 0;
        c->out_at = 0;
    }
    add_piece(c, (struct out_piece){.source = source, .offset = offset, .end = offset + len});
}

static void drop_first_piece(struct conn *c)
{
    struct out_piece *p = c->pieces;

    c->pieces = p->next;
    c->pieces_len -= p->end - p->offset;
    if (p->source.release != NULL)
        p->source.release(p->source.ctx);
    free(p->data);
    free(p);
}

uint64_t out_pending(const struct conn *c)
{
    return c->pieces_len + (c->out.len - c->out_at) + compress_pending(c);
}

size_t conn_pending(const struct conn *c)
{
    return (size_t)out_pending(c);
}

bool conn_in_line(const struct conn *c)
{
    return c->out.len > c->out_at ? c->out.data[c->out.len - 1] != '\n' : c->in_line || c->pieces != NULL;
}

void out_drop(struct conn *c)
{
    while (c->pieces != NULL)
        drop_first_piece(c);
    c->out.len = 0;
    c->out_at = 0;
}

/*
 * Shows what goes next, in order; bytes of sources are read into `scratch`.
 * Returns how many entries of `iov` are filled; -1: a source failed.
 */
static int show(struct conn *c, struct iovec *iov, char *scratch)
{
    size_t room = SCRATCH;
    int count = 0;

    for (struct out_piece *p = c->pieces; p != NULL && count < SEND_PIECES; p = p->next) {
        uint64_t left = p->end - p->offset;
        if (p->data != NULL) {
            iov[count++] = (struct iovec){p->data + p->offset, (size_t)left};
            continue;
        }
        size_t n = left < room ? (size_t)left : room;
        char *at = scratch + (SCRATCH - room);
        if (n > 0 && !p->source.read(p->source.ctx, p->offset, at, n))
            return -1;
        if (n > 0)
            iov[count++] = (struct iovec){at, n};
        room -= n;
        if (n < left)
            return count; /* more of this one before anything behind it */
    }
    if (count < SEND_PIECES && c->out.len > c->out_at)
        iov[count++] = (struct iovec){c->out.data + c->out_at, c->out.len - c->out_at};
    return count;
}

static void sent(struct conn *c, uint64_t n)
{
    while (c->pieces != NULL) {
        uint64_t left = c->pieces->end - c->pieces->offset;
        if (n < left) {
            c->pieces->offset += n;
            c->pieces_len -= n;
            return;
        }
        n -= left;
        drop_first_piece(c);
    }
    c->out_at += (size_t)n;
    if (c->out_at == c->out.len) {
        if (c->out.len > 0)
            c->in_line = c->out.data[c->out.len - 1] != '\n';
        c->out.len = 0;
        c->out_at = 0;
    }
}

static char *scratch_of(struct worker *w)
{
    if (w->scratch == NULL)
        w->scratch = xmalloc(SCRATCH);
    return w->scratch;
}

bool out_send(struct conn *c)
{
    enum stream said = STREAM_OK;
    struct iovec iov[SEND_PIECES];
    size_t done = 0;

    if (c->out.failed) {
        c->broken = true; /* what the command wanted to say cannot be said whole */
        return false;
    }
    while (said == STREAM_OK && out_pending(c) > 0 && done < SEND_MAX) {
        int count = show(c, iov, c->pieces != NULL ? scratch_of(c->worker) : NULL);
        size_t n = 0;
        said = count < 0 ? STREAM_ERROR : stream_write(c, iov, count, &n);
        sent(c, n);
        done += n;
        deadline_sent(c, n);
        atomic_store_explicit(&c->bytes_out, c->bytes_out + n, memory_order_relaxed);
    }
    if (out_pending(c) == 0) {
        while (c->pieces != NULL) /* sources of no bytes */
            drop_first_piece(c);
        deadline_sent(c, 0);
    }
    if (said == STREAM_ERROR)
        c->broken = true;
    return said != STREAM_ERROR;
}

void conn_flush(struct conn *c)
{
    if (!c->broken && c->stage == STAGE_TALK)
        (void)out_send(c);
}
