/*
 * relay/links.c - connections to other servers.
 *
 * Layer: relay.
 */
#include "relay/links.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/map.h"

enum { KEPT_MAX = 200 };

struct links {
    unsigned keep_seconds;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    struct map kept;      /* by way: the newest of a list through `after` */
    struct link *in_use;  /* a list through before and after */
    size_t kept_count;
    bool stopping, has_thread, asleep;
    pthread_t thread;
};

static void destroy(struct link *k)
{
    smtp_client_close(&k->client);
    free(k->way);
    free(k->host);
    free(k->address);
    free(k);
}

/* ---- what was kept too long ---- */

/* Takes the lists apart; those that stay go back.  Under the lock; returns what is to be closed. */
static struct link *take_old(struct links *l, int64_t before_ms)
{
    struct link *old = NULL;
    struct slice key;
    void *value;

    for (size_t at = 0; map_next(&l->kept, &at, &key, &value);) {
        /* The newest stands first: from the first that is too old on all are. */
        struct link *first = value, *last = NULL, *k = first;
        while (k != NULL && k->idle_ms > before_ms) {
            last = k;
            k = k->after;
        }
        if (k == NULL)
            continue;
        if (last != NULL)
            last->after = NULL;
        else
            (void)map_remove(&l->kept, slice_of(k->way));
        while (k != NULL) {
            struct link *next = k->after;
            k->after = old;
            old = k;
            l->kept_count--;
            k = next;
        }
        if (last == NULL)
            at = 0; /* the map has changed */
    }
    return old;
}

static void close_all(struct link *k)
{
    while (k != NULL) {
        struct link *next = k->after;
        destroy(k);
        k = next;
    }
}

static void *reap(void *links)
{
    struct links *l = links;

    (void)pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        l->asleep = l->kept_count == 0; /* as it was a second ago: connections come and go */
        if (l->asleep)
            (void)pthread_cond_wait(&l->changed, &l->lock);
        else
            (void)pthread_cond_timedwait(&l->changed, &l->lock, &until);
        l->asleep = false;
        struct link *old = take_old(l, clock_mono_ms() - (int64_t)l->keep_seconds * 1000);
        (void)pthread_mutex_unlock(&l->lock);
        close_all(old);
        (void)pthread_mutex_lock(&l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

bool links_create(unsigned keep_seconds, struct links **out, struct fail *why)
{
    struct links *l = xcalloc(1, sizeof *l);
    pthread_condattr_t attr;
    sigset_t all, before;

    l->keep_seconds = keep_seconds;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    map_init(&l->kept);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&l->thread, NULL, reap, l);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->has_thread = err == 0;
    if (err != 0) {
        links_destroy(&l);
        return fail_errno(why, err, "relay: thread");
    }
    *out = l;
    return true;
}

void links_destroy(struct links **lp)
{
    struct links *l = *lp;

    if (l == NULL)
        return;
    if (l->in_use != NULL)
        bug("a connection is still in use");
    (void)pthread_mutex_lock(&l->lock);
    l->stopping = true;
    (void)pthread_cond_signal(&l->changed);
    (void)pthread_mutex_unlock(&l->lock);
    if (l->has_thread)
        (void)pthread_join(l->thread, NULL);
    close_all(take_old(l, INT64_MAX));
    map_finish(&l->kept);
    (void)pthread_cond_destroy(&l->changed);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
    *lp = NULL;
}

/* ---- in use; under the lock ---- */

static void link_in_use(struct links *l, struct link *k)
{
    k->before = NULL;
    k->after = l->in_use;
    if (l->in_use != NULL)
        l->in_use->before = k;
    l->in_use = k;
}

static void unlink_in_use(struct links *l, struct link *k)
{
    *(k->before != NULL ? &k->before->after : &l->in_use) = k->after;
    if (k->after != NULL)
        k->after->before = k->before;
    k->before = k->after = NULL;
}

/* ---- for the threads ---- */

struct link *links_add(struct links *l, struct smtp_client *client, const char *way, const struct route_row *row, const char *host,
                       const char *address, bool strict)
{
    struct link *k = xcalloc(1, sizeof *k);

    *k = (struct link){.client = client, .way = xstrdup(way), .row = row, .host = xstrdup(host), .address = xstrdup(address),
                       .strict = strict, .opened_ms = clock_mono_ms()};
    (void)pthread_mutex_lock(&l->lock);
    link_in_use(l, k);
    (void)pthread_mutex_unlock(&l->lock);
    return k;
}

/* The newest that fits, put into use. */
static struct link *take_fitting(struct links *l, const char *way, const struct route_row *row, bool strict)
{
    struct link *first = map_get(&l->kept, slice_of(way)), *before = NULL, *k = first;

    while (k != NULL && (k->row != row || (strict && !k->strict))) {
        before = k;
        k = k->after;
    }
    if (k == NULL)
        return NULL;
    if (before != NULL)
        before->after = k->after;
    else if (k->after != NULL)
        (void)map_put(&l->kept, slice_of(way), k->after);
    else
        (void)map_remove(&l->kept, slice_of(way));
    l->kept_count--;
    link_in_use(l, k);
    return k;
}

struct link *links_take(struct links *l, const char *way, const struct route_row *row, bool strict)
{
    for (;;) {
        (void)pthread_mutex_lock(&l->lock);
        struct link *k = take_fitting(l, way, row, strict);
        (void)pthread_mutex_unlock(&l->lock);
        if (k == NULL || smtp_client_usable(k->client))
            return k;
        links_close(l, &k);
    }
}

void links_keep(struct links *l, struct link **kp)
{
    struct link *k = *kp;

    (void)pthread_mutex_lock(&l->lock);
    bool room = l->keep_seconds > 0 && !l->stopping && l->kept_count < KEPT_MAX;
    if (room) {
        unlink_in_use(l, k);
        k->idle_ms = clock_mono_ms();
        k->after = map_get(&l->kept, slice_of(k->way));
        (void)map_put(&l->kept, slice_of(k->way), k);
        l->kept_count++;
        if (l->asleep)
            (void)pthread_cond_signal(&l->changed); /* the thread sleeps while there is nothing to close */
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (!room)
        links_close(l, &k);
    *kp = NULL;
}

void links_close(struct links *l, struct link **kp)
{
    struct link *k = *kp;

    if (k == NULL)
        return;
    (void)pthread_mutex_lock(&l->lock);
    unlink_in_use(l, k);
    (void)pthread_mutex_unlock(&l->lock);
    destroy(k);
    *kp = NULL;
}

void links_break(struct links *l, bool unless_final)
{
    (void)pthread_mutex_lock(&l->lock);
    for (struct link *k = l->in_use; k != NULL; k = k->after)
        smtp_client_break(k->client, unless_final);
    (void)pthread_mutex_unlock(&l->lock);
}
