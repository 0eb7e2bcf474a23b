/*
 * net/ipc_client.c - the side that asks.
 *
 * Layer: net.  One thread reads the socket and hands each answer to the call
 * with its id.  A call is on the client's list and map from the moment it is
 * made until it is done; all of that, and waking, happens under one lock.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "net/ipc_wire.h"
#include "net/thread.h"

enum { SEND_WAIT_MS = 1000 };

/* Closed when the last who uses it lets go. */
struct ipc_socket {
    int fd;
    unsigned users; /* under the client's lock */
};

struct ipc_call {
    struct ipc_client *client;
    uint64_t id;
    struct waker waker;
    bool done;
    struct ipc_packet *answer; /* NULL: failed */
    struct fail why;
    int64_t expires_at;
    struct ipc_call *older, *newer; /* until done */
};

struct ipc_client {
    pthread_mutex_t lock;
    pthread_cond_t answered;          /* some call is done */
    struct ipc_socket *socket;        /* NULL: nobody there */
    struct idmap calls;               /* by id */
    struct ipc_call *oldest, *newest; /* all wait equally long, so the oldest expires first */
    uint64_t last_id;
    int64_t last_call_ms;
    bool looks_again; /* the thread waits until a time, and no longer than a call that is made now */
    bool stopping;
    int event; /* eventfd: another socket, a first call after a while, or the end */
    pthread_t thread;
    struct ipc_limits limits;
    char *peer;
    void (*notice)(void *ctx, struct ipc_reader *r);
    void *ctx;
};

void ipc_limits_default(struct ipc_limits *l)
{
    *l = (struct ipc_limits){.calls_max = 4096, .timeout_seconds = 30, .threads = 4, .connections_max = 64};
}

/* ---- under the lock ---- */

static struct ipc_socket *hold(struct ipc_client *c)
{
    if (c->socket != NULL)
        c->socket->users++;
    return c->socket;
}

static void let_go(struct ipc_socket *s)
{
    if (s == NULL || --s->users > 0)
        return;
    (void)close(s->fd);
    free(s);
}

/* The call is done: by `answer`, which it takes over, or by what `why` says. */
static void finish(struct ipc_call *call, struct ipc_packet *answer, const struct fail *why)
{
    struct ipc_client *c = call->client;

    (void)idmap_remove(&c->calls, call->id);
    *(call->older != NULL ? &call->older->newer : &c->oldest) = call->newer;
    *(call->newer != NULL ? &call->newer->older : &c->newest) = call->older;
    call->older = call->newer = NULL;
    call->answer = answer;
    if (why != NULL)
        call->why = *why;
    call->done = true;
    waker_wake(call->waker);
    (void)pthread_cond_broadcast(&c->answered);
}

static void drop_socket(struct ipc_client *c, const char *story)
{
    struct fail why;

    fail_set(&why, FAIL_TEMP, FAIL_OTHER, "%s %s", c->peer, story);
    let_go(c->socket);
    c->socket = NULL;
    while (c->oldest != NULL)
        finish(c->oldest, NULL, &why);
}

/*
 * Fails what has waited too long; returns ms until the next one may have, -1: nobody waits, nor did of late.  Who
 * asks now need not wake the thread for it: it looks again before the new call has waited too long.
 */
static int expire(struct ipc_client *c)
{
    int64_t now = clock_mono_ms(), until = c->last_call_ms + (int64_t)c->limits.timeout_seconds * 1000;
    struct fail why;

    fail_set(&why, FAIL_TEMP, FAIL_OTHER, "%s did not answer within %u seconds", c->peer,
             c->limits.timeout_seconds);
    while (c->oldest != NULL && c->oldest->expires_at <= now)
        finish(c->oldest, NULL, &why);
    if (c->oldest != NULL)
        until = c->oldest->expires_at;
    c->looks_again = c->oldest != NULL || until > now;
    return c->looks_again ? (int)(until - now) : -1;
}

/* ---- the thread ---- */

