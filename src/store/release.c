/*
 * store/release.c - bodies that no row needs any more are given back.
 *
 * Layer: store.  In three steps, each of which may be repeated after a crash:
 * expunged rows whose time has come let go of their messages, and a record that
 * none needs is noted as dead, in one transaction; the node's database notes who
 * of a record's owners has released it; when all have, the volumes are told.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "store/internal.h"
#include "store/past.h"

enum { DAY = 86400, SWEEP_SOME = 256, GONE_MOST = 1 << 20 };

/* ---- rows ---- */

struct purge {
    int64_t bodies_before, log_before; /* what was expunged before these times */
    uint64_t low_water;
    int64_t sets_spared; /* unused combinations of keywords go when there are more */
    struct purge_result *result; /* NULL: nobody asks */
};

/* What it gives back, and what it leaves for later. */
static bool tell_result(struct change *c, const struct purge *p, struct fail *why)
{
    struct db_stmt *q;
    int64_t waiting;

    if (!db_get_i64(c->db, SQL_PURGE_WAITING, &waiting, why, "i", p->bodies_before))
        return false;
    q = db_stmt(c->db, SQL_DEAD_SUM, why);
    if (q == NULL)
        return false;
    if (db_step(q, why))
        *p->result = (struct purge_result){.messages = (uint64_t)db_col_i64(q, 0),
                                           .bytes = (uint64_t)db_col_i64(q, 1),
                                           .waiting = (uint64_t)waiting};
    return db_done(q, why);
}

static bool purge_rows(struct change *c, void *ctx, struct fail *why)
{
    const struct purge *p = ctx;
    int64_t forgotten;

    if (!db_run(c->db, SQL_PURGE_KEPT_SINCE, why, "i", p->bodies_before) ||
        !db_run(c->db, SQL_PURGE_BURY, why, "ii", p->bodies_before, (int64_t)p->low_water) ||
        !db_run(c->db, SQL_PURGE_FORGET_BODIES, why, "ii", p->bodies_before, (int64_t)p->low_water) ||
        !db_run(c->db, SQL_PURGE_CACHED, why, "") || !db_run(c->db, SQL_PURGE_MESSAGES, why, "") ||
        !db_run(c->db, SQL_PURGE_THREADS, why, "") ||
        !db_get_i64(c->db, SQL_FORGET_MODSEQ, &forgotten, why, "i", p->log_before) ||
        !db_run(c->db, SQL_FORGET_EXPUNGED, why, "i", p->log_before) ||
        !db_run(c->db, SQL_FORGET_MAILBOXES, why, "i", p->log_before) ||
        !db_run(c->db, SQL_ANNOTATION_PURGE, why, "") || !db_run(c->db, SQL_SEEN_PURGE, why, "") ||
        !db_run(c->db, SQL_UIDL_PURGE, why, "") || !db_run(c->db, SQL_KEYWORD_SET_PURGE, why, "i", p->sets_spared) ||
        !keyword_table_load(c->account, c->db, why))
        return false;
    c->row.forgotten_modseq = (uint64_t)forgotten;
    c->wrote = true;
    return p->result == NULL || tell_result(c, p, why);
}

/* Anything to do?  A look costs less than a transaction. */
static bool purge_is_due(struct account *a, const struct purge *p, bool *due, struct fail *why)
{
    struct db_stmt *q;

    if (!account_lock(a, why))
        return false;
    q = db_stmt(a->db, SQL_PURGE_DUE, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, p->bodies_before);
        db_bind_i64(q, 2, p->log_before);
        db_bind_i64(q, 3, p->sets_spared);
        *due = db_step(q, why);
        ok = db_done(q, why);
    }
    account_unlock(a);
    return ok;
}

static struct purge purge_at(const struct store *st, int64_t now)
{
    const struct store_limits *l = &st->limits;

    return (struct purge){
        .bodies_before = now - (int64_t)l->keep_expunged_days * DAY,
        .log_before = now - (int64_t)l->change_log_days * DAY,
        .sets_spared = (int64_t)l->keyword_sets / 2,
    };
}

bool release_purge_now(struct account *a, bool all, struct purge_result *out, struct fail *why)
{
    const int64_t now = clock_now();
    struct purge p = purge_at(a->store, now);

    p.result = out;
    if (all)
        p.bodies_before = now + 1;
    return store_low_water(a->store, &p.low_water, why) && change_run(a, CHANGE_ALONE, purge_rows, &p, why);
}

