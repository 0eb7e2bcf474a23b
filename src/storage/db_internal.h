/*
 * storage/db_internal.h - what the db-*.c files share.
 */
#ifndef STORAGE_DB_INTERNAL_H
#define STORAGE_DB_INTERNAL_H

#include <sqlite3.h>

#include "storage/db.h"

struct db_stmt {
    struct db *db;
    sqlite3_stmt *handle; /* NULL until first used */
    int status;           /* of the last bind or step: SQLITE_OK, _ROW, _DONE or what went wrong */
};

/* What transactions are made of (db_txn.c). */
enum db_step_kind { DB_BEGIN, DB_COMMIT, DB_SAVEPOINT, DB_RELEASE, DB_STEPS };

struct db {
    sqlite3 *handle; /* NULL: out of service, and it could not be opened again */
    const struct db_schema *schema;
    char *path;
    unsigned cache_pages;
    struct db_stmt *statements; /* schema->statement_count of them */
    sqlite3_stmt *steps[DB_STEPS]; /* NULL until first used */
    uint64_t wal_bytes;
    bool out_of_service;
    bool read_only;
    bool packed_words, derived;
};

/* Tells why SQLite said `status`; takes the database out of service if that is what it means.  false. */
bool db_failed(struct db *d, int status, const char *doing, struct fail *why);
/* For reading; its WAL, if any, is not looked at.  An SQLite status. */
int db_open_immutable(const char *path, sqlite3 **handle);
/* One or more statements that give no rows. */
bool db_exec(struct db *d, const char *sql, const char *doing, struct fail *why);
/* false with FAIL_OUT_OF_SERVICE once it is out of service. */
bool db_in_service(const struct db *d, struct fail *why);
/* Makes the tokenizer `packed` known to FTS5. */
bool db_add_packed_words(struct db *d, struct fail *why);
/* Forgets what the page cache believes about the WAL and, if `all`, the database too.  `all` only when
 * closed. */
void db_drop_cached(const char *path, bool all);

#endif
