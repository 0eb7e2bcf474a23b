/*
 * store/renew.c - an account's file that is older than what its clients have seen.
 *
 * Layer: store.  It comes from a snapshot or a backup.  UIDs, modseqs and ids were given out after it was made and mean
 * something else now: so every mailbox gets a new UIDVALIDITY, above any there ever was, the account a new epoch, and
 * what is given out next lies far above what may have been.
 */
#include <stdio.h>

#include "base/block.h"
#include "base/clock.h"
#include "store/internal.h"

enum {
    SOME = 64,
    /* ids of the newer file may be higher than those of this one: by less than that */
    MAILBOXES_AHEAD = 1 << 20,
};
static const int64_t ids_ahead = INT64_C(1) << 32;

static bool renew_mailboxes(struct store *st, struct db *db, struct fail *why)
{
    struct db_stmt *q;
    uint64_t ids[SOME], after = 0;
    size_t count;

    do {
        count = 0;
        q = db_stmt(db, SQL_MAILBOX_IDS, why);
        if (q == NULL)
            return false;
        db_bind_i64(q, 1, (int64_t)after);
        db_bind_i64(q, 2, SOME);
        while (count < SOME && db_step(q, why))
            ids[count++] = (uint64_t)db_col_i64(q, 0);
        if (!db_done(q, why))
            return false;
        for (size_t i = 0; i < count; i++) {
            uint32_t uidvalidity;
            if (!node_new_uidvalidity(st, &uidvalidity, why) ||
                !db_run(db, SQL_MAILBOX_RENEW, why, "ii", (int64_t)ids[i], (int64_t)uidvalidity))
                return false;
            after = ids[i];
        }
    } while (count == SOME);
    return true;
}

bool renew_file(struct store *st, struct db *db, struct fail *why)
{
    bool ok = db_begin(db, why) &&
              db_run(db, SQL_ACCOUNT_RENEW, why, "iii", clock_now_us(), (int64_t)MAILBOXES_AHEAD, ids_ahead) &&
              renew_mailboxes(st, db, why) && db_commit(db, why);

    if (!ok)
        db_rollback(db);
    return ok;
}

bool store_renew(struct store *st, uint64_t id, struct fail *why)
{
    const struct db_options options = {.must_exist = true};
    char path[STORE_PATH_BYTES];
    struct account *a;
    struct db *db = NULL;

    block_begin();
    bool ok = account_path(st, "accounts", id, "mail.db", path, why) &&
              db_open(path, &account_schema, &options, &db, why) && renew_file(st, db, why);
    db_close(&db);
    block_end();
    if (!ok || !store_account(st, id, &a, why))
        return false;
    ok = share_index(a, why);
    account_release(&a);
    return ok;
}
