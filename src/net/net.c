/*
 * net/net.c - creating, starting and stopping; the administrator's view.
 *
 * Layer: net.
 */
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/thread.h"

void net_limits_default(struct net_limits *l)
{
    *l = (struct net_limits){
        .workers = 0,
        .workers_max = 64,
        .connections_max = 0,
        .connections_per_address = 100,
        .connections_per_network = 1000,
        .sessions_per_account = 200,
        .connections_per_second_per_address = 100,
        .command_seconds = 60,
        .before_login_seconds = 60,
        .body_seconds = 300,
        .turn_commands = 64,
        .turn_ms = 10,
    };
}

/* Connections get three quarters of the open files; databases, volumes and other roles share the rest. */
static unsigned connections_for_files(void)
{
    struct rlimit files = {0};

    (void)getrlimit(RLIMIT_NOFILE, &files);
    rlim_t rest = files.rlim_cur / 4 < 4096 ? files.rlim_cur / 4 : 4096;
    rlim_t n = files.rlim_cur - rest;
    return n < 10 * 1000 * 1000 ? (unsigned)n : 10 * 1000 * 1000;
}

static void fill_limits(struct net_limits *l)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (l->workers == 0)
        l->workers = cores > 0 ? (unsigned)cores : 1;
    if (l->workers_max < l->workers + 1)
        l->workers_max = l->workers + 1;
    if (l->memory_bytes == 0)
        l->memory_bytes = crowd_memory_default();
    if (l->connections_max == 0 || l->connections_max > connections_for_files())
        l->connections_max = connections_for_files();
}

static bool watch_event(struct net *n, int *fd, uint64_t number, unsigned flags)
{
    struct epoll_event event = {.events = EPOLLIN | flags, .data.u64 = number};

    *fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return *fd >= 0 && epoll_ctl(n->epoll, EPOLL_CTL_ADD, *fd, &event) == 0;
}

static void fire(struct timer *t)
{
    struct conn *c = (struct conn *)(void *)((char *)t - offsetof(struct conn, timer));

    conn_mark(c, MARK_TIME);
}

struct net *net_create(const struct net_limits *limits, struct fail *why)
{
    struct net *n = xcalloc(1, sizeof(*n));

    n->limits = *limits;
    fill_limits(&n->limits);
    (void)pthread_mutex_init(&n->lock, NULL);
    (void)pthread_mutex_init(&n->queue_lock, NULL);
    cond_init(&n->fewer);
    n->queue_end = &n->queue;
    n->chunk_count = n->limits.connections_max / SLOTS_PER_CHUNK + 1;
    n->chunks = xcalloc(n->chunk_count, sizeof(*n->chunks));
    n->worker = xcalloc(2 * (size_t)n->limits.workers_max, sizeof(*n->worker));
    for (unsigned i = 0; i < 2 * n->limits.workers_max; i++)
        n->worker[i].net = n;
    n->workers = workers_create(n->limits.workers, n->limits.workers_max, loop_run, n);
    n->slow = slow_create(n);
    n->crowd = crowd_create();
    n->memory.max = n->limits.memory_bytes;
    n->timers = timers_create(fire, loop_beat, n);
    n->peers = peers_create(n->limits.connections_per_address, n->limits.connections_per_second_per_address,
                            n->limits.connections_per_network);
    n->hush = hush_create();
    n->queue_event = n->quit_event = -1;
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (n->epoll < 0 || !watch_event(n, &n->queue_event, NUMBER_QUEUE, EPOLLET) ||
        !watch_event(n, &n->quit_event, NUMBER_QUIT, 0)) {
        fail_errno(why, errno, "epoll");
        net_destroy(&n);
        return NULL;
    }
    return n;
}

static bool row_is_complete(const struct net_listener *row, struct fail *why)
{
    if (row->tls != NET_TLS_NONE && row->tls_context == NULL)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "listener %s has no certificate", row->name);
    return true;
}

static bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

bool net_listen(struct net *n, const struct net_listener *row, struct fail *why)
{
    if (n->started) {
        (void)close(row->fd);
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "listener %s: already started", row->name);
    }
    if (!row_is_complete(row, why) || !set_nonblocking(row->fd)) {
        (void)close(row->fd);
        return false;
    }
    struct listener *l = xcalloc(1, sizeof(*l));
    l->row = *row;
    l->index = n->listener_count++;
    l->open = true;
    (void)pthread_mutex_init(&l->lock, NULL);
    l->next = n->listeners;
    n->listeners = l;
    return true;
}

bool net_adopt(struct net *n, int fd, const struct net_listener *row, struct fail *why)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);

    if (!row_is_complete(row, why) || !set_nonblocking(fd)) {
        (void)close(fd);
        return false;
    }
    (void)getpeername(fd, (struct sockaddr *)&peer, &len);
    if (len == 0 || peer.ss_family == AF_UNSPEC)
        peer.ss_family = AF_UNIX;
    struct net_listener *copy = xmalloc(sizeof(*copy));
    *copy = *row;
    struct conn *c = slot_take(n);
    if (c == NULL)
        (void)close(fd);
    else
        c = conn_create(c, fd, copy, &peer);
    if (c == NULL) {
        free(copy);
        return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no more connections");
    }
    c->row_is_ours = true;
    conn_requeue(c);
    return true;
}

bool net_start(struct net *n, struct fail *why)
{
    n->started = true;
    for (struct listener *l = n->listeners; l != NULL; l = l->next) {
        if (!accept_arm(n, l, true))
            return fail_errno(why, errno, "listener %s", l->row.name);
    }
    return timers_start(n->timers, why) && slow_start(n->slow, why) && workers_start(n->workers, why);
}