bool release_purge(struct account *a, int64_t now, struct fail *why)
{
    struct purge p = purge_at(a->store, now);
    bool due = false;

    return store_low_water(a->store, &p.low_water, why) && purge_is_due(a, &p, &due, why) &&
           (!due || change_run(a, CHANGE_ALONE, purge_rows, &p, why));
}

/* ---- owners ---- */

static int by_number(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

    return (a > b) - (a < b);
}

/* How many own the record, accounts and the queue role; 0 if there is no such record any more. */
static bool count_owners(struct store *st, volume_ref ref, unsigned *owners, struct fail *why)
{
    struct fail local = {0};
    struct record record;
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    *owners = 0;
    bool ok = volume_describe(st->volumes, ref, &arena, &record, &local);
    if (ok) {
        uint64_t *accounts = arena_new_array(&arena, uint64_t, record.target_count + 1);
        size_t count = 0;
        for (size_t i = 0; i < record.target_count; i++)
            accounts[count++] =
                record.targets[i].kind == RECORD_LOCAL ? record.targets[i].account : STORE_OWNER_QUEUE;
        qsort(accounts, count, sizeof *accounts, by_number);
        for (size_t i = 0; i < count; i++)
            *owners += i == 0 || accounts[i] != accounts[i - 1];
    } else if (local.kind == FAIL_PERM) {
        ok = true; /* gone, or damaged: nothing to be gained from it */
    } else if (why != NULL) {
        *why = local;
    }
    arena_finish(&arena);
    return ok;
}

bool release_records(struct store *st, uint64_t account, struct node_release *list, size_t count,
                     struct fail *why)
{
    for (size_t i = 0; i < count; i++) {
        if (!count_owners(st, list[i].ref, &list[i].owners, why))
            return false;
    }
    if (!node_release(st, account, list, count, why))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (list[i].by_all)
            volume_release(st->volumes, list[i].ref, list[i].size);
    }
    return true;
}

bool store_release(struct store *st, uint64_t owner, const struct store_release *list, size_t count, struct fail *why)
{
    struct node_release some[SWEEP_SOME];
    bool ok = true;

    for (size_t at = 0; ok && at < count;) {
        size_t n = 0;
        for (; n < SWEEP_SOME && at < count; at++) {
            struct node_release *r = &some[n++];
            *r = (struct node_release){.ref = list[at].ref, .size = list[at].size, .owners = list[at].owners};
            if (r->owners == 0 && !count_owners(st, r->ref, &r->owners, why))
                return false;
        }
        ok = node_release(st, owner, some, n, why);
        for (size_t i = 0; ok && i < n; i++)
            if (some[i].by_all)
                volume_release(st->volumes, some[i].ref, some[i].size);
    }
    return ok;
}

bool store_is_released(struct store *st, uint64_t owner, uint64_t ref, bool *released, struct fail *why)
{
    return node_is_released(st, ref, owner, released, why);
}

struct dead_list {
    struct node_release list[SWEEP_SOME];
    size_t count;
};

bool release_read_dead(struct db *db, volume_ref after, struct node_release *out, size_t max, size_t *count,
                       struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_DEAD_SOME, why);

    *count = 0;
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)after);
    db_bind_i64(q, 2, (int64_t)max);
    while (*count < max && db_step(q, why)) {
        out[(*count)++] = (struct node_release){
            .ref = (uint64_t)db_col_i64(q, 0),
            .size = (uint64_t)db_col_i64(q, 1),
        };
    }
    return db_done(q, why);
}

static bool read_dead(struct account *a, struct dead_list *dead, struct fail *why)
{
    if (!account_lock(a, why))
        return false;
    bool ok = release_read_dead(a->db, 0, dead->list, SWEEP_SOME, &dead->count, why);
    account_unlock(a);
    return ok;
}

static bool forget_dead(struct change *c, void *ctx, struct fail *why)
{
    const struct dead_list *dead = ctx;

    for (size_t i = 0; i < dead->count; i++) {
        if (!db_run(c->db, SQL_DEAD_GONE, why, "i", (int64_t)dead->list[i].ref))
            return false;
    }
    c->wrote = true;
    return true;
}

