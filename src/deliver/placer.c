/*
 * deliver/placer.c - the threads that write rows.
 *
 * Layer: deliver.
 */
#include "base/clock.h"
#include "base/log.h"
#include "deliver/internal.h"

enum { BATCH_MAX = 256 };

/* The items of one account that a placer has in its hands. */
struct batch {
    struct item *items[BATCH_MAX];
    struct place_item place[BATCH_MAX];
    struct placed_at at[BATCH_MAX];
    bool failed[BATCH_MAX];
    size_t count;
};

static void batch_fill(struct batch *b, struct item *first)
{
    b->count = 0;
    for (struct item *i = first; i != NULL; i = i->next) {
        const struct job *j = i->job;
        b->items[b->count] = i;
        b->at[b->count].uid = 0;
        b->failed[b->count] = false;
        b->place[b->count] = (struct place_item){.ref = j->ref,
                                                 .target = i->target,
                                                 .reserved = i->reserved,
                                                 .facts = &j->facts,
                                                 .internal_date = j->record.internal_date,
                                                 .internal_zone = j->record.internal_zone,
                                                 .at = &b->at[b->count]};
        b->count++;
    }
}

/* An account that the directory no longer knows has no use for mail. */
static bool is_gone(struct deliver *d, uint64_t account, const struct fail *why)
{
    struct arena a;
    struct directory_account found;
    struct fail said = {0};

    if (why->reason != FAIL_NOT_FOUND)
        return false;
    arena_init(&a, 4096);
    bool known = directory_account(d->directory, account, &a, &found, &said);
    arena_finish(&a);
    return !known && said.reason == FAIL_NOT_FOUND;
}

static void fail_all(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        b->failed[i] = true;
}

/* Places the batch and says which of it failed, for `why`.  What spoils a batch is found by trying each
 * alone. */
static void place(struct deliver *d, uint64_t account, struct batch *b, struct fail *why)
{
    struct account *a = NULL;

    if (!store_account(d->store, account, &a, why)) {
        if (is_gone(d, account, why)) {
            for (size_t i = 0; i < b->count; i++)
                quota_release(d->store, account, b->place[i].reserved);
            log_event(LOG_WARNING, "deliver.dropped", LOG_U64("account", account),
                      LOG_U64("messages", b->count), LOG_CSTR("reason", "the account was removed"));
        } else {
            fail_all(b);
        }
        return;
    }
    if (!message_place(a, b->place, b->count, why))
        for (size_t i = 0; i < b->count; i++)
            b->failed[i] = b->count == 1 || !message_place(a, &b->place[i], 1, why);
    account_release(&a);
}

/* For whoever follows a message to its mailbox. */
static void tell_placed(const struct batch *b, uint64_t account)
{
    for (size_t i = 0; i < b->count; i++) {
        if (!b->failed[i] && b->at[i].uid != 0)
            log_trace("deliver.placed", LOG_TEXT("trace", b->items[i]->job->record.trace),
                      LOG_TEXT("to", b->items[i]->target->recipient), LOG_U64("account", account),
                      LOG_CSTR("mailbox", b->at[i].mailbox), LOG_U64("uid", b->at[i].uid));
    }
}

/* What has failed for too long is returned, and then as good as placed. */
static void give_up_old(struct deliver *d, struct batch *b, const struct fail *why)
{
    for (size_t i = 0; i < b->count; i++) {
        if (!b->failed[i] || !notice_give_up(d, b->items[i], why))
            continue;
        quota_release(d->store, b->items[i]->target->account, b->place[i].reserved);
        b->failed[i] = false;
    }
}

/* After placing: counts, finishes jobs, puts aside what failed.  With the lock held. */
static void settle(struct deliver *d, struct account_queue *q, struct batch *b, const struct fail *why)
{
    /* senders that were held back are woken together, not one by one */
    const unsigned enough = d->limits.backlog - d->limits.backlog / 4;
    const bool was_full = d->waiting >= enough;

    d->waiting -= b->count;
    for (size_t i = 0; i < b->count; i++) {
        if (b->failed[i]) {
            rows_failed(d, q, b->items[i], why);
        } else {
            d->stats.placed++;
            job_placed(d, b->items[i]->job, 1);
        }
    }
    if (was_full && d->waiting < enough)
        (void)pthread_cond_broadcast(&d->room);
    (void)pthread_cond_broadcast(&d->done);
}

static void work_on(struct deliver *d, struct account_queue *q, struct batch *b)
{
    struct fail why = {0};
    size_t count;
    struct item *first = rows_take(q, BATCH_MAX, &count);

    d->busy_placers++;
    (void)pthread_mutex_unlock(&d->lock);
    batch_fill(b, first);
    place(d, q->account, b, &why);
    tell_placed(b, q->account);
    give_up_old(d, b, &why);
    (void)pthread_mutex_lock(&d->lock);
    d->busy_placers--;
    settle(d, q, b, &why);
    rows_done(d, q);
}

void *placer_run(void *deliver)
{
    struct deliver *d = deliver;
    struct batch b;

    (void)pthread_mutex_lock(&d->lock);
    for (;;) {
        int64_t retry_in = d->retries != NULL ? rows_retry_due(d, clock_mono_ms()) : -1,
                held_in = rows_held_due(d);
        if (held_in >= 0 && (retry_in < 0 || held_in < retry_in))
            retry_in = held_in;
        struct account_queue *q = rows_next(d);

        if (q != NULL) {
            work_on(d, q, &b);
            continue;
        }
        if (d->stopping)
            break;
        d->idle_placers++;
        deliver_wait(d, &d->work, retry_in);
        d->idle_placers--;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return NULL;
}
