/*
 * net/loop.c - workers: one epoll, and the queue of those who were woken.
 *
 * Layer: net.
 *
 * A worker takes one event at a time: a batch would make requests wait behind
 * one that sleeps.  Woken connections stand in a queue; the worker takes from it
 * and from epoll in turn, so that neither starves.
 *
 * Workers sleep in epoll_wait only, so the queue has an eventfd there, edge
 * triggered: each write wakes one.  The rule that loses nothing: as long as the
 * queue is not empty, an event is on its way or a worker is on its way to the
 * queue.  Hence the first in writes, and whoever takes one and leaves some
 * writes again.
 */
#include "net/loop.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static void queue_signal(struct net *n)
{
    (void)eventfd_write(n->queue_event, 1);
}

void queue_push(struct net *n, struct conn *c)
{
    c->next = NULL;
    (void)pthread_mutex_lock(&n->queue_lock);
    bool first = n->queue == NULL;
    *n->queue_end = c;
    n->queue_end = &c->next;
    atomic_store_explicit(&n->queued, true, memory_order_relaxed);
    (void)pthread_mutex_unlock(&n->queue_lock);
    if (first)
        queue_signal(n);
}

/* The longest woken one, now the caller's; or NULL. */
static struct conn *queue_take(struct net *n)
{
    if (!atomic_load_explicit(&n->queued, memory_order_relaxed))
        return NULL;
    (void)pthread_mutex_lock(&n->queue_lock);
    struct conn *c = n->queue;
    bool more = false;
    if (c != NULL) {
        n->queue = c->next;
        more = n->queue != NULL;
        if (!more)
            n->queue_end = &n->queue;
        c->next = NULL;
        atomic_store_explicit(&n->queued, more, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&n->queue_lock);
    if (more)
        queue_signal(n);
    if (c != NULL) /* QUEUED (2) becomes RUNNING (3) */
        (void)atomic_fetch_or_explicit(&c->state, CONN_RUNNING, memory_order_acquire);
    return c;
}

static unsigned marks_of(uint32_t events)
{
    unsigned marks = 0;

    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
        marks |= MARK_READABLE;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        marks |= MARK_WRITABLE;
    return marks;
}

/* Serves one event; with `wait`, the next that comes. */
static void serve_event(struct worker *w, bool wait)
{
    struct net *n = w->net;
    struct epoll_event event;

    atomic_fetch_add_explicit(&n->waiting, 1, memory_order_relaxed);
    int got = epoll_wait(n->epoll, &event, 1, wait ? -1 : 0);
    atomic_fetch_sub_explicit(&n->waiting, 1, memory_order_relaxed);
    if (got <= 0)
        return; /* nothing there, or EINTR */
    atomic_fetch_add_explicit(&n->taken, 1, memory_order_relaxed);

    uint64_t number = event.data.u64;
    struct conn *c = NULL;
    if (number == NUMBER_QUIT)
        return; /* it stays readable, and workers_admit() says no */
    if (number == NUMBER_QUEUE)
        c = queue_take(n);
    else if (number >= NUMBER_IS_LISTENER)
        accept_one(w, number & UINT32_MAX);
    else
        c = conn_claim(n, number, marks_of(event.events));
    if (c != NULL)
        slow_run_or_defer(w, c);
}

void loop_run(void *net, unsigned number)
{
    struct net *n = net;
    struct worker *w = &n->worker[number];
    bool queue_first = true;

    w->charged_us = clock_thread_us();
    while (workers_admit(n->workers)) {
        struct conn *c = queue_first ? queue_take(n) : NULL;
        if (c != NULL) {
            atomic_fetch_add_explicit(&n->taken, 1, memory_order_relaxed);
            slow_run_or_defer(w, c);
        } else {
            serve_event(w, !atomic_load_explicit(&n->queued, memory_order_relaxed));
        }
        queue_first = c == NULL;
    }
    worker_finish(w);
}

void worker_finish(struct worker *w)
{
    free(w->in);
    free(w->scratch);
    free(w->record);
    free(w->packed);
    compress_worker_finish(w);
    buf_finish(&w->out);
    w->in = w->scratch = w->record = w->packed = NULL;
}

/*
 * The back-stop.  A worker that waits without having said so (a page fault, a
 * forgotten block_begin) takes a place for nothing.  If for 20 ms nobody took an
 * event and nobody waits for one, one more is let in until somebody waits again.
 * While nothing happens at all the beat is slow.
 */
int64_t loop_beat(void *net)
{
    enum { BUSY_MS = 20, QUIET_MS = 250 };
    struct net *n = net;
    uint64_t taken = atomic_load_explicit(&n->taken, memory_order_relaxed);
    bool nobody_waits = atomic_load_explicit(&n->waiting, memory_order_relaxed) == 0;
    bool stuck = nobody_waits && taken == n->taken_before;
    bool quiet = !nobody_waits && taken == n->taken_before;

    if (stuck || !nobody_waits)
        workers_set_extra(n->workers, stuck);
    n->taken_before = taken;
    if (atomic_load_explicit(&n->paused, memory_order_relaxed) > 0)
        accept_resume(n);
    life_tell_hushed(n);
    return quiet ? QUIET_MS : BUSY_MS;
}
