/*
 * queue/backup.c - the spool's side of a backup, and what there is to check in one.
 *
 * Layer: queue.
 */
#include <stdio.h>

#include "base/block.h"
#include "queue/direct.h"

enum { STEP_PAGES = 512, SOME = 256, WAIT_MS = 1000 };

void queue_lease_begin(struct queue *q)
{
    volume_lease_begin(q->volumes);
    (void)pthread_mutex_lock(&q->lock);
    q->leases++;
    q->home_held = true;
    while (q->home_busy && !q->stopping)
        queue_wait(&q->home_work, &q->lock, WAIT_MS);
    (void)pthread_mutex_unlock(&q->lock);
    if (direct_spool_older(q, 0)) /* from here on nothing leaves but what a row says */
        queue_settle(q);
    direct_remember(q);
}

static void let_go_home(struct queue *q)
{
    q->home_held = false;
    (void)pthread_cond_broadcast(&q->home_work);
}

void queue_lease_end(struct queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    if (--q->leases == 0)
        let_go_home(q);
    (void)pthread_mutex_unlock(&q->lock);
    volume_lease_end(q->volumes);
}

static bool copy_steps(struct queue *q, const char *path, struct fail *why)
{
    struct db_copy *copy = NULL;
    bool            done = false;

    queue_db_lock(q);
    bool ok = !q->copying || fail_set(why, FAIL_TEMP, FAIL_OTHER, "another copy of the queue is being made");
    ok = ok && db_copy_begin(q->db, path, &copy, why);
    if (ok)
        q->copying = true;
    while (ok && !done) {
        ok = db_copy_step(copy, STEP_PAGES, &done, why);
        if (ok && !done) {
            queue_db_unlock(q);
            queue_db_lock(q);
        }
    }
    if (copy != NULL) { /* only the sync is worth doing without the lock, but it is done with the source then */
        ok = db_copy_finish(&copy, ok ? why : NULL) && ok;
        q->copying = false;
    }
    queue_db_unlock(q);
    return ok;
}

bool queue_copy(struct queue *q, const char *path, struct fail *why)
{
    block_begin();
    bool ok = copy_steps(q, path, why);
    block_end();
    if (ok) {
        (void)pthread_mutex_lock(&q->lock);
        if (q->leases < 2) /* another backup is not there yet */
            let_go_home(q);
        (void)pthread_mutex_unlock(&q->lock);
    }
    return ok;
}

struct volumes *queue_volumes(struct queue *q)
{
    return q->volumes;
}

/* ---- a copy ---- */

static void check_message(struct volumes *v, uint64_t id, uint64_t size, void (*report)(void *ctx, const char *finding), void *ctx)
{
    struct record record;
    struct arena  arena;
    struct fail   why;
    char          text[400];

    arena_init(&arena, SIZE_MAX);
    bool ok = volume_describe(v, id, &arena, &record, &why) && volume_verify(v, id, &why);
    if (ok && record.size != size)
        ok = fail_set(&why, FAIL_PERM, FAIL_OTHER, "it has %llu bytes, its row says %llu", (unsigned long long)record.size,
                      (unsigned long long)size);
    arena_finish(&arena);
    if (ok)
        return;
    (void)snprintf(text, sizeof text, "queue: message %llx: %s", (unsigned long long)id, why.text);
    report(ctx, text);
}

struct listed { uint64_t id, size; };

static bool read_some(struct db *db, uint64_t after, struct listed *out, size_t *count, struct fail *why)
{
    struct db_stmt *s = db_stmt(db, SQL_EACH, why);

    *count = 0;
    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)after);
    db_bind_i64(s, 2, SOME);
    while (*count < SOME && db_step(s, why))
        out[(*count)++] = (struct listed){.id = (uint64_t)db_col_i64(s, 0), .size = (uint64_t)db_col_i64(s, 2)};
    return db_done(s, why);
}

bool queue_check_copy(const char *path, struct volumes *v, void (*report)(void *ctx, const char *finding), void *ctx,
                      uint64_t *messages, struct fail *why)
{
    const struct db_options options = {.read_only = true, .must_exist = true};
    struct listed some[SOME];
    struct db    *db = NULL;
    size_t        count = 0;

    *messages = 0;
    bool ok = db_open(path, &queue_schema, &options, &db, why) && db_check(db, why);
    uint64_t last = 0;
    do {
        ok = ok && read_some(db, last, some, &count, why);
        for (size_t i = 0; ok && i < count; i++) {
            check_message(v, some[i].id, some[i].size, report, ctx);
            last = some[i].id;
            (*messages)++;
        }
    } while (ok && count == SOME);
    db_close(&db);
    return ok;
}
