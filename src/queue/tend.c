/*
 * queue/tend.c - time passes: what is due, what has become old, what space is free again.
 *
 * Layer: queue, private.  One thread.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "queue/direct.h"

enum { TICK_MS = 1000, LOOKS_STEP = 64, LOOK_AGAIN = 600, RECLAIM_SECONDS = 60, LAST_TRY_SECONDS = 1800 };

/* ---- messages that have come into a certain age ---- */

struct aged { uint64_t id, first, total; int64_t received, expires, look; };

struct looks {
    struct op op;
    struct aged list[LOOKS_STEP];
    size_t count;
    int64_t now;
};

static bool find_aged(struct queue *q, struct looks *l, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_LOOKS, why);

    if (s == NULL)
        return false;
    db_bind_i64(s, 1, l->now);
    db_bind_i64(s, 2, LOOKS_STEP);
    while (l->count < LOOKS_STEP && db_step(s, why))
        l->list[l->count++].id = (uint64_t)db_col_i64(s, 0);
    return db_done(s, why);
}

static bool read_aged(struct queue *q, struct aged *a, int64_t now, struct fail *why)
{
    struct db_stmt         *s = db_stmt(q->db, SQL_MESSAGE, why);
    struct envelope_options options;
    struct arena            arena;

    if (s == NULL)
        return false;
    arena_init(&arena, 1 << 20);
    db_bind_i64(s, 1, (int64_t)a->id);
    if (db_step(s, why)) {
        a->received = db_col_i64(s, 4);
        a->expires = db_col_i64(s, 5);
        a->first = (uint64_t)db_col_i64(s, 7);
        a->total = (uint64_t)db_col_i64(s, 8);
        a->look = now + LOOK_AGAIN;
        if (now < a->expires && envelope_options_read(&arena, arena_keep(&arena, db_col_text(s, 3)), &options))
            a->look = take_look(q, a->received, a->expires, &options, now);
    }
    arena_finish(&arena);
    return db_done(s, why);
}

static bool run_looks(struct queue *q, struct op *o, struct fail *why)
{
    struct looks *l = (struct looks *)o;

    for (size_t i = 0; i < l->count; i++)
        if (!db_run(q->db, SQL_SET_LOOK, why, "ii", (int64_t)l->list[i].id, l->list[i].look))
            return false;
    return true;
}

struct heads { struct { uint64_t head, destination; } *list; size_t count, cap; };

static bool find_heads(struct queue *q, const struct aged *a, struct heads *out, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_HEADS, why);

    out->count = 0;
    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)a->first);
    db_bind_i64(s, 2, (int64_t)a->total);
    db_bind_i64(s, 3, (int64_t)a->id);
    while (db_step(s, why)) {
        if (out->count == out->cap) {
            out->cap = out->cap == 0 ? 64 : out->cap * 2;
            out->list = xrealloc(out->list, out->cap * sizeof *out->list);
        }
        out->list[out->count].head = (uint64_t)db_col_i64(s, 0);
        out->list[out->count++].destination = (uint64_t)db_col_i64(s, 1);
    }
    return db_done(s, why);
}

/* The group's end, or a word to its sender that it takes long. */
static void age_group(struct queue *q, const struct aged *a, uint64_t head, int64_t now)
{
    struct queue_outcome *stored;
    struct destination   *d = NULL;
    struct item          *item = NULL;
    struct fail           why = {0};
    uint64_t              id;
    bool                  end = now >= a->expires;

    /* What came due while nobody could send it (this server was off) is tried once more before it is returned. */
    if (end && a->expires < q->opened && now >= q->opened && now - q->opened < LAST_TRY_SECONDS)
        return;
    queue_db_lock(q);
    struct queue_claim *c = claim_load(q, head, NEVER_DUE - 1, &stored, &why);
    bool ok = c != NULL && (!end || take_destination_here(q, c->destination, now, &id, &d, &why));
    q->made.count = 0;
    if (ok && d != NULL) {
        (void)pthread_mutex_lock(&q->lock);
        item = item_reserve(q, d, head, a->id);
        for (size_t i = 0; i < c->recipient_count; i++)
            if (stored[i].text.len == 0)
                stored[i].text = arena_keep(&c->arena, slice_of(d->reason));
        (void)pthread_mutex_unlock(&q->lock);
    }
    queue_db_unlock(q);
    if (!ok || (end && item == NULL)) { /* being sent just now: looked at again later */
        claim_free(q, c);
        if (why.text[0] != '\0')
            log_event(LOG_ERROR, "queue.aged", LOG_HEX("queue_id", a->id), LOG_FAIL(&why));
        return;
    }
    c->item = item;
    settle_start(q, c, stored, end ? SETTLE_REPORT : SETTLE_WARN, 0);
}

/* true: there may be more of them. */
static bool sweep(struct queue *q, int64_t now)
{
    SCOPED(scoped_free) struct looks *l = xcalloc(1, sizeof *l);
    struct heads heads = {0};
    struct fail  why = {0};

    l->op.run = run_looks;
    l->now = now;
    queue_db_lock(q);
    bool ok = find_aged(q, l, &why);
    for (size_t i = 0; ok && i < l->count; i++)
        ok = read_aged(q, &l->list[i], now, &why);
    queue_db_unlock(q);
    ok = ok && (l->count == 0 || commit_wait(q, &l->op, &why));
    for (size_t i = 0; ok && i < l->count; i++) {
        queue_db_lock(q);
        ok = find_heads(q, &l->list[i], &heads, &why);
        queue_db_unlock(q);
        for (size_t k = 0; ok && k < heads.count; k++)
            age_group(q, &l->list[i], heads.list[k].head, now);
    }
    free(heads.list);
    if (!ok)
        log_event(LOG_ERROR, "queue.aged", LOG_FAIL(&why));
    return ok && l->count == LOOKS_STEP;
}

