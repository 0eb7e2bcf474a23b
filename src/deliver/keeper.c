/*
 * deliver/keeper.c - what a crash left, and the low-water mark.
 *
 * Layer: deliver.  One thread: at first it goes through the records above the mark
 * that was saved and queues what has no row yet; then it saves the mark now and
 * then.  The mark only spares work: one that is too low costs a longer look at
 * the next start and nothing else.  One that is too high would cost mail: a volume
 * that never came to hold a record leaves no number behind, so after a start the
 * next record may be below a mark that was saved in it.  Then the mark goes back.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "deliver/internal.h"

void keeper_save_mark(struct deliver *d)
{
    struct fail why = {0};

    (void)pthread_mutex_lock(&d->lock);
    volume_ref mark = d->first_job != NULL ? d->first_job->floor : volume_end(d->volumes);
    bool moved = mark != d->saved_mark;
    (void)pthread_mutex_unlock(&d->lock);
    if (!moved)
        return;
    if (!store_set_low_water(d->store, mark, &why)) {
        log_event(LOG_WARNING, "deliver.mark", LOG_FAIL(&why));
        return;
    }
    (void)pthread_mutex_lock(&d->lock);
    d->saved_mark = mark;
    (void)pthread_mutex_unlock(&d->lock);
}

/* An account that gets it twice has perhaps one of two rows: the sender's own copy has its mailbox. */
static bool is_alone(const struct record *rec, const struct record_target *t)
{
    for (size_t i = 0; i < rec->target_count; i++)
        if (&rec->targets[i] != t && rec->targets[i].account == t->account && rec->targets[i].mailbox != t->mailbox)
            return false;
    return true;
}

/* Has this target no row yet?  When in doubt it has none: placing twice is harmless. */
static bool is_missing(struct deliver *d, volume_ref ref, const struct record *rec, const struct record_target *t)
{
    struct account *a = NULL;
    struct fail why = {0};
    bool placed = false;

    if (t->kind != RECORD_LOCAL)
        return !store_is_released(d->store, STORE_OWNER_QUEUE, ref, &placed, &why) || !placed;
    if (t->mailbox != 0 && !is_alone(rec, t))
        return true;
    if (!store_account(d->store, t->account, &a, &why))
        return true;
    if (!message_was_placed(a, ref, &placed, &why))
        placed = false;
    account_release(&a);
    return !placed;
}

/* Waits for room in the backlog and queues the job as one of the replay's. */
static void hand_over(struct deliver *d, struct job *j)
{
    (void)pthread_mutex_lock(&d->lock);
    deliver_wait_for_room(d);
    j->parent = &d->replay;
    d->replay.left++;
    rows_job(d, j);
    (void)pthread_mutex_unlock(&d->lock);
}

struct replay {
    struct deliver *d;
    uint64_t seen, queued;
};

static bool replay_record(void *ctx, volume_ref ref, const struct record *rec)
{
    struct replay *r = ctx;
    struct deliver *d = r->d;
    size_t count = 0;

    if (ref >= d->replay_end || __atomic_load_n(&d->stopping, __ATOMIC_RELAXED))
        return false;
    if (rec->kind != RECORD_DELIVERY)
        return true;
    r->seen++;
    SCOPED(scoped_free) bool *missing = xcalloc(rec->target_count + 1, sizeof *missing);
    for (size_t i = 0; i < rec->target_count; i++) {
        missing[i] = is_missing(d, ref, rec, &rec->targets[i]);
        count += missing[i];
    }
    if (count > 0) {
        hand_over(d, job_recover(d, ref, rec, missing, count));
        r->queued++;
    }
    return true;
}

/* false: the volumes could not all be read. */
static bool replay_all(struct deliver *d)
{
    struct replay r = {.d = d};
    uint64_t damaged = 0;
    struct fail why = {0};

    bool ok = volume_scan(d->volumes, d->replay.floor, replay_record, &r, &damaged, &why);
    if (!ok || damaged > 0 || r.queued > 0)
        log_event(ok && damaged == 0 ? LOG_INFO : LOG_ERROR, "deliver.replayed", LOG_U64("records", r.seen),
                  LOG_U64("placed", r.queued), LOG_U64("damaged", damaged), LOG_FAIL(&why));
    (void)pthread_mutex_lock(&d->lock);
    if (ok && !d->stopping)
        job_placed(d, &d->replay, 1); /* the scan; what it queued is still counted */
    (void)pthread_mutex_unlock(&d->lock);
    return ok;
}

void *keeper_run(void *deliver)
{
    struct deliver *d = deliver;
    bool replayed = replay_all(d);

    (void)pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        unsigned seconds = replayed ? d->limits.mark_seconds : d->limits.retry_seconds;
        deliver_wait(d, &d->keep, (int64_t)seconds * 1000);
        (void)pthread_mutex_unlock(&d->lock);
        replayed = replayed || replay_all(d); /* what it finds a second time is placed once */
        keeper_save_mark(d);
        warn_all(d);
        (void)pthread_mutex_lock(&d->lock);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return NULL;
}
