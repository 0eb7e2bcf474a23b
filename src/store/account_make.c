/*
 * store/account_make.c - accounts made, removed, gone through.
 *
 * Layer: store.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/io.h"
#include "store/internal.h"

/* What every account begins with (RFC 6154). */
static const struct {
    const char *name;
    enum special_use use;
} first_mailboxes[] = {
    {"INBOX", USE_NONE}, {"Drafts", USE_DRAFTS}, {"Sent", USE_SENT},
    {"Junk", USE_JUNK},  {"Trash", USE_TRASH},   {"Archive", USE_ARCHIVE},
};

static bool write_first_rows(struct store *st, uint64_t id, struct db *db, struct fail *why)
{
    if (!db_run(db, SQL_ACCOUNT_NEW, why, "ii", (int64_t)id, clock_now_us()))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(first_mailboxes); i++) {
        struct slice name = slice_of(first_mailboxes[i].name);
        uint32_t uidvalidity;
        if (!node_new_uidvalidity(st, &uidvalidity, why) ||
            !db_run(db, SQL_MAILBOX_NEW, why, "iitiiii", (int64_t)i + 1, (int64_t)0, name,
                    (int64_t)uidvalidity, (int64_t)first_mailboxes[i].use, (int64_t)0, (int64_t)1) ||
            !db_run(db, SQL_SUBSCRIBE, why, "t", name))
            return false;
    }
    return db_run(db, SQL_ACCOUNT_WRITE, why, "iiiii", (int64_t)1, (int64_t)1,
                  (int64_t)ARRAY_LEN(first_mailboxes) + 1, (int64_t)0, (int64_t)0);
}

/* A file without the account's row is what a crash left of an earlier attempt. */
static bool is_finished(struct db *db, bool *yes, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_ACCOUNT_READ, why);

    if (q == NULL)
        return false;
    *yes = db_step(q, why);
    return db_done(q, why);
}

bool account_make_file(struct store *st, uint64_t id, const char *path, struct fail *why)
{
    struct db *db = NULL;
    bool there;

    if (!db_open(path, &account_schema, NULL, &db, why))
        return false;
    bool ok = is_finished(db, &there, why);
    if (ok && there)
        ok =
            fail_set(why, FAIL_PERM, FAIL_EXISTS, "there is an account %llu already", (unsigned long long)id);
    ok = ok && db_begin(db, why);
    if (ok && !(write_first_rows(st, id, db, why) && db_commit(db, why))) {
        db_rollback(db);
        ok = false;
    }
    ok = ok && db_checkpoint(db, true, why); /* it may be renamed: all must be in the one file */
    db_close(&db);
    return ok;
}

static bool make_folder_of(char *path, struct fail *why)
{
    char *end = strrchr(path, '/');

    *end = '\0';
    bool ok = io_make_dirs(path, 0700, why);
    *end = '/';
    return ok;
}

/* Beside its place, then renamed: a file that is there is whole, whatever happens meanwhile. */
static bool make_in_place(struct account *a, char *path, struct fail *why)
{
    char fresh[STORE_PATH_BYTES + sizeof ".new"], fresh_wal[sizeof fresh + sizeof "-wal"];

    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    (void)snprintf(fresh_wal, sizeof fresh_wal, "%s-wal", fresh);
    (void)unlink(fresh); /* what a crash left of an earlier attempt */
    (void)unlink(fresh_wal);
    if (!account_make_file(a->store, a->id, fresh, why))
        return false;
    if (rename(fresh, path) != 0)
        return fail_errno(why, errno, "%s", path);
    char *end = strrchr(path, '/');
    *end = '\0';
    bool ok = io_sync_dir(path, why);
    *end = '/';
    return ok;
}

/* Is there one, or was there one whose file is lost?  That one is for `rebuild`. */
static bool was_made(const struct account *a, const char *path, bool *yes, struct fail *why)
{
    char snapshot[STORE_PATH_BYTES];

    if (!account_path(a->store, "snapshots", a->id, "mail.db", snapshot, why))
        return false;
    *yes = access(path, F_OK) == 0 || access(snapshot, F_OK) == 0;
    return true;
}

