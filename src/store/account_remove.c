/*
 * store/account_remove.c - an account goes: its file, its snapshot, its bodies.
 *
 * Layer: store.  Its folder is renamed first: from then on there is no such
 * account, and whatever a crash leaves undone is done by the daily round.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/io.h"
#include "base/log.h"
#include "store/index.h"
#include "store/internal.h"

#define GONE ".gone"

enum { SOME = 256 };

static bool release_messages(struct store *st, struct db *db, uint64_t id, struct fail *why)
{
    struct node_release list[SOME];
    struct reference some[SOME];
    uint64_t last = 0;
    size_t count;

    do {
        if (!row_references(db, last, some, SOME, &count, why))
            return false;
        for (size_t i = 0; i < count; i++) {
            list[i] = (struct node_release){.ref = some[i].ref, .size = some[i].size};
            last = some[i].id;
        }
        if (!release_records(st, id, list, count, why))
            return false;
    } while (count == SOME);
    return true;
}

static bool release_dead(struct store *st, struct db *db, uint64_t id, struct fail *why)
{
    struct node_release list[SOME];
    volume_ref last = 0;
    size_t count;

    do {
        if (!release_read_dead(db, last, list, SOME, &count, why) ||
            !release_records(st, id, list, count, why))
            return false;
        last = count > 0 ? list[count - 1].ref : last;
    } while (count == SOME);
    return true;
}

/* A file too damaged to be read releases nothing: `posthorn check` will find its records without owners. */
static bool release_all(struct store *st, uint64_t id, const char *path, struct fail *why)
{
    struct db_options options = {.must_exist = true};
    struct fail local = {0};
    struct db *db = NULL;

    if (!db_open(path, &account_schema, &options, &db, &local)) {
        if (local.reason == FAIL_NOT_FOUND)
            return true; /* removed up to here before */
        log_event(LOG_WARNING, "store.remove", LOG_U64("account", id), LOG_FAIL(&local));
        return local.kind == FAIL_PERM || fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s", local.text);
    }
    bool ok = release_messages(st, db, id, why) && release_dead(st, db, id, why);
    db_close(&db);
    return ok;
}

static bool remove_files(const char *folder, struct fail *why)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool ok = true;

    if (dir == NULL)
        return errno == ENOENT || fail_errno(why, errno, "%s", folder);
    while (ok && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = unlinkat(dirfd(dir), entry->d_name, 0) == 0 ||
                 fail_errno(why, errno, "%s/%s", folder, entry->d_name);
    }
    (void)closedir(dir);
    return ok && (rmdir(folder) == 0 || fail_errno(why, errno, "%s", folder));
}

/* The account's folder in accounts/ or snapshots/, with what is put behind its name. */
static bool folder_path(const struct store *st, const char *folder, uint64_t id, const char *behind,
                        char out[STORE_PATH_BYTES], struct fail *why)
{
    if (!account_path(st, folder, id, "", out, why))
        return false;
    size_t len = strlen(out) - 1; /* without the last '/' */
    if (len + strlen(behind) >= STORE_PATH_BYTES)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", st->dir);
    memcpy(out + len, behind, strlen(behind) + 1);
    return true;
}

/* The folder is called .gone already. */
static bool finish_removal(struct store *st, uint64_t id, struct fail *why)
{
    char gone[STORE_PATH_BYTES], snapshots[STORE_PATH_BYTES], file[STORE_PATH_BYTES];

    if (!folder_path(st, "accounts", id, GONE, gone, why) ||
        !folder_path(st, "snapshots", id, "", snapshots, why))
        return false;
    int len = snprintf(file, sizeof file, "%s/mail.db", gone);
    if (len < 0 || (size_t)len >= sizeof file)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", st->dir);
    return share_forget_owner(st, id, why) && release_all(st, id, file, why) && remove_files(snapshots, why) && remove_files(gone, why);
}

static bool put_aside(struct store *st, uint64_t id, struct fail *why)
{
    char path[STORE_PATH_BYTES], gone[STORE_PATH_BYTES];

    if (!folder_path(st, "accounts", id, "", path, why) || !folder_path(st, "accounts", id, GONE, gone, why))
        return false;
    if (rename(path, gone) != 0)
        return errno == ENOENT ? fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no account %llu",
                                          (unsigned long long)id)
                               : fail_errno(why, errno, "%s", path);
    *strrchr(path, '/') = '\0';
    return io_sync_dir(path, why);
}

/* Nobody can open the file any more; who uses the account hears of it at the next call. */
static bool close_for_good(struct account *a, struct fail *why)
{
    if (a->pins > 0)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "a snapshot is being taken of account %llu",
                        (unsigned long long)a->id);
    account_close_file(a);
    if (!put_aside(a->store, a->id, why))
        return false;
    (void)pthread_mutex_lock(&a->lock);
    a->removed = true;
    watch_tell(a, NULL);
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

bool store_account_remove(struct store *st, uint64_t id, struct fail *why)
{
    struct account *a = store_pin(st, id);

    block_begin();
    (void)pthread_mutex_lock(&a->file_lock);
    bool ok = close_for_good(a, why);
    (void)pthread_mutex_unlock(&a->file_lock);
    index_remove(st, id);
    if (ok)
        quota_forget_account(st, id);
    ok = ok && finish_removal(st, id, why);
    block_end();
    (void)sort_tables_drop(st, id, INT64_MAX);
    store_unpin(a);
    return ok;
}

static bool finish_one(void *ctx, uint64_t id)
{
    struct fail why;

    if (!finish_removal(ctx, id, &why))
        log_event(LOG_WARNING, "store.remove", LOG_U64("account", id), LOG_FAIL(&why));
    return true;
}

bool account_finish_removals(struct store *st, struct fail *why)
{
    return account_walk(st, GONE, finish_one, st, why);
}
