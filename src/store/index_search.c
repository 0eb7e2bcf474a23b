/*
 * store/index_search.c - from a needle to the UIDs that may have it.
 *
 * Layer: store.  The index is asked first, then the account which of its messages are
 * in the mailbox: what the index came to know between the two does no harm, since all
 * that it did not cover when it was asked is taken as it is.
 */
#include <stdlib.h>

#include "base/scoped.h"
#include "store/grams.h"
#include "store/index.h"

enum { QUERY_BYTES = 4096 };

struct uids {
    uint32_t *list;
    size_t count, cap;
};

static bool read_uids(struct db *db, enum account_sql sql, uint64_t message, uint64_t mailbox_id,
                      struct uids *out, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, sql, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)message);
    db_bind_i64(q, 2, (int64_t)mailbox_id);
    while (db_step(q, why)) {
        if (out->count == out->cap) {
            out->cap = out->cap > 0 ? out->cap * 2 : 256;
            out->list = xrealloc(out->list, out->cap * sizeof *out->list);
        }
        out->list[out->count++] = (uint32_t)db_col_i64(q, 0);
    }
    return db_done(q, why);
}

static bool read_epoch(struct account *a, int64_t *epoch)
{
    if (!account_lock(a, NULL))
        return false;
    bool ok = db_get_i64(a->db, SQL_EPOCH, epoch, NULL, "");
    account_unlock(a);
    return ok;
}

static bool ask_index(struct account *a, int64_t epoch, struct slice query, size_t most,
                      struct index_hits *hits)
{
    struct index_file *f = index_file_lock(a->store, a->id);
    struct fail why = {0};
    bool ok = index_file_open(f, epoch, false, &why);

    if (ok) {
        ok = index_file_search(f, query, most, hits, &why);
        if (!ok && why.reason != FAIL_LIMIT)
            index_file_failed(f, &why);
    }
    index_file_unlock(&f);
    return ok;
}

/* An index that knows of more than the account has is of an account that was put back by hand: not to be used. */
static bool find_uids(struct account *a, uint64_t mailbox_id, const struct index_hits *hits, struct uids *out)
{
    struct fail why;

    if (!account_lock(a, &why))
        return false;
    bool ok = hits->covered < a->state->row.next_message &&
              read_uids(a->db, SQL_UIDS_ABOVE, hits->covered, mailbox_id, out, &why);
    for (size_t i = 0; ok && i < hits->count; i++)
        ok = read_uids(a->db, SQL_UIDS_OF_MESSAGE, hits->ids[i], mailbox_id, out, &why);
    account_unlock(a);
    return ok;
}

static int compare_uids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

bool index_candidates(struct account *a, uint64_t mailbox_id, struct slice needle, size_t most,
                      struct uid_set *out)
{
    struct index_hits hits = {.count = 0};
    struct uids uids = {.count = 0};
    struct buf query;
    int64_t epoch;

    if (a->store->index == NULL)
        return false;
    buf_init(&query, QUERY_BYTES);
    bool ok = grams_query(needle, &query) && read_epoch(a, &epoch) &&
              ask_index(a, epoch, buf_slice(&query), most, &hits) && find_uids(a, mailbox_id, &hits, &uids);
    if (ok) {
        if (uids.count > 0)
            qsort(uids.list, uids.count, sizeof *uids.list, compare_uids);
        for (size_t i = 0; i < uids.count; i++)
            if (i == 0 || uids.list[i] != uids.list[i - 1])
                uid_set_add(out, uids.list[i]);
    }
    free(uids.list);
    free(hits.ids);
    buf_finish(&query);
    return ok;
}
