/*
 * smtp/client_wire.c - the connection to another server.
 *
 * Layer: smtp.
 */
#include "smtp/client_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/tls_client.h"

enum { WRITE_MOST = 64 * 1024, WIRE_WAIT = -2, LOOK_MS = 500 /* how often `stop` is looked at */ };

void wire_init(struct wire *w, int fd, const struct smtp_client_limits *limits)
{
    *w = (struct wire){.fd = fd, .in = xmalloc(WIRE_AHEAD)};
    reply_reader_init(&w->reader, limits->reply_bytes, limits->reply_lines);
}

void wire_finish(struct wire *w)
{
    tls_link_close(&w->tls);
    if (w->fd >= 0)
        (void)close(w->fd);
    w->fd = -1;
    free(w->in);
    w->in = NULL;
    reply_reader_finish(&w->reader);
}

static int64_t deadline_in(unsigned seconds)
{
    return clock_mono_ms() + (int64_t)seconds * 1000;
}

/* ... or when all of it must be over. */
static int64_t wire_deadline(const struct wire *w, unsigned seconds)
{
    int64_t at = deadline_in(seconds);

    return w->until > 0 && w->until < at ? w->until : at;
}

/* 1: something happened, 0: the time is over, -1: *why. */
static int wait_events(int fd, short events, int64_t deadline_ms, const atomic_bool *stop, struct fail *why)
{
    for (;;) {
        int64_t left = deadline_ms - clock_mono_ms(), most = stop != NULL ? LOOK_MS : INT32_MAX;
        struct pollfd p = {.fd = fd, .events = events};
        int got = poll(&p, 1, left <= 0 ? 0 : left > most ? (int)most : (int)left);

        if (got > 0 || (got == 0 && left <= most))
            return got;
        if (stop != NULL && atomic_load(stop)) {
            fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.3.2", "this server is stopping");
            return -1;
        }
        if (got == 0)
            continue;
        if (errno != EINTR) {
            fail_errno(why, errno, "poll");
            return -1;
        }
    }
}

int wire_connect(const struct smtp_peer *peer, unsigned seconds, struct fail *why)
{
    int fd = socket(peer->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, error = 0;
    socklen_t len = sizeof(error);

    if (fd < 0) {
        fail_errno(why, errno, "socket");
        return -1;
    }
    if (peer->address.ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (peer->from.ss_family != AF_UNSPEC) {
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, (const struct sockaddr *)&peer->from, peer->from_len) != 0) {
            fail_errno(why, errno, "source address");
            (void)close(fd);
            return -1;
        }
    }
    if (connect(fd, (const struct sockaddr *)&peer->address, peer->address_len) == 0)
        return fd;
    if (errno == EINPROGRESS) { /* EAGAIN: a Unix socket whose queue is full; waiting would not connect it */
        int got = wait_events(fd, POLLOUT, deadline_in(seconds), peer->stop, why);

        if (got > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
            return fd;
        if (got == 0)
            fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.1", "connection timed out");
        else if (got > 0)
            fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.1", "%s", errno_text(error));
    } else {
        fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.1", "%s", errno_text(errno));
    }
    (void)close(fd);
    return -1;
}

/* ---- in ---- */

static ssize_t try_read(struct wire *w, void *out, size_t n, short *events, struct fail *why)
{
    if (w->tls != NULL) {
        ssize_t got = tls_link_try_read(w->tls, out, n, events, why);
        return got == TLS_LINK_WAIT ? WIRE_WAIT : got;
    }
    for (;;) {
        ssize_t got = recv(w->fd, out, n, MSG_DONTWAIT);

        if (got >= 0)
            return got;
        if (errno == EAGAIN) {
            *events = POLLIN;
            return WIRE_WAIT;
        }
        if (errno != EINTR) {
            fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "connection lost: %s", errno_text(errno));
            return -1;
        }
    }
}

/* Takes in what is there: more than 0 bytes, WIRE_WAIT if there is nothing now, 0 at the end, -1. */
static ssize_t take_in(struct wire *w, short *events, struct fail *why)
{
    if (w->ended)
        return 0;
    if (w->in_at == w->in_end)
        w->in_at = w->in_end = 0;
    if (w->in_at > WIRE_AHEAD / 2 || (w->in_end == WIRE_AHEAD && w->in_at > 0)) {
        memmove(w->in, w->in + w->in_at, w->in_end - w->in_at);
        w->in_end -= w->in_at;
        w->in_at = 0;
    }
    if (w->in_end == WIRE_AHEAD)
        return WIRE_WAIT; /* the caller does not ask for more: see wire_write */
    ssize_t got = try_read(w, w->in + w->in_end, WIRE_AHEAD - w->in_end, events, why);
    if (got > 0)
        w->in_end += (size_t)got;
    else if (got != WIRE_WAIT)
        w->ended = true;
    return got;
}

