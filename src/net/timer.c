/*
 * net/timer.c - a heap of times and the thread that watches it.
 *
 * Layer: net.
 */
#include "net/timer.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fail.h"
#include "net/thread.h"

struct timers {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an earlier time, or the end */
    struct timer **heap;    /* under the lock: the earliest is heap[0] */
    size_t count, cap;
    bool stopping;
    bool running;
    pthread_t thread;
    void (*fire)(struct timer *t);
    int64_t (*beat)(void *ctx);
    void *ctx;
};

static void place(struct timers *ts, size_t at, struct timer *t)
{
    ts->heap[at] = t;
    t->index = (uint32_t)at + 1;
}

static void sift_up(struct timers *ts, size_t at)
{
    struct timer *t = ts->heap[at];

    while (at > 0 && ts->heap[(at - 1) / 2]->registered > t->registered) {
        place(ts, at, ts->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(ts, at, t);
}

static void sift_down(struct timers *ts, size_t at)
{
    struct timer *t = ts->heap[at];

    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < ts->count && ts->heap[child + 1]->registered < ts->heap[child]->registered)
            child++;
        if (child >= ts->count || ts->heap[child]->registered >= t->registered)
            break;
        place(ts, at, ts->heap[child]);
        at = child;
    }
    place(ts, at, t);
}

static void heap_insert(struct timers *ts, struct timer *t)
{
    if (ts->count == ts->cap) {
        ts->cap = ts->cap > 0 ? ts->cap * 2 : 64;
        ts->heap = xrealloc(ts->heap, ts->cap * sizeof(void *));
    }
    place(ts, ts->count++, t);
    sift_up(ts, ts->count - 1);
}

static void heap_remove(struct timers *ts, struct timer *t)
{
    size_t at = t->index - 1;
    struct timer *last = ts->heap[--ts->count];

    t->index = 0;
    if (last == t)
        return;
    place(ts, at, last);
    sift_up(ts, at);
    sift_down(ts, last->index - 1);
}

/* Fires what is due; returns when the next one is. */
static int64_t fire_due(struct timers *ts, int64_t now)
{
    while (ts->count > 0 && ts->heap[0]->registered <= now) {
        struct timer *t = ts->heap[0];
        int64_t due = atomic_load_explicit(&t->due, memory_order_relaxed);

        if (due > now) { /* has been moved to later meanwhile */
            t->registered = due;
            sift_down(ts, 0);
        } else {
            heap_remove(ts, t);
            ts->fire(t);
        }
    }
    return ts->count > 0 ? ts->heap[0]->registered : TIMER_NEVER;
}

static void wait_until(struct timers *ts, int64_t now, int64_t then)
{
    struct timespec at = time_after_ms(then - now > 60000 ? 60000 : then - now);

    (void)pthread_cond_timedwait(&ts->changed, &ts->lock, &at);
}

static void *timers_main(void *arg)
{
    struct timers *ts = arg;
    int64_t beat_at = 0;

    (void)pthread_mutex_lock(&ts->lock);
    while (!ts->stopping) {
        int64_t now = clock_mono_ms();
        if (now >= beat_at) {
            (void)pthread_mutex_unlock(&ts->lock);
            beat_at = now + ts->beat(ts->ctx);
            (void)pthread_mutex_lock(&ts->lock);
        }
        int64_t next = fire_due(ts, now);
        if (beat_at < next)
            next = beat_at;
        if (next > now && !ts->stopping)
            wait_until(ts, now, next);
    }
    (void)pthread_mutex_unlock(&ts->lock);
    return NULL;
}

struct timers *timers_create(void (*fire)(struct timer *t), int64_t (*beat)(void *ctx), void *ctx)
{
    struct timers *ts = xcalloc(1, sizeof(*ts));

    ts->fire = fire;
    ts->beat = beat;
    ts->ctx = ctx;
    (void)pthread_mutex_init(&ts->lock, NULL);
    cond_init(&ts->changed);
    return ts;
}

bool timers_start(struct timers *ts, struct fail *why)
{
    int err = thread_start(&ts->thread, timers_main, ts);

    if (err != 0)
        return fail_errno(why, err, "timer thread");
    ts->running = true;
    return true;
}

void timers_destroy(struct timers **ts_)
{
    struct timers *ts = *ts_;

    if (ts == NULL)
        return;
    (void)pthread_mutex_lock(&ts->lock);
    ts->stopping = true;
    (void)pthread_cond_signal(&ts->changed);
    (void)pthread_mutex_unlock(&ts->lock);
    if (ts->running)
        (void)pthread_join(ts->thread, NULL);
    (void)pthread_cond_destroy(&ts->changed);
    (void)pthread_mutex_destroy(&ts->lock);
    free(ts->heap);
    free(ts);
    *ts_ = NULL;
}

void timer_init(struct timer *t)
{
    *t = (struct timer){.due = TIMER_NEVER};
}

void timer_set(struct timers *ts, struct timer *t, int64_t due)
{
    int64_t before = atomic_load_explicit(&t->due, memory_order_relaxed);

    atomic_store_explicit(&t->due, due, memory_order_relaxed);
    /* To later: the thread may still read the time before, and then finds the new one when that comes up. */
    if (due == TIMER_NEVER || (t->set && due >= before))
        return;
    (void)pthread_mutex_lock(&ts->lock);
    if (t->index == 0) {
        t->registered = due;
        heap_insert(ts, t);
    } else if (due < t->registered) {
        t->registered = due;
        sift_up(ts, t->index - 1);
    }
    if (ts->heap[0] == t)
        (void)pthread_cond_signal(&ts->changed);
    (void)pthread_mutex_unlock(&ts->lock);
    t->set = true;
}

void timer_fired(struct timer *t)
{
    t->set = false;
}

void timer_remove(struct timers *ts, struct timer *t)
{
    (void)pthread_mutex_lock(&ts->lock);
    if (t->index != 0)
        heap_remove(ts, t);
    (void)pthread_mutex_unlock(&ts->lock);
    t->set = false;
}
