/*
 * store/check.c - is everything there, and as it should be?
 *
 * Layer: store.  Every account's file and counts, every message against its
 * record and that record's CRCs, and every record against the accounts it names.
 * Nothing is changed
 * but derived files, and nothing is given back: a record without a row may be the
 * only copy of a message whose row was lost.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/flag_run.h"
#include "store/index.h"

enum { SOME = 256 };

struct checking {
    struct store *store;
    void (*report)(void *ctx, const char *finding);
    void (*progress)(void *ctx, uint64_t done, uint64_t all);
    void *ctx;
    struct check_totals *totals;
    uint64_t done, all, low_water;
};

__attribute__((format(printf, 2, 3))) static void find(struct checking *k, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->totals->problems++;
    if (k->report != NULL)
        k->report(k->ctx, text);
}

static void step(struct checking *k)
{
    k->done++;
    if (k->progress != NULL)
        k->progress(k->ctx, k->done, k->all);
}

/* ---- an account's rows ---- */

static bool check_mailbox(struct checking *k, struct account *a, const struct mailbox_state *box,
                          struct fail *why)
{
    const struct mailbox_row *r = &box->row;
    struct db_stmt *q = db_stmt(a->db, SQL_CHECK_COUNTS, why);
    bool right = true;

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)r->id);
    if (db_step(q, why))
        right = db_col_i64(q, 0) == (int64_t)r->messages && db_col_i64(q, 1) == (int64_t)r->unseen &&
                db_col_i64(q, 2) == (int64_t)r->deleted && db_col_i64(q, 3) == (int64_t)r->bytes &&
                db_col_i64(q, 4) == (int64_t)r->deleted_bytes && db_col_i64(q, 5) < (int64_t)r->uidnext &&
                db_col_i64(q, 6) <= (int64_t)r->highest_modseq;
    if (!db_done(q, why))
        return false;
    k->totals->mailboxes++;
    bool differs;
    if (!view_file_check(a, r, &differs, why))
        return false;
    if (differs)
        find(k, "account %llu: the file of mailbox \"" PRIslice "\" was not what its rows say (it was removed)",
             (unsigned long long)a->id, SLICE_ARG(r->name));
    if (!right)
        find(k, "account %llu: the counts of mailbox \"" PRIslice "\" are not those of its messages",
             (unsigned long long)a->id, SLICE_ARG(r->name));
    return true;
}

static bool check_totals_row(struct checking *k, struct account *a, struct fail *why)
{
    const struct account_row *r = &a->state->row;
    struct db_stmt *q = db_stmt(a->db, SQL_CHECK_TOTALS, why);
    bool right = true;

    if (q == NULL)
        return false;
    if (db_step(q, why))
        right = db_col_i64(q, 0) == (int64_t)r->messages && db_col_i64(q, 1) == (int64_t)r->bytes &&
                db_col_i64(q, 2) <= (int64_t)r->highest_modseq;
    if (!db_done(q, why))
        return false;
    if (!right)
        find(k, "account %llu: its counts are not those of its mailboxes", (unsigned long long)a->id);
    if (!quota_check(a))
        find(k, "account %llu: what counts against its quota is not what its file says",
             (unsigned long long)a->id);
    return true;
}

static bool check_none(struct checking *k, struct account *a, enum account_sql sql, const char *what,
                       struct fail *why)
{
    int64_t count;

    if (!db_get_i64(a->db, sql, &count, why, ""))
        return false;
    if (count > 0)
        find(k, "account %llu: %lld %s", (unsigned long long)a->id, (long long)count, what);
    return true;
}

/* Whoever has rights must find the account by node.db. */
static bool check_shares(struct checking *k, struct account *a, struct fail *why)
{
    for (size_t i = 0; i < a->state->box_count; i++) {
        const struct mailbox_state *box = &a->state->boxes[i];
        for (size_t e = 0; e < box->acl_count; e++) {
            bool indexed;
            if (!share_is_indexed(a, box->acl[e].identifier, &indexed, why))
                return false;
            if (!indexed)
                find(k, "account %llu: that it shares with \"" PRIslice "\" is not in the index (posthorn rebuild)",
                     (unsigned long long)a->id, SLICE_ARG(box->acl[e].identifier));
        }
    }
    return true;
}

/* So that the rows can be counted: this changes how flags are written down, not what they are. */
static bool settle_rows(struct account *a, struct fail *why)
{
    if (!db_begin(a->db, why))
        return false;
    if (flag_runs_end_all(a->db, why) && db_commit(a->db, why))
        return true;
    db_rollback(a->db);
    return false;
}

