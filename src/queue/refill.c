/*
 * queue/refill.c - from the database into memory, and out again.
 *
 * Layer: queue, private.  Of a destination some of each lane that has something due are in memory; what is due of
 * destinations that are not is found by their `next`.  Sources are gone through in turn, so that one with a million rows hides nobody.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/internal.h"

enum { FEED_STEP = 256, EVICT_STEP = 128, QUIET_SECONDS = 20, QUIET_SOON = 2, MANY_DESTINATIONS = 2000 };

/* ---- one destination ---- */

struct looking { int64_t rank, source, next; };

/* The lane behind this one; false: there is none (or why). */
static bool next_lane(struct queue *q, const struct destination *d, struct looking *at, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_LANES, why);

    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)d->id);
    db_bind_i64(s, 2, at->rank);
    db_bind_i64(s, 3, at->source);
    bool found = db_step(s, why);
    if (found)
        *at = (struct looking){.rank = db_col_i64(s, 0), .source = db_col_i64(s, 1), .next = db_col_i64(s, 2)};
    return db_done(s, why) && found;
}

/* true: there may be more of it than was read. */
static bool read_lane(struct queue *q, struct destination *d, const struct looking *at, int64_t now, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_LANE_ITEMS, why);
    size_t          rows = 0, most;
    bool            full = false;

    if (s == NULL)
        return false;
    (void)pthread_mutex_lock(&q->lock);
    most = REFILL_ITEMS + d->waiting + d->pending; /* what is known already may stand in front */
    (void)pthread_mutex_unlock(&q->lock);
    db_bind_i64(s, 1, (int64_t)d->id);
    db_bind_i64(s, 2, at->rank);
    db_bind_i64(s, 3, at->source);
    db_bind_i64(s, 4, now);
    db_bind_i64(s, 5, (int64_t)most);
    while (!full && db_step(s, why)) {
        rows++;
        (void)pthread_mutex_lock(&q->lock);
        (void)schedule_add(q, d, (uint64_t)db_col_i64(s, 0), (uint64_t)db_col_i64(s, 1), (uint64_t)at->source, (int)at->rank, &full);
        (void)pthread_mutex_unlock(&q->lock);
    }
    return db_done(s, why) && (full || rows >= most);
}

static bool give_id(struct queue *q, struct destination *d, int64_t now, struct fail *why)
{
    struct destination *same;
    uint64_t            id;

    return d->id != 0 || take_destination(q, slice_of(d->name), now, &id, &same, why);
}

void refill_destination(struct queue *q, struct destination *d)
{
    struct fail    why = {0};
    int64_t        now = clock_now(), next = NEVER_DUE;
    bool           more = false;
    unsigned       lanes = 0;
    struct looking at;

    queue_db_lock(q);
    bool whole = d->cursor_rank == INT64_MIN;
    at = (struct looking){.rank = d->cursor_rank, .source = d->cursor_source};
    bool found = give_id(q, d, now, &why);
    while (found && lanes < REFILL_GROUPS) {
        found = next_lane(q, d, &at, &why);
        if (found && at.next > now && at.next < next)
            next = at.next;
        if (found && at.next <= now) {
            lanes++;
            more = read_lane(q, d, &at, now, &why) || more;
            next = now + 1 < next ? now + 1 : next; /* what of it is due later shows itself then */
        }
    }
    q->made.count = 0;
    (void)pthread_mutex_lock(&q->lock);
    d->hungry = false;
    d->cursor_rank = found ? at.rank : INT64_MIN;
    d->cursor_source = at.source;
    d->more = found || more || !whole;
    if (why.text[0] != '\0') {
        log_event(LOG_ERROR, "queue.refill", LOG_CSTR("destination", d->name), LOG_FAIL(&why));
        next = now + 5;
        d->more = false;
    }
    if (d->waiting > 0 && next == now + 1)
        d->more = true; /* looked at again once these are gone */
    else if (next != NEVER_DUE)
        schedule_wake(q, d, next);
    schedule_offer(q, d);
    if (d->waiting < HUNGRY_BELOW && d->more && (found || !whole))
        schedule_hungry(q, d);
    else if (d->more)
        schedule_wake(q, d, now + 1);
    (void)pthread_mutex_unlock(&q->lock);
    queue_db_unlock(q);
}

/* ---- destinations that are not in memory ---- */

static size_t feed_step(struct queue *q, int64_t now, size_t *found, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_FEED, why);
    size_t          rows = 0;

    if (s == NULL)
        return 0;
    db_bind_i64(s, 1, q->feed_next);
    db_bind_i64(s, 2, q->feed_id);
    db_bind_i64(s, 3, now);
    db_bind_i64(s, 4, FEED_STEP);
    while (db_step(s, why)) {
        struct slice name = db_col_text(s, 1), reason = db_col_text(s, 4);
        rows++;
        q->feed_next = db_col_i64(s, 2);
        q->feed_id = db_col_i64(s, 0);
        (void)pthread_mutex_lock(&q->lock);
        if (destination_get(q, name) == NULL) {
            struct destination *d = destination_make(q, name, (uint64_t)db_col_i64(s, 0));
            d->failures = d->stored_failures = (unsigned)db_col_i64(s, 3);
            d->stored_next = db_col_i64(s, 2);
            memcpy(d->reason, reason.ptr, reason.len < sizeof d->reason ? reason.len : sizeof d->reason - 1);
            d->more = true;
            schedule_hungry(q, d);
            (*found)++;
        }
        (void)pthread_mutex_unlock(&q->lock);
    }
    return db_done(s, why) ? rows : 0;
}

