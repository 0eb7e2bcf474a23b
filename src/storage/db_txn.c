/*
 * storage/db_txn.c - transactions and savepoints.
 *
 * Layer: storage.
 *
 * When COMMIT fails, nobody knows how much of it the disk has.  Asking again
 * would be answered from the page cache, which believes that all is well; so the
 * connection is given up, unless the disk was simply full: then the commit's last
 * page was never written, and without it the WAL holds no commit.
 */
#include <fcntl.h>

#include "storage/db_internal.h"

bool db_in_transaction(const struct db *d)
{
    return d->handle != NULL && sqlite3_get_autocommit(d->handle) == 0;
}

/* As sqlite3_exec(), without parsing the same words for every change. */
static int run_step(struct db *d, enum db_step_kind kind)
{
    static const char *const sql[DB_STEPS] = {
        [DB_BEGIN] = "BEGIN IMMEDIATE",
        [DB_COMMIT] = "COMMIT",
        [DB_SAVEPOINT] = "SAVEPOINT member",
        [DB_RELEASE] = "RELEASE member",
    };
    sqlite3_stmt **q = &d->steps[kind];
    int status = SQLITE_OK;

    if (*q == NULL)
        status = sqlite3_prepare_v3(d->handle, sql[kind], -1, SQLITE_PREPARE_PERSISTENT, q, NULL);
    if (status != SQLITE_OK)
        return status;
    status = sqlite3_step(*q);
    int said = sqlite3_reset(*q);
    return status == SQLITE_DONE ? said : status;
}

static bool take_step(struct db *d, enum db_step_kind kind, const char *doing, struct fail *why)
{
    if (!db_in_service(d, why))
        return false;
    int status = run_step(d, kind);
    return status == SQLITE_OK || db_failed(d, status, doing, why);
}

bool db_begin(struct db *d, struct fail *why)
{
    return take_step(d, DB_BEGIN, "begin", why);
}

bool db_commit(struct db *d, struct fail *why)
{
    if (!db_in_service(d, why))
        return false;
    int status = run_step(d, DB_COMMIT);
    if (status == SQLITE_OK)
        return true;

    int primary = status & 0xff;
    (void)db_failed(d, status, "commit", why);
    if (primary != SQLITE_FULL && primary != SQLITE_BUSY && primary != SQLITE_CONSTRAINT &&
        primary != SQLITE_ERROR) {
        d->out_of_service = true;
        db_drop_cached(d->path, false);
    }
    db_rollback(d);
    return false;
}

void db_rollback(struct db *d)
{
    if (db_in_transaction(d))
        (void)sqlite3_exec(d->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_savepoint(struct db *d, struct fail *why)
{
    return take_step(d, DB_SAVEPOINT, "savepoint", why);
}

bool db_savepoint_release(struct db *d, struct fail *why)
{
    return take_step(d, DB_RELEASE, "savepoint", why);
}

void db_savepoint_rollback(struct db *d)
{
    if (db_in_transaction(d))
        (void)sqlite3_exec(d->handle, "ROLLBACK TO member; RELEASE member", NULL, NULL, NULL);
}
