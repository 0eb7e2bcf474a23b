/*
 * store/snapshot.c - copies of account files, from which a lost one is made anew.
 *
 * Layer: store.  A copy is taken in steps, so that nobody waits long for it.
 */
#include <stdio.h>

#include "base/block.h"
#include "base/io.h"
#include "store/internal.h"

enum { STEP_PAGES = 512 };

static bool make_folder(const struct store *st, uint64_t id, struct fail *why)
{
    char path[STORE_PATH_BYTES];

    if (!account_path(st, "snapshots", id, "", path, why))
        return false;
    path[strlen(path) - 1] = '\0';
    return io_make_dirs(path, 0700, why);
}

/* The file stays open between the steps: `pins` keeps the background from closing it. */
bool snapshot_copy(struct account *a, const char *path, bool lasting, struct fail *why)
{
    struct db_copy *copy = NULL;
    bool done = false;

    if (!account_lock(a, why))
        return false;
    bool ok = db_copy_begin(a->db, path, &copy, why);
    if (ok)
        a->pins++;
    if (ok && !lasting)
        db_copy_for_now(copy);
    while (ok && !done) {
        ok = db_copy_step(copy, STEP_PAGES, &done, why);
        if (ok && !done) {
            (void)pthread_mutex_unlock(&a->file_lock);
            (void)pthread_mutex_lock(&a->file_lock);
        }
    }
    if (copy != NULL) {
        ok = db_copy_finish(&copy, ok ? why : NULL) && ok;
        a->pins--;
    }
    account_unlock(a);
    return ok;
}

bool store_snapshot(struct store *st, uint64_t id, struct fail *why)
{
    struct account *a;
    char path[STORE_PATH_BYTES];

    if (!account_path(st, "snapshots", id, "mail.db", path, why) || !store_account(st, id, &a, why))
        return false;
    block_begin();
    bool ok = make_folder(st, id, why) && snapshot_copy(a, path, true, why);
    block_end();
    account_release(&a);
    return ok;
}