static bool sweep(struct account *a, struct fail *why)
{
    SCOPED(scoped_free) struct dead_list *dead = xmalloc(sizeof *dead);

    do {
        if (!read_dead(a, dead, why))
            return false;
        if (dead->count == 0)
            return true;
        if (!release_records(a->store, a->id, dead->list, dead->count, why) ||
            !change_run(a, CHANGE_TOGETHER, forget_dead, dead, why))
            return false;
    } while (dead->count == SWEEP_SOME);
    return true;
}

/* Not while a backup copies first node.db and then the account's file: in between they would be in neither. */
bool release_sweep(struct account *a, struct fail *why)
{
    struct store *st = a->store;

    (void)pthread_mutex_lock(&st->lease_lock);
    bool ok = st->leases > 0 || sweep(a, why);
    (void)pthread_mutex_unlock(&st->lease_lock);
    return ok;
}

static bool has_row(struct db *db, enum account_sql sql, volume_ref ref, bool *yes, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, sql, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)ref);
    *yes = db_step(q, why);
    return db_done(q, why);
}

bool release_is_accounted_for(struct store *st, uint64_t account, volume_ref ref, bool *yes, struct fail *why)
{
    struct fail local = {0};
    struct account *a;

    if (!store_account(st, account, &a, &local)) {
        *yes = true; /* no such account any more */
        if (local.reason != FAIL_NOT_FOUND && why != NULL)
            *why = local;
        return local.reason == FAIL_NOT_FOUND;
    }
    bool ok = account_lock(a, why);
    if (ok) {
        ok = has_row(a->db, SQL_MESSAGE_BY_REF, ref, yes, why) &&
             (*yes || has_row(a->db, SQL_DEAD_HAS, ref, yes, why));
        account_unlock(a);
    }
    account_release(&a);
    return ok && (*yes || node_is_released(st, ref, account, yes, why));
}

/* ---- the volumes ---- */

/* Those that nobody needs, as far as the volumes asked: what became of them is looked at afterwards. */
struct asked {
    struct store *store;
    volume_ref *dead;
    size_t count, cap;
};

static bool is_live(void *ctx, volume_ref ref)
{
    struct asked *a = ctx;
    bool released;
    struct fail why;

    if (!node_is_released(a->store, ref, 0, &released, &why) || !released)
        return true; /* in doubt it is */
    if (a->count == a->cap && a->cap < GONE_MOST) {
        a->cap = a->cap == 0 ? SWEEP_SOME : a->cap * 2;
        a->dead = xrealloc(a->dead, a->cap * sizeof *a->dead);
    }
    if (a->count < a->cap) /* more are noticed at the next start */
        a->dead[a->count++] = ref;
    return false;
}

/* Rows of records that are not there any more. */
static bool forget_gone(const struct asked *a, struct fail *why)
{
    struct node_release some[SWEEP_SOME];
    bool ok = true;

    for (size_t at = 0, n = 0; ok && at < a->count; at += n) {
        for (n = 0; ok && n < SWEEP_SOME && at + n < a->count; n++) {
            some[n] = (struct node_release){.ref = a->dead[at + n]};
            ok = count_owners(a->store, some[n].ref, &some[n].owners, why);
        }
        ok = ok && node_forget_gone(a->store, some, n, why);
    }
    return ok;
}

bool release_reclaim(struct store *st, int64_t now, struct fail *why)
{
    struct asked asked = {.store = st};
    uint64_t freed = 0;

    bool ok = volume_reclaim(st->volumes, is_live, &asked, now, &freed, why);
    ok = forget_gone(&asked, ok ? why : NULL) && ok;
    free(asked.dead);
    if (ok && freed > 0)
        log_event(LOG_INFO, "store.reclaimed", LOG_U64("bytes", freed));
    return ok;
}

bool release_announce(struct store *st, struct fail *why)
{
    struct node_release some[SWEEP_SOME];
    volume_ref after = 0;
    size_t count;

    do {
        if (!node_released(st, after, some, SWEEP_SOME, &count, why))
            return false;
        for (size_t i = 0; i < count; i++) {
            if (!count_owners(st, some[i].ref, &some[i].owners, why))
                return false;
            if (some[i].owners > 0)
                volume_release(st->volumes, some[i].ref, some[i].size);
            after = some[i].ref;
        }
        if (!node_forget_gone(st, some, count, why))
            return false;
    } while (count == SWEEP_SOME);
    return true;
}