static bool make_account(struct account *a, struct fail *why)
{
    char path[STORE_PATH_BYTES];
    bool there = a->db != NULL;

    if (a->removed)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED,
                        "account %llu was removed; ids are never used again", (unsigned long long)a->id);
    if (!account_path(a->store, "accounts", a->id, "mail.db", path, why) ||
        (!there && !was_made(a, path, &there, why)))
        return false;
    if (there)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, "there is an account %llu already",
                        (unsigned long long)a->id);
    return make_folder_of(path, why) && make_in_place(a, path, why);
}

bool store_account_create(struct store *st, uint64_t id, struct fail *why)
{
    struct account *a = store_pin(st, id);

    block_begin();
    (void)pthread_mutex_lock(&a->file_lock);
    bool ok = make_account(a, why);
    (void)pthread_mutex_unlock(&a->file_lock);
    block_end();
    store_unpin(a);
    return ok;
}

/* ---- going through all ---- */

struct walk {
    const char *behind; /* what follows the id in the folders' names */
    bool (*each)(void *ctx, uint64_t id);
    void *ctx;
    bool stopped;
};

static bool folder_id(const char *name, const char *behind, uint64_t *out)
{
    char *end;

    if (strspn(name, "0123456789abcdef") != 16 || strcmp(name + 16, behind) != 0)
        return false;
    *out = strtoull(name, &end, 16);
    return true;
}

/* Folders of two hexadecimal digits, twice; below them one per account. */
static bool walk_folder(const char *path, unsigned depth, struct walk *w, struct fail *why)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool ok = true;

    if (dir == NULL)
        return fail_errno(why, errno, "%s", path);
    while (ok && !w->stopped && (entry = readdir(dir)) != NULL) {
        char below[STORE_PATH_BYTES];
        uint64_t id;
        if (entry->d_name[0] == '.')
            continue;
        if (depth == 2) {
            if (folder_id(entry->d_name, w->behind, &id) && !w->each(w->ctx, id))
                w->stopped = true;
            continue;
        }
        int len = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        ok = len > 0 && (size_t)len < sizeof below
                 ? walk_folder(below, depth + 1, w, why)
                 : fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: too long a path", path);
    }
    (void)closedir(dir);
    return ok;
}

bool account_walk(struct store *st, const char *behind, bool (*each)(void *ctx, uint64_t id), void *ctx,
                  struct fail *why)
{
    struct walk w = {.behind = behind, .each = each, .ctx = ctx};
    char path[STORE_PATH_BYTES];
    int len = snprintf(path, sizeof path, "%s/accounts", st->dir);

    if (len < 0 || (size_t)len >= sizeof path)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", st->dir);
    return walk_folder(path, 0, &w, why);
}

/* Is there a folder, and nothing in it but the beginnings of a file?  Nobody was told that there is an account. */
static bool is_unfinished(const struct store *st, uint64_t id)
{
    char path[STORE_PATH_BYTES];
    const struct dirent *entry;
    bool more = false;

    if (!account_path(st, "accounts", id, "mail.db", path, NULL) || access(path, F_OK) == 0 ||
        !account_path(st, "snapshots", id, "mail.db", path, NULL) || access(path, F_OK) == 0 ||
        !account_path(st, "accounts", id, "", path, NULL))
        return false;
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        more = more || (entry->d_name[0] != '.' && !slice_starts(slice_of(entry->d_name), SLICE("mail.db.new")));
    if (dir == NULL)
        return false;
    (void)closedir(dir);
    return !more;
}

struct finished {
    const struct store *store;
    bool (*each)(void *ctx, uint64_t id);
    void *ctx;
};

static bool visit_finished(void *ctx, uint64_t id)
{
    const struct finished *f = ctx;

    return is_unfinished(f->store, id) || f->each(f->ctx, id);
}

bool store_each_account(struct store *st, bool (*each)(void *ctx, uint64_t account_id), void *ctx,
                        struct fail *why)
{
    struct finished f = {.store = st, .each = each, .ctx = ctx};

    return account_walk(st, "", visit_finished, &f, why);
}