void refill_feed(struct queue *q, int64_t now)
{
    struct fail why = {0};
    size_t      found = 0, rows = FEED_STEP;

    for (unsigned n = 0; n < 20 && found < FEED_STEP && rows == FEED_STEP && q->names.count < DESTINATIONS_FED; n++) {
        queue_db_lock(q);
        rows = feed_step(q, now, &found, &why);
        queue_db_unlock(q);
    }
    if (rows < FEED_STEP) {
        q->feed_next = INT64_MIN; /* from the start again */
        q->feed_id = 0;
    }
    if (why.text[0] != '\0')
        log_event(LOG_ERROR, "queue.feed", LOG_FAIL(&why));
}

/* ---- out again ---- */

static bool is_quiet(const struct queue *q, const struct destination *d, int64_t now)
{
    int64_t long_enough = q->names.count > MANY_DESTINATIONS ? QUIET_SOON : QUIET_SECONDS;

    return d->waiting == 0 && d->active == 0 && d->pending == 0 && d->listed == 0 && !d->parked && !d->hungry &&
           (now - d->quiet_since >= long_enough || now < d->quiet_since);
}

/* When is anything of it due?  Not due at all: NEVER_DUE. */
static bool earliest(struct queue *q, const struct destination *d, int64_t now, int64_t *next, struct fail *why)
{
    struct looking at = {.rank = INT64_MIN};
    unsigned       lanes = 0;

    *next = NEVER_DUE;
    while (lanes++ < REFILL_GROUPS && *next > now && next_lane(q, d, &at, why))
        *next = at.next < *next ? at.next : *next;
    if (lanes > REFILL_GROUPS && *next > now + 60)
        *next = now + 60; /* there are more lanes than it is worth to look at */
    if (d->failures > 0 && d->not_before > *next)
        *next = d->not_before;
    return why->text[0] == '\0';
}

static bool write_quiet(struct queue *q, const struct destination *d, int64_t now, struct fail *why)
{
    struct db_stmt *s;
    int64_t         next;

    if (d->id == 0)
        return true;
    if (!earliest(q, d, now, &next, why))
        return false;
    if (next == NEVER_DUE) {
        s = db_stmt(q->db, SQL_HAS_RECIPIENT, why);
        if (s == NULL)
            return false;
        db_bind_i64(s, 1, (int64_t)d->id);
        bool any = db_step(s, why);
        if (!db_done(s, why))
            return false;
        if (!any)
            return db_run(q->db, SQL_DROP_DESTINATION, why, "i", (int64_t)d->id);
    }
    if (next == d->stored_next && d->failures == d->stored_failures)
        return true;
    return db_run(q->db, SQL_SET_DESTINATION, why, "iiit", (int64_t)d->id, next, (int64_t)d->failures, slice_of(d->reason));
}

/* A destination in memory that will have something within the minute stays. */
static size_t find_quiet(struct queue *q, int64_t now, struct destination **list)
{
    size_t       at = 0, count = 0;
    struct slice name;
    void        *value;

    (void)pthread_mutex_lock(&q->lock);
    while (count < EVICT_STEP && map_next(&q->names, &at, &name, &value)) {
        struct destination *d = value;
        if (is_quiet(q, d, now) && (d->wake > now + 60 || q->names.count > MANY_DESTINATIONS) && d->wake > now + 2)
            list[count++] = d;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return count;
}

void refill_evict(struct queue *q, int64_t now)
{
    struct destination *list[EVICT_STEP];
    struct fail         why = {0};
    size_t              count = find_quiet(q, now, list);

    if (count == 0)
        return;
    queue_db_lock(q); /* nobody can take for one of them meanwhile */
    bool ok = db_begin(q->db, &why);
    for (size_t i = 0; ok && i < count; i++)
        ok = write_quiet(q, list[i], now, &why);
    ok = ok && db_commit(q->db, &why);
    if (!ok) {
        db_rollback(q->db);
        log_event(LOG_ERROR, "queue.evict", LOG_FAIL(&why));
    }
    (void)pthread_mutex_lock(&q->lock);
    for (size_t i = 0; ok && i < count; i++) {
        if (is_quiet(q, list[i], now))
            destination_free(q, list[i]);
        else
            list[i]->stored_next = NEVER_DUE; /* not what memory thinks any more */
    }
    (void)pthread_mutex_unlock(&q->lock);
    queue_db_unlock(q);
}
