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
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"

enum { PAUSE_LOG_MS = 60 * 1000 };

bool accept_arm(struct net *n, struct listener *l, bool first)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = NUMBER_IS_LISTENER | l->index};

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

/* -1: nobody there, or paused.  The listener's lock is held. */
static int accept_client(struct net *n, struct listener *l, struct sockaddr_storage *peer)
{
    socklen_t len = sizeof(*peer);

    if (n->open >= n->limits.connections_max) {
        pause_listener(n, l, "as many connections as allowed");
        return -1;
    }
    int fd = accept4(l->row.fd, (struct sockaddr *)peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        pause_listener(n, l, errno == EMFILE || errno == ENFILE ? "no file descriptors" : "no memory");
    else
        (void)accept_arm(n, l, false);
    return fd;
}

void accept_one(struct worker *w, uint64_t index)
{
    struct net             *n = w->net;
    struct listener        *l = n->listeners;
    struct sockaddr_storage peer = {0};
    int                     fd = -1;

    while (l->index != index)
        l = l->next;
    (void)pthread_mutex_lock(&l->lock);
    if (l->open)
        fd = accept_client(n, l, &peer);
    (void)pthread_mutex_unlock(&l->lock);
    if (fd < 0)
        return;
    struct conn *c = conn_create(n, fd, &l->row, &peer);
    if (c != NULL)
        conn_run(w, c);
}

/* Answers at once rather than when a packet is full; notices clients that have vanished without a word. */
static void set_options(int fd)
{
    const struct { int level, name, value; } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 300},
        {IPPROTO_TCP, TCP_KEEPINTVL, 60},
        {IPPROTO_TCP, TCP_KEEPCNT, 5},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

static bool in_blocks(const struct net_block *blocks, size_t count, const struct sockaddr_storage *address)
{
    for (size_t i = 0; i < count; i++) {
        if (net_block_contains(&blocks[i], address))
            return true;
    }
    return false;
}

/* "Too many from you" in the protocol's own words, where they can be understood. */
static void refuse(const struct conn *c, const char *why)
{
    struct conn_address peer = conn_peer_text(c);
    const char         *text = c->row->protocol->refusal;

    log_event(LOG_INFO, "net.refused", LOG_CSTR("listener", c->row->name), LOG_CSTR("peer", peer.text),
              LOG_CSTR("reason", why));
    if (text != NULL && c->row->tls != NET_TLS_IMPLICIT)
        (void)send(c->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool conn_count_peer(struct conn *c)
{
    switch (peers_enter(c->net->peers, &c->peer, clock_mono_ms())) {
    case PEERS_OK:
        c->counted = true;
        return true;
    case PEERS_TOO_MANY:
        refuse(c, "too many connections from this address");
        return false;
    case PEERS_TOO_FAST:
        refuse(c, "connections from this address come too fast");
        return false;
    }
    bug("no such verdict");
}

/* What the administrator sees of it begins here and ends in conn_end(). */
static void list(struct conn *c)
{
    (void)pthread_mutex_lock(&c->net->lock);
    c->id = log_new_id();
    c->since = clock_now();
    c->account_id = 0;
    c->listed = true;
    (void)pthread_mutex_unlock(&c->net->lock);
}

struct conn *conn_create(struct net *n, int fd, const struct net_listener *row, const struct sockaddr_storage *peer)
{
    struct conn *c = slot_take(n);

    if (c == NULL) {
        (void)close(fd);
        return NULL;
    }
    c->fd = fd;
    c->row = row;
    c->peer = *peer;
    address_unmap(&c->peer);
    if (peer->ss_family != AF_UNIX)
        set_options(fd);
    bool proxied = row->proxy && in_blocks(row->proxy_sources, row->proxy_source_count, &c->peer);
    if (!proxied && !conn_count_peer(c)) {
        (void)close(fd);
        slot_give_back(c);
        return NULL;
    }
    c->stage = proxied ? STAGE_PROXY : row->tls == NET_TLS_IMPLICIT ? STAGE_HANDSHAKE : STAGE_OPEN;
    c->waits_for = TURN_PARK;
    c->why = CONN_CLOSE_ERROR;
    deadline_start(c);
    list(c);
    return c;
}