static void take_packet(struct ipc_client *c, struct ipc_packet *p)
{
    if (p->header.kind == IPC_NOTICE) {
        struct ipc_reader r = ipc_packet_reader(p);
        if (c->notice != NULL)
            c->notice(c->ctx, &r);
    } else {
        (void)pthread_mutex_lock(&c->lock);
        struct ipc_call *call = idmap_get(&c->calls, p->header.id);
        if (call != NULL) { /* else it was given back, or is too late */
            finish(call, p, NULL);
            p = NULL;
        }
        (void)pthread_mutex_unlock(&c->lock);
    }
    ipc_packet_free(&p);
}

/* All that is there; false: this socket is of no more use. */
static bool take_packets(struct ipc_client *c, int fd)
{
    for (;;) {
        struct ipc_packet *p = NULL;
        switch (ipc_receive(fd, &p)) {
        case IPC_GOT:
            if (p->header.kind != IPC_REQUEST) {
                take_packet(c, p);
                continue;
            }
            ipc_packet_free(&p);
            break;
        case IPC_LATER: return true;
        case IPC_END: return false;
        case IPC_BAD: break;
        }
        log_event(LOG_ERROR, "ipc.bad_message", LOG_CSTR("from", c->peer));
        return false;
    }
}

static void *client_main(void *arg)
{
    struct ipc_client *c = arg;

    (void)pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        int timeout = expire(c);
        struct ipc_socket *s = hold(c);
        struct pollfd fds[2] = {{.fd = c->event, .events = POLLIN},
                                {.fd = s != NULL ? s->fd : -1, .events = POLLIN}};
        eventfd_t count;
        (void)pthread_mutex_unlock(&c->lock);

        (void)poll(fds, 2, timeout);
        if (fds[0].revents != 0)
            (void)eventfd_read(c->event, &count);
        bool usable = s == NULL || fds[1].revents == 0 || take_packets(c, s->fd);

        (void)pthread_mutex_lock(&c->lock);
        if (!usable && s == c->socket)
            drop_socket(c, "has gone");
        let_go(s);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

struct ipc_client *ipc_client_create(const struct ipc_limits *l, const char *peer,
                                     void (*notice)(void *ctx, struct ipc_reader *r), void *ctx,
                                     struct fail *why)
{
    struct ipc_client *c = xcalloc(1, sizeof(*c));

    c->limits = *l;
    c->peer = xstrdup(peer);
    c->notice = notice;
    c->ctx = ctx;
    (void)pthread_mutex_init(&c->lock, NULL);
    cond_init(&c->answered);
    idmap_init(&c->calls);
    c->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int err = c->event < 0 ? errno : thread_start(&c->thread, client_main, c);
    if (err == 0)
        return c;
    fail_errno(why, err, "client of %s", peer);
    if (c->event >= 0)
        (void)close(c->event);
    free(c->peer);
    free(c);
    return NULL;
}

void ipc_client_destroy(struct ipc_client **c_)
{
    struct ipc_client *c = *c_;

    if (c == NULL)
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_mutex_unlock(&c->lock);
    (void)eventfd_write(c->event, 1);
    (void)pthread_join(c->thread, NULL);
    if (c->calls.count > 0)
        bug("%zu calls to %s outlive their client", c->calls.count, c->peer);
    let_go(c->socket);
    idmap_finish(&c->calls);
    (void)pthread_cond_destroy(&c->answered);
    (void)pthread_mutex_destroy(&c->lock);
    (void)close(c->event);
    free(c->peer);
    free(c);
    *c_ = NULL;
}

void ipc_client_attach(struct ipc_client *c, int fd)
{
    struct ipc_socket *s = xmalloc(sizeof(*s));

    *s = (struct ipc_socket){.fd = fd, .users = 1};
    (void)pthread_mutex_lock(&c->lock);
    drop_socket(c, "was started again");
    c->socket = s;
    (void)pthread_mutex_unlock(&c->lock);
    (void)eventfd_write(c->event, 1);
}

void ipc_client_leave(struct ipc_client *c)
{
    (void)pthread_mutex_lock(&c->lock);
    drop_socket(c, "is not asked any more");
    (void)pthread_mutex_unlock(&c->lock);
    (void)eventfd_write(c->event, 1);
}

/* ---- calls ---- */

/* On the list before it is sent: the answer may be here before sendmsg() has returned. */
static struct ipc_call *add_call(struct ipc_client *c, struct waker w, struct ipc_socket **socket,
                                 struct fail *why)
{
    struct ipc_call *call = NULL;

    (void)pthread_mutex_lock(&c->lock);
    if (c->socket == NULL) {
        fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s is not there", c->peer);
    } else if (c->calls.count >= c->limits.calls_max) {
        fail_set(why, FAIL_TEMP, FAIL_LIMIT, "%s has too much to do", c->peer);
    } else {
        call = xcalloc(1, sizeof(*call));
        call->client = c;
        call->id = ++c->last_id;
        call->waker = w;
        call->expires_at = clock_mono_ms() + (int64_t)c->limits.timeout_seconds * 1000;
        call->older = c->newest;
        *(c->newest != NULL ? &c->newest->newer : &c->oldest) = call;
        c->newest = call;
        (void)idmap_put(&c->calls, call->id, call);
        *socket = hold(c);
        c->last_call_ms = clock_mono_ms();
        if (!c->looks_again)
            (void)eventfd_write(c->event, 1);
        c->looks_again = true;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return call;
}

struct ipc_call *ipc_call_start(struct ipc_client *c, const struct ipc_message *m, struct waker w,
                                struct fail *why)
{
    struct ipc_socket *s = NULL;
    struct ipc_call *call = add_call(c, w, &s, why);

    if (call == NULL)
        return NULL;
    bool sent = ipc_send(s->fd, IPC_REQUEST, call->id, m, SEND_WAIT_MS, why);
    (void)pthread_mutex_lock(&c->lock);
    let_go(s);
    (void)pthread_mutex_unlock(&c->lock);
    if (!sent) {
        fail_at(why, "%s", c->peer);
        ipc_call_end(&call);
    }
    return call;
}

bool ipc_call_done(struct ipc_call *call)
{
    (void)pthread_mutex_lock(&call->client->lock);
    bool done = call->done;
    (void)pthread_mutex_unlock(&call->client->lock);
    return done;
}

void ipc_call_wait(struct ipc_call *call)
{
    struct ipc_client *c = call->client;

    block_begin();
    (void)pthread_mutex_lock(&c->lock);
    while (!call->done)
        (void)pthread_cond_wait(&c->answered, &c->lock);
    (void)pthread_mutex_unlock(&c->lock);
    block_end();
}

bool ipc_call_answer(struct ipc_call *call, struct ipc_reader *out, struct fail *why)
{
    if (!ipc_call_done(call))
        bug("asked for an answer that is not there");
    if (call->answer == NULL) {
        if (why != NULL)
            *why = call->why;
        return false;
    }
    struct ipc_reader r = ipc_packet_reader(call->answer);
    if (call->answer->header.kind == IPC_REFUSAL) {
        struct fail refused;
        ipc_get_fail(&r, &refused);
        if (why != NULL)
            *why = refused;
        return false;
    }
    *out = r;
    return true;
}

void ipc_call_end(struct ipc_call **call_)
{
    struct ipc_call *call = *call_;

    if (call == NULL)
        return;
    (void)pthread_mutex_lock(&call->client->lock);
    call->waker = (struct waker){0};
    if (!call->done)
        finish(call, NULL, NULL);
    (void)pthread_mutex_unlock(&call->client->lock);
    ipc_packet_free(&call->answer);
    free(call);
    *call_ = NULL;
}

bool ipc_client_notify(struct ipc_client *c, const struct ipc_message *m, struct fail *why)
{
    (void)pthread_mutex_lock(&c->lock);
    struct ipc_socket *s = hold(c);
    (void)pthread_mutex_unlock(&c->lock);
    if (s == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s is not there", c->peer);
    bool sent = ipc_send(s->fd, IPC_NOTICE, 0, m, SEND_WAIT_MS, why);
    (void)pthread_mutex_lock(&c->lock);
    let_go(s);
    (void)pthread_mutex_unlock(&c->lock);
    return sent || fail_at(why, "%s", c->peer);
}
