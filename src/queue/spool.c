/*
 * queue/spool.c - the spool as a whole: opened, closed, counted.
 *
 * Layer: queue.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "queue/direct.h"

enum { FREE_AFTER_MOST = 60, CACHE_PAGES = 4096, BODY_MEMORY = 256 << 10 };

bool queue_read_counts(struct queue *q, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_COUNTS, why);

    if (s == NULL)
        return false;
    if (db_step(s, why))
        q->counts = (struct counts){.messages = db_col_i64(s, 0), .recipients = db_col_i64(s, 1), .held = db_col_i64(s, 2),
                                    .taken = db_col_i64(s, 3)};
    return db_done(s, why);
}

static bool open_files(struct queue *q, struct fail *why)
{
    const struct db_options options = {.cache_pages = CACHE_PAGES};
    struct volume_limits    volumes = *q->setting.volumes;
    struct buf              path;
    bool                    ok;

    /* Most mail is gone within seconds: its space is not kept for an hour. */
    if (volumes.free_after_seconds > FREE_AFTER_MOST)
        volumes.free_after_seconds = FREE_AFTER_MOST;
    buf_init(&path, 4096);
    buf_addf(&path, "%s/spool", q->dir);
    buf_add_char(&path, '\0');
    q->spool = xslicedup(slice_of(path.data));
    buf_reset(&path);
    buf_addf(&path, "%s/volumes", q->dir);
    buf_add_char(&path, '\0');
    ok = io_make_dirs(q->spool, 0700, why) && volumes_open(path.data, &volumes, &q->volumes, why);
    buf_reset(&path);
    buf_addf(&path, "%s/queue.db", q->dir);
    buf_add_char(&path, '\0');
    ok = ok && rebuild_prepare(q, why) && db_open(path.data, &queue_schema, &options, &q->db, why) && queue_read_counts(q, why) &&
         db_get_i64(q->db, SQL_LAST_ID, &q->last_row, why, "");
    buf_finish(&path);
    q->bodies = (struct body_limits){.memory_max = BODY_MEMORY, .size_max = UINT32_MAX, .spool_dir = q->spool};
    q->shown = q->counts;
    return ok;
}

static bool start(pthread_t *thread, bool *has, void *(*run)(void *), struct queue *q, struct fail *why)
{
    int errnum = pthread_create(thread, NULL, run, q);

    *has = errnum == 0;
    return *has || fail_errno(why, errnum, "queue: a thread");
}

static bool start_threads(struct queue *q, struct fail *why)
{
    if (q->volumes != NULL)
        q->scan_end = volume_end(q->volumes);
    return start(&q->committer, &q->has_committer, commit_run, q, why) &&
           (q->setting.offline ||
            (start(&q->tender, &q->has_tender, tend_run, q, why) && start(&q->homer, &q->has_homer, home_run, q, why) &&
             start(&q->scanner, &q->has_scanner, tend_orphans, q, why)));
}

