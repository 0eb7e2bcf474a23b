/*
 * net/workers.c - how many threads run at once: tokens.
 *
 * Layer: net.
 */
#include "net/workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/block.h"
#include "base/fail.h"
#include "net/thread.h"

enum { LEAVE_AFTER_MS = 10 * 1000 }; /* of sleep on the stack */

struct worker_thread {
    struct workers *pool;
    pthread_t thread;
    pthread_cond_t called;                    /* it has been taken off the stack */
    struct worker_thread *below;              /* on the stack of sleepers */
    enum { NOT_STARTED, STARTED, LEFT } life; /* LEFT: to be joined */
    bool asleep;
};

struct workers {
    pthread_mutex_t lock;
    unsigned target, max;
    _Atomic unsigned active;  /* not waiting, not asleep; changes under the lock, read without */
    _Atomic unsigned allowed; /* target and what the back-stop adds */
    _Atomic bool stopping;
    struct worker_thread *sleepers; /* newest first: its stack and caches are warm */
    void (*run)(void *ctx, unsigned number);
    void *ctx;
    struct worker_thread threads[]; /* max */
};

struct workers *workers_create(unsigned target, unsigned max, void (*run)(void *ctx, unsigned number),
                               void *ctx)
{
    struct workers *ws = xcalloc(1, sizeof(*ws) + max * sizeof(ws->threads[0]));

    (void)pthread_mutex_init(&ws->lock, NULL);
    for (unsigned i = 0; i < max; i++) {
        ws->threads[i].pool = ws;
        cond_init(&ws->threads[i].called);
    }
    ws->target = target;
    ws->allowed = target;
    ws->max = max;
    ws->run = run;
    ws->ctx = ctx;
    return ws;
}

/* Another thread gets a place: the newest sleeper, else a new one.  The lock is held. */
static int let_one_in(struct workers *ws);

static void worker_blocks(void *ctx)
{
    struct workers *ws = ctx;

    (void)pthread_mutex_lock(&ws->lock);
    ws->active--;
    if (ws->active < ws->allowed && !ws->stopping)
        (void)let_one_in(ws);
    (void)pthread_mutex_unlock(&ws->lock);
}

static void worker_resumes(void *ctx)
{
    struct workers *ws = ctx;

    (void)pthread_mutex_lock(&ws->lock);
    ws->active++;
    (void)pthread_mutex_unlock(&ws->lock);
}

static _Thread_local struct worker_thread *self; /* which of its pool's threads this one is */

static void *worker_main(void *arg)
{
    struct worker_thread *t = arg;
    struct workers *ws = t->pool;
    struct block_hook hook = {.begin = worker_blocks, .end = worker_resumes, .ctx = ws};

    self = t;
    block_set_hook(&hook);
    ws->run(ws->ctx, (unsigned)(t - ws->threads));
    block_set_hook(NULL);

    (void)pthread_mutex_lock(&ws->lock);
    t->life = LEFT;
    (void)pthread_mutex_unlock(&ws->lock);
    return NULL;
}

static int let_one_in(struct workers *ws)
{
    struct worker_thread *t = ws->sleepers;

    if (t != NULL) {
        ws->sleepers = t->below;
        t->asleep = false;
        ws->active++;
        (void)pthread_cond_signal(&t->called);
        return 0;
    }
    for (t = ws->threads; t < ws->threads + ws->max; t++) {
        if (t->life == STARTED)
            continue;
        if (t->life == LEFT)
            (void)pthread_join(t->thread, NULL); /* at its last instruction: no wait to speak of */
        t->life = NOT_STARTED;
        int err = thread_start(&t->thread, worker_main, t);
        if (err == 0) {
            t->life = STARTED;
            ws->active++;
        }
        return err;
    }
    return 0; /* as many as there may be: the next one to resume will serve */
}

bool workers_start(struct workers *ws, struct fail *why)
{
    int err = 0;

    (void)pthread_mutex_lock(&ws->lock);
    while (err == 0 && ws->active < ws->target)
        err = let_one_in(ws);
    (void)pthread_mutex_unlock(&ws->lock);
    return err == 0 || fail_errno(why, err, "worker threads");
}

static void leave_stack(struct workers *ws, struct worker_thread *t)
{
    struct worker_thread **at = &ws->sleepers;

    while (*at != t)
        at = &(*at)->below;
    *at = t->below;
    t->asleep = false;
}

/* Sleeps on the stack until called; false after too long a sleep or at the end.  The lock is held. */
static bool sleep_on_stack(struct workers *ws, struct worker_thread *t)
{
    struct timespec until = time_after_ms(LEAVE_AFTER_MS);

    ws->active--;
    t->below = ws->sleepers;
    ws->sleepers = t;
    t->asleep = true;
    while (t->asleep && !ws->stopping) {
        if (pthread_cond_timedwait(&t->called, &ws->lock, &until) != 0)
            break;
    }
    if (!t->asleep)
        return true; /* who called has counted us */
    leave_stack(ws, t);
    return false;
}

bool workers_admit(struct workers *ws)
{
    bool stay = true;

    if (atomic_load_explicit(&ws->active, memory_order_relaxed) <=
            atomic_load_explicit(&ws->allowed, memory_order_relaxed) &&
        !atomic_load_explicit(&ws->stopping, memory_order_relaxed))
        return true;
    (void)pthread_mutex_lock(&ws->lock);
    if (ws->stopping) {
        ws->active--;
        stay = false;
    } else if (ws->active > ws->allowed) {
        stay = sleep_on_stack(ws, self);
    }
    (void)pthread_mutex_unlock(&ws->lock);
    return stay;
}

void workers_set_extra(struct workers *ws, bool extra)
{
    unsigned allowed = ws->target + (extra ? 1 : 0);

    if (atomic_load_explicit(&ws->allowed, memory_order_relaxed) == allowed)
        return;
    (void)pthread_mutex_lock(&ws->lock);
    ws->allowed = allowed;
    if (ws->active < allowed && !ws->stopping)
        (void)let_one_in(ws);
    (void)pthread_mutex_unlock(&ws->lock);
}

void workers_stop(struct workers *ws)
{
    (void)pthread_mutex_lock(&ws->lock);
    ws->stopping = true;
    for (struct worker_thread *t = ws->sleepers; t != NULL; t = t->below)
        (void)pthread_cond_signal(&t->called);
    (void)pthread_mutex_unlock(&ws->lock);
    /* Nobody is started any more, so `life` changes only from STARTED to LEFT. */
    for (struct worker_thread *t = ws->threads; t < ws->threads + ws->max; t++) {
        (void)pthread_mutex_lock(&ws->lock);
        bool to_join = t->life != NOT_STARTED;
        (void)pthread_mutex_unlock(&ws->lock);
        if (to_join)
            (void)pthread_join(t->thread, NULL);
        t->life = NOT_STARTED;
    }
}

void workers_destroy(struct workers **ws_)
{
    struct workers *ws = *ws_;

    if (ws == NULL)
        return;
    for (unsigned i = 0; i < ws->max; i++)
        (void)pthread_cond_destroy(&ws->threads[i].called);
    (void)pthread_mutex_destroy(&ws->lock);
    free(ws);
    *ws_ = NULL;
}
