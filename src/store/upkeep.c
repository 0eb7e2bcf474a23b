/*
 * store/upkeep.c - the background thread: what is idle is closed, what grew is trimmed.
 *
 * Layer: store.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/flag_run.h"

enum {
    TRIM_BYTES = 4 << 20, /* given back to the system once so much was freed */
    TRIM_ROUNDS = 10,     /* or anything was, and nothing since */
};

/* Its views are written first, and nobody has to wait for that: if somebody used it meanwhile, it stays open. */
static size_t close_one(struct account *a, int64_t unused_since_ms)
{
    (void)pthread_mutex_unlock(&a->file_lock);
    flag_runs_settle_idle(a, unused_since_ms);
    view_files_keep(a, INT64_MAX);
    size_t closed = 0;
    if (pthread_mutex_trylock(&a->file_lock) == 0) {
        closed = a->db != NULL && a->pins == 0 && a->used_ms <= unused_since_ms;
        if (closed > 0)
            account_close_file(a);
        (void)pthread_mutex_unlock(&a->file_lock);
    }
    store_unpin(a);
    return closed;
}

/* Account files that nobody has used for a while, and the oldest past the budget. */
static size_t close_idle(struct store *st)
{
    int64_t since = clock_mono_ms() - (int64_t)st->limits.handle_idle_seconds * 1000;
    struct account *a;
    size_t closed = 0;

    while ((a = store_take_oldest(st, since)) != NULL)
        closed += close_one(a, since);
    while (store_over_budget(st, 100) && (a = store_take_oldest(st, INT64_MAX)) != NULL)
        closed += close_one(a, INT64_MAX);
    return closed;
}

static void checkpoint_wanted(struct store *st)
{
    struct account *a;

    while ((a = store_take_checkpoint(st)) != NULL) {
        struct fail why;
        if (account_lock(a, &why)) {
            if (!db_checkpoint(a->db, false, &why))
                log_event(LOG_WARNING, "store.checkpoint", LOG_U64("account", a->id), LOG_FAIL(&why));
            account_unlock(a);
        }
        store_unpin(a);
    }
}

/* Views of one account that nobody has asked for since; bytes freed. */
static uint64_t drop_views(struct account *a, int64_t since_ms)
{
    uint64_t freed = 0;

    view_files_keep(a, since_ms);
    if (pthread_mutex_trylock(&a->file_lock) != 0)
        return 0; /* it is in use */
    (void)pthread_mutex_lock(&a->lock);
    for (size_t i = 0; a->state != NULL && i < a->state->box_count; i++) {
        struct mailbox_state *box = &a->state->boxes[i];
        freed += user_views_drop(a->store, box, since_ms);
        if (box->view == NULL || box->view_used_ms > since_ms)
            continue;
        freed += box->view_cost;
        state_set_view(a, box, NULL);
    }
    (void)pthread_mutex_unlock(&a->lock);
    (void)pthread_mutex_unlock(&a->file_lock);
    return freed;
}

/* The accounts longest unused lose theirs first; views in use of late only if that is not enough. */
static uint64_t trim_views(struct store *st)
{
    static const int64_t unused_ms[] = {5000, 0};
    uint64_t freed = 0;

    for (size_t pass = 0; pass < ARRAY_LEN(unused_ms); pass++) {
        struct account **all = NULL;
        if (atomic_load(&st->view_bytes) <= st->limits.view_bytes)
            break;
        size_t count = store_pin_open(st, &all);
        int64_t since = clock_mono_ms() - unused_ms[pass];
        for (size_t i = 0; i < count; i++) {
            if (atomic_load(&st->view_bytes) > st->limits.view_bytes / 8 * 7)
                freed += drop_views(all[i], since);
            store_unpin(all[i]);
        }
        free(all);
    }
    return freed;
}

/* What was freed and not given back yet. */
struct garbage {
    uint64_t bytes;
    unsigned quiet; /* rounds in which nothing was freed */
};

static void one_round(struct store *st, struct garbage *g)
{
    checkpoint_wanted(st);
    uint64_t freed = close_idle(st) * HANDLE_BYTES;
    freed += trim_views(st);
    freed += sort_tables_drop(st, 0, clock_mono_ms() - (int64_t)st->limits.sort_idle_seconds * 1000);
    g->bytes += freed;
    g->quiet = freed > 0 ? 0 : g->quiet + 1;
    if (g->bytes < TRIM_BYTES && (g->bytes == 0 || g->quiet < TRIM_ROUNDS))
        return;
    (void)malloc_trim(0);
    g->bytes = 0;
}

static void *upkeep_main(void *ctx)
{
    struct store *st = ctx;
    struct garbage garbage = {0};

    (void)pthread_mutex_lock(&st->lock);
    while (!st->closing) {
        (void)pthread_mutex_unlock(&st->lock);
        one_round(st, &garbage);
        (void)pthread_mutex_lock(&st->lock);
        if (!st->closing && st->checkpoints_wanted == 0) {
            struct timespec until;
            (void)clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec++;
            (void)pthread_cond_timedwait(&st->upkeep_wanted, &st->lock, &until);
        }
    }
    (void)pthread_mutex_unlock(&st->lock);
    return NULL;
}

bool upkeep_start(struct store *st, struct fail *why)
{
    int status = pthread_create(&st->upkeep, NULL, upkeep_main, st);

    st->upkeep_runs = status == 0;
    return st->upkeep_runs || fail_errno(why, status, "the store's background thread");
}

void upkeep_stop(struct store *st)
{
    if (!st->upkeep_runs)
        return;
    (void)pthread_mutex_lock(&st->lock);
    st->closing = true;
    (void)pthread_cond_signal(&st->upkeep_wanted);
    (void)pthread_mutex_unlock(&st->lock);
    (void)pthread_join(st->upkeep, NULL);
    st->upkeep_runs = false;
}
