/*
 * queue/commit.c - one thread writes what all the others want written.
 *
 * Layer: queue, private.  Whatever gathered while the last transaction went to disk becomes the next: one sync for many.
 * If one of them fails they are all tried again, each in a transaction of its own, so that nobody fails for another.
 */
#include <errno.h>
#include <time.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/log.h"
#include "queue/internal.h"

enum { BATCH = 512, RETRY_MS = 1000, GATHER_MS = 10, WAL_MOST = 16 << 20 };

void queue_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(cond, lock, &until);
}

void queue_db_lock(struct queue *q)
{
    (void)pthread_mutex_lock(&q->db_lock);
    if (!db_out_of_service(q->db) || q->copying)
        return;
    db_revive(q->db);
    if (!db_out_of_service(q->db))
        (void)queue_read_counts(q, NULL);
}

void queue_db_unlock(struct queue *q)
{
    (void)pthread_mutex_unlock(&q->db_lock);
}

void commit_start_locked(struct queue *q, struct op *o)
{
    o->next = NULL;
    *q->last_op = o;
    q->last_op = &o->next;
    q->op_count++;
    q->hurried += !o->waits;
    if (!o->waits || q->op_count == 1 || q->op_count == BATCH)
        (void)pthread_cond_signal(&q->commits);
}

void commit_start(struct queue *q, struct op *o)
{
    (void)pthread_mutex_lock(&q->lock);
    commit_start_locked(q, o);
    (void)pthread_mutex_unlock(&q->lock);
}

/* ---- somebody waits ---- */

struct waiting {
    struct op    mine;
    struct op   *inner;
    struct fail *why;
    bool         done, ok;
};

static bool waiting_prepare(struct queue *q, struct op *o)
{
    struct waiting *w = (struct waiting *)o;
    bool            wrote = w->inner->prepare != NULL && w->inner->prepare(q, w->inner);

    o->first_ref = w->inner->first_ref;
    o->last_ref = w->inner->last_ref;
    return wrote;
}

static bool waiting_run(struct queue *q, struct op *o, struct fail *why)
{
    struct waiting *w = (struct waiting *)o;

    return w->inner->run(q, w->inner, why);
}

static bool waiting_after(struct queue *q, struct op *o, bool ok, const struct fail *why)
{
    struct waiting *w = (struct waiting *)o;

    if (!ok && w->why != NULL)
        *w->why = *why;
    if (w->inner->after != NULL)
        (void)w->inner->after(q, w->inner, ok, why);
    (void)pthread_mutex_lock(&q->lock);
    w->ok = ok;
    w->done = true;
    (void)pthread_cond_broadcast(&q->room);
    (void)pthread_mutex_unlock(&q->lock);
    return true;
}

bool commit_wait(struct queue *q, struct op *o, struct fail *why)
{
    struct waiting w = {.mine = {.prepare = waiting_prepare, .run = waiting_run, .after = waiting_after}, .inner = o, .why = why};

    block_begin();
    commit_start(q, &w.mine);
    (void)pthread_mutex_lock(&q->lock);
    while (!w.done)
        (void)pthread_cond_wait(&q->room, &q->lock);
    (void)pthread_mutex_unlock(&q->lock);
    block_end();
    return w.ok;
}

/* ---- the transaction ---- */

/* Destinations whose rows did not come to be. */
static void forget_made(struct queue *q, bool kept)
{
    (void)pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < q->made.count && !kept; i++) {
        struct destination *d = q->made.list[i];
        if (idmap_get(&q->ids, d->id) == d)
            (void)idmap_remove(&q->ids, d->id);
        d->id = 0;
        d->stored_next = NEVER_DUE;
        schedule_wake(q, d, clock_now() + 1); /* the disk may know more of it than memory */
    }
    q->made.count = 0;
    (void)pthread_mutex_unlock(&q->lock);
}

static bool write_counts(struct queue *q, struct fail *why)
{
    struct counts *c = &q->counts, *d = &q->delta;

    if (d->messages == 0 && d->recipients == 0 && d->held == 0 && d->taken == 0)
        return true;
    return db_run(q->db, SQL_SET_COUNTS, why, "iiii", c->messages + d->messages, c->recipients + d->recipients,
                  c->held + d->held, c->taken + d->taken);
}

static void keep_counts(struct queue *q)
{
    q->counts.messages += q->delta.messages;
    q->counts.recipients += q->delta.recipients;
    q->counts.held += q->delta.held;
    q->counts.taken += q->delta.taken;
    (void)pthread_mutex_lock(&q->lock);
    q->shown = q->counts;
    (void)pthread_mutex_unlock(&q->lock);
}