/* Many may have come at the same time; who waits for the next message of a destination comes first. */
static void sweep_all(struct queue *q, int64_t now)
{
    bool more = true, busy = false;

    while (more && !busy) {
        more = sweep(q, now);
        (void)pthread_mutex_lock(&q->lock);
        busy = q->stopping || q->first_hungry != NULL || schedule_next_wake(q) <= clock_now();
        (void)pthread_mutex_unlock(&q->lock);
    }
}

/* ---- space ---- */

static bool has_message(struct queue *q, volume_ref ref, bool *yes)
{
    struct fail why;

    queue_db_lock(q);
    struct db_stmt *s = db_stmt(q->db, SQL_HAS_MESSAGE, &why);
    bool            ok = s != NULL;
    if (ok) {
        db_bind_i64(s, 1, (int64_t)ref);
        *yes = db_step(s, &why);
        ok = db_done(s, &why);
    }
    queue_db_unlock(q);
    return ok;
}

static bool is_live(void *ctx, volume_ref ref)
{
    bool yes;

    return !has_message(ctx, ref, &yes) || yes; /* in doubt it is */
}

static bool release_orphan(void *ctx, volume_ref ref, const struct record *rec)
{
    struct queue *q = ctx;
    bool          yes;

    if (ref >= q->scan_end)
        return false;
    if (has_message(q, ref, &yes) && !yes)
        volume_release(q->volumes, ref, rec->size);
    (void)pthread_mutex_lock(&q->lock);
    bool go_on = !q->stopping;
    (void)pthread_mutex_unlock(&q->lock);
    return go_on;
}

struct rebuilding { struct queue *q; uint64_t restored; bool ok; };

static bool restore_record(void *ctx, volume_ref ref, const struct record *rec)
{
    struct rebuilding *r = ctx;

    if (ref >= r->q->scan_end)
        return false;
    r->ok = rebuild_record(r->q, ref, rec, &r->restored) && r->ok;
    (void)pthread_mutex_lock(&r->q->lock);
    bool go_on = !r->q->stopping;
    (void)pthread_mutex_unlock(&r->q->lock);
    r->ok = r->ok && go_on;
    return go_on;
}

/* What earlier processes left in the volumes and nobody needs; or, without a database, all of it. */
void *tend_orphans(void *queue)
{
    struct queue *q = queue;
    struct fail why;
    uint64_t    damaged = 0;

    if (q->rebuilds) {
        struct rebuilding r = {.q = q, .ok = true};
        if (!volume_scan(q->volumes, 0, restore_record, &r, &damaged, &why))
            log_event(LOG_ERROR, "queue.scan", LOG_FAIL(&why));
        else if (r.ok)
            rebuild_finish(q, r.restored);
    } else if (!volume_scan(q->volumes, 0, release_orphan, q, &damaged, &why))
        log_event(LOG_ERROR, "queue.scan", LOG_FAIL(&why));
    return NULL;
}

static void reclaim(struct queue *q, int64_t now)
{
    struct fail why;
    uint64_t    freed = 0;

    if (__atomic_load_n(&q->rebuilds, __ATOMIC_ACQUIRE))
        return; /* nobody knows yet what is needed */
    if (!volume_reclaim(q->volumes, is_live, q, now, &freed, &why))
        log_event(LOG_ERROR, "queue.reclaim", LOG_FAIL(&why));
    else if (freed > 0)
        log_event(LOG_DEBUG, "queue.reclaimed", LOG_U64("bytes", freed));
}

/* ---- the thread ---- */

static void feed_the_hungry(struct queue *q)
{
    while (q->first_hungry != NULL && !q->stopping) {
        struct destination *d = q->first_hungry;
        q->first_hungry = d->next_hungry;
        if (q->first_hungry == NULL)
            q->last_hungry = &q->first_hungry;
        (void)pthread_mutex_unlock(&q->lock);
        refill_destination(q, d); /* still marked hungry: it cannot be freed */
        (void)pthread_mutex_lock(&q->lock);
    }
}

static void tick(struct queue *q, int64_t now)
{
    (void)direct_spool_older(q, (int64_t)q->setting.limits.first_try_seconds * 1000);
    refill_feed(q, now);
    refill_evict(q, now);
    sweep_all(q, now);
    if (now - q->reclaimed >= RECLAIM_SECONDS || now < q->reclaimed) {
        q->reclaimed = now;
        reclaim(q, now);
    }
}

void *tend_run(void *queue)
{
    struct queue *q = queue;
    int64_t       ticked = 0;

    (void)pthread_mutex_lock(&q->lock);
    while (!q->stopping) {
        int64_t now = clock_now();
        if (now != ticked) {
            (void)pthread_mutex_unlock(&q->lock);
            clock_watch(q, now);
            (void)pthread_mutex_lock(&q->lock);
        }
        schedule_wakes_due(q, now);
        for (int p = 0; p < PLACES; p++)
            schedule_unpark(q, (enum place)p);
        feed_the_hungry(q);
        if (now != ticked && !q->stopping) {
            ticked = now;
            (void)pthread_mutex_unlock(&q->lock);
            tick(q, now);
            (void)pthread_mutex_lock(&q->lock);
        }
        if (!q->stopping && q->first_hungry == NULL && schedule_next_wake(q) > clock_now())
            queue_wait(&q->tend, &q->lock, TICK_MS);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return NULL;
}
