/*
 * store/store.c - the store as a whole: its limits, its accounts in memory.
 *
 * Layer: store.  An account's struct lives as long as somebody uses it or its
 * file is open.  Open ones stand in a list by last use.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/crash_note.h"
#include "base/io.h"
#include "store/index.h"
#include "store/internal.h"

/* Of account files known to be durable: past that all are forgotten, and synced once more when opened. */
enum { CLEAN_MAX = 32768 };
/* Views are written for so long when the store is closed. */
enum { LAST_VIEWS_MS = 3000 };

void store_limits_default(struct store_limits *l)
{
    *l = (struct store_limits){
        .view_bytes = 64u << 20,
        .view_file_messages = 5000,
        .sort_bytes = 256u << 20,
        .sort_idle_seconds = 600,
        .handle_bytes = 64u << 20,
        .handle_idle_seconds = 30,
        .name_bytes = 1000,
        .name_levels = 32,
        .mailboxes = 10000,
        .keywords = 2000,
        .keywords_per_message = 200,
        .keyword_sets = 10000,
        .keyword_bytes = 100,
        .workers_per_account = 4,
        .keep_expunged_days = 14,
        .change_log_days = 60,
        .annotations = 200,
        .annotation_bytes = 32768,
        .snapshot_hours = 24,
        .search_index = 1,
        .index_memory = 16 << 20,
    };
}

/*
 * Accounts lie side by side: one that is idle must not hold a page of its own,
 * left over from the databases that were open around it.
 */
struct account_slab {
    struct account_slab *next;
    struct account accounts[32];
};

static void store_free(struct store *st)
{
    node_close(st);
    quota_finish(st);
    for (struct account_slab *slab = st->slabs, *next; slab != NULL; slab = next) {
        next = slab->next;
        free(slab);
    }
    index_finish(st);
    crash_note_close(&st->note);
    idmap_finish(&st->accounts);
    idmap_finish(&st->clean);
    (void)pthread_cond_destroy(&st->upkeep_wanted);
    (void)pthread_cond_destroy(&st->import_ended);
    (void)pthread_cond_destroy(&st->daily_wanted);
    (void)pthread_mutex_destroy(&st->lock);
    (void)pthread_mutex_destroy(&st->node_lock);
    (void)pthread_mutex_destroy(&st->share_lock);
    (void)pthread_mutex_destroy(&st->lease_lock);
    (void)sort_tables_drop(st, 0, INT64_MAX);
    (void)pthread_mutex_destroy(&st->sorts.lock);
    free(st->dir);
    free(st);
}

static bool make_folders(const struct store *st, struct fail *why)
{
    static const char *const folders[] = {"accounts", "snapshots"};
    char path[STORE_PATH_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        int len = snprintf(path, sizeof path, "%s/%s", st->dir, folders[i]);
        if (len < 0 || (size_t)len >= sizeof path)
            return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", st->dir);
        if (!io_make_dirs(path, 0700, why))
            return false;
    }
    return true;
}

/* Which messages were being parsed when the program crashed? */
static bool open_note(struct store *st, struct fail *why)
{
    char path[STORE_PATH_BYTES];
    int len = snprintf(path, sizeof path, "%s/working", st->dir);

    if (len < 0 || (size_t)len >= sizeof path)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", st->dir);
    return crash_note_open(path, &st->note, why);
}

bool store_open(const char *dir, struct volumes *volumes, const struct store_limits *limits,
                struct store **out, struct fail *why)
{
    struct store *st = xcalloc(1, sizeof *st);
    pthread_condattr_t monotonic;

