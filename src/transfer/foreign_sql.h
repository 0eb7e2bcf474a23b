/*
 * transfer/foreign_sql.h - asks another server's database, by its own command-line client.
 *
 * Layer: transfer.  sqlite3, mysql (mariadb) or psql is run with the query on its standard input and a
 * password in its environment; nothing is written.  SQLite's file is opened read-only and in safe mode.
 */
#ifndef TRANSFER_FOREIGN_SQL_H
#define TRANSFER_FOREIGN_SQL_H

#include "base/arena.h"
#include "base/fail.h"

struct foreign_sql {
    enum { SQL_SQLITE, SQL_MYSQL, SQL_PGSQL } kind;
    const char *port; /* NULL: the usual one */
    const char *host, *user, *password, *database; /* SQLite: database is its path; NULL: not given */
};

enum { FOREIGN_COLUMNS = 32 };
/* One row; slices live during the call. */
struct foreign_row {
    struct slice names[FOREIGN_COLUMNS], values[FOREIGN_COLUMNS];
    size_t count;
};
bool foreign_sql_ask(const struct foreign_sql *db, struct slice query, void (*each)(void *ctx, const struct foreign_row *row),
                     void *ctx, struct fail *why);

/*
 * A look-up of one key made a list of all: "SELECT goto FROM alias WHERE address = '%s' AND active = 1" becomes
 * "SELECT (address) AS posthorn_key, goto FROM alias WHERE 1=1 AND active = 1".  "u = '%u' AND d = '%d'" works too.
 * false: it is of another shape.
 */
bool foreign_sql_list_of(struct arena *a, struct slice lookup, bool mysql, struct slice *out);

#endif
