/*
 * queue/claim.c - a group of recipients in the hands of whoever sends to them.
 *
 * Layer: queue, private and the part of queue/queue.h that relay uses.  What has just come is claimed as it came; all else is
 * read from its rows.  A claim is in memory only: after a crash its rows are due as before.
 */
#include <stdlib.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/log.h"
#include "queue/direct.h"

struct queue_claim *claim_create(void)
{
    struct queue_claim *c = xcalloc(1, sizeof *c);

    arena_init(&c->arena, CLAIM_ARENA);
    return c;
}

void claim_free(struct queue *q, struct queue_claim *c)
{
    if (c == NULL)
        return;
    direct_free(c->direct);
    if (c->charged > 0)
        (void)__atomic_sub_fetch(&q->fresh_bytes, c->charged, __ATOMIC_RELAXED);
    arena_finish(&c->arena);
    free(c);
}

/* ---- from rows; with db_lock ---- */

static bool load_recipients(struct queue *q, struct queue_claim *c, uint64_t head, int64_t until, uint64_t *destination,
                            struct queue_outcome **stored, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_GROUP, why);
    bool            ok = true;

    if (s == NULL)
        return false;
    c->recipients = arena_new_array(&c->arena, struct queue_attempt, GROUP_MAX);
    if (stored != NULL)
        *stored = arena_new_array(&c->arena, struct queue_outcome, GROUP_MAX);
    db_bind_i64(s, 1, (int64_t)head);
    while (c->recipient_count < GROUP_MAX && db_step(s, why)) {
        struct queue_attempt *r = &c->recipients[c->recipient_count];
        if (db_col_i64(s, 8) > until)
            continue;
        *destination = (uint64_t)db_col_i64(s, 3);
        c->message = (uint64_t)db_col_i64(s, 2);
        r->row = (uint64_t)db_col_i64(s, 0);
        r->address = arena_keep(&c->arena, db_col_text(s, 4));
        r->prefix = arena_keep(&c->arena, db_col_text(s, 5));
        ok = ok && recipient_options_read(&c->arena, arena_keep(&c->arena, db_col_text(s, 6)), &r->options);
        r->attempts = (unsigned)db_col_i64(s, 7);
        r->last = db_col_i64(s, 15);
        if (stored != NULL)
            (*stored)[c->recipient_count] = (struct queue_outcome){.fate = QUEUE_LATER,
                                                                   .code = (unsigned)db_col_i64(s, 11),
                                                                   .status = arena_keep(&c->arena, db_col_text(s, 12)),
                                                                   .remote = arena_keep(&c->arena, db_col_text(s, 13)),
                                                                   .text = arena_keep(&c->arena, db_col_text(s, 14))};
        c->recipient_count++;
    }
    if (!db_done(s, why))
        return false;
    return ok || fail_set(why, FAIL_PERM, FAIL_OTHER, "group %llu: its options cannot be read", (unsigned long long)head);
}

static bool load_message(struct queue *q, struct queue_claim *c, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_MESSAGE, why);

    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)c->message);
    bool found = db_step(s, why);
    bool ok = true;
    if (found) {
        c->size = (uint64_t)db_col_i64(s, 0);
        c->sender = arena_keep(&c->arena, db_col_text(s, 1));
        c->trace = arena_keep(&c->arena, db_col_text(s, 2));
        ok = envelope_options_read(&c->arena, arena_keep(&c->arena, db_col_text(s, 3)), &c->options);
        c->received = db_col_i64(s, 4);
        c->expires = db_col_i64(s, 5);
        c->delivery = (uint64_t)db_col_i64(s, 6);
    }
    if (!db_done(s, why))
        return false;
    return (found && ok) || fail_set(why, FAIL_PERM, FAIL_OTHER, "message %llu cannot be read", (unsigned long long)c->message);
}

static bool load_name(struct queue *q, struct queue_claim *c, uint64_t destination, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_DESTINATION_NAME, why);

    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)destination);
    bool found = db_step(s, why);
    if (found)
        c->destination = arena_keep(&c->arena, db_col_text(s, 0));
    if (!db_done(s, why))
        return false;
    return found || fail_set(why, FAIL_PERM, FAIL_OTHER, "destination %llu has no row", (unsigned long long)destination);
}

