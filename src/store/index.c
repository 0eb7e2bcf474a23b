/*
 * store/index.c - the files of the search index.
 *
 * Layer: store.  See store/index.h.  One connection a file, used under its lock: a
 * search between two messages that the background puts in sees what is not committed
 * yet, which is as right as what is.
 */
#include "store/index.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    INDEX_VERSION = 2, /* of what is put in: raised when folding, grams or HTML change */
    CACHE_PAGES = 128,
    OPEN_MAX = 64, /* files */
    IDLE_MS = 30000,
    RETRY_MS = 5000,
    CHECKPOINT_BYTES = 8 << 20,
};

/* ---- all of them ---- */

void index_init(struct store *st)
{
    pthread_condattr_t monotonic;

    if (st->limits.search_index == 0)
        return;
    struct index_set *set = xcalloc(1, sizeof *set);
    idmap_init(&set->files);
    (void)pthread_mutex_init(&set->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&set->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    st->index = set;
}

static bool file_path(const struct index_file *f, const char *behind, char out[STORE_PATH_BYTES],
                      struct fail *why)
{
    char name[32];

    (void)snprintf(name, sizeof name, "index.db%s", behind);
    return account_path(f->store, "accounts", f->account, name, out, why);
}

/* So that the next process looks at it, though nothing may have come since (index_make.c). */
static void date_back(const struct index_file *f)
{
    static const struct timespec times[2] = {{0, 0}, {0, 0}};
    char path[STORE_PATH_BYTES];

    if (file_path(f, "", path, NULL))
        (void)utimensat(AT_FDCWD, path, times, 0);
}

/* file's lock held */
static void close_file(struct index_file *f)
{
    if (f->db == NULL)
        return;
    db_rollback(f->db);
    db_close(&f->db);
    if (f->behind)
        date_back(f);
    f->behind = false;
    f->now = f->committed = (struct index_position){0};
    f->pending_bytes = 0;
    (void)pthread_mutex_lock(&f->store->index->lock);
    f->store->index->open_count--;
    (void)pthread_mutex_unlock(&f->store->index->lock);
}

static void free_file(struct index_file *f)
{
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

void index_finish(struct store *st)
{
    struct index_set *set = st->index;
    uint64_t id;
    void *value;

    if (set == NULL)
        return;
    for (size_t at = 0; idmap_next(&set->files, &at, &id, &value);) {
        struct index_file *f = value;
        if (f->refs > 0)
            bug("the index of account %llu is in use", (unsigned long long)id);
        if (f->db != NULL && f->now.covered > f->committed.covered && !index_file_commit(f, NULL))
            db_rollback(f->db);
        close_file(f);
        free_file(f);
    }
    idmap_finish(&set->files);
    (void)pthread_cond_destroy(&set->wake);
    (void)pthread_mutex_destroy(&set->lock);
    free(set);
    st->index = NULL;
}

struct index_file *index_file_pin(struct store *st, uint64_t account)
{
    struct index_set *set = st->index;

    (void)pthread_mutex_lock(&set->lock);
    struct index_file *f = idmap_get(&set->files, account);
    if (f == NULL) {
        f = xcalloc(1, sizeof *f);
        f->store = st;
        f->account = account;
        (void)pthread_mutex_init(&f->lock, NULL);
        (void)idmap_put(&set->files, account, f);
    }
    f->refs++;
    (void)pthread_mutex_unlock(&set->lock);
    return f;
}

struct index_file *index_file_lock(struct store *st, uint64_t account)
{
    if (st->index == NULL)
        return NULL;
    struct index_file *f = index_file_pin(st, account);
    f->used_ms = clock_mono_ms();
    if (pthread_mutex_trylock(&f->lock) != 0) {
        block_begin();
        (void)pthread_mutex_lock(&f->lock);
        block_end();
    }
    return f;
}

void index_file_unlock(struct index_file **fp)
{
    struct index_file *f = *fp;

    if (f == NULL)
        return;
    *fp = NULL;
    struct index_set *set = f->store->index;
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_mutex_lock(&set->lock);
    f->refs--;
    (void)pthread_mutex_unlock(&set->lock);
}

/* One that nobody uses and that was not used since; pinned and locked, or NULL.  Closed ones may wait. */
static struct index_file *take_unused(struct index_set *set, int64_t since_ms)
{
    struct index_file *oldest = NULL;
    uint64_t id;
    void *value;

    (void)pthread_mutex_lock(&set->lock);
    for (size_t at = 0; idmap_next(&set->files, &at, &id, &value);) {
        struct index_file *f = value;
        bool idle = f->refs == 0 && f->used_ms <= since_ms && (f->db != NULL || f->work.waiting == 0);
        if (idle && (oldest == NULL || f->used_ms < oldest->used_ms))
            oldest = f;
    }
    if (oldest != NULL && oldest->work.waiting == 0)
        (void)idmap_remove(&set->files, oldest->account);
    if (oldest != NULL) {
        oldest->refs++;
        if (pthread_mutex_trylock(&oldest->lock) != 0)
            bug("an index that nobody uses is locked");
    }
    (void)pthread_mutex_unlock(&set->lock);
    return oldest;
}

static bool is_crowded(struct index_set *set)
{
    (void)pthread_mutex_lock(&set->lock);
    bool crowded = set->open_count > OPEN_MAX;
    (void)pthread_mutex_unlock(&set->lock);
    return crowded;
}

void index_close_idle(struct store *st)
{
    struct index_set *set = st->index;
    struct index_file *f;

    for (;;) {
        f = take_unused(set, is_crowded(set) ? INT64_MAX : clock_mono_ms() - IDLE_MS);
        if (f == NULL)
            return;
        if (f->db != NULL && f->now.covered > f->committed.covered)
            (void)index_file_commit(f, NULL);
        close_file(f);
        (void)pthread_mutex_unlock(&f->lock);
        (void)pthread_mutex_lock(&set->lock);
        f->refs--;
        bool gone = idmap_get(&set->files, f->account) != f;
        (void)pthread_mutex_unlock(&set->lock);
        if (gone)
            free_file(f);
    }
}

/* ---- one of them ---- */

static void remove_files(struct index_file *f)
{
    static const char *const behind[] = {"-wal", "-journal", ""};
    char path[STORE_PATH_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(behind); i++)
        if (file_path(f, behind[i], path, NULL))
            (void)unlink(path);
}

void index_file_discard(struct index_file *f, const char *reason)
{
    char path[STORE_PATH_BYTES];

    close_file(f);
    if (!file_path(f, "", path, NULL) || access(path, F_OK) != 0)
        return;
    log_event(LOG_INFO, "index.discarded", LOG_U64("account", f->account), LOG_CSTR("reason", reason));
    remove_files(f);
}

void index_file_failed(struct index_file *f, const struct fail *why)
{
    if (why->reason == FAIL_NO_SPACE && f->db != NULL) { /* what is there can still be searched */
        db_rollback(f->db);
        f->now = f->committed;
        f->pending_bytes = 0;
        return;
    }
    f->retry_ms = clock_mono_ms() + RETRY_MS;
    log_event(LOG_WARNING, "index.failed", LOG_U64("account", f->account), LOG_FAIL(why));
    if (why->kind == FAIL_PERM)
        index_file_discard(f, "damaged");
    else
        close_file(f);
}

/* HTML with a text source is other text than HTML without. */
static int64_t version_of(const struct store *st)
{
    return INDEX_VERSION * 2 + (st->text_source != NULL);
}

static bool write_state(struct index_file *f, struct fail *why)
{
    return db_run(f->db, INDEX_STATE_SET, why, "iiii", version_of(f->store), f->epoch, (int64_t)f->now.covered,
                  (int64_t)f->now.messages);
}

/* *right: it is this account's, as it is today. */
static bool read_state(struct index_file *f, bool *right, struct fail *why)
{
    struct db_stmt *q = db_stmt(f->db, INDEX_STATE, why);

    *right = false;
    if (q == NULL)
        return false;
    if (db_step(q, why)) {
        *right = db_col_i64(q, 0) == version_of(f->store) && db_col_i64(q, 1) == f->epoch;
        f->now.covered = (uint64_t)db_col_i64(q, 2);
        f->now.messages = (uint64_t)db_col_i64(q, 3);
    }
    f->committed = f->now;
    return db_done(q, why);
}

static bool open_handle(struct index_file *f, bool make, struct fail *why)
{
    const struct db_options options = {
        .cache_pages = CACHE_PAGES, .must_exist = !make, .packed_words = true, .derived = true};
    char path[STORE_PATH_BYTES];

    if (!file_path(f, "", path, why) || !db_open(path, &index_schema, &options, &f->db, why))
        return false;
    (void)pthread_mutex_lock(&f->store->index->lock);
    f->store->index->open_count++;
    (void)pthread_mutex_unlock(&f->store->index->lock);
    return true;
}

/* A new one says at once whose it is: what is found without that is discarded. */
static bool make_file(struct index_file *f, struct fail *why)
{
    remove_files(f);
    f->now = f->committed = (struct index_position){0};
    if (!open_handle(f, true, why) || !db_begin(f->db, why))
        return false;
    bool ok = write_state(f, why) &&
              db_run(f->db, INDEX_SETTING, why, "ti", SLICE("hashsize"), (int64_t)f->store->limits.index_memory) &&
              db_commit(f->db, why);
    f->behind = true;
    if (!ok)
        close_file(f);
    return ok;
}

static bool open_or_make(struct index_file *f, bool make, struct fail *why)
{
    struct fail local = {0};
    bool right = false;

    if (open_handle(f, false, &local)) {
        if (read_state(f, &right, &local) && right)
            return true;
        index_file_discard(f, local.text[0] != '\0' ? local.text : "of another account or version");
    } else if (local.kind == FAIL_PERM && local.reason != FAIL_NOT_FOUND) {
        index_file_discard(f, local.text);
    } else if (local.kind == FAIL_TEMP) {
        *why = local;
        return false;
    }
    return make ? make_file(f, why) : fail_set(why, FAIL_TEMP, FAIL_NOT_FOUND, "no index yet");
}

bool index_file_open(struct index_file *f, int64_t epoch, bool make, struct fail *why)
{
    if (f->db != NULL && f->epoch != epoch)
        index_file_discard(f, "the account was made anew");
    f->epoch = epoch;
    if (f->db != NULL)
        return true;
    if (clock_mono_ms() < f->retry_ms)
        return fail_set(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "the index failed a moment ago");
    block_begin();
    if (is_crowded(f->store->index)) /* the background may be busy for long */
        index_close_idle(f->store);
    bool ok = open_or_make(f, make, why);
    block_end();
    if (!ok)
        close_file(f);
    return ok;
}

struct index_position index_file_position(const struct index_file *f)
{
    return f->now;
}

bool index_file_is_open(const struct index_file *f)
{
    return f->db != NULL;
}

void index_file_touch(struct index_file *f)
{
    char path[STORE_PATH_BYTES];

    f->behind = false;
    if (f->db != NULL && file_path(f, "", path, NULL))
        (void)utimensat(AT_FDCWD, path, NULL, 0);
}

bool index_file_check(struct index_file *f, struct fail *why)
{
    if (index_file_pending(f) > 0 && !index_file_commit(f, why))
        return false;
    return db_check(f->db, why) && db_run(f->db, INDEX_CHECK, why, "");
}

/* ---- putting in ---- */

bool index_file_add(struct index_file *f, uint64_t message, struct slice packed, bool always, struct fail *why)
{
    f->behind = true;
    if (!db_in_transaction(f->db) && !db_begin(f->db, why))
        return false;
    bool ok = always ? db_run(f->db, INDEX_ALWAYS_ADD, why, "i", (int64_t)message)
                     : db_run(f->db, INDEX_ADD, why, "it", (int64_t)message, packed);
    if (!ok)
        return false;
    f->now.covered = message;
    f->now.messages++;
    f->pending_bytes += packed.len + 1;
    return true;
}

uint64_t index_file_pending(const struct index_file *f)
{
    return f->pending_bytes;
}

bool index_file_commit(struct index_file *f, struct fail *why)
{
    if (!db_in_transaction(f->db))
        return true;
    if (!write_state(f, why) || !db_commit(f->db, why))
        return false;
    f->committed = f->now;
    f->pending_bytes = 0;
    return db_wal_bytes(f->db) < CHECKPOINT_BYTES || db_checkpoint(f->db, false, why);
}

/* ---- looking up ---- */

static bool read_ids(struct db_stmt *q, size_t max, struct index_hits *out, struct fail *why)
{
    while (db_step(q, why)) {
        if (out->count == max) {
            (void)db_done(q, NULL);
            return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "more than %zu messages", max);
        }
        if (out->count == out->cap) {
            out->cap = out->cap > 0 ? out->cap * 2 : 256;
            out->ids = xrealloc(out->ids, out->cap * sizeof *out->ids);
        }
        out->ids[out->count++] = (uint64_t)db_col_i64(q, 0);
    }
    return db_done(q, why);
}

bool index_file_search(struct index_file *f, struct slice query, size_t max, struct index_hits *out,
                       struct fail *why)
{
    struct db_stmt *q = db_stmt(f->db, INDEX_SEARCH, why);

    out->covered = f->now.covered;
    if (q == NULL)
        return false;
    db_bind_text(q, 1, query);
    if (!read_ids(q, max, out, why))
        return false;
    q = db_stmt(f->db, INDEX_ALWAYS, why);
    return q != NULL && read_ids(q, max, out, why);
}

void index_remove(struct store *st, uint64_t account)
{
    struct index_file *f = index_file_lock(st, account);

    if (f == NULL)
        return;
    index_file_discard(f, "the account was made anew or removed");
    index_file_unlock(&f);
}