bool wire_has_input(struct wire *w)
{
    short events = 0;

    return w->in_at < w->in_end || take_in(w, &events, NULL) != WIRE_WAIT;
}

static bool reply_failed(struct wire *w)
{
    w->broken = true;
    return false;
}

bool wire_reply(struct wire *w, unsigned seconds, struct smtp_reply_text *out, struct arena *a, struct fail *why)
{
    struct reply_reader *r = &w->reader;
    int64_t deadline = 0; /* unknown while nothing has to be waited for */
    short events = POLLIN;

    reply_reader_start(r);
    for (;;) {
        w->in_at += reply_reader_feed(r, slice_make(w->in + w->in_at, w->in_end - w->in_at));
        if (r->done) {
            *out = reply_reader_take(r, a);
            return true;
        }
        if (r->too_long) {
            fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.5.0", "the reply has more than %u lines", r->lines_max);
            return reply_failed(w);
        }
        if (deadline == 0)
            deadline = wire_deadline(w, seconds);
        else if (clock_mono_ms() >= deadline) {
            if (w->until > 0 && deadline == w->until)
                fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "the other side is too slow in all");
            else
                fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "no reply within %u seconds", seconds);
            return reply_failed(w);
        }
        /* Over a plain socket nothing is ever there yet: wait first, which saves a read. */
        if (w->tls == NULL && !w->ended && wait_events(w->fd, POLLIN, deadline, w->stop, why) < 0)
            return reply_failed(w);
        ssize_t got = take_in(w, &events, why);
        if (got == 0)
            fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "the other side closed the connection");
        if (got == 0 || got == -1)
            return reply_failed(w);
        if (got == WIRE_WAIT && w->tls != NULL && wait_events(w->fd, events, deadline, w->stop, why) < 0)
            return reply_failed(w);
    }
}

/* ---- out ---- */

static ssize_t try_write(struct wire *w, struct slice bytes, short *events, struct fail *why)
{
    if (w->tls != NULL) {
        ssize_t done = tls_link_try_write(w->tls, bytes, events, why);
        return done == TLS_LINK_WAIT ? WIRE_WAIT : done;
    }
    for (;;) {
        ssize_t done = send(w->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (done >= 0)
            return done;
        if (errno == EAGAIN) {
            *events = POLLOUT;
            return WIRE_WAIT;
        }
        if (errno != EINTR) {
            fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "connection lost: %s", errno_text(errno));
            return -1;
        }
    }
}

/* The peer may be waiting until we have read what it says.  false: broken. */
static bool wait_to_write(struct wire *w, short events, int64_t deadline, struct fail *why)
{
    bool reads = !w->ended && w->in_end - w->in_at < WIRE_AHEAD;
    short read_events = 0;

    if (clock_mono_ms() >= deadline)
        return fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "the other side takes no more data");
    if (wait_events(w->fd, (short)(events | (reads ? POLLIN : 0)), deadline, w->stop, why) < 0)
        return false;
    if (reads)
        (void)take_in(w, &read_events, NULL); /* its end shows when we write */
    return true;
}

bool wire_write(struct wire *w, struct slice bytes, unsigned seconds, struct fail *why)
{
    int64_t deadline = 0;
    short events = POLLOUT;

    while (bytes.len > 0) {
        ssize_t done = try_write(w, slice_sub(bytes, 0, WRITE_MOST), &events, why);

        if (done == -1 || (done == WIRE_WAIT && w->ended)) {
            if (done != -1)
                fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "the other side closed the connection");
            w->broken = true;
            return false;
        }
        if (done == WIRE_WAIT) {
            if (deadline == 0)
                deadline = wire_deadline(w, seconds);
            if (!wait_to_write(w, events, deadline, why)) {
                w->broken = true;
                return false;
            }
            continue;
        }
        bytes = slice_from(bytes, (size_t)done);
        deadline = 0;
    }
    return true;
}