static bool check_rows(struct checking *k, struct account *a, struct fail *why)
{
    struct fail damage = {0};

    if (!db_check(a->db, &damage)) {
        find(k, "account %llu: %s", (unsigned long long)a->id, damage.text);
        return true;
    }
    if (!settle_rows(a, why))
        return false;
    for (size_t i = 0; i < a->state->box_count; i++) {
        if (!check_mailbox(k, a, &a->state->boxes[i], why))
            return false;
    }
    return check_totals_row(k, a, why) &&
           check_none(k, a, SQL_CHECK_ENTRIES, "entries without a message or mailbox", why) &&
           check_none(k, a, SQL_CHECK_SHARED, "rights, annotations or seen messages of mailboxes that are not there",
                      why) &&
           check_shares(k, a, why) &&
           check_none(k, a, SQL_CHECK_KEYWORDS, "entries with keywords that nobody knows", why) &&
           check_none(k, a, SQL_CHECK_THREADS, "messages whose thread no new message can find", why);
}

/* ---- an account's messages ---- */

static void check_message(struct checking *k, struct account *a, const struct reference *m,
                          struct arena *arena)
{
    struct volumes *v = k->store->volumes;
    struct record record;
    struct fail why = {0};

    k->totals->messages++;
    arena_reset(arena);
    if (!volume_describe(v, m->ref, arena, &record, &why) || !volume_verify(v, m->ref, &why))
        find(k, "account %llu: message %llu: record %llx: %s", (unsigned long long)a->id,
             (unsigned long long)m->id, (unsigned long long)m->ref, why.text);
    else if (record.size + m->prefix != m->size)
        find(k, "account %llu: message %llu has %llu bytes, its record says %llu", (unsigned long long)a->id,
             (unsigned long long)m->id, (unsigned long long)m->size,
             (unsigned long long)record.size + (unsigned long long)m->prefix);
    if (!m->cached)
        find(k, "account %llu: message %llu has no cached envelope (posthorn rebuild makes one)",
             (unsigned long long)a->id, (unsigned long long)m->id);
}

static bool check_messages(struct checking *k, struct account *a, struct fail *why)
{
    struct reference some[SOME];
    struct arena arena;
    uint64_t last = 0;
    size_t count;
    bool ok;

    arena_init(&arena, SIZE_MAX);
    do {
        ok = account_lock(a, why);
        if (ok) {
            ok = row_references(a->db, last, some, SOME, &count, why);
            account_unlock(a);
        }
        for (size_t i = 0; ok && i < count; i++) {
            check_message(k, a, &some[i], &arena);
            last = some[i].id;
        }
    } while (ok && count == SOME);
    arena_finish(&arena);
    return ok;
}

/* A damaged index is made anew by itself: said, so that somebody looks at the disk. */
static void check_index(struct checking *k, struct account *a)
{
    struct index_lag lag;
    struct fail why;

    if (!index_check(a, &lag, &why))
        find(k, "account %llu: its search index: %s", (unsigned long long)a->id, why.text);
    k->totals->not_indexed += lag.waiting;
}

static bool check_account(void *ctx, uint64_t id)
{
    struct checking *k = ctx;
    struct account *a;
    struct fail why;

    k->totals->accounts++;
    if (!store_account(k->store, id, &a, &why)) {
        find(k, "account %llu: %s", (unsigned long long)id, why.text);
    } else {
        bool ok = account_lock(a, &why);
        if (ok) {
            ok = check_rows(k, a, &why);
            account_unlock(a);
        }
        if (!ok || !check_messages(k, a, &why))
            find(k, "account %llu: %s", (unsigned long long)id, why.text);
        check_index(k, a);
        account_release(&a);
    }
    step(k);
    return true;
}

/* ---- records ---- */

static bool check_record(void *ctx, volume_ref ref, const struct record *rec)
{
    struct checking *k = ctx;
    struct fail why;

    k->totals->records++;
    for (size_t i = 0; i < rec->target_count; i++) {
        const struct record_target *t = &rec->targets[i];
        bool accounted;
        if (t->kind != RECORD_LOCAL || (rec->kind == RECORD_DELIVERY && ref >= k->low_water))
            continue;
        if (!release_is_accounted_for(k->store, t->account, ref, &accounted, &why))
            find(k, "record %llx: account %llu: %s", (unsigned long long)ref, (unsigned long long)t->account,
                 why.text);
        else if (!accounted && rec->kind == RECORD_DELIVERY) /* an APPEND that a crash cut short has none */
            find(k, "record %llx: account %llu has no row for it", (unsigned long long)ref,
                 (unsigned long long)t->account);
    }
    return true;
}

static bool count_account(void *ctx, uint64_t id)
{
    (void)id;
    (*(uint64_t *)ctx)++;
    return true;
}

bool store_check(struct store *st, void (*report)(void *ctx, const char *finding),
                 void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx,
                 struct check_totals *totals, struct fail *why)
{
    struct checking k = {
        .store = st, .report = report, .progress = progress, .ctx = ctx, .totals = totals, .all = 1};
    uint64_t damaged = 0;

    *totals = (struct check_totals){.accounts = 0};
    if (!store_low_water(st, &k.low_water, why) || !store_each_account(st, count_account, &k.all, why) ||
        !store_each_account(st, check_account, &k, why) ||
        !volume_scan(st->volumes, 0, check_record, &k, &damaged, why))
        return false;
    if (damaged > 0)
        find(&k, "%llu records in the volumes are damaged", (unsigned long long)damaged);
    step(&k);
    return true;
}
