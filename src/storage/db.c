/*
 * storage/db.c - opening and closing a database, its format, its service.
 *
 * Layer: storage.  Statements are in db_stmt.c, transactions in db_txn.c, copies
 * and checks in db_copy.c.
 *
 * SQLite's locks are POSIX locks: closing any descriptor of the file drops all of
 * the process's locks on it.  So nothing here opens the database file by itself
 * while a connection may be open; the WAL carries no locks and may be opened.
 */
#include "storage/db_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"

enum {
    PAGE_BYTES = 4096,
    DEFAULT_CACHE_PAGES = 64,
    LOOKASIDE_BYTES = 128, /* small: thousands of databases are open at a time */
    LOOKASIDE_SLOTS = 64,
    WAL_FRAME_BYTES = PAGE_BYTES + 24,
};

bool db_failed(struct db *d, int status, const char *doing, struct fail *why)
{
    int primary = status & 0xff;
    const char *text = sqlite3_errmsg(d->handle);

    if (primary == SQLITE_FULL)
        return fail_code(why, FAIL_TEMP, FAIL_NO_SPACE, "4.3.1",
                         "the disk is full"); /* clients see this one */
    if (primary == SQLITE_CONSTRAINT)
        return fail_internal(why, FAIL_PERM,
                             status == SQLITE_CONSTRAINT_UNIQUE || status == SQLITE_CONSTRAINT_PRIMARYKEY
                                 ? FAIL_EXISTS
                                 : FAIL_INVALID,
                             "", "%s: %s: %s", d->path, doing, text);
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED)
        return fail_internal(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "", "%s: %s: somebody else has it open",
                             d->path, doing);
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) /* it will not be better for waiting */
        return fail_internal(why, FAIL_PERM, FAIL_DAMAGED, "", "%s: %s; docs/faults.md says what brings it back (%s)",
                             d->path, text, doing);
    if (primary == SQLITE_IOERR && status != SQLITE_IOERR_READ && status != SQLITE_IOERR_SHORT_READ) {
        d->out_of_service = true;
        db_drop_cached(d->path, false);
        log_event(LOG_ERROR, "storage.database", LOG_CSTR("file", d->path), LOG_CSTR("doing", doing),
                  LOG_CSTR("error", text), LOG_I64("status", status));
        return fail_code(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "4.3.0", "the disk failed to keep the change");
    }
    return fail_internal(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "", "%s: %s: %s (%d)", d->path, doing, text, status);
}

bool db_in_service(const struct db *d, struct fail *why)
{
    return !d->out_of_service ||
           fail_internal(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "", "%s: out of service since a write failed",
                         d->path);
}

bool db_out_of_service(const struct db *d)
{
    return d->out_of_service;
}

bool db_exec(struct db *d, const char *sql, const char *doing, struct fail *why)
{
    int status = sqlite3_exec(d->handle, sql, NULL, NULL, NULL);

    return status == SQLITE_OK || db_failed(d, status, doing, why);
}

/* The folder of `path`, in memory the caller frees. */
static char *folder_of(const char *path)
{
    SCOPED(scoped_free) char *copy = xstrdup(path);

    return xstrdup(dirname(copy));
}

static char *wal_path(const char *path)
{
    size_t room = strlen(path) + sizeof "-wal";
    char *name = xmalloc(room);

    (void)snprintf(name, room, "%s-wal", path);
    return name;
}

