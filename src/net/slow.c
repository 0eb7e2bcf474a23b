/*
 * net/slow.c - workers for those who want more than their share.
 *
 * Layer: net.  Whoever asks for little at a time is answered at once, however much others ask for.  So each
 * connection's processor time is counted in a bucket that leaks a tenth of a core.  Once it holds a turn's worth,
 * the connection is run by other workers, as many, but of lower priority, until it has leaked; so are TLS
 * handshakes, which cost as much as many commands and which anybody can ask for.  While nobody else is there
 * this changes nothing but who does the work: priority counts only where processors are short.
 *
 * Time that is waited (a sync, a lock, another process) does not count: it is the thread's clock that is read.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"
#include "net/thread.h"

enum {
    NICE = 8,
    FULL_US = 10 * 1000,   /* from here on it is slow */
    MOST_US = 100 * 1000,  /* what is held against it at most: it is forgotten after a second */
    LEAK_US_PER_MS = 100,
};

struct slow {
    struct net *net;
    struct workers *workers;
    pthread_mutex_t lock;
    pthread_cond_t come;
    struct conn *first, **end;
    bool stopping;
};

/* ---- who is slow ---- */

int64_t slow_clock(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint32_t leaked(const struct conn *c, int64_t now_ms)
{
    uint64_t out = (uint64_t)((uint32_t)now_ms - c->spent_at_ms) * LEAK_US_PER_MS;

    return out < c->spent_us ? c->spent_us - (uint32_t)out : 0;
}

void slow_charge(struct conn *c, int64_t *mark_us)
{
    int64_t now = slow_clock(), spent = leaked(c, c->now) + (now - *mark_us);

    *mark_us = now;
    c->spent_us = spent < MOST_US ? (uint32_t)spent : MOST_US;
    c->spent_at_ms = (uint32_t)c->now;
}

bool slow_is_due(const struct conn *c)
{
    if (c->stage == STAGE_HANDSHAKE)
        return true;
    return c->spent_us >= FULL_US && leaked(c, clock_mono_ms()) >= FULL_US;
}

/* ---- the queue ---- */

void slow_push(struct slow *s, struct conn *c)
{
    conn_queue(c);
    c->next = NULL;
    (void)pthread_mutex_lock(&s->lock);
    *s->end = c;
    s->end = &c->next;
    (void)pthread_cond_signal(&s->come);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Waits for one, now the caller's; NULL: it is the end. */
static struct conn *take(struct slow *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (s->first == NULL && !s->stopping)
        (void)pthread_cond_wait(&s->come, &s->lock);
    struct conn *c = s->first;
    if (c != NULL) {
        s->first = c->next;
        if (s->first == NULL)
            s->end = &s->first;
        c->next = NULL;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (c != NULL) /* QUEUED (2) becomes RUNNING (3) */
        (void)atomic_fetch_or_explicit(&c->state, CONN_RUNNING, memory_order_acquire);
    return c;
}

static void run(void *slow, unsigned number)
{
    struct slow *s = slow;
    struct worker *w = &s->net->worker[s->net->limits.workers_max + number];

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone */
    while (workers_admit(s->workers)) {
        struct conn *c = take(s);
        if (c != NULL)
            conn_run(w, c);
    }
    worker_finish(w);
}

/* ---- the whole ---- */

struct slow *slow_create(struct net *n)
{
    struct slow *s = xcalloc(1, sizeof(*s));

    s->net = n;
    s->end = &s->first;
    (void)pthread_mutex_init(&s->lock, NULL);
    cond_init(&s->come);
    s->workers = workers_create(n->limits.workers, n->limits.workers_max, run, s);
    return s;
}

bool slow_start(struct slow *s, struct fail *why)
{
    return workers_start(s->workers, why);
}

void slow_stop(struct slow *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->stopping = true;
    (void)pthread_cond_broadcast(&s->come);
    (void)pthread_mutex_unlock(&s->lock);
    workers_stop(s->workers);
}

void slow_destroy(struct slow **s_)
{
    struct slow *s = *s_;

    if (s == NULL)
        return;
    workers_destroy(&s->workers);
    (void)pthread_cond_destroy(&s->come);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    *s_ = NULL;
}
