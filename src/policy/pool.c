/*
 * policy/pool.c - the threads that wait for others, and the one that saves now and then.
 *
 * Layer: policy.  Threads are made when there is work for them, up to the limit.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "policy/internal.h"

static int start_thread(pthread_t *out, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(out, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* With the lock. */
static struct policy_check *take(struct policy *p)
{
    struct policy_check *c = p->first;

    p->first = c->next;
    if (p->first == NULL)
        p->last = &p->first;
    p->waiting--;
    return c;
}

/* With the lock, which is let go meanwhile. */
static void run(struct policy *p, struct policy_check *c)
{
    (void)pthread_mutex_unlock(&p->lock);
    if (!atomic_load(&c->dropped))
        check_run(c);
    (void)pthread_mutex_lock(&p->lock);
    c->session->busy = false;
    session_release(c->session);
    c->session = NULL;
    c->done = true;
    if (atomic_load(&c->dropped))
        check_destroy(c);
    else
        waker_wake(c->waker);
}

static void *work(void *arg)
{
    struct policy *p = arg;

    (void)pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->first == NULL && !atomic_load(&p->stopping)) {
            p->idle++;
            (void)pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
        }
        if (p->first == NULL)
            break;
        run(p, take(p));
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

bool pool_add(struct policy *p, struct policy_check *c)
{
    (void)pthread_mutex_lock(&p->lock);
    bool ok = p->waiting < p->limits->waiting && !atomic_load(&p->stopping);
    if (ok && p->idle <= p->waiting && p->thread_count < p->limits->threads &&
        start_thread(&p->threads[p->thread_count], work, p) == 0)
        p->thread_count++;
    ok = ok && p->thread_count > 0;
    if (ok) {
        c->session->busy = true;
        c->session->owners++;
        *p->last = c;
        p->last = &c->next;
        p->waiting++;
        (void)pthread_cond_signal(&p->work);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return ok;
}

/* ---- the keeper ---- */

static void *keep(void *arg)
{
    struct policy *p = arg;
    struct timespec till;

    (void)pthread_mutex_lock(&p->lock);
    while (!atomic_load(&p->stopping)) {
        (void)clock_gettime(CLOCK_MONOTONIC, &till);
        till.tv_sec += p->limits->save_seconds;
        if (pthread_cond_timedwait(&p->keep, &p->lock, &till) != ETIMEDOUT)
            continue;
        (void)pthread_mutex_unlock(&p->lock);
        memos_save(p);
        (void)pthread_mutex_lock(&p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

bool pool_start(struct policy *p, struct fail *why)
{
    pthread_condattr_t monotonic;

    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->keep, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    p->last = &p->first;
    p->threads = xcalloc(p->limits->threads, sizeof *p->threads);
    int status = start_thread(&p->keeper, keep, p);
    p->has_keeper = status == 0;
    return p->has_keeper || fail_errno(why, status, "policy's thread");
}

void pool_stop(struct policy *p)
{
    (void)pthread_mutex_lock(&p->lock);
    atomic_store(&p->stopping, true);
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_cond_broadcast(&p->keep);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->thread_count; i++)
        (void)pthread_join(p->threads[i], NULL);
    if (p->has_keeper)
        (void)pthread_join(p->keeper, NULL);
    free(p->threads);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_cond_destroy(&p->keep);
    (void)pthread_mutex_destroy(&p->lock);
}
