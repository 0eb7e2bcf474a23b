/*
 * net/input.c - what has arrived, and whose buffer it is in.
 *
 * Layer: net.  A worker has one input and one output buffer and lends them to
 * the connection it runs.  When that parks, it keeps just the bytes that were not
 * consumed; mostly there are none, and it keeps nothing.
 */
#include <stdlib.h>

#include "net/loop.h"

/*
 * Until somebody is logged in, what comes may be a password: it does not stay behind in memory that
 * goes to others.
 */
static void wipe_secrets(const struct conn *c)
{
    if (c->phase == CONN_BEFORE_LOGIN && c->in != NULL)
        explicit_bzero(c->in, c->in_cap);
}

/* When somebody has logged in and more has come behind it, so that the buffer was not given back meanwhile. */
void in_forget(struct conn *c)
{
    if (c->in == NULL)
        return;
    explicit_bzero(c->in, c->in_at);
    explicit_bzero(c->in + c->in_len, c->in_cap - c->in_len);
}

enum { ROOM_MIN = 512 }; /* free room below which a larger buffer is taken */

static size_t input_max(const struct conn *c)
{
    size_t max = c->row->protocol->input_max;

    return max > 0 ? max : IN_BUFFER;
}

/* Makes room to read into: the worker's buffer first, a larger one for protocols that want to see more. */
static bool make_room(struct conn *c)
{
    struct worker *w = c->worker;
    size_t held = c->in_len - c->in_at;

    if (c->in_at > 0) {
        memmove(c->in, c->in + c->in_at, held);
        c->in_at = 0;
        c->in_len = (uint32_t)held;
    }
    if (held >= input_max(c))
        return false;
    if (c->in_cap - held >= ROOM_MIN)
        return true;
    if (c->in_cap < IN_BUFFER) {
        char *lent = w->in != NULL ? w->in : xmalloc(IN_BUFFER);
        w->in = NULL;
        if (held > 0)
            memcpy(lent, c->in, held);
        wipe_secrets(c);
        free(c->in);
        c->in = lent;
        c->in_cap = IN_BUFFER;
    } else {
        size_t cap = (size_t)c->in_cap * 2;
        if (cap > input_max(c))
            cap = input_max(c) > c->in_cap ? input_max(c) : c->in_cap;
        char *larger = xmalloc(cap); /* realloc() would leave the old one as it was */
        memcpy(larger, c->in, held);
        wipe_secrets(c);
        free(c->in);
        c->in = larger;
        c->in_cap = (uint32_t)cap;
    }
    return true;
}

/* Before parking: nothing is kept but what was not consumed. */
void buffers_give_back(struct conn *c)
{
    struct worker *w = c->worker;
    size_t held = c->in_len - c->in_at;

    if (c->in != NULL && (held == 0 || (held <= KEEP_EXACT && c->in_cap > KEEP_EXACT))) {
        char *exact = NULL;
        if (held > 0) {
            exact = xmalloc(held);
            memcpy(exact, c->in + c->in_at, held);
        }
        wipe_secrets(c);
        if (w->in == NULL && c->in_cap == IN_BUFFER)
            w->in = c->in;
        else
            free(c->in);
        c->in = exact;
        c->in_at = 0;
        c->in_len = c->in_cap = (uint32_t)held;
    }
    if (c->out.data != NULL && c->out.len == 0) {
        if (w->out.data == NULL && c->out.cap <= OUT_KEEP)
            w->out = c->out;
        else
            free(c->out.data);
        buf_init(&c->out, 0);
    }
}

bool in_read(struct conn *c)
{
    size_t got;

    if (!make_room(c))
        return false; /* `input` was shown all it may see and consumed nothing */
    size_t room = c->in_cap - c->in_len;
    if (room > input_max(c) - c->in_len)
        room = input_max(c) - c->in_len;
    enum stream said = stream_read(c, c->in + c->in_len, room, &got);
    c->in_len += (uint32_t)got;
    atomic_store_explicit(&c->bytes_in, c->bytes_in + got, memory_order_relaxed);
    c->readable = stream_has_more(c);
    c->fresh = c->fresh || got > 0 || said == STREAM_EOF;
    c->eof = c->eof || said == STREAM_EOF;
    return said != STREAM_ERROR;
}