    st->dir = xstrdup(dir);
    st->volumes = volumes;
    st->limits = *limits;
    idmap_init(&st->accounts);
    idmap_init(&st->clean);
    quota_init(st);
    (void)pthread_mutex_init(&st->lock, NULL);
    (void)pthread_mutex_init(&st->node_lock, NULL);
    (void)pthread_mutex_init(&st->share_lock, NULL);
    (void)pthread_mutex_init(&st->lease_lock, NULL);
    (void)pthread_mutex_init(&st->sorts.lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&st->upkeep_wanted, &monotonic);
    (void)pthread_cond_init(&st->import_ended, &monotonic);
    (void)pthread_cond_init(&st->daily_wanted, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    index_init(st);
    if (!make_folders(st, why) || !open_note(st, why) || !node_open(st, why) || !upkeep_start(st, why) || !daily_start(st, why)) {
        upkeep_stop(st);
        store_free(st);
        return false;
    }
    *out = st;
    return true;
}

void store_set_text_source(struct store *st, const struct text_source *source)
{
    st->text_source = source;
}

void store_close(struct store **stp)
{
    struct store *st = *stp;
    struct account *a;

    if (st == NULL)
        return;
    *stp = NULL;
    index_stop(st);
    quota_stop_counting(st);
    daily_stop(st);
    upkeep_stop(st);
    int64_t until = clock_mono_ms() + LAST_VIEWS_MS;
    while ((a = store_take_oldest(st, INT64_MAX)) != NULL) {
        view_files_keep_last(a, until);
        account_close_file(a);
        (void)pthread_mutex_unlock(&a->file_lock);
        store_unpin(a);
    }
    if (st->accounts.count > 0)
        bug("store closed while %zu accounts are in use", st->accounts.count);
    node_mark_clean(st);
    store_free(st);
}

static void more_spare(struct store *st)
{
    struct account_slab *slab = xcalloc(1, sizeof *slab);

    slab->next = st->slabs;
    st->slabs = slab;
    for (size_t i = 0; i < ARRAY_LEN(slab->accounts); i++) {
        slab->accounts[i].newer = st->spare;
        st->spare = &slab->accounts[i];
    }
}

/* The store's lock is held. */
static struct account *account_new(struct store *st, uint64_t id)
{
    struct account *a;

    if (st->spare == NULL)
        more_spare(st);
    a = st->spare;
    st->spare = a->newer;
    memset(a, 0, sizeof *a);
    a->store = st;
    a->id = id;
    a->last_member = &a->first_member;
    (void)pthread_mutex_init(&a->file_lock, NULL);
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->batch_done, NULL);
    return a;
}

static void account_free(struct account *a)
{
    struct store *st = a->store;

    if (a->watches != NULL || a->waiters != NULL)
        bug("account %llu freed while somebody watches it", (unsigned long long)a->id);
    keyword_table_free(a);
    (void)pthread_cond_destroy(&a->batch_done);
    (void)pthread_mutex_destroy(&a->lock);
    (void)pthread_mutex_destroy(&a->file_lock);
    (void)pthread_mutex_lock(&st->lock);
    a->newer = st->spare;
    st->spare = a;
    (void)pthread_mutex_unlock(&st->lock);
}

struct account *store_pin(struct store *st, uint64_t id)
{
    (void)pthread_mutex_lock(&st->lock);
    struct account *a = idmap_get(&st->accounts, id);
    if (a == NULL) {
        a = account_new(st, id);
        (void)idmap_put(&st->accounts, id, a);
    }
    a->refs++;
    (void)pthread_mutex_unlock(&st->lock);
    return a;
}

void store_unpin(struct account *a)
{
    struct store *st = a->store;

    (void)pthread_mutex_lock(&st->lock);
    bool last = --a->refs == 0 && !a->is_open;
    if (last)
        (void)idmap_remove(&st->accounts, a->id);
    (void)pthread_mutex_unlock(&st->lock);
    if (last)
        account_free(a);
}

static void list_add(struct store *st, struct account *a)
{
    a->newer = NULL;
    a->older = st->newest;
    *(st->newest != NULL ? &st->newest->newer : &st->oldest) = a;
    st->newest = a;
}

static void list_take(struct store *st, struct account *a)
{
    *(a->newer != NULL ? &a->newer->older : &st->newest) = a->older;
    *(a->older != NULL ? &a->older->newer : &st->oldest) = a->newer;
}

/* Exact to the second: most uses need not take the store's lock. */
void store_touch(struct account *a)
{
    struct store *st = a->store;
    int64_t now = clock_mono_ms();

    if (now - atomic_load_explicit(&a->used_ms, memory_order_relaxed) < 1000)
        return;
    (void)pthread_mutex_lock(&st->lock);
    a->used_ms = now;
    if (a->is_open && st->newest != a) {
        list_take(st, a);
        list_add(st, a);
    }
    (void)pthread_mutex_unlock(&st->lock);
}