static void close_listeners(struct net *n)
{
    for (struct listener *l = n->listeners; l != NULL; l = l->next) {
        (void)pthread_mutex_lock(&l->lock);
        if (l->open)
            (void)close(l->row.fd);
        l->open = false;
        (void)pthread_mutex_unlock(&l->lock);
    }
}

static void mark_all(struct net *n, unsigned mark)
{
    struct conn *c;

    for (size_t i = 0; (c = slot_at(n, i)) != NULL; i++)
        conn_mark(c, mark);
}

/* Waits until nobody is there, at most `seconds` (below zero: for ever).  net.lock is held. */
static bool wait_until_empty(struct net *n, int seconds)
{
    struct timespec until = time_after_ms((int64_t)seconds * 1000);
    int err = 0;

    while (n->open > 0 && err == 0)
        err = seconds < 0 ? pthread_cond_wait(&n->fewer, &n->lock)
                          : pthread_cond_timedwait(&n->fewer, &n->lock, &until);
    return n->open == 0;
}

void net_stop(struct net *n, unsigned seconds)
{
    (void)pthread_mutex_lock(&n->lock);
    bool first = !n->stopping;
    n->stopping = true; /* no slot is taken any more */
    (void)pthread_mutex_unlock(&n->lock);
    if (!first)
        return;
    close_listeners(n);
    if (!n->started && n->open > 0) /* adopted for a start that never came: they need somebody to end them */
        (void)(slow_start(n->slow, NULL) && workers_start(n->workers, NULL));
    mark_all(n, MARK_STOP);
    (void)pthread_mutex_lock(&n->lock);
    bool empty = wait_until_empty(n, (int)seconds);
    (void)pthread_mutex_unlock(&n->lock);
    if (!empty)
        mark_all(n, MARK_KILL);
    (void)pthread_mutex_lock(&n->lock);
    (void)wait_until_empty(n, -1);
    (void)pthread_mutex_unlock(&n->lock);
    (void)eventfd_write(n->quit_event, 1);
    workers_stop(n->workers);
    slow_stop(n->slow);
}

void net_destroy(struct net **n_)
{
    struct net *n = *n_;

    if (n == NULL)
        return;
    net_stop(n, 0);
    timers_destroy(&n->timers);
    workers_destroy(&n->workers);
    slow_destroy(&n->slow);
    crowd_destroy(&n->crowd);
    peers_destroy(&n->peers);
    hush_destroy(&n->hush);
    while (n->listeners != NULL) {
        struct listener *l = n->listeners;
        n->listeners = l->next;
        (void)pthread_mutex_destroy(&l->lock);
        free(l);
    }
    for (size_t i = 0; i < n->chunks_used; i++)
        (void)munmap(n->chunks[i], SLOTS_PER_CHUNK * sizeof(struct conn));
    free(n->chunks);
    free(n->worker);
    const int fds[] = {n->epoll, n->queue_event, n->quit_event};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    (void)pthread_cond_destroy(&n->fewer);
    (void)pthread_mutex_destroy(&n->lock);
    (void)pthread_mutex_destroy(&n->queue_lock);
    free(n);
    *n_ = NULL;
}

/* ---- for the administrator ---- */

/* net.lock is held. */
static void describe(const struct conn *c, struct net_session_info *out)
{
    *out = (struct net_session_info){
        .id = c->id,
        .protocol = c->row->protocol->name,
        .peer = conn_peer_text(c),
        .account_id = c->account_id,
        .since = c->since,
        .tls = conn_has_tls(c),
    };
    conn_counts(c, &out->in, &out->out);
    memcpy(out->label, c->label, sizeof(out->label));
}

void net_each_session(struct net *n, bool (*each)(void *ctx, const struct net_session_info *s), void *ctx)
{
    bool go_on = true;

    /* Copied chunk by chunk: `each` runs without the lock, and 100,000 sessions need no copy of all. */
    for (size_t chunk = 0; go_on && slot_at(n, chunk * SLOTS_PER_CHUNK) != NULL; chunk++) {
        struct net_session_info found[SLOTS_PER_CHUNK];
        size_t count = 0;
        (void)pthread_mutex_lock(&n->lock);
        for (size_t i = 0; i < SLOTS_PER_CHUNK; i++) {
            const struct conn *c = slot_at(n, chunk * SLOTS_PER_CHUNK + i);
            if (c->listed)
                describe(c, &found[count++]);
        }
        (void)pthread_mutex_unlock(&n->lock);
        for (size_t i = 0; i < count && go_on; i++)
            go_on = each(ctx, &found[i]);
    }
}

/* A listed connection cannot go while the lock is held, so it may be marked. */
static unsigned kick(struct net *n, struct slice id, uint64_t account_id)
{
    unsigned count = 0;
    struct conn *c;

    (void)pthread_mutex_lock(&n->lock);
    for (size_t i = 0; (c = slot_at(n, i)) != NULL; i++) {
        bool meant = account_id != 0 ? c->account_id == account_id : slice_eq(slice_of(c->id.text), id);
        if (!c->listed || !meant)
            continue;
        conn_mark(c, MARK_KICK);
        count++;
    }
    (void)pthread_mutex_unlock(&n->lock);
    return count;
}

unsigned net_kick_session(struct net *n, struct slice id)
{
    return kick(n, id, 0);
}

unsigned net_kick_account(struct net *n, uint64_t account_id)
{
    return account_id != 0 ? kick(n, SLICE(""), account_id) : 0;
}
