/*
 * net/turn.c - one turn of a connection: what happens between wake and park.
 *
 * Layer: net.  The worker owns the connection from the first line of conn_run()
 * to the moment it parks it, queues it again, or ends it; after that moment it
 * does not touch it.
 *
 * "Parking loses nothing": the socket is armed before the connection is marked
 * parked, and it is marked parked only if no mark came meanwhile.  An event that
 * comes in between sets a mark, so the connection stays ours and looks again.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"
#include "net/proxy.h"

enum {
    ENDING_MS = 10 * 1000, /* to take our last words, when the end was not the client's idea */
    LINGER_MS = 2 * 1000,
};

enum next {
    NEXT_STAGE, /* the connection has entered another stage: go on there */
    NEXT_PARK,
    NEXT_AGAIN, /* to the back of the queue */
    NEXT_GONE,
};

/* ---- ending ---- */

static enum next gone(struct conn *c, enum conn_close why)
{
    c->why = why;
    c->stage = STAGE_GONE;
    return NEXT_GONE;
}

/* From here on nothing but what is queued: the session's last words, if it is in a state to speak. */
static enum next end(struct conn *c, enum conn_close why, bool last_words)
{
    const struct conn_protocol *p = c->row->protocol;

    c->why = why;
    c->late = false; /* the ending has a deadline of its own */
    if (last_words) {
        if (p->last_words != NULL && c->session != NULL)
            p->last_words(c->session, why);
        deadline_end(c, ENDING_MS);
    } else {
        c->phase_at = 0; /* as long as the client goes on reading */
    }
    c->stage = STAGE_DRAIN;
    return NEXT_STAGE;
}

/* Somebody other than the client wants it to end: is it now? */
static enum next end_from_outside(struct conn *c)
{
    bool talking = c->stage == STAGE_TALK;

    if (c->killed) {
        if (talking && c->waits_for == TURN_PARK && end(c, CONN_CLOSE_SHUTDOWN, true) == NEXT_STAGE)
            (void)out_send(c); /* what the socket takes at once */
        return gone(c, CONN_CLOSE_SHUTDOWN);
    }
    if (c->late && (!talking || out_pending(c) > 0))
        return gone(c, c->stage < STAGE_DRAIN ? CONN_CLOSE_DEADLINE : c->why);
    if (c->stage >= STAGE_DRAIN)
        return NEXT_STAGE;
    if (c->late)
        return end(c, CONN_CLOSE_DEADLINE, true);
    if (c->crowded && !(talking && c->account_id != 0))
        return talking && out_pending(c) == 0 ? end(c, CONN_CLOSE_CROWDED, true) : gone(c, CONN_CLOSE_CROWDED);
    if (c->kicked)
        return talking ? end(c, CONN_CLOSE_KICKED, true) : gone(c, CONN_CLOSE_KICKED);
    if (c->stopping && !talking)
        return gone(c, CONN_CLOSE_SHUTDOWN);
    return NEXT_STAGE;
}

/* net_stop() lets what runs come to its end, a body on its way included. */
static bool stops_now(const struct conn *c)
{
    return c->stopping && c->waits_for == TURN_PARK && c->phase != CONN_BODY;
}

/* ---- stages ---- */

/* The header must be taken from the socket to its last byte and no further: what follows may be TLS. */
static enum next stage_proxy(struct conn *c)
{
    char seen[PROXY_MAX];
    struct proxy_header header;
    size_t held = c->in_len - c->in_at;

    if (held > 0)
        memcpy(seen, c->in + c->in_at, held);
    ssize_t n = recv(c->fd, seen + held, sizeof(seen) - held, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NEXT_PARK;
    if (n <= 0)
        return gone(c, n == 0 ? CONN_CLOSE_EOF : CONN_CLOSE_ERROR);
    enum proxy_verdict said = proxy_header_read(slice_make(seen, held + (size_t)n), &header);
    if (said == PROXY_BAD) {
        log_event(LOG_WARNING, "net.proxy_header_bad", LOG_CSTR("listener", c->row->name));
        return gone(c, CONN_CLOSE_ERROR);
    }
    size_t take = said == PROXY_OK ? header.length - held : (size_t)n;
    if (recv(c->fd, seen + held, take, MSG_DONTWAIT) != (ssize_t)take)
        return gone(c, CONN_CLOSE_ERROR);
    if (said == PROXY_MORE) {
        c->in = xrealloc(c->in, held + take);
        memcpy(c->in + held, seen + held, take);
        c->in_len = c->in_cap = (uint32_t)(held + take);
        return NEXT_PARK;
    }
    free(c->in);
    c->in = NULL;
    c->in_at = c->in_len = c->in_cap = 0;
    if (header.has_peer) {
        (void)pthread_mutex_lock(&c->net->lock);
        conn_set_peer(c, &header.peer);
        (void)pthread_mutex_unlock(&c->net->lock);
        slow_set_bucket(c);
    }
    if (!conn_count_peer(c))
        return gone(c, CONN_CLOSE_ERROR);
    crowd_enter(c);
    c->stage = c->row->tls == NET_TLS_IMPLICIT ? STAGE_HANDSHAKE : STAGE_OPEN;
    return c->stage == STAGE_HANDSHAKE ? NEXT_AGAIN : NEXT_STAGE; /* others shake hands (slow.c) */
}

/*
 * Is the first record, which holds the ClientHello, here to its end?  Until then there is nothing to shake hands
 * about, and OpenSSL's object would cost 40 KB: the bytes stay in the socket, which wakes us when all are there.
 */
static bool hello_is_here(struct conn *c)
{
    enum { HANDSHAKE = 22, HEAD = 5, HELLO_MAX = 4096 };
    unsigned char seen[HELLO_MAX];
    int need = HEAD, one = 1;
    ssize_t n = recv(c->fd, seen, sizeof(seen), MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n >= HEAD)
        need = HEAD + (seen[3] << 8 | seen[4]);
    bool whole = n <= 0 || seen[0] != HANDSHAKE || need > HELLO_MAX || n >= need;
    if (!whole && c->hello_need != need && setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &need, sizeof(need)) == 0) {
        c->hello_need = (uint16_t)need; /* woken again without it: that was the end */
        return false;
    }
    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
    return true;
}

