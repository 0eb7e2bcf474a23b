/*
 * store/flag_run.c - changes of many messages' flags that their rows do not show yet.
 *
 * Layer: store.  To rewrite the rows of a large mailbox takes long, and all that changes in them is
 * the same.  So a change of a long run of messages is one row of `flag_run`, which holds for
 * every entry of the run whose modseq is below its own.  Views are made of both; who reads or copies
 * flags by SQL settles the rows first.  The background settles them all when nobody uses the account.
 *
 * Runs hold in the order of their modseqs.  Whoever writes an entry's flags beside a run writes them
 * whole, as the view has them, with a new modseq: then no run holds for it any more.
 */
#include "store/flag_run.h"

enum { SETTLE_ROWS = 2000 }; /* in one transaction of the background */

bool flag_runs_read(struct db *db, uint64_t mailbox, struct flag_runs *out, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_FLAG_RUNS, why);

    out->count = 0;
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)mailbox);
    while (out->count < FLAG_RUNS_MAX && db_step(q, why)) {
        out->list[out->count++] = (struct flag_run){
            .modseq = (uint64_t)db_col_i64(q, 0),
            .first = (uint32_t)db_col_i64(q, 1),
            .last = (uint32_t)db_col_i64(q, 2),
            .keep = (uint32_t)db_col_i64(q, 3),
            .set = (uint32_t)db_col_i64(q, 4),
            .keywords = db_col_i64(q, 5),
        };
    }
    return db_done(q, why);
}

bool flag_runs_touch(const struct flag_runs *runs, uint32_t first, uint32_t last)
{
    for (size_t i = 0; i < runs->count; i++)
        if (runs->list[i].first <= last && runs->list[i].last >= first)
            return true;
    return false;
}

/* Once more does no harm: then no row of these has a lower modseq. */
static bool settle_run(struct db *db, uint64_t mailbox, const struct flag_run *r, uint32_t first, uint32_t last,
                       struct fail *why)
{
    return db_run(db, SQL_FLAG_RUN_SETTLE, why, "iiiiiii", (int64_t)mailbox,
                  (int64_t)(first > r->first ? first : r->first), (int64_t)(last < r->last ? last : r->last),
                  (int64_t)r->modseq, (int64_t)r->keep, (int64_t)r->set, r->keywords);
}

static bool forget_run(struct db *db, uint64_t mailbox, struct flag_runs *runs, size_t at, struct fail *why)
{
    const struct flag_run r = runs->list[at];

    runs->count--;
    memmove(&runs->list[at], &runs->list[at + 1], (runs->count - at) * sizeof r);
    return db_run(db, SQL_FLAG_RUN_GONE, why, "iiii", (int64_t)mailbox, (int64_t)r.modseq, (int64_t)r.first,
                  INT64_C(0));
}

/*
 * What was changed as a whole and is changed as a whole again, nothing of it having changed in between,
 * is one change: a client that marks all and unmarks all leaves one run behind.
 */
static bool join(struct db *db, uint64_t mailbox, struct flag_runs *runs, struct flag_run *r, uint64_t last_modseq,
                 struct fail *why)
{
    for (size_t i = 0; i < runs->count; i++) {
        const struct flag_run before = runs->list[i];
        if (before.first != r->first || before.last != r->last || last_modseq > before.modseq)
            continue;
        r->set |= before.set & r->keep;
        r->keep &= before.keep;
        if (r->keywords < 0)
            r->keywords = before.keywords;
        return forget_run(db, mailbox, runs, i, why);
    }
    return true;
}

bool flag_runs_add(struct db *db, uint64_t mailbox, struct flag_runs *runs, const struct flag_run *run,
                   uint64_t last_modseq, struct fail *why)
{
    struct flag_run r = *run;

    if (!join(db, mailbox, runs, &r, last_modseq, why))
        return false;
    if (runs->count == FLAG_RUNS_MAX) {
        const struct flag_run *first = &runs->list[0];
        if (!settle_run(db, mailbox, first, first->first, first->last, why) ||
            !forget_run(db, mailbox, runs, 0, why))
            return false;
    }
    runs->list[runs->count++] = r;
    return db_run(db, SQL_FLAG_RUN_NEW, why, "iiiiiii", (int64_t)mailbox, (int64_t)r.modseq, (int64_t)r.first,
                  (int64_t)r.last, (int64_t)r.keep, (int64_t)r.set, r.keywords);
}

