/*
 * deliver/rows.c - what waits for each account.
 *
 * Layer: deliver.  All with the lock held.  A queue is in the ready list or in a
 * placer's hands (busy), or it has only failed items and waits for its time.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "deliver/internal.h"

enum {
    BACK_OFF_MAX = 300, /* seconds */
    HELD_LOOK = 60,
};

static void list_init(struct item_list *l)
{
    *l = (struct item_list){.last = &l->first};
}

static void list_add(struct item_list *l, struct item *i)
{
    i->next = NULL;
    *l->last = i;
    l->last = &i->next;
    l->count++;
}

static struct account_queue *queue_of(struct deliver *d, uint64_t account)
{
    struct account_queue *q = idmap_get(&d->queues, account);

    if (q == NULL) {
        q = xcalloc(1, sizeof *q);
        q->account = account;
        list_init(&q->waiting);
        list_init(&q->failed);
        (void)idmap_put(&d->queues, account, q);
    }
    return q;
}

static void make_ready(struct deliver *d, struct account_queue *q)
{
    if (q->busy || q->waiting.count == 0)
        return;
    q->busy = true;
    q->next_ready = NULL;
    *d->last_ready = q;
    d->last_ready = &q->next_ready;
}

/* Every row of it waits for its account. */
static void queue_rows(struct deliver *d, struct job *j)
{
    const size_t count = j->item_count;

    for (size_t i = 0; i < count; i++) {
        struct account_queue *q = queue_of(d, j->items[i].target->account);
        list_add(&q->waiting, &j->items[i]);
        make_ready(d, q);
    }
    d->waiting += count;
    if (count > 0 && d->idle_placers > 0)
        (void)(count == 1 ? pthread_cond_signal(&d->work) : pthread_cond_broadcast(&d->work));
}

/* Out of the backlog, which is of what can be done now; the low-water mark stays below it. */
static void hold_rows(struct deliver *d, struct job *j)
{
    j->next_held = d->held;
    d->held = j;
    if (d->next_held == 0 || j->hold_until < d->next_held)
        d->next_held = j->hold_until;
    (void)pthread_cond_signal(&d->work); /* whoever sleeps must know the new time */
}

void rows_job(struct deliver *d, struct job *j)
{
    if (j->hold_until > 0 && j->item_count > 0 && j->hold_until > clock_now())
        hold_rows(d, j);
    else
        queue_rows(d, j);
    if (j->outbound_count > 0)
        outbound_queue_job(d, j);
}

int64_t rows_held_due(struct deliver *d)
{
    const int64_t now = clock_now();
    struct job *j = d->held;

    if (j == NULL)
        return -1;
    if (now >= d->next_held) {
        d->held = NULL;
        d->next_held = 0;
        while (j != NULL) {
            struct job *next = j->next_held;
            if (j->hold_until > now)
                hold_rows(d, j);
            else
                queue_rows(d, j);
            j = next;
        }
    }
    /* The machine's clock may be set: it is looked at now and then. */
    const int64_t left = d->next_held - now;
    return d->held == NULL ? -1 : (left < HELD_LOOK ? left : HELD_LOOK) * 1000;
}

struct account_queue *rows_next(struct deliver *d)
{
    struct account_queue *q = d->first_ready;

    if (q != NULL) {
        d->first_ready = q->next_ready;
        if (d->first_ready == NULL)
            d->last_ready = &d->first_ready;
    }
    return q;
}

struct item *rows_take(struct account_queue *q, size_t max, size_t *count)
{
    struct item *first = q->waiting.first, *i = first;
    size_t n = 0;

    while (i != NULL && ++n < max && i->next != NULL)
        i = i->next;
    if (i != NULL) {
        q->waiting.first = i->next;
        i->next = NULL;
    }
    if (q->waiting.first == NULL)
        q->waiting.last = &q->waiting.first;
    q->waiting.count -= n;
    *count = n;
    return first;
}

void rows_failed(struct deliver *d, struct account_queue *q, struct item *i, const struct fail *why)
{
    if (q->back_off == 0 && q->failed.count == 0) /* once, not for every message and try */
        log_event(LOG_ERROR, "deliver.delayed", LOG_U64("account", q->account),
                  LOG_TEXT("trace", i->job->record.trace), LOG_FAIL(why));
    list_add(&q->failed, i);
    d->retrying++;
}

/* The next try of what has failed: sooner at first, later and later. */
static void schedule_retry(struct deliver *d, struct account_queue *q)
{
    q->back_off = q->back_off == 0 ? d->limits.retry_seconds : q->back_off * 2;
    if (q->back_off > BACK_OFF_MAX)
        q->back_off = BACK_OFF_MAX;
    q->retry_at = clock_mono_ms() + (int64_t)q->back_off * 1000;
    q->in_retry_list = true;
    q->next_retry = d->retries;
    d->retries = q;
    (void)pthread_cond_signal(&d->work); /* whoever sleeps must know the new time */
}

void rows_done(struct deliver *d, struct account_queue *q)
{
    q->busy = false;
    if (q->failed.count > 0 && !q->in_retry_list)
        schedule_retry(d, q);
    if (q->failed.count == 0 && q->back_off > 0) {
        log_event(LOG_INFO, "deliver.resumed", LOG_U64("account", q->account));
        q->back_off = 0;
    }
    if (q->waiting.count > 0) {
        make_ready(d, q);
    } else if (q->failed.count == 0) {
        (void)idmap_remove(&d->queues, q->account);
        free(q);
    }
}

/* What failed waits again, in front of what came since. */
static void try_again(struct deliver *d, struct account_queue *q)
{
    const size_t n = q->failed.count;

    *q->failed.last = q->waiting.first;
    if (q->waiting.first == NULL)
        q->waiting.last = q->failed.last;
    q->waiting.first = q->failed.first;
    q->waiting.count += n;
    list_init(&q->failed);
    d->retrying -= n;
    d->waiting += n;
    make_ready(d, q);
}

int64_t rows_retry_due(struct deliver *d, int64_t now)
{
    int64_t soonest = -1;

    for (struct account_queue **at = &d->retries; *at != NULL;) {
        struct account_queue *q = *at;
        if (q->retry_at <= now) {
            *at = q->next_retry;
            q->in_retry_list = false;
            try_again(d, q);
            continue;
        }
        if (soonest < 0 || q->retry_at - now < soonest)
            soonest = q->retry_at - now;
        at = &q->next_retry;
    }
    return soonest;
}

void job_drop(struct job *j, size_t rows)
{
    j->left -= rows;
    if (j->left == 0)
        job_destroy(&j);
}

static void drop_items(struct item *i)
{
    while (i != NULL) {
        struct item *next = i->next;
        job_drop(i->job, 1);
        i = next;
    }
}

void rows_finish(struct deliver *d)
{
    size_t at = 0;
    uint64_t account;
    void *value;

    while (idmap_next(&d->queues, &at, &account, &value)) {
        struct account_queue *q = value;
        drop_items(q->waiting.first);
        drop_items(q->failed.first);
        free(q);
    }
    idmap_finish(&d->queues);
    for (struct job *j = d->held; j != NULL;) {
        struct job *next = j->next_held;
        job_drop(j, j->item_count);
        j = next;
    }
}