static enum next stage_handshake(struct conn *c)
{
    if (c->ssl == NULL && !hello_is_here(c))
        return NEXT_PARK;
    if (c->ssl == NULL && !stream_start_tls(c))
        return gone(c, CONN_CLOSE_TLS);
    switch (stream_handshake(c)) {
    case STREAM_OK:
        c->readable = stream_has_more(c);
        c->stage = c->session == NULL ? STAGE_OPEN : STAGE_TALK;
        return NEXT_STAGE;
    case STREAM_LATER: return NEXT_PARK;
    case STREAM_EOF:
    case STREAM_ERROR: break;
    }
    c->broken = true;
    return gone(c, CONN_CLOSE_TLS);
}

static enum next stage_open(struct conn *c)
{
    c->session = c->row->protocol->open(c->row->service, c);
    if (c->session == NULL)
        return end(c, CONN_CLOSE_QUIT, false);
    c->stage = STAGE_TALK;
    return NEXT_STAGE;
}

/* Would `input` find something to do? */
static bool is_due(const struct conn *c)
{
    switch (c->waits_for) {
    case TURN_PARK:
        return c->woken || c->ticked || c->delay_over ||
               (c->fresh && (c->eof || c->in_len - c->in_at >= c->want));
    case TURN_WAIT: return c->woken || c->delay_over;
    case TURN_MORE:
    case TURN_AGAIN: return true;
    case TURN_CLOSE:
    case TURN_ABORT: break;
    }
    return false;
}

static void call_input(struct conn *c)
{
    enum turn before = c->waits_for;

    c->fresh = c->woken = c->delay_over = false;
    c->tick_seen = c->ticked;
    c->ticked = false;
    c->want = 0;
    c->waits_for = c->row->protocol->input(c->session);
    c->now = clock_mono_ms();
    deadline_activity(c, before);
}

/* Once STARTTLS's answer has gone out.  From its command on, nothing was read. */
static enum next begin_tls(struct conn *c)
{
    if (out_pending(c) > 0)
        return NEXT_PARK;
    c->start_tls = false;
    c->fresh = false;
    c->command_at = 0;
    c->stage = STAGE_HANDSHAKE;
    return NEXT_STAGE;
}

static bool turn_spent(const struct conn *c)
{
    return clock_mono_ms() - c->turn_began >= c->net->limits.turn_ms;
}

static enum next stage_talk(struct conn *c)
{
    for (bool called = false;; called = true) {
        if (c->waits_for == TURN_ABORT)
            return gone(c, CONN_CLOSE_QUIT);
        if (c->broken || !out_send(c))
            return gone(c, CONN_CLOSE_ERROR);
        if (c->waits_for == TURN_CLOSE)
            return end(c, CONN_CLOSE_QUIT, false);
        if (c->start_tls && c->waits_for == TURN_PARK)
            return begin_tls(c);
        if (compress_is_due(c) && c->waits_for == TURN_PARK) {
            if (out_pending(c) > 0)
                return NEXT_PARK; /* the answer goes out as it is */
            compress_begin(c);
        }
        if (stops_now(c))
            return end(c, CONN_CLOSE_SHUTDOWN, true);
        if (conn_is_full(c))
            return NEXT_PARK;
        while (c->waits_for == TURN_PARK && c->readable && !c->eof && !is_due(c)) {
            if (!in_read(c))
                return gone(c, CONN_CLOSE_ERROR);
        }
        if (!is_due(c))
            return c->waits_for == TURN_PARK && c->eof ? end(c, CONN_CLOSE_EOF, false) : NEXT_PARK;
        if (called && (c->waits_for == TURN_AGAIN || turn_spent(c)))
            return NEXT_AGAIN;
        call_input(c);
    }
}

