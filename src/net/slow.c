/*
 * net/slow.c - workers for those who want more than their share.
 *
 * Layer: net.  Whoever asks for little at a time is answered at once, however much others ask for.  So processor
 * time is counted, of each account and, before login, of each address (of a connection where that is loopback),
 * in buckets that leak a fifth of a core.  While one is full, what its connections want is done by other workers,
 * as many, but of lower priority; so are TLS handshakes, which cost as much as many commands and which anybody can
 * ask for.  Priority counts only where processors are short; but a handing over costs as much as a small command,
 * so that a single one that is full, while another worker waits for events, is run by whoever got its event.
 *
 * Time that is waited (a sync, a lock, another process) does not count: it is the thread's clock that is read.
 * Buckets are found by a keyed hash and have no names: now and then two share one, and nobody can arrange it.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "net/loop.h"
#include "net/thread.h"

enum {
    NICE = 8,
    FULL_US = 20 * 1000,
    MOST_US = 100 * 1000, /* is held against anybody at most: it is forgotten within half a second */
    LEAK_US_PER_MS = 200,
    BUCKETS = 16384,
};

struct slow {
    struct net *net;
    struct workers *workers;
    pthread_mutex_t lock;
    pthread_cond_t come;
    struct conn *first, **end;
    bool stopping;
    _Atomic unsigned busy; /* full ones that are run or wait for it */
    _Atomic uint64_t buckets[BUCKETS]; /* us, and in the high half when that was: ms */
};

/* ---- who is slow ---- */

void slow_set_bucket(struct conn *c)
{
    const struct sockaddr_storage peer = conn_peer(c);
    uint64_t who;

    if (c->account_id != 0)
        who = c->account_id << 1;
    else if (!address_is_local(&peer))
        who = peers_key(&peer) << 1 | 1;
    else
        who = slot_number(c) << 1 | 1;
    c->bucket = (uint32_t)(hash_bytes(slice_make(&who, sizeof who)) % BUCKETS);
}

static uint32_t level(uint64_t bucket, uint32_t now_ms)
{
    uint64_t in = (uint32_t)bucket, out = (uint64_t)(now_ms - (uint32_t)(bucket >> 32)) * LEAK_US_PER_MS;

    return out < in ? (uint32_t)(in - out) : 0;
}

void slow_charge(const struct conn *c, struct worker *w)
{
    _Atomic uint64_t *bucket = &c->net->slow->buckets[c->bucket];
    uint64_t old = atomic_load_explicit(bucket, memory_order_relaxed), new;
    uint32_t now_ms = (uint32_t)c->now;
    int64_t now = clock_thread_us();

    do {
        /* Another worker's look at the clock may have been a little later. */
        uint32_t at = (int32_t)(now_ms - (uint32_t)(old >> 32)) > 0 ? now_ms : (uint32_t)(old >> 32);
        uint64_t sum = level(old, at) + (uint64_t)(now - w->charged_us);
        new = (uint64_t)at << 32 | (sum < MOST_US ? sum : MOST_US);
    } while (!atomic_compare_exchange_weak_explicit(bucket, &old, new, memory_order_relaxed, memory_order_relaxed));
    w->charged_us = now;
}

static bool is_full(const struct conn *c)
{
    uint64_t bucket = atomic_load_explicit(&c->net->slow->buckets[c->bucket], memory_order_relaxed);

    if (c->stage == STAGE_HANDSHAKE)
        return true;
    return (uint32_t)bucket >= FULL_US && level(bucket, (uint32_t)clock_mono_ms()) >= FULL_US;
}

/* ---- the queue ---- */

static void push(struct slow *s, struct conn *c)
{
    conn_queue(c);
    c->next = NULL;
    atomic_fetch_add_explicit(&s->busy, 1, memory_order_relaxed);
    (void)pthread_mutex_lock(&s->lock);
    *s->end = c;
    s->end = &c->next;
    (void)pthread_cond_signal(&s->come);
    (void)pthread_mutex_unlock(&s->lock);
}

bool slow_takes(struct conn *c)
{
    if (!is_full(c))
        return false;
    push(c->net->slow, c);
    return true;
}

void slow_run_or_defer(struct worker *w, struct conn *c)
{
    struct net  *n = w->net;
    struct slow *s = n->slow;
    unsigned     none = 0;

    if (!is_full(c)) {
        conn_run(w, c);
    } else if (atomic_load_explicit(&n->waiting, memory_order_relaxed) > 0 &&
               atomic_compare_exchange_strong_explicit(&s->busy, &none, 1, memory_order_relaxed, memory_order_relaxed)) {
        conn_run(w, c);
        atomic_fetch_sub_explicit(&s->busy, 1, memory_order_relaxed);
    } else {
        push(s, c);
    }
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

    /*
     * Of this thread alone.  Not SCHED_IDLE: on a busy machine whoever holds a lock would never get to the point
     * of giving it back, and all others wait with him.
     */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    w->charged_us = clock_thread_us();
    while (workers_admit(s->workers)) {
        struct conn *c = take(s);
        if (c != NULL) {
            conn_run(w, c);
            atomic_fetch_sub_explicit(&s->busy, 1, memory_order_relaxed);
        }
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
