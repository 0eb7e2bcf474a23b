/*
 * storage/db.h - SQL: one database file, its statements, its transactions.
 *
 * Layer: storage.  SQLite underneath (PostgreSQL later): WAL, synchronous=FULL,
 * foreign keys on, automatic checkpoints off.  The first open after a start
 * fdatasyncs the file, its WAL and its folder before any row is read.  A failed
 * commit takes the database out of service.
 *
 * One connection per database file, in this program and in all others: SQLite
 * versions before 3.51.3 may corrupt a file silently when a commit that resets
 * the WAL meets a checkpoint from another connection (the WAL-reset bug).  So an
 * open database holds the file's own exclusive lock until it is closed: around
 * every commit, checkpoint and close there is nobody else, not even an
 * administrator's shell.  Snapshots are read through the same connection.
 *
 * A connection is used by one thread at a time: the caller holds its own lock.
 * SQL comes as tables of statements by number; values only ever as parameters.
 */
#ifndef STORAGE_DB_H
#define STORAGE_DB_H

#include "base/arena.h"
#include "base/fail.h"

struct db;
struct db_stmt;

/* What a database should look like. */
struct db_schema {
    const char *what;              /* "account": for messages */
    unsigned version;              /* the format this program writes (PRAGMA user_version) */
    const char *create;            /* SQL for a new file (STRICT tables) */
    const char *const *upgrades;   /* upgrades[i]: SQL from version i+1 to i+2; version-1 entries */
    const char *const *statements; /* by number; prepared when first used */
    size_t statement_count;
};

struct db_options {
    unsigned cache_pages; /* page cache; 0: 64 pages of 4 KB */
    bool read_only;       /* for inspection of a copy that nobody writes; its WAL, if any, is not looked at */
    bool must_exist;      /* do not make a new file: FAIL_NOT_FOUND */
    bool packed_words; /* full-text tables may say tokenize=packed (db_packed.c) */
    bool derived;      /* it can be made anew: commits need not be on disk at once, only in order */
    bool reopened; /* this process closed it, in service, before: what is in it is known to be on disk */
};

/*
 * Older formats are upgraded in one transaction, newer ones refused (FAIL_PERM, FAIL_NOT_ALLOWED).
 * FAIL_TEMP, FAIL_OUT_OF_SERVICE while anybody else has it open.  Any other FAIL_PERM: it is missing
 * or damaged.  `schema` must outlive it.
 */
bool db_open(const char *path, const struct db_schema *schema, const struct db_options *options,
             struct db **out, struct fail *why);
/* Checkpoints, removes the WAL and closes; out of service, it leaves both as they are.  Fine on NULL. */
void db_close(struct db **d);

/*
 * Runs statement `number`.  Parameters by position from 1:
 *     struct db_stmt *q = db_stmt(d, SQL_X, why);  if (!q) return false;
 *     db_bind_i64(q, 1, id); db_bind_text(q, 2, name);
 *     while (db_step(q, why)) { id = db_col_i64(q, 0); ... }
 *     if (!db_done(q, why)) return false;
 * db_done resets it for the next use and says whether stepping failed.
 */
struct db_stmt *db_stmt(struct db *d, unsigned number, struct fail *why);
void db_bind_i64(struct db_stmt *q, int at, int64_t value);
void db_bind_text(struct db_stmt *q, int at, struct slice text); /* must live until db_done */
void db_bind_blob(struct db_stmt *q, int at, struct slice bytes);
void db_bind_null(struct db_stmt *q, int at);
bool db_step(struct db_stmt *q, struct fail *why); /* true: a row.  false: end or error */
bool db_done(struct db_stmt *q, struct fail *why);
int64_t db_col_i64(struct db_stmt *q, int at);
struct slice db_col_text(struct db_stmt *q, int at); /* valid until the next step or done */
struct slice db_col_blob(struct db_stmt *q, int at);
bool db_col_is_null(struct db_stmt *q, int at);
/* Bind all and run a statement that gives no rows, in one line: "i" int64_t, "t" slice text, "b" slice blob,
 * "n" null. */
bool db_run(struct db *d, unsigned number, struct fail *why, const char *types, ...);
/* The one integer of the one row; false with FAIL_NOT_FOUND if there is no row. */
bool db_get_i64(struct db *d, unsigned number, int64_t *out, struct fail *why, const char *types, ...);
int64_t db_last_rowid(struct db *d);
int64_t db_changes(struct db *d);

/*
 * A transaction (BEGIN IMMEDIATE).  db_rollback is fine when none is open.  A
 * commit that failed at the disk takes the database out of service: every later
 * call fails with FAIL_OUT_OF_SERVICE until it is closed and opened again (closing
 * drops the files' cached pages, so that the next open sees what the disk has;
 * `reopened` is not for it).  A full disk is no such failure: FAIL_NO_SPACE, the
 * transaction is rolled back, and all goes on when there is room.
 */
bool db_begin(struct db *d, struct fail *why);
bool db_commit(struct db *d, struct fail *why);
void db_rollback(struct db *d);
/* A savepoint inside it, for one member of a shared transaction.  After a failed member: is the whole still
 * alive? */
bool db_savepoint(struct db *d, struct fail *why);
bool db_savepoint_release(struct db *d, struct fail *why);
void db_savepoint_rollback(struct db *d);
bool db_in_transaction(const struct db *d); /* sqlite3_get_autocommit() == 0 */
bool db_out_of_service(const struct db *d);
/*
 * If it is out of service: closes it and opens it again, and if that cannot be done it stays
 * out of service.  For who keeps nothing in memory that the disk may know better; not while it
 * is being copied.
 */
void db_revive(struct db *d);

/* Moves the WAL into the file; `truncate` also gives its space back. */
bool db_checkpoint(struct db *d, bool truncate, struct fail *why);
uint64_t db_wal_bytes(const struct db *d); /* roughly: to decide when to checkpoint */

/* A consistent copy (the backup API), fsynced, renamed into place. */
bool db_snapshot(struct db *d, const char *to_path, struct fail *why);
/*
 * The same in steps of some pages (0: all that is left), so that others can use
 * the connection between them; what they change meanwhile is in the copy.  begin
 * and step need the caller's lock, finish (which syncs and renames) does not, if
 * *done was said; without it finish throws the copy away.
 */
struct db_copy;
bool db_copy_begin(struct db *d, const char *to_path, struct db_copy **out, struct fail *why);
bool db_copy_step(struct db_copy *c, unsigned pages, bool *done, struct fail *why);
bool db_copy_finish(struct db_copy **c, struct fail *why);
/* It need not outlive a crash: finish does not sync it. */
void db_copy_for_now(struct db_copy *c);

/* PRAGMA integrity_check; damage is described in *why. */
bool db_check(struct db *d, struct fail *why);
/* The same of a file that nobody has open, whatever tables are in it; it is only read. */
bool db_check_file(const char *path, struct fail *why);
/* Gives cached pages and prepared statements back; the next use makes them again. */
void db_shrink(struct db *d);

#endif
