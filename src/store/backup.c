/*
 * store/backup.c - the store's side of a backup: what is read holds still, and copies of what changes in place.
 *
 * Layer: store.  The order in which a backup copies makes it consistent.  node.db is first: all that its low-water
 * mark passes has its rows in every account's file that is copied later, and a restore goes through what lies above
 * it again.  Then the accounts' files, at last the volumes (storage/volume_lease.c), which so have the record of
 * every row.  Beside the volumes' space one thing is held back by the lease: an account's dead records move from its
 * file to node.db, and would be in neither copy.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/block.h"
#include "store/internal.h"

/* A change within that time of a look may leave no trace in the file's time. */
enum { TICK_SECONDS = 2 };

void store_lease_begin(struct store *st)
{
    volume_lease_begin(st->volumes);
    block_begin();
    (void)pthread_mutex_lock(&st->lease_lock);
    st->leases++;
    (void)pthread_mutex_unlock(&st->lease_lock);
    block_end();
}

void store_lease_end(struct store *st)
{
    (void)pthread_mutex_lock(&st->lease_lock);
    st->leases--;
    (void)pthread_mutex_unlock(&st->lease_lock);
    volume_lease_end(st->volumes);
}

bool store_copy_node(struct store *st, const char *path, struct fail *why)
{
    struct db_copy *copy = NULL;
    bool done = false;

    block_begin();
    node_lock(st);
    bool ok = db_copy_begin(st->node, path, &copy, why) && db_copy_step(copy, 0, &done, why);
    node_unlock(st);
    ok = db_copy_finish(&copy, ok ? why : NULL) && ok;
    block_end();
    return ok;
}

/* *newest: the later of it and the file's last change. */
static bool look(const struct store *st, uint64_t id, const char *file, struct stat *s, int64_t *newest, struct fail *why)
{
    char path[STORE_PATH_BYTES];

    if (!account_path(st, "accounts", id, file, path, why))
        return false;
    if (stat(path, s) != 0) {
        if (errno != ENOENT)
            return fail_errno(why, errno, "%s", path);
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no account %llu", (unsigned long long)id);
    }
    if (s->st_size > 0 && s->st_mtim.tv_sec > *newest) /* an empty WAL says nothing: somebody has opened the file */
        *newest = s->st_mtim.tv_sec;
    return true;
}

bool store_account_stamp(struct store *st, uint64_t id, struct store_stamp *out, struct fail *why)
{
    struct stat file, wal = {0};
    struct fail none = {0};
    struct timespec now;
    int64_t newest = 0;

    *out = (struct store_stamp){""};
    if (!look(st, id, "mail.db", &file, &newest, why))
        return false;
    if (!look(st, id, "mail.db-wal", &wal, &newest, &none) && none.reason != FAIL_NOT_FOUND) {
        if (why != NULL)
            *why = none;
        return false;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (newest >= now.tv_sec - TICK_SECONDS)
        return true;
    int len = snprintf(out->text, sizeof out->text, "%llu-%lld-%lld.%09ld", (unsigned long long)file.st_ino,
                       (long long)file.st_size, (long long)file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
    if (wal.st_size > 0 && len > 0 && (size_t)len < sizeof out->text)
        (void)snprintf(out->text + len, sizeof out->text - (size_t)len, "+%lld-%lld.%09ld", (long long)wal.st_size,
                       (long long)wal.st_mtim.tv_sec, wal.st_mtim.tv_nsec);
    return true;
}

bool store_copy_account(struct store *st, uint64_t id, const char *path, struct fail *why)
{
    struct account *a;

    if (!store_account(st, id, &a, why))
        return false;
    block_begin();
    bool ok = snapshot_copy(a, path, false, why);
    block_end();
    account_release(&a);
    return ok;
}
