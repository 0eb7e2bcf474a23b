/*
 * storage/db_copy.c - snapshots and the integrity check.
 *
 * Layer: storage.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "storage/db_internal.h"

struct db_copy {
    struct db *from;
    char *to_path;
    char *temp_path; /* beside it, renamed at the end */
    sqlite3 *target;
    sqlite3_backup *backup;
    bool done;
    bool for_now;
};

static void copy_free(struct db_copy *c)
{
    if (c->backup != NULL)
        (void)sqlite3_backup_finish(c->backup);
    (void)sqlite3_close(c->target);
    (void)unlink(c->temp_path); /* gone if it was renamed */
    free(c->temp_path);
    free(c->to_path);
    free(c);
}

static bool copy_failed(const struct db_copy *c, int status, struct fail *why)
{
    if ((status & 0xff) == SQLITE_FULL)
        return fail_code(why, FAIL_TEMP, FAIL_NO_SPACE, "4.3.1", "%s: the disk is full", c->temp_path);
    return fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s: copying %s: %s", c->temp_path, c->from->path,
                    sqlite3_errstr(status));
}

bool db_copy_begin(struct db *d, const char *to_path, struct db_copy **out, struct fail *why)
{
    if (!db_in_service(d, why))
        return false;

    struct db_copy *c = xcalloc(1, sizeof *c);
    size_t len = strlen(to_path);
    c->from = d;
    c->to_path = xstrdup(to_path);
    c->temp_path = xmalloc(len + sizeof ".new");
    (void)snprintf(c->temp_path, len + sizeof ".new", "%s.new", to_path);
    (void)unlink(c->temp_path); /* what a crash left */
    int status = sqlite3_open_v2(c->temp_path, &c->target,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (status == SQLITE_OK) /* it is synced once, whole, by copy_finish */
        status = sqlite3_exec(c->target, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL);
    if (status == SQLITE_OK) {
        c->backup = sqlite3_backup_init(c->target, "main", d->handle, "main");
        if (c->backup == NULL)
            status = sqlite3_errcode(c->target);
    }
    if (status != SQLITE_OK) {
        (void)copy_failed(c, status, why);
        copy_free(c);
        return false;
    }
    *out = c;
    return true;
}

bool db_copy_step(struct db_copy *c, unsigned pages, bool *done, struct fail *why)
{
    *done = c->done;
    if (c->done)
        return true;
    int status = sqlite3_backup_step(c->backup, pages > 0 && pages < 1u << 30 ? (int)pages : -1);
    if (status != SQLITE_OK && status != SQLITE_DONE)
        return copy_failed(c, status, why);
    if (status == SQLITE_OK)
        return true;
    status = sqlite3_backup_finish(c->backup);
    c->backup = NULL;
    if (status != SQLITE_OK)
        return copy_failed(c, status, why);
    c->done = *done = true;
    return true;
}

void db_copy_for_now(struct db_copy *c)
{
    c->for_now = true;
}

static bool put_in_place(const struct db_copy *c, struct fail *why)
{
    if (c->for_now)
        return rename(c->temp_path, c->to_path) == 0 || fail_errno(why, errno, "%s", c->to_path);

    SCOPED(scoped_close) int fd = open(c->temp_path, O_RDWR | O_CLOEXEC);
    SCOPED(scoped_free) char *copy = xstrdup(c->to_path);

    if (fd < 0 || io_fsync(fd) != 0)
        return fail_errno(why, errno, "%s", c->temp_path);
    if (rename(c->temp_path, c->to_path) != 0)
        return fail_errno(why, errno, "%s", c->to_path);
    return io_sync_dir(dirname(copy), why);
}

bool db_copy_finish(struct db_copy **cp, struct fail *why)
{
    struct db_copy *c = *cp;
    bool ok = false;

    if (c == NULL)
        return true;
    *cp = NULL;
    if (c->done) {
        int status = sqlite3_close(c->target);
        c->target = NULL;
        ok = status == SQLITE_OK ? put_in_place(c, why) : copy_failed(c, status, why);
    } else {
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s: the copy is not whole", c->to_path);
    }
    copy_free(c);
    return ok;
}

bool db_snapshot(struct db *d, const char *to_path, struct fail *why)
{
    struct db_copy *c = NULL;
    bool done = false;

    if (!db_copy_begin(d, to_path, &c, why))
        return false;
    if (!db_copy_step(c, 0, &done, why)) {
        (void)db_copy_finish(&c, NULL);
        return false;
    }
    return db_copy_finish(&c, why);
}

bool db_check(struct db *d, struct fail *why)
{
    sqlite3_stmt *q = NULL;

    if (!db_in_service(d, why))
        return false;
    int status = sqlite3_prepare_v2(d->handle, "PRAGMA integrity_check(1)", -1, &q, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_step(q);
    bool ok = true;
    if (status == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        if (text == NULL || strcmp(text, "ok") != 0)
            ok = fail_set(why, FAIL_PERM, FAIL_OTHER, "%s: damaged: %s", d->path,
                          text != NULL ? text : "no answer");
    } else {
        ok = db_failed(d, status, "integrity check", why);
    }
    (void)sqlite3_finalize(q);
    return ok;
}

bool db_check_file(const char *path, struct fail *why)
{
    struct db d = {.path = (char *)(uintptr_t)path};
    int status = db_open_immutable(path, &d.handle);

    if (d.handle == NULL)
        die_no_memory(0);
    bool ok = status == SQLITE_OK ? db_check(&d, why) : db_failed(&d, status, "opening", why);
    (void)sqlite3_close(d.handle);
    return ok;
}