static void drop_file(const char *path)
{
    SCOPED(scoped_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

void db_drop_cached(const char *path, bool all)
{
    SCOPED(scoped_free) char *wal = wal_path(path);

    drop_file(wal);
    if (all)
        drop_file(path);
}

/* The WAL, if there is one, on disk. */
static bool sync_wal(struct db *d, struct fail *why)
{
    SCOPED(scoped_free) char *wal = wal_path(d->path);
    SCOPED(scoped_close) int fd = open(wal, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || fail_errno(why, errno, "%s", wal);
    if (fstat(fd, &st) != 0 || io_fdatasync(fd) != 0)
        return fail_errno(why, errno, "%s", wal);
    d->wal_bytes = (uint64_t)st.st_size;
    return true;
}

/*
 * A process that was killed may have left pages that no disk has seen.  What is
 * shown must be durable, or a power cut could give a UID out twice: so before
 * the first row is shown, all of it is made so.
 */
static bool sync_before_reading(struct db *d, struct fail *why)
{
    SCOPED(scoped_free) char *folder = folder_of(d->path);
    sqlite3_file *file = NULL;

    int status = sqlite3_file_control(d->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (status == SQLITE_OK && file->pMethods != NULL)
        status = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
    if (status != SQLITE_OK)
        return db_failed(d, status, "first sync", why);
    return sync_wal(d, why) && io_sync_dir(folder, why);
}

/*
 * SQLite tells after each commit how many pages the WAL holds.  The hook takes the
 * place of the one by which SQLite checkpoints by itself: it never does.
 */
static int wal_grew(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    struct db *d = ctx;

    (void)handle;
    (void)name;
    d->wal_bytes = (uint64_t)pages * WAL_FRAME_BYTES;
    return SQLITE_OK;
}

static bool read_pragma(struct db *d, const char *sql, int64_t *out, struct fail *why)
{
    sqlite3_stmt *q = NULL;
    int status = sqlite3_prepare_v2(d->handle, sql, -1, &q, NULL);

    if (status == SQLITE_OK)
        status = sqlite3_step(q);
    if (status == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    (void)sqlite3_finalize(q);
    return status == SQLITE_ROW || db_failed(d, status, "reading its format", why);
}

/*
 * How this connection behaves.  The exclusive lock is asked for before anything
 * else: then the first read takes it and keeps it, and the WAL's index lies in
 * our memory instead of a shared file.
 */
static bool set_up(struct db *d, const struct db_options *options, struct fail *why)
{
    char sql[256];
    unsigned pages = options->cache_pages > 0 ? options->cache_pages : DEFAULT_CACHE_PAGES;

    (void)sqlite3_extended_result_codes(d->handle, 1);
    (void)sqlite3_db_config(d->handle, SQLITE_DBCONFIG_LOOKASIDE, NULL, LOOKASIDE_BYTES, LOOKASIDE_SLOTS);
    (void)sqlite3_db_config(d->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(d->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(d->handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    (void)sqlite3_db_config(d->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_db_config(d->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    if (!d->read_only) {
        if (!db_exec(d, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;", "opening", why) ||
            !db_exec(d, d->derived ? "PRAGMA synchronous=NORMAL;" : "PRAGMA synchronous=FULL;", "opening",
                     why))
            return false;
        (void)sqlite3_wal_hook(d->handle, wal_grew, d);
    }
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA cache_size=%u; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;", pages);
    return db_exec(d, sql, "setting up", why) && (!d->packed_words || db_add_packed_words(d, why));
}

/* Brings an empty or older file to the format of today, in one transaction. */
static bool bring_up_to_date(struct db *d, struct fail *why)
{
    const struct db_schema *schema = d->schema;
    int64_t version = 0, tables = 0;
    char set_version[64];

    if (!read_pragma(d, "PRAGMA user_version", &version, why) ||
        !read_pragma(d, "SELECT count(*) FROM sqlite_schema", &tables, why))
        return false;
    if (version == schema->version)
        return true;
    if (version < 0 || version > schema->version)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED,
                        "%s: its %s format %lld is newer than this program's %u", d->path, schema->what,
                        (long long)version, schema->version);
    if (d->read_only || (version == 0 && tables > 0))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: no %s database of this program (format %lld)",
                        d->path, schema->what, (long long)version);
    if (!db_begin(d, why))
        return false;
    bool ok = true;
    if (version == 0)
        ok = db_exec(d, schema->create, "making its tables", why);
    for (int64_t from = version; ok && from > 0 && from < schema->version; from++)
        ok = db_exec(d, schema->upgrades[from - 1], "upgrading its format", why);
    (void)snprintf(set_version, sizeof set_version, "PRAGMA user_version=%u", schema->version);
    ok = ok && db_exec(d, set_version, "setting its format", why) && db_commit(d, why);
    if (!ok)
        db_rollback(d);
    return ok;
}

/* SQLite's own file calls take names as they are; a URI needs its special characters written otherwise. */
int db_open_immutable(const char *path, sqlite3 **handle)
{
    struct buf uri;

    buf_init(&uri, 65536);
    buf_add(&uri, SLICE("file:"));
    for (const char *p = path; *p != '\0'; p++) {
        if (*p == '%' || *p == '?' || *p == '#')
            buf_addf(&uri, "%%%02x", (unsigned)*p);
        else
            buf_add_char(&uri, *p);
    }
    buf_add(&uri, (struct slice){"?immutable=1", sizeof "?immutable=1"}); /* with its NUL */
    int status = uri.failed
                     ? SQLITE_CANTOPEN
                     : sqlite3_open_v2(uri.data, handle,
                                       SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    buf_finish(&uri);
    return status;
}

static bool open_handle(struct db *d, bool make, struct fail *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (make ? SQLITE_OPEN_CREATE : 0);
    int status = d->read_only ? db_open_immutable(d->path, &d->handle)
                              : sqlite3_open_v2(d->path, &d->handle, flags, NULL);

    if (d->handle == NULL)
        die_no_memory(0);
    return status == SQLITE_OK || db_failed(d, status, "opening", why);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0 || errno != ENOENT;
}

static bool open_whole(struct db *d, const struct db_options *options, struct fail *why)
{
    bool there = exists(d->path);

    if (!there && (options->must_exist || options->read_only))
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s: no such %s database", d->path, d->schema->what);
    if (!open_handle(d, !there, why) || !set_up(d, options, why))
        return false;
    if (there && !d->read_only && !options->reopened && !d->derived && !sync_before_reading(d, why)) {
        d->out_of_service = true; /* so that closing moves nothing from the WAL and drops what is cached */
        return false;
    }
    if (!bring_up_to_date(d, why))
        return false;
    if (there)
        return true;
    SCOPED(scoped_free) char *folder = folder_of(d->path);
    return io_sync_dir(folder, why);
}

bool db_open(const char *path, const struct db_schema *schema, const struct db_options *options,
             struct db **out, struct fail *why)
{
    static const struct db_options plain = {0};
    struct db *d = xcalloc(1, sizeof *d);

    if (options == NULL)
        options = &plain;
    d->schema = schema;
    d->path = xstrdup(path);
    d->statements = xcalloc(schema->statement_count > 0 ? schema->statement_count : 1, sizeof *d->statements);
    d->read_only = options->read_only;
    d->cache_pages = options->cache_pages;
    d->packed_words = options->packed_words;
    d->derived = options->derived;
    if (!open_whole(d, options, why)) {
        db_close(&d);
        return false;
    }
    *out = d;
    return true;
}

static void finalize_all(struct db *d)
{
    for (size_t i = 0; i < DB_STEPS; i++) {
        (void)sqlite3_finalize(d->steps[i]);
        d->steps[i] = NULL;
    }
    for (size_t i = 0; i < d->schema->statement_count; i++) {
        (void)sqlite3_finalize(d->statements[i].handle);
        d->statements[i].handle = NULL;
    }
}

/* Out of service, the files are left as they are, and what the page cache says of them is forgotten. */
static void close_handle(struct db *d)
{
    finalize_all(d);
    if (d->out_of_service && d->handle != NULL)
        (void)sqlite3_db_config(d->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_close(d->handle) != SQLITE_OK)
        bug("%s: closed with a statement or copy in use", d->path);
    d->handle = NULL;
    if (d->out_of_service)
        db_drop_cached(d->path, true);
}

void db_close(struct db **dp)
{
    struct db *d = *dp;

    if (d == NULL)
        return;
    *dp = NULL;
    close_handle(d);
    free(d->statements);
    free(d->path);
    free(d);
}

void db_revive(struct db *d)
{
    const struct db_options options = {.cache_pages = d->cache_pages,
                                       .must_exist = true,
                                       .packed_words = d->packed_words,
                                       .derived = d->derived};
    struct fail why;

    if (!d->out_of_service)
        return;
    close_handle(d);
    d->out_of_service = false;
    if (open_whole(d, &options, &why)) {
        log_event(LOG_INFO, "storage.db.revived", LOG_CSTR("path", d->path));
        return;
    }
    d->out_of_service = true;
    close_handle(d);
}

bool db_checkpoint(struct db *d, bool truncate, struct fail *why)
{
    if (!db_in_service(d, why))
        return false;
    int status = sqlite3_wal_checkpoint_v2(
        d->handle, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    if (status != SQLITE_OK)
        return db_failed(d, status, "checkpoint", why);
    d->wal_bytes = 0;
    return true;
}

uint64_t db_wal_bytes(const struct db *d)
{
    return d->wal_bytes;
}

void db_shrink(struct db *d)
{
    finalize_all(d);
    if (d->handle != NULL)
        (void)sqlite3_db_release_memory(d->handle);
}