bool flag_runs_settle(struct db *db, uint64_t mailbox, uint32_t first, uint32_t last, struct fail *why)
{
    struct flag_runs runs;

    if (!flag_runs_read(db, mailbox, &runs, why))
        return false;
    for (size_t i = 0; i < runs.count; i++)
        if (runs.list[i].first <= last && runs.list[i].last >= first &&
            !settle_run(db, mailbox, &runs.list[i], first, last, why))
            return false;
    return true;
}

bool flag_runs_end(struct db *db, uint64_t mailbox, struct fail *why)
{
    return flag_runs_settle(db, mailbox, 1, UINT32_MAX, why) &&
           db_run(db, SQL_FLAG_RUNS_GONE, why, "i", (int64_t)mailbox);
}

/* The mailbox of the run that came first, and it; 0: there is none. */
static bool oldest(struct db *db, uint64_t *mailbox, struct fail *why)
{
    struct fail none = {0};
    int64_t id = 0;

    if (!db_get_i64(db, SQL_FLAG_RUN_OLDEST, &id, &none, "") && none.reason != FAIL_NOT_FOUND) {
        if (why != NULL)
            *why = none;
        return false;
    }
    *mailbox = (uint64_t)id;
    return true;
}

bool flag_runs_end_all(struct db *db, struct fail *why)
{
    uint64_t mailbox;

    while (oldest(db, &mailbox, why)) {
        if (mailbox == 0)
            return true;
        if (!flag_runs_end(db, mailbox, why))
            return false;
    }
    return false;
}

void flag_runs_apply(const struct flag_runs *runs, struct view **v)
{
    for (size_t i = 0; i < runs->count; i++) {
        const struct flag_run *r = &runs->list[i];
        bool found;
        for (uint32_t at = view_find(*v, r->first, &found); at < view_count(*v); at++) {
            struct view_entry e = view_at(*v, at);
            if (e.uid > r->last)
                break;
            if (e.modseq >= r->modseq)
                continue;
            e.flags = (e.flags & r->keep) | r->set;
            if (r->keywords >= 0)
                e.keyword_set = (uint32_t)r->keywords;
            e.modseq = r->modseq;
            view_set(v, at, e);
        }
    }
}

/* ---- the background ---- */

/* The UID that stands SETTLE_ROWS behind the run's first; 0: it ends before. */
static bool next_uid(struct db *db, uint64_t mailbox, const struct flag_run *r, int64_t *next, struct fail *why)
{
    struct fail none = {0};

    *next = 0;
    if (db_get_i64(db, SQL_FLAG_RUN_NEXT, next, &none, "iiii", (int64_t)mailbox, (int64_t)r->first,
                   (int64_t)r->last, (int64_t)SETTLE_ROWS) ||
        none.reason == FAIL_NOT_FOUND)
        return true;
    *why = none;
    return false;
}

/* Some rows of a mailbox's first run; what is left of it begins behind them. */
static bool settle_some(struct db *db, bool *more, struct fail *why)
{
    struct flag_runs runs = {.count = 0};
    uint64_t mailbox;
    int64_t next;

    if (!oldest(db, &mailbox, why))
        return false;
    *more = mailbox != 0;
    if (!*more)
        return true;
    if (!flag_runs_read(db, mailbox, &runs, why))
        return false;
    *more = runs.count > 0;
    if (!*more)
        return true;
    const struct flag_run *r = &runs.list[0];
    if (!next_uid(db, mailbox, r, &next, why))
        return false;
    uint32_t last = next > 0 ? (uint32_t)next - 1 : r->last;
    return settle_run(db, mailbox, r, r->first, last, why) &&
           db_run(db, next > 0 ? SQL_FLAG_RUN_CUT : SQL_FLAG_RUN_GONE, why, "iiii", (int64_t)mailbox,
                  (int64_t)r->modseq, (int64_t)r->first, next);
}

static bool settle_in_transaction(struct db *db, bool *more)
{
    struct fail why;

    *more = false;
    if (!db_begin(db, &why))
        return false;
    if (settle_some(db, more, &why) && *more && db_commit(db, &why))
        return true;
    db_rollback(db);
    return false;
}

void flag_runs_settle_idle(struct account *a, int64_t unused_since_ms)
{
    bool more = true;

    while (more && pthread_mutex_trylock(&a->file_lock) == 0) {
        more = a->db != NULL && a->used_ms <= unused_since_ms && settle_in_transaction(a->db, &more);
        (void)pthread_mutex_unlock(&a->file_lock);
    }
}