static enum next stage_drain(struct conn *c)
{
    char peek;

    if (c->broken || !out_send(c))
        return gone(c, c->why);
    if (out_pending(c) > 0)
        return NEXT_PARK;
    stream_close_notify(c);
    /* To close a socket with unread input resets the connection, and may take our answer from the client. */
    bool unread = c->in_len > c->in_at || recv(c->fd, &peek, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    if (c->eof || !unread || shutdown(c->fd, SHUT_WR) != 0)
        return gone(c, c->why);
    deadline_end(c, LINGER_MS);
    c->stage = STAGE_LINGER;
    return NEXT_STAGE;
}

static enum next stage_linger(struct conn *c)
{
    char dropped[4096];
    ssize_t n = sizeof(dropped);

    for (unsigned i = 0; i < 16 && n == (ssize_t)sizeof(dropped); i++)
        n = recv(c->fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return gone(c, c->why);
    return NEXT_PARK;
}

static enum next advance(struct conn *c)
{
    enum next next = end_from_outside(c);

    while (next == NEXT_STAGE) {
        switch (c->stage) {
        case STAGE_PROXY: next = stage_proxy(c); break;
        case STAGE_HANDSHAKE: next = stage_handshake(c); break;
        case STAGE_OPEN: next = stage_open(c); break;
        case STAGE_TALK: next = stage_talk(c); break;
        case STAGE_DRAIN: next = stage_drain(c); break;
        case STAGE_LINGER: next = stage_linger(c); break;
        case STAGE_GONE: next = NEXT_GONE; break;
        }
    }
    return next;
}

/* ---- the turn ---- */

static void see_marks(struct conn *c)
{
    unsigned marks = conn_take_marks(c);

    if ((marks & (MARK_READABLE | MARK_WRITABLE)) != 0) {
        c->armed = 0; /* one-shot: whichever came took the other with it */
        c->readable = c->readable || (marks & MARK_READABLE) != 0 || c->tls_wants_out;
    }
    c->woken = c->woken || (marks & MARK_WOKEN) != 0;
    c->crowded = c->crowded || (marks & MARK_CROWDED) != 0;
    c->kicked = c->kicked || (marks & MARK_KICK) != 0;
    c->stopping = c->stopping || (marks & MARK_STOP) != 0;
    c->killed = c->killed || (marks & MARK_KILL) != 0;
    if ((marks & MARK_TIME) != 0)
        deadline_check(c);
}

static uint32_t wanted_events(const struct conn *c)
{
    uint32_t events = 0;

    switch (c->stage) {
    case STAGE_PROXY:
    case STAGE_LINGER: events = EPOLLIN; break;
    case STAGE_HANDSHAKE: events = c->tls_wants_out ? EPOLLOUT : EPOLLIN; break;
    case STAGE_TALK:
        if (out_pending(c) > 0 || c->tls_wants_out)
            events |= EPOLLOUT;
        if (c->waits_for == TURN_PARK && !c->eof && !c->start_tls && !compress_is_due(c) && !conn_is_full(c))
            events |= EPOLLIN;
        break;
    case STAGE_DRAIN: events = EPOLLOUT; break;
    case STAGE_OPEN:
    case STAGE_GONE: break;
    }
    return events;
}

/* What is armed and not wanted any more costs an idle look when it comes; taking it back costs a call. */
static bool arm(struct conn *c)
{
    struct epoll_event event = {.events = wanted_events(c), .data.u64 = slot_number(c)};

    if ((event.events & ~c->armed) == 0)
        return true;
    c->armed = event.events;
    event.events |= EPOLLONESHOT;
    bool ok = epoll_ctl(c->net->epoll, c->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) == 0;
    c->added = true;
    return ok;
}

void conn_run(struct worker *w, struct conn *c)
{
    c->worker = w;
    c->turn_began = c->now = clock_mono_ms();
    c->turn_commands = 0;
    for (;;) {
        see_marks(c);
        enum next next = advance(c);
        if (next == NEXT_PARK && !arm(c))
            next = gone(c, CONN_CLOSE_ERROR);
        if (next == NEXT_GONE) {
            slow_charge(c, w);
            conn_finish(c);
            return;
        }
        buffers_give_back(c);
        if (next == NEXT_PARK)
            compress_park(c, w);
        c->worker = NULL;
        slow_charge(c, w);
        if (!crowd_charge(c) && next == NEXT_PARK) {
            c->worker = w;
            (void)gone(c, CONN_CLOSE_CROWDED);
            conn_finish(c);
            return;
        }
        if (next == NEXT_PARK) {
            deadline_park(c);
            if (conn_park(c))
                return;
        }
        if (next == NEXT_AGAIN || turn_spent(c)) {
            conn_requeue(c);
            return;
        }
        c->worker = w;
    }
}
