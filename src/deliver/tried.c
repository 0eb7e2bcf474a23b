/*
 * deliver/tried.c - what the queue role tries from memory.
 *
 * Layer: deliver.  A message that is handed over for the first time may be tried by the queue role before it writes anything of it
 * (queue/direct.h): its record here stays the intent, and one thread asks what became of those that are out.  Delivered or spooled there,
 * the record is released; if the queue role went away before it said so, or could not keep it, it is handed over again, and in the other
 * way: that role knows by the id whether it has it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "deliver/internal.h"

enum { OVER_MOST = 1024, PAUSE_MS = 100 };

/* ---- by the thread that hands over; with the lock held ---- */

void tried_begin(struct deliver *d, struct job *j)
{
    j->calling = true;
    j->word = WORD_NONE;
    d->tried.calling++;
    (void)idmap_put(&d->tried.jobs, j->ref, j);
    if (d->tried.waits)
        (void)pthread_cond_signal(&d->tried.any);
}

void tried_end(struct deliver *d, struct job *j, bool tried)
{
    j->calling = false;
    d->tried.calling -= j->word == WORD_NONE;
    if (!tried)
        (void)idmap_remove(&d->tried.jobs, j->ref);
    if (!tried || j->word == WORD_NONE)
        return;
    if (j->word == WORD_AGAIN) {
        outbound_queue_job(d, j);
        return;
    }
    j->next_outbound = d->tried.late;
    d->tried.late = j;
    if (d->tried.waits)
        (void)pthread_cond_signal(&d->tried.any);
}

/* ---- by the thread that asks ---- */

struct words {
    struct queue_over list[OVER_MOST];
    struct job *jobs[2 * OVER_MOST]; /* that are taken */
    struct store_release releases[2 * OVER_MOST];
    size_t count, taken;
};

static void add_taken(struct words *w, struct job *j)
{
    w->releases[w->taken] = (struct store_release){.ref = j->ref, .size = j->record.size, .owners = j->owners};
    w->jobs[w->taken++] = j;
}

/* Whose it is: a job that is out, or one whose hand-over has not even returned.  With the lock. */
static void hear(struct deliver *d, struct words *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct job *j = idmap_get(&d->tried.jobs, w->list[i].id);
        if (j == NULL)
            continue; /* of an earlier process of this role */
        (void)idmap_remove(&d->tried.jobs, j->ref);
        if (j->calling) {
            j->word = w->list[i].taken ? WORD_TAKEN : WORD_AGAIN;
            d->tried.calling--;
        } else if (w->list[i].taken) {
            add_taken(w, j);
        } else {
            outbound_queue_job(d, j);
        }
    }
}

/* With the lock, which is let go meanwhile. */
static void release(struct deliver *d, struct words *w)
{
    struct fail why;

    if (w->taken == 0)
        return;
    (void)pthread_mutex_unlock(&d->lock);
    bool ok = store_release(d->store, STORE_OWNER_QUEUE, w->releases, w->taken, &why);
    (void)pthread_mutex_lock(&d->lock);
    if (!ok)
        log_event(LOG_WARNING, "deliver.not_released", LOG_U64("records", w->taken), LOG_FAIL(&why));
    for (size_t i = 0; i < w->taken; i++) {
        if (!ok) {
            outbound_queue_job(d, w->jobs[i]); /* the queue role will say that it knows it */
            continue;
        }
        d->stats.outbound++;
        job_placed(d, w->jobs[i], 1);
    }
    (void)pthread_cond_broadcast(&d->done);
}

/* Those whose hand-over returned later than the word of them. */
static void hear_late(struct deliver *d, struct words *w)
{
    while (d->tried.late != NULL && w->taken < OVER_MOST) {
        struct job *j = d->tried.late;
        d->tried.late = j->next_outbound;
        add_taken(w, j);
    }
}

/* The queue role is away: all that was out is handed over again once it is back.  With the lock. */
static void all_again(struct deliver *d)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    while (idmap_next(&d->tried.jobs, &at, &id, &value)) {
        struct job *j = value;
        if (j->calling)
            continue;
        (void)idmap_remove(&d->tried.jobs, id);
        outbound_queue_job(d, j);
        at = 0;
    }
}

void *tried_run(void *deliver)
{
    struct deliver *d = deliver;
    const struct deliver_outbound *to = d->limits.outbound;
    struct words *w = xcalloc(1, sizeof *w);
    struct fail why;

    (void)pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        w->taken = 0;
        hear_late(d, w);
        if (d->tried.jobs.count == 0) {
            if (w->taken > 0) {
                release(d, w);
                continue;
            }
            d->tried.waits = true;
            deliver_wait(d, &d->tried.any, -1);
            d->tried.waits = false;
            continue;
        }
        (void)pthread_mutex_unlock(&d->lock);
        bool ok = to->outcomes(to->ctx, w->list, OVER_MOST, &w->count, &why);
        (void)pthread_mutex_lock(&d->lock);
        if (ok) {
            hear(d, w);
            release(d, w);
        } else {
            release(d, w);
            all_again(d);
            if (!d->stopping)
                deliver_wait(d, &d->tried.any, PAUSE_MS);
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    free(w);
    return NULL;
}

void tried_finish(struct deliver *d)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    while (idmap_next(&d->tried.jobs, &at, &id, &value))
        job_drop(value, 1);
    while (d->tried.late != NULL) {
        struct job *j = d->tried.late;
        d->tried.late = j->next_outbound;
        job_drop(j, 1);
    }
    idmap_finish(&d->tried.jobs);
}