struct queue_claim *claim_load(struct queue *q, uint64_t head, int64_t until, struct queue_outcome **stored, struct fail *why)
{
    struct queue_claim *c = claim_create();
    uint64_t            destination = 0;

    *why = (struct fail){0};
    c->head = head;
    if (load_recipients(q, c, head, until, &destination, stored, why) && c->recipient_count > 0 && load_message(q, c, why) &&
        load_name(q, c, destination, why))
        return c;
    claim_free(q, c);
    return NULL;
}

/* ---- for relay ---- */

/* NULL: there is nothing to be sent after all. */
struct queue_claim *claim_of_item(struct queue *q, struct item *i)
{
    struct queue_claim *c = i->fresh;
    struct fail         why = {0};

    i->fresh = NULL;
    if (c == NULL) {
        block_begin();
        queue_db_lock(q);
        c = claim_load(q, i->head, clock_now(), NULL, &why);
        queue_db_unlock(q);
        block_end();
    }
    (void)pthread_mutex_lock(&q->lock);
    if (c != NULL) {
        c->item = i;
        i->claim = c;
        c->afresh = i->at->afresh;
        i->at->afresh = false;
        q->active_recipients += c->recipient_count;
    } else {
        struct destination *d = i->at;
        if (why.text[0] != '\0') {
            log_event(LOG_ERROR, "queue.unreadable", LOG_HEX("queue_id", i->message), LOG_FAIL(&why));
            d->not_before = clock_now() + 60;
            d->more = true;
            schedule_wake(q, d, d->not_before);
        }
        schedule_leave(q, i, true);
        item_free(q, i);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return c;
}

struct queue_claim *queue_claim(struct queue *q)
{
    struct queue_claim *c = NULL;

    (void)pthread_mutex_lock(&q->lock);
    while (!q->stop_claims && c == NULL) {
        struct item *i = schedule_pick(q, clock_now());
        if (i == NULL) {
            q->claimers++;
            (void)pthread_cond_wait(&q->claims, &q->lock);
            q->claimers--;
            q->called -= q->called > 0;
            continue;
        }
        schedule_call(q); /* there may be more than one */
        (void)pthread_mutex_unlock(&q->lock);
        c = claim_of_item(q, i);
        (void)pthread_mutex_lock(&q->lock);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return c;
}

/* A place that queue_report_more kept is for others now. */
static void pass(struct queue *q, struct slice name)
{
    struct destination *d = destination_get(q, name);

    if (d != NULL)
        schedule_offer(q, d);
}

struct queue_claim *queue_claim_more(struct queue *q, struct slice destination)
{
    struct queue_claim *c = NULL;

    (void)pthread_mutex_lock(&q->lock);
    while (!q->stop_claims && c == NULL) {
        struct destination *d = destination_get(q, destination);
        struct item        *i = d != NULL && !d->home ? schedule_pick_at(q, d, clock_now()) : NULL;
        if (i == NULL)
            break;
        (void)pthread_mutex_unlock(&q->lock);
        c = claim_of_item(q, i);
        (void)pthread_mutex_lock(&q->lock);
    }
    if (c == NULL)
        pass(q, destination);
    (void)pthread_mutex_unlock(&q->lock);
    return c;
}

void queue_pass(struct queue *q, struct slice destination)
{
    (void)pthread_mutex_lock(&q->lock);
    pass(q, destination);
    (void)pthread_mutex_unlock(&q->lock);
}

void queue_stop_claims(struct queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    q->stop_claims = true;
    (void)pthread_cond_broadcast(&q->claims);
    (void)pthread_cond_broadcast(&q->overs);
    (void)pthread_mutex_unlock(&q->lock);
}

bool queue_read(struct queue *q, const struct queue_claim *c, uint64_t offset, void *out, size_t n, struct fail *why)
{
    size_t got = 0;

    if (c->direct == NULL)
        return volume_read(q->volumes, c->message, offset, out, n, why);
    return body_read(c->direct->body, offset, out, n, &got, why) &&
           (got == n || fail_set(why, FAIL_PERM, FAIL_OTHER, "the message ends too soon"));
}

bool queue_peek(struct queue *q, uint64_t message, uint64_t offset, void *out, size_t n, struct fail *why)
{
    return volume_read(q->volumes, message, offset, out, n, why);
}
