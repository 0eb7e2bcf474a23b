/*
 * storage/db_stmt.c - statements by number: bind, step, read.
 *
 * Layer: storage.  A bind that fails is remembered and told by the next step, so
 * that binding reads like a list.
 */
#include <stdarg.h>

#include "storage/db_internal.h"

struct db_stmt *db_stmt(struct db *d, unsigned number, struct fail *why)
{
    if (number >= d->schema->statement_count || d->schema->statements[number] == NULL)
        bug("%s: no statement %u", d->path, number);
    if (!db_in_service(d, why))
        return NULL;

    struct db_stmt *q = &d->statements[number];
    q->db = d;
    q->status = SQLITE_OK;
    if (q->handle != NULL) {
        (void)sqlite3_reset(q->handle); /* in case its last user left it in the middle */
        return q;
    }
    int status = sqlite3_prepare_v3(d->handle, d->schema->statements[number], -1, SQLITE_PREPARE_PERSISTENT,
                                    &q->handle, NULL);
    if (status != SQLITE_OK) {
        (void)db_failed(d, status, d->schema->statements[number], why);
        return NULL;
    }
    return q;
}

static void bound(struct db_stmt *q, int status)
{
    if (q->status == SQLITE_OK)
        q->status = status;
}

void db_bind_i64(struct db_stmt *q, int at, int64_t value)
{
    bound(q, sqlite3_bind_int64(q->handle, at, value));
}

/* An empty slice is an empty value, never NULL, whatever its pointer. */
void db_bind_text(struct db_stmt *q, int at, struct slice text)
{
    bound(q, sqlite3_bind_text64(q->handle, at, text.len > 0 ? text.ptr : "", text.len, SQLITE_STATIC,
                                 SQLITE_UTF8));
}

void db_bind_blob(struct db_stmt *q, int at, struct slice bytes)
{
    bound(q, sqlite3_bind_blob64(q->handle, at, bytes.len > 0 ? bytes.ptr : "", bytes.len, SQLITE_STATIC));
}

void db_bind_null(struct db_stmt *q, int at)
{
    bound(q, sqlite3_bind_null(q->handle, at));
}

static bool stmt_failed(struct db_stmt *q, struct fail *why)
{
    return db_failed(q->db, q->status, sqlite3_sql(q->handle), why);
}

bool db_step(struct db_stmt *q, struct fail *why)
{
    if (q->status == SQLITE_OK || q->status == SQLITE_ROW)
        q->status = sqlite3_step(q->handle);
    if (q->status == SQLITE_ROW)
        return true;
    return q->status != SQLITE_DONE && stmt_failed(q, why);
}

/* The story is told again: the caller's `why` of db_step may not be the one that it passes here. */
bool db_done(struct db_stmt *q, struct fail *why)
{
    bool ok =
        q->status == SQLITE_OK || q->status == SQLITE_ROW || q->status == SQLITE_DONE || stmt_failed(q, why);

    (void)sqlite3_reset(q->handle);
    (void)sqlite3_clear_bindings(q->handle);
    q->status = SQLITE_OK;
    return ok;
}

int64_t db_col_i64(struct db_stmt *q, int at)
{
    return sqlite3_column_int64(q->handle, at);
}

struct slice db_col_text(struct db_stmt *q, int at)
{
    const void *text = sqlite3_column_text(q->handle, at); /* before the length: it may convert */

    return slice_make(text, (size_t)sqlite3_column_bytes(q->handle, at));
}

struct slice db_col_blob(struct db_stmt *q, int at)
{
    const void *bytes = sqlite3_column_blob(q->handle, at);

    return slice_make(bytes, (size_t)sqlite3_column_bytes(q->handle, at));
}

bool db_col_is_null(struct db_stmt *q, int at)
{
    return sqlite3_column_type(q->handle, at) == SQLITE_NULL;
}

static void bind_all(struct db_stmt *q, const char *types, va_list ap)
{
    for (int at = 1; types[at - 1] != '\0'; at++) {
        switch (types[at - 1]) {
        case 'i': db_bind_i64(q, at, va_arg(ap, int64_t)); break;
        case 't': db_bind_text(q, at, va_arg(ap, struct slice)); break;
        case 'b': db_bind_blob(q, at, va_arg(ap, struct slice)); break;
        case 'n': db_bind_null(q, at); break;
        default: bug("no parameter type '%c'", types[at - 1]);
        }
    }
}

bool db_run(struct db *d, unsigned number, struct fail *why, const char *types, ...)
{
    struct db_stmt *q = db_stmt(d, number, why);
    va_list ap;

    if (q == NULL)
        return false;
    va_start(ap, types);
    bind_all(q, types, ap);
    va_end(ap);
    while (db_step(q, why))
        ;
    return db_done(q, why);
}

bool db_get_i64(struct db *d, unsigned number, int64_t *out, struct fail *why, const char *types, ...)
{
    struct db_stmt *q = db_stmt(d, number, why);
    va_list ap;

    if (q == NULL)
        return false;
    va_start(ap, types);
    bind_all(q, types, ap);
    va_end(ap);
    bool found = db_step(q, why);
    int64_t value = found ? db_col_i64(q, 0) : 0;
    if (!db_done(q, why))
        return false;
    if (!found)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s: no such row: %s", d->path,
                        d->schema->statements[number]);
    *out = value;
    return true;
}

int64_t db_last_rowid(struct db *d)
{
    return sqlite3_last_insert_rowid(d->handle);
}

int64_t db_changes(struct db *d)
{
    return sqlite3_changes64(d->handle);
}