static void init_conditions(struct queue *q)
{
    pthread_cond_t    *all[] = {&q->claims, &q->tend, &q->commits, &q->room, &q->idle, &q->home_work, &q->overs};
    pthread_condattr_t monotonic;

    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)pthread_cond_init(all[i], &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

bool queue_open(const struct queue_setting *setting, struct queue **out, struct fail *why)
{
    struct queue *q = xcalloc(1, sizeof *q);

    q->setting = *setting;
    q->dir = xstrdup(setting->dir);
    q->hostname = xstrdup(setting->hostname);
    q->opened = clock_now();
    (void)pthread_mutex_init(&q->db_lock, NULL);
    (void)pthread_mutex_init(&q->lock, NULL);
    init_conditions(q);
    map_init(&q->names);
    idmap_init(&q->ids);
    idmap_init(&q->items);
    idmap_init(&q->sources);
    q->last_source = &q->first_source;
    q->last_hungry = &q->first_hungry;
    q->last_op = &q->first_op;
    q->feed_next = INT64_MIN;
    direct_init(q);
    bool                ok = open_files(q, why);
    const struct counts found = q->counts;
    if (!ok || !start_threads(q, why)) {
        queue_close(&q);
        return false;
    }
    log_event(LOG_INFO, "queue.open", LOG_I64("messages", found.messages), LOG_I64("recipients", found.recipients));
    *out = q;
    return true;
}

static void stop_threads(struct queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    q->stopping = q->stop_claims = true;
    (void)pthread_cond_broadcast(&q->claims);
    (void)pthread_cond_broadcast(&q->tend);
    (void)pthread_cond_broadcast(&q->home_work);
    (void)pthread_cond_broadcast(&q->overs);
    (void)pthread_mutex_unlock(&q->lock);
    if (q->has_homer)
        (void)pthread_join(q->homer, NULL);
    if (q->has_scanner)
        (void)pthread_join(q->scanner, NULL);
    if (q->has_tender)
        (void)pthread_join(q->tender, NULL);
    if (q->has_committer && !q->setting.offline)
        direct_remember(q);
    (void)pthread_mutex_lock(&q->lock);
    q->stop_commits = true;
    (void)pthread_cond_broadcast(&q->commits);
    (void)pthread_cond_broadcast(&q->room);
    (void)pthread_mutex_unlock(&q->lock);
    if (q->has_committer)
        (void)pthread_join(q->committer, NULL);
}

static void free_memory(struct queue *q)
{
    size_t       at = 0;
    uint64_t     id;
    void        *value;
    struct slice name;

    while (idmap_next(&q->items, &at, &id, &value)) {
        struct item *i = value;
        claim_free(q, i->fresh);
        for (struct mark *m = i->marks, *after; m != NULL; m = after) {
            after = m->next;
            free(m);
        }
        free(i);
    }
    at = 0;
    while (map_next(&q->names, &at, &name, &value)) {
        struct destination *d = value;
        size_t              k = 0;
        void               *lane;
        while (idmap_next(&d->lanes, &k, &id, &lane))
            free(lane);
        idmap_finish(&d->lanes);
        free(d->name);
        free(d);
    }
    at = 0;
    while (idmap_next(&q->sources, &at, &id, &value))
        free(value);
    map_finish(&q->names);
    idmap_finish(&q->ids);
    idmap_finish(&q->items);
    idmap_finish(&q->sources);
    free(q->wakes);
    free(q->made.list);
    direct_finish(q);
}

void queue_close(struct queue **qp)
{
    struct queue *q = *qp;

    if (q == NULL)
        return;
    *qp = NULL;
    stop_threads(q);
    db_close(&q->db);
    volumes_close(&q->volumes);
    free_memory(q);
    pthread_cond_t *all[] = {&q->claims, &q->tend, &q->commits, &q->room, &q->idle, &q->home_work, &q->overs};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)pthread_cond_destroy(all[i]);
    (void)pthread_mutex_destroy(&q->lock);
    (void)pthread_mutex_destroy(&q->db_lock);
    free(q->dir);
    free(q->hostname);
    free(q->spool);
    free(q);
}

void queue_stats(struct queue *q, struct queue_stats *out)
{
    (void)pthread_mutex_lock(&q->lock);
    uint64_t busy = q->active_recipients + (uint64_t)q->shown.held;
    const uint64_t recipients = (uint64_t)q->shown.recipients + q->direct->recipients;
    *out = (struct queue_stats){
        .messages = (uint64_t)q->shown.messages + q->direct->count,
        .recipients = recipients,
        .waiting = recipients > busy ? recipients - busy : 0,
        .active = q->active_recipients,
        .held = (uint64_t)q->shown.held,
        .taken = __atomic_load_n(&q->taken, __ATOMIC_RELAXED),
        .sent = __atomic_load_n(&q->sent, __ATOMIC_RELAXED),
        .deferred = __atomic_load_n(&q->deferred, __ATOMIC_RELAXED),
        .bounced = __atomic_load_n(&q->bounced, __ATOMIC_RELAXED),
        .destinations = q->names.count,
    };
    (void)pthread_mutex_unlock(&q->lock);
}
