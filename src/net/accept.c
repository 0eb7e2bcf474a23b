/*
 * net/accept.c - new connections, and who is refused.
 *
 * Layer: net.  A listener is one-shot in the shared epoll like a connection: one
 * worker accepts one client, arms the listener again, so that the next worker
 * may take the next client, and runs the new connection's first turn.
 *
 * Without descriptors or places the listener is left unarmed: clients wait in
 * the kernel's queue until the beat (loop.c) finds that some have gone.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"

enum { PAUSE_LOG_MS = 60 * 1000 };

/*
 * Answers at once rather than when a packet is full; notices clients that have vanished without a word.  On the
 * listener: what is accepted there has it from the beginning.  Those of a Unix socket fail, and are not needed.
 */
static void set_options(int fd)
{
    const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},    {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 300},
        {IPPROTO_TCP, TCP_KEEPINTVL, 60}, {IPPROTO_TCP, TCP_KEEPCNT, 5},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

bool accept_arm(struct net *n, struct listener *l, bool first)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = NUMBER_IS_LISTENER | l->index};

    if (first)
        set_options(l->row.fd);
    return epoll_ctl(n->epoll, first ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, l->row.fd, &event) == 0;
}

/* The listener's lock is held. */
static void pause_listener(struct net *n, struct listener *l, const char *why)
{
    int64_t now = clock_mono_ms();

    if (l->logged_at == 0 || now - l->logged_at >= PAUSE_LOG_MS) {
        l->logged_at = now;
        log_event(LOG_WARNING, "net.full", LOG_CSTR("listener", l->row.name), LOG_CSTR("reason", why),
                  LOG_U64("connections", n->open));
    }
    l->paused = true;
    atomic_fetch_add_explicit(&n->paused, 1, memory_order_relaxed);
}

void accept_resume(struct net *n)
{
    if (n->open >= n->limits.connections_max)
        return;
    for (struct listener *l = n->listeners; l != NULL; l = l->next) {
        (void)pthread_mutex_lock(&l->lock);
        if (l->open && l->paused) {
            l->paused = false;
            atomic_fetch_sub_explicit(&n->paused, 1, memory_order_relaxed);
            (void)accept_arm(n, l, false);
        }
        (void)pthread_mutex_unlock(&l->lock);
    }
}

/* Into the place that it has; -1: nobody there, or paused.  The listener's lock is held. */
static int accept_client(struct net *n, struct listener *l, struct sockaddr_storage *peer)
{
    socklen_t len = sizeof(*peer);

    int fd = accept4(l->row.fd, (struct sockaddr *)peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        pause_listener(n, l, errno == EMFILE || errno == ENFILE ? "no file descriptors" : "no memory");
    else
        (void)accept_arm(n, l, false);
    return fd;
}

void accept_one(struct worker *w, uint64_t index)
{
    struct net *n = w->net;
    struct listener *l = n->listeners;
    struct sockaddr_storage peer = {0};
    struct conn *c = NULL;
    int fd = -1;

    while (l->index != index)
        l = l->next;
    (void)pthread_mutex_lock(&l->lock);
    /* The place comes first: whom there is none for waits in the kernel's queue, and is not sent away. */
    if (l->open && (c = slot_take(n)) == NULL)
        pause_listener(n, l, "as many connections as allowed");
    if (c != NULL)
        fd = accept_client(n, l, &peer);
    (void)pthread_mutex_unlock(&l->lock);
    if (c != NULL && fd < 0)
        slot_give_back(c);
    else if (c != NULL && (c = conn_create(c, fd, &l->row, &peer)) != NULL)
        slow_run_or_defer(w, c);
}