void store_opened(struct account *a)
{
    struct store *st = a->store;

    (void)pthread_mutex_lock(&st->lock);
    a->is_open = true;
    a->used_ms = clock_mono_ms();
    list_add(st, a);
    st->open_count++;
    (void)pthread_mutex_unlock(&st->lock);
}

void store_closed(struct account *a, bool clean)
{
    struct store *st = a->store;

    (void)pthread_mutex_lock(&st->lock);
    if (st->clean.count >= CLEAN_MAX) {
        idmap_finish(&st->clean);
        idmap_init(&st->clean);
    }
    if (clean)
        (void)idmap_put(&st->clean, a->id, st);
    else
        st->was_clean = false;
    st->any_unclean = st->any_unclean || !clean;
    a->is_open = false;
    list_take(st, a);
    st->open_count--;
    if (a->wants_checkpoint)
        st->checkpoints_wanted--;
    a->wants_checkpoint = false;
    (void)pthread_mutex_unlock(&st->lock);
}

bool store_knows_clean(struct store *st, uint64_t id)
{
    (void)pthread_mutex_lock(&st->lock);
    bool known = st->was_clean || idmap_get(&st->clean, id) != NULL;
    (void)pthread_mutex_unlock(&st->lock);
    return known;
}

void store_forget_clean(struct store *st, uint64_t id)
{
    (void)pthread_mutex_lock(&st->lock);
    (void)idmap_remove(&st->clean, id);
    (void)pthread_mutex_unlock(&st->lock);
}

/* Unless somebody uses it, or has the file pinned. */
static bool lock_to_close(struct account *a)
{
    if (pthread_mutex_trylock(&a->file_lock) != 0)
        return false;
    if (a->pins == 0)
        return true;
    (void)pthread_mutex_unlock(&a->file_lock);
    return false;
}

struct account *store_take_oldest(struct store *st, int64_t unused_since_ms)
{
    (void)pthread_mutex_lock(&st->lock);
    struct account *a = st->oldest;
    while (a != NULL && a->used_ms <= unused_since_ms && !lock_to_close(a))
        a = a->newer;
    if (a != NULL && a->used_ms > unused_since_ms)
        a = NULL;
    if (a != NULL)
        a->refs++;
    (void)pthread_mutex_unlock(&st->lock);
    return a;
}

struct account *store_take_checkpoint(struct store *st)
{
    struct account *a = NULL;

    (void)pthread_mutex_lock(&st->lock);
    if (st->checkpoints_wanted > 0) {
        a = st->newest;
        while (a != NULL && !a->wants_checkpoint)
            a = a->older;
    }
    if (a != NULL) {
        a->wants_checkpoint = false;
        st->checkpoints_wanted--;
        a->refs++;
    }
    (void)pthread_mutex_unlock(&st->lock);
    return a;
}

void store_want_checkpoint(struct account *a)
{
    struct store *st = a->store;

    (void)pthread_mutex_lock(&st->lock);
    if (!a->wants_checkpoint && a->is_open) {
        a->wants_checkpoint = true;
        st->checkpoints_wanted++;
        (void)pthread_cond_signal(&st->upkeep_wanted);
    }
    (void)pthread_mutex_unlock(&st->lock);
}

bool store_over_budget(struct store *st, unsigned percent)
{
    (void)pthread_mutex_lock(&st->lock);
    bool over = (uint64_t)st->open_count * HANDLE_BYTES > st->limits.handle_bytes / 100 * percent;
    if (over)
        (void)pthread_cond_signal(&st->upkeep_wanted);
    (void)pthread_mutex_unlock(&st->lock);
    return over;
}

size_t store_pin_open(struct store *st, struct account ***out)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&st->lock);
    *out = xcalloc(st->open_count > 0 ? st->open_count : 1, sizeof(struct account *));
    for (struct account *a = st->oldest; a != NULL; a = a->newer) {
        a->refs++;
        (*out)[count++] = a;
    }
    (void)pthread_mutex_unlock(&st->lock);
    return count;
}