static bool run_all(struct queue *q, struct op *const *ops, size_t count, struct fail *why)
{
    q->delta = (struct counts){0};
    bool ok = db_begin(q->db, why);
    for (size_t i = 0; ok && i < count; i++)
        ok = ops[i]->run(q, ops[i], why);
    ok = ok && write_counts(q, why) && db_commit(q->db, why);
    if (ok)
        keep_counts(q);
    else
        db_rollback(q->db);
    forget_made(q, ok);
    return ok;
}

static void prepare_all(struct queue *q, struct op *const *ops, size_t count)
{
    volume_ref  first = 0, last = 0;
    struct fail why;

    for (size_t i = 0; i < count; i++) {
        if (ops[i]->prepare == NULL || !ops[i]->prepare(q, ops[i]))
            continue;
        if (first == 0 || ops[i]->first_ref < first)
            first = ops[i]->first_ref;
        if (ops[i]->last_ref > last)
            last = ops[i]->last_ref;
    }
    bool synced = first == 0 || volume_sync(q->volumes, first, last, &why);
    for (size_t i = 0; i < count; i++)
        if (!synced)
            ops[i]->first_ref = ops[i]->last_ref = 0; /* their records do not count */
}

static void again(struct queue *q, struct op *o)
{
    (void)pthread_mutex_lock(&q->lock);
    o->next = NULL;
    *q->last_op = o;
    q->last_op = &o->next;
    q->op_count++;
    q->hurried += !o->waits;
    (void)pthread_mutex_unlock(&q->lock);
}

/* true: all of it is done. */
static bool run_batch(struct queue *q, struct op *const *ops, size_t count)
{
    bool        ok[BATCH], settled = true;
    struct fail why[1] = {{0}}, *each = xcalloc(count, sizeof *each);

    prepare_all(q, ops, count);
    queue_db_lock(q);
    bool all = run_all(q, ops, count, why);
    for (size_t i = 0; i < count; i++)
        ok[i] = all || run_all(q, &ops[i], 1, &each[i]);
    if (db_wal_bytes(q->db) > WAL_MOST && !db_checkpoint(q->db, false, why))
        log_event(LOG_WARNING, "queue.checkpoint", LOG_FAIL(why));
    queue_db_unlock(q);
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->after(q, ops[i], ok[i], &each[i]))
            continue;
        log_event(LOG_ERROR, "queue.not_written", LOG_FAIL(&each[i]));
        again(q, ops[i]);
        settled = false;
    }
    free(each);
    return settled;
}

static size_t take_batch(struct queue *q, struct op **ops)
{
    size_t count = 0;

    while (q->first_op != NULL && count < BATCH) {
        q->hurried -= !q->first_op->waits;
        ops[count++] = q->first_op;
        q->first_op = q->first_op->next;
    }
    if (q->first_op == NULL)
        q->last_op = &q->first_op;
    q->op_count -= count;
    return count;
}

/* Nobody waits for a report to be written: what else comes in a moment shares its transaction, and its sync. */
static void gather(struct queue *q)
{
    const int64_t until = clock_mono_ms() + GATHER_MS;

    while (q->op_count > 0 && q->op_count < BATCH && q->hurried == 0 && !q->stop_commits) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        queue_wait(&q->commits, &q->lock, left);
    }
}

void *commit_run(void *queue)
{
    struct queue *q = queue;
    struct op    *ops[BATCH];

    (void)pthread_mutex_lock(&q->lock);
    for (;;) {
        gather(q);
        size_t count = take_batch(q, ops);
        if (count == 0) {
            (void)pthread_cond_broadcast(&q->idle);
            if (q->stop_commits)
                break;
            (void)pthread_cond_wait(&q->commits, &q->lock);
            continue;
        }
        q->committing = true;
        (void)pthread_mutex_unlock(&q->lock);
        bool settled = run_batch(q, ops, count);
        (void)pthread_mutex_lock(&q->lock);
        q->committing = false;
        (void)pthread_cond_broadcast(&q->room);
        if (!settled && !q->stop_commits)
            queue_wait(&q->commits, &q->lock, RETRY_MS);
        else if (!settled)
            break; /* the disk has the last word: these rows are due again at the next start */
    }
    (void)pthread_mutex_unlock(&q->lock);
    return NULL;
}

/* Operations are run in the order in which they came. */
static bool run_nothing(struct queue *q, struct op *o, struct fail *why)
{
    (void)q;
    (void)o;
    (void)why;
    return true;
}

void queue_settle(struct queue *q)
{
    struct op nothing = {.run = run_nothing};

    (void)commit_wait(q, &nothing, NULL);
}
