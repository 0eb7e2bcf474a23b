/*
 * deliver/deliver.c - an accepted message and its recipients: decide, record, place.
 *
 * Layer: deliver.
 */
#include "deliver/deliver.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/log.h"
#include "deliver/internal.h"

void deliver_limits_default(struct deliver_limits *l)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    *l = (struct deliver_limits){.placers = cores > 2 ? (unsigned)cores : 2,
                                 .backlog = 2000,
                                 .retry_seconds = 5,
                                 .retries_per_account = 100,
                                 .outbound_backlog = 10000,
                                 .lifetime_seconds = 5 * 24 * 3600,
                                 .hostname = "localhost",
                                 .mark_seconds = 10};
}

void deliver_wait(struct deliver *d, pthread_cond_t *cond, int64_t ms)
{
    struct timespec until;

    if (ms < 0) {
        (void)pthread_cond_wait(cond, &d->lock);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(cond, &d->lock, &until);
}

static void init_cond(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(c, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static struct deliver *deliver_new(struct store *st, struct volumes *v, struct directory *dir,
                                   const struct deliver_limits *limits)
{
    struct deliver *d = xcalloc(1, sizeof *d);

    d->store = st;
    d->volumes = v;
    d->directory = dir;
    d->limits = *limits;
    d->tries = limits->outbound != NULL && limits->outbound->attempt != NULL && limits->outbound->outcomes != NULL;
    (void)pthread_mutex_init(&d->lock, NULL);
    init_cond(&d->work);
    init_cond(&d->room);
    init_cond(&d->done);
    init_cond(&d->keep);
    init_cond(&d->leave);
    init_cond(&d->tried.any);
    idmap_init(&d->tried.jobs);
    d->outbound.last = &d->outbound.first;
    idmap_init(&d->queues);
    d->last_ready = &d->first_ready;
    domain_begin(d);
    warn_begin(d);
    return d;
}

static void deliver_free(struct deliver *d)
{
    warn_end(d);
    domain_end(d);
    rows_finish(d);
    outbound_finish(d);
    tried_finish(d);
    crash_note_close(&d->note);
    (void)pthread_cond_destroy(&d->work);
    (void)pthread_cond_destroy(&d->room);
    (void)pthread_cond_destroy(&d->done);
    (void)pthread_cond_destroy(&d->keep);
    (void)pthread_cond_destroy(&d->leave);
    (void)pthread_cond_destroy(&d->tried.any);
    (void)pthread_mutex_destroy(&d->lock);
    free(d->placers);
    free(d);
}

static void stop_threads(struct deliver *d, bool leaver, bool asker, bool keeper)
{
    (void)pthread_mutex_lock(&d->lock);
    __atomic_store_n(&d->stopping, true, __ATOMIC_RELAXED);
    (void)pthread_cond_broadcast(&d->work);
    (void)pthread_cond_broadcast(&d->room);
    (void)pthread_cond_broadcast(&d->done);
    (void)pthread_cond_broadcast(&d->keep);
    (void)pthread_cond_broadcast(&d->leave);
    (void)pthread_cond_broadcast(&d->tried.any);
    (void)pthread_mutex_unlock(&d->lock);
    for (unsigned i = 0; i < d->placer_count; i++)
        (void)pthread_join(d->placers[i], NULL);
    if (leaver)
        (void)pthread_join(d->leaver, NULL);
    if (asker)
        (void)pthread_join(d->asker, NULL);
    if (keeper)
        (void)pthread_join(d->keeper, NULL);
}

static bool start_threads(struct deliver *d, struct fail *why)
{
    int failed = 0;

    d->placers = xcalloc(d->limits.placers, sizeof *d->placers);
    while (failed == 0 && d->placer_count < d->limits.placers) {
        failed = pthread_create(&d->placers[d->placer_count], NULL, placer_run, d);
        d->placer_count += failed == 0;
    }
    if (failed == 0)
        failed = pthread_create(&d->leaver, NULL, outbound_run, d);
    const bool leaver = failed == 0;
    if (failed == 0 && d->tries)
        failed = pthread_create(&d->asker, NULL, tried_run, d);
    const bool asker = failed == 0 && d->tries;
    if (failed == 0)
        failed = pthread_create(&d->keeper, NULL, keeper_run, d);
    if (failed == 0)
        return true;
    stop_threads(d, leaver, asker, false);
    return fail_errno(why, failed, "starting the placers");
}

bool deliver_open(struct store *st, struct volumes *v, struct directory *dir,
                  const struct deliver_limits *limits, struct deliver **out, struct fail *why)
{
    struct deliver *d = deliver_new(st, v, dir, limits);
    bool ok = store_low_water(st, &d->saved_mark, why);

    if (ok && limits->note_path != NULL)
        ok = crash_note_open(limits->note_path, &d->note, why);
    if (ok) {
        job_register(d, &d->replay);
        d->replay_end = d->replay.floor;
        if (d->saved_mark < d->replay_end)
            d->replay.floor = d->saved_mark;
        else
            keeper_save_mark(d); /* takes it back if it is ahead of all that is to come */
        d->replay.left = 1;
        ok = start_threads(d, why);
    }
    if (!ok) {
        deliver_free(d);
        return fail_at(why, "delivery");
    }
    *out = d;
    return true;
}

void deliver_close(struct deliver **out, unsigned seconds)
{
    struct deliver *d = *out;

    if (d == NULL)
        return;
    const int64_t until = clock_mono_ms() + (int64_t)seconds * 1000;
    (void)pthread_mutex_lock(&d->lock);
    for (int64_t left = until - clock_mono_ms(); (d->waiting > 0 || d->busy_placers > 0) && left > 0;
         left = until - clock_mono_ms())
        deliver_wait(d, &d->done, left);
    (void)pthread_mutex_unlock(&d->lock);
    stop_threads(d, true, d->tries, true);
    keeper_save_mark(d);
    deliver_free(d);
    *out = NULL;
}

/* ---- recording ---- */

/* While the placers are behind, senders are held back. */
void deliver_wait_for_room(struct deliver *d)
{
    if (d->waiting < d->limits.backlog)
        return;
    block_begin();
    while (d->waiting >= d->limits.backlog && !d->stopping)
        deliver_wait(d, &d->room, -1);
    block_end();
}

/* From here on the low-water mark stays below it.  NULL: `why`. */
static struct job *begin(struct deliver *d, const struct delivery *in, bool wait, struct fail *why)
{
    struct job *j = job_create(d, in, why);

    if (j == NULL)
        return NULL;
    (void)pthread_mutex_lock(&d->lock);
    if (wait)
        deliver_wait_for_room(d);
    job_register(d, j);
    (void)pthread_mutex_unlock(&d->lock);
    return j;
}

/* The record is kept or it is not; with the lock. */
static void recorded(struct deliver *d, struct job *j, const struct delivery *in, bool ok)
{
    if (!ok) {
        job_unregister(d, j);
        return;
    }
    d->stats.records++;
    for (size_t i = 0; i < j->item_count; i++)
        j->items[i].reserved = hold_take(in->hold, j->items[i].target->account);
    if (j->outbound_count > 0 && in->keep != NULL)
        outbound_keep_body(d, j, in->keep);
    rows_job(d, j);
}

static bool record(struct deliver *d, const struct delivery *in, bool wait, struct fail *why)
{
    struct job *j = begin(d, in, wait, why);

    if (j == NULL)
        return false;
    bool ok = volume_append(d->volumes, &j->record, in->body, &j->ref, why);

    (void)pthread_mutex_lock(&d->lock);
    recorded(d, j, in, ok);
    (void)pthread_mutex_unlock(&d->lock);
    if (!ok)
        job_destroy(&j);
    return ok;
}

bool deliver_now(struct deliver *d, const struct delivery *in, struct fail *why)
{
    return record(d, in, false, why);
}

bool deliver_message(struct deliver *d, const struct delivery *in, struct fail *why)
{
    if (!record(d, in, true, why))
        return false;
    notice_delivered(d, in);
    return true;
}

/* ---- the same, parked ---- */

struct deliver_ticket {
    struct volume_pending pending; /* the first: see ticket_recorded */
    struct deliver *deliver;
    struct job *job;
    const struct delivery *in;
    struct waker waker;
    atomic_bool done; /* set and the waker called under the lock, so that who takes the lock has seen the last of it */
    bool ok;
    struct fail why;
};

static void ticket_recorded(struct volume_pending *p, bool ok, const struct fail *why)
{
    struct deliver_ticket *t = (struct deliver_ticket *)p;
    struct deliver *d = t->deliver;
    struct job *j = t->job;

    j->ref = p->ref;
    (void)pthread_mutex_lock(&d->lock);
    recorded(d, j, t->in, ok);
    t->ok = ok;
    t->why = *why;
    atomic_store(&t->done, true);
    (void)pthread_cond_broadcast(&d->done);
    waker_wake(t->waker);
    (void)pthread_mutex_unlock(&d->lock);
    if (!ok)
        job_destroy(&j);
}

struct deliver_ticket *deliver_start(struct deliver *d, const struct delivery *in, struct waker w, struct fail *why)
{
    struct job *j = begin(d, in, true, why);

    if (j == NULL)
        return NULL;
    struct deliver_ticket *t = xcalloc(1, sizeof *t);
    t->pending.done = ticket_recorded;
    t->deliver = d;
    t->job = j;
    t->in = in;
    t->waker = w;
    if (volume_append_later(d->volumes, &j->record, in->body, &t->pending, why))
        return t;
    (void)pthread_mutex_lock(&d->lock);
    recorded(d, j, in, false);
    (void)pthread_mutex_unlock(&d->lock);
    job_destroy(&j);
    free(t);
    return NULL;
}

bool deliver_done(const struct deliver_ticket *t)
{
    return atomic_load(&t->done);
}

bool deliver_end(struct deliver_ticket **tp, struct fail *why)
{
    struct deliver_ticket *t = *tp;
    struct deliver *d = t->deliver;

    *tp = NULL;
    (void)pthread_mutex_lock(&d->lock);
    if (!atomic_load(&t->done)) {
        block_begin();
        while (!atomic_load(&t->done))
            (void)pthread_cond_wait(&d->done, &d->lock);
        block_end();
    }
    (void)pthread_mutex_unlock(&d->lock);
    bool ok = t->ok;
    if (ok)
        notice_delivered(d, t->in);
    else
        *why = t->why;
    free(t);
    return ok;
}

/* ---- telling ---- */

void deliver_stats(struct deliver *d, struct deliver_stats *out)
{
    (void)pthread_mutex_lock(&d->lock);
    *out = d->stats;
    out->waiting = d->waiting;
    out->retrying = d->retrying;
    out->leaving = d->outbound.count + d->tried.jobs.count - d->tried.calling;
    (void)pthread_mutex_unlock(&d->lock);
}

/* Is every job that there was at the call done?  Waits no longer than until `until`; < 0: as long as it takes. */
static bool settle(struct deliver *d, int64_t until)
{
    bool done;

    (void)pthread_mutex_lock(&d->lock);
    const uint64_t number = d->next_number;
    while (!(done = d->first_job == NULL || d->first_job->number >= number) && !d->stopping) {
        int64_t left = until < 0 ? -1 : until - clock_mono_ms();
        if (until >= 0 && left <= 0)
            break;
        deliver_wait(d, &d->done, left);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return done;
}

void deliver_settle(struct deliver *d)
{
    (void)settle(d, -1);
}

void deliver_save_mark(struct deliver *d)
{
    keeper_save_mark(d);
}

bool deliver_settle_within(struct deliver *d, unsigned seconds)
{
    return settle(d, clock_mono_ms() + (int64_t)seconds * 1000);
}
