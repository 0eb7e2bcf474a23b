/*
 * store/quota.c - how much an account may hold, and who has reserved room in it.
 *
 * Layer: store.  What RCPT must know of an account is kept in memory for those of
 * late, whether their files are open or not.  `quota_lock` is held for moments and
 * no other lock is taken under it.
 */
#include "store/quota.h"

#include <stdlib.h>

#include "store/internal.h"

/* Accounts that are remembered.  Past that all are forgotten in which nothing is reserved. */
enum { REMEMBERED_MAX = 16384 };

/* What is known in memory of one account. */
struct quota_entry {
    bool known; /* `used` and `most` are what the file says */
    struct quota_amount used, most, reserved;
};

void quota_init(struct store *st)
{
    (void)pthread_mutex_init(&st->quota_lock, NULL);
    idmap_init(&st->quotas);
    st->quotas_max = REMEMBERED_MAX;
}

void quota_finish(struct store *st)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    while (idmap_next(&st->quotas, &at, &id, &value))
        free(value);
    idmap_finish(&st->quotas);
    (void)pthread_mutex_destroy(&st->quota_lock);
}

/* ---- what is remembered; all with quota_lock held ---- */

static bool nothing_reserved(const struct quota_entry *e)
{
    return e->reserved.bytes == 0 && e->reserved.messages == 0;
}

static void forget_the_idle(struct store *st)
{
    struct idmap kept;
    size_t at = 0;
    uint64_t id;
    void *value;

    idmap_init(&kept);
    while (idmap_next(&st->quotas, &at, &id, &value)) {
        if (nothing_reserved(value))
            free(value);
        else
            (void)idmap_put(&kept, id, value);
    }
    idmap_finish(&st->quotas);
    st->quotas = kept;
    st->quotas_max = kept.count > REMEMBERED_MAX / 2 ? kept.count * 2 : REMEMBERED_MAX;
}

static struct quota_entry *entry_of(struct store *st, uint64_t id)
{
    struct quota_entry *e = idmap_get(&st->quotas, id);

    if (e != NULL)
        return e;
    if (st->quotas.count >= st->quotas_max)
        forget_the_idle(st);
    e = xcalloc(1, sizeof *e);
    (void)idmap_put(&st->quotas, id, e);
    return e;
}

static void take_back(struct quota_amount *from, struct quota_amount amount)
{
    if (from->bytes < amount.bytes || from->messages < amount.messages)
        bug("more room is given back than was reserved");
    from->bytes -= amount.bytes;
    from->messages -= amount.messages;
}

static bool fits(uint64_t used, uint64_t more, uint64_t most)
{
    return more == 0 || most == QUOTA_UNLIMITED || (more <= most && used <= most - more);
}

static bool both_fit(struct quota_amount used, struct quota_amount more, struct quota_amount most, struct fail *why)
{
    if (more.bytes > most.bytes)
        return fail_code(why, FAIL_PERM, FAIL_OVER_QUOTA, "5.2.2", "that is more than the %llu bytes of the quota",
                         (unsigned long long)most.bytes);
    if (!fits(used.bytes, more.bytes, most.bytes))
        return fail_code(why, FAIL_TEMP, FAIL_OVER_QUOTA, "4.2.2", "over quota: %llu of %llu bytes are taken",
                         (unsigned long long)used.bytes, (unsigned long long)most.bytes);
    return fits(used.messages, more.messages, most.messages) ||
           fail_code(why, FAIL_TEMP, FAIL_OVER_QUOTA, "4.2.2", "over quota: %llu of %llu messages are there",
                     (unsigned long long)used.messages, (unsigned long long)most.messages);
}

/* What is used and what will be. */
static struct quota_amount taken(const struct quota_entry *e)
{
    return (struct quota_amount){e->used.bytes + e->reserved.bytes, e->used.messages + e->reserved.messages};
}

/* ---- asking ---- */

/* The account's entry, known, with quota_lock held; NULL without it. */
static struct quota_entry *lock_known(struct account *a, struct fail *why)
{
    struct store *st = a->store;

    for (;;) {
        (void)pthread_mutex_lock(&st->quota_lock);
        struct quota_entry *e = idmap_get(&st->quotas, a->id);
        if (e != NULL && e->known)
            return e;
        (void)pthread_mutex_unlock(&st->quota_lock);
        if (!account_peek(a, why))
            return NULL;
        quota_note(a, (struct quota_amount){0, 0});
        (void)pthread_mutex_unlock(&a->lock);
    }
}

bool quota_fits(struct account *a, struct quota_amount more, struct fail *why)
{
    struct quota_entry *e = lock_known(a, why);

    if (e == NULL)
        return false;
    bool ok = both_fit(taken(e), more, e->most, why);
    (void)pthread_mutex_unlock(&a->store->quota_lock);
    return ok;
}

bool quota_reserve(struct account *a, struct quota_amount more, struct fail *why)
{
    struct quota_entry *e = lock_known(a, why);

    if (e == NULL)
        return false;
    bool ok = both_fit(taken(e), more, e->most, why);
    if (ok) {
        e->reserved.bytes += more.bytes;
        e->reserved.messages += more.messages;
    }
    (void)pthread_mutex_unlock(&a->store->quota_lock);
    return ok;
}

bool quota_grow(struct account *a, struct quota_amount *reserved, uint64_t bytes, struct fail *why)
{
    struct quota_entry *e;

    if (bytes <= reserved->bytes)
        return true;
    e = lock_known(a, why);
    if (e == NULL)
        return false;
    struct quota_amount others = taken(e);
    take_back(&others, *reserved);
    bool ok = both_fit(others, (struct quota_amount){.bytes = 1}, e->most, why);
    if (ok) {
        e->reserved.bytes += bytes - reserved->bytes;
        reserved->bytes = bytes;
    }
    (void)pthread_mutex_unlock(&a->store->quota_lock);
    return ok;
}

static uint64_t missing(uint64_t used, uint64_t more, uint64_t most)
{
    return fits(used, more, most) ? 0 : used + more - most;
}

bool quota_tell_missing(struct account *a, struct quota_amount more, struct fail *why)
{
    struct fail none;

    if (why == NULL || why->reason != FAIL_OVER_QUOTA)
        return false;
    struct quota_entry *e = lock_known(a, &none);
    if (e == NULL)
        return false;
    struct quota_amount used = taken(e), most = e->most;
    (void)pthread_mutex_unlock(&a->store->quota_lock);
    return fail_code(why, FAIL_PERM, FAIL_OVER_QUOTA, "5.2.2",
                     "over quota: %llu messages of %llu bytes are to come in, for which %llu bytes and %llu messages"
                     " are missing",
                     (unsigned long long)more.messages, (unsigned long long)more.bytes,
                     (unsigned long long)missing(used.bytes, more.bytes, most.bytes),
                     (unsigned long long)missing(used.messages, more.messages, most.messages));
}

void quota_release(struct store *st, uint64_t id, struct quota_amount amount)
{
    if (amount.bytes == 0 && amount.messages == 0)
        return;
    (void)pthread_mutex_lock(&st->quota_lock);
    take_back(&entry_of(st, id)->reserved, amount);
    (void)pthread_mutex_unlock(&st->quota_lock);
}

struct quota_amount quota_reserved(struct store *st, uint64_t id)
{
    struct quota_amount amount = {0, 0};

    (void)pthread_mutex_lock(&st->quota_lock);
    const struct quota_entry *e = idmap_get(&st->quotas, id);
    if (e != NULL)
        amount = e->reserved;
    (void)pthread_mutex_unlock(&st->quota_lock);
    return amount;
}

/* ---- for the rest of the room ---- */

void quota_note(struct account *a, struct quota_amount returned)
{
    struct store *st = a->store;
    const struct account_state *s = a->state;

    (void)pthread_mutex_lock(&st->quota_lock);
    struct quota_entry *e = entry_of(st, a->id);
    take_back(&e->reserved, returned);
    e->known = s != NULL;
    if (s != NULL) {
        e->used = (struct quota_amount){s->row.bytes, s->row.messages};
        e->most = (struct quota_amount){s->quota_most[QUOTA_STORAGE], s->quota_most[QUOTA_MESSAGE]};
    }
    (void)pthread_mutex_unlock(&st->quota_lock);
}

bool quota_admits(const struct change *c, struct quota_amount more, struct fail *why)
{
    struct store *st = c->account->store;
    const uint64_t *most = c->account->state->quota_most;
    struct quota_amount used = {c->row.bytes, c->row.messages};

    /* What became rows in this very transaction is reserved still: it counts once. */
    struct quota_amount coming = quota_reserved(st, c->account->id);
    take_back(&coming, c->returned);
    used.bytes += coming.bytes;
    used.messages += coming.messages;
    return both_fit(used, more, (struct quota_amount){most[QUOTA_STORAGE], most[QUOTA_MESSAGE]}, why);
}

static uint64_t count_mailboxes(const struct account_state *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->box_count; i++)
        n += !s->boxes[i].row.no_select;
    return n;
}

bool quota_admits_mailbox(const struct change *c, struct fail *why)
{
    const struct account_state *s = c->account->state;
    const uint64_t most = s->quota_most[QUOTA_MAILBOX];

    return fits(count_mailboxes(s), 1, most) ||
           fail_code(why, FAIL_PERM, FAIL_OVER_QUOTA, "5.2.2", "over quota: %llu of %llu mailboxes are there",
                     (unsigned long long)count_mailboxes(s), (unsigned long long)most);
}

bool quota_check(struct account *a)
{
    struct store *st = a->store;
    bool right = true;

    (void)pthread_mutex_lock(&a->lock);
    (void)pthread_mutex_lock(&st->quota_lock);
    const struct quota_entry *e = idmap_get(&st->quotas, a->id);
    if (e != NULL && e->known)
        right = e->used.bytes == a->state->row.bytes && e->used.messages == a->state->row.messages;
    (void)pthread_mutex_unlock(&st->quota_lock);
    (void)pthread_mutex_unlock(&a->lock);
    return right;
}

/* ---- limits ---- */

void quota_of_row(const struct store *st, struct account_state *s, struct db_stmt *q, int column)
{
    const struct store_limits *l = &st->limits;
    const uint64_t defaults[QUOTA_RESOURCES] = {
        [QUOTA_STORAGE] = l->quota_bytes, [QUOTA_MESSAGE] = l->quota_messages, [QUOTA_MAILBOX] = l->quota_mailboxes};

    for (int i = 0; i < QUOTA_RESOURCES; i++) {
        int64_t own = db_col_i64(q, column + i);
        s->quota_own[i] = !db_col_is_null(q, column + i);
        if (s->quota_own[i])
            s->quota_most[i] = own >= 0 ? (uint64_t)own : QUOTA_UNLIMITED;
        else
            s->quota_most[i] = defaults[i] > 0 ? defaults[i] : QUOTA_UNLIMITED;
    }
}

bool quota_read(struct account *a, struct quota *out, struct fail *why)
{
    if (!account_peek(a, why))
        return false;
    const struct account_state *s = a->state;
    out->used[QUOTA_STORAGE] = s->row.bytes;
    out->used[QUOTA_MESSAGE] = s->row.messages;
    out->used[QUOTA_MAILBOX] = count_mailboxes(s);
    memcpy(out->most, s->quota_most, sizeof out->most);
    memcpy(out->own, s->quota_own, sizeof out->own);
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

struct setting {
    const struct quota_change *changes;
    size_t count;
};

static bool set_limits(struct change *c, void *ctx, struct fail *why)
{
    const struct setting *s = ctx;

    for (size_t i = 0; i < s->count; i++) {
        const struct quota_change *one = &s->changes[i];
        if (one->by_default) {
            if (!db_run(c->db, SQL_QUOTA_UNSET, why, "i", (int64_t)one->resource))
                return false;
        } else if (one->most != QUOTA_UNLIMITED && one->most > QUOTA_MOST) {
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a limit is at most %llu", (unsigned long long)QUOTA_MOST);
        } else if (!db_run(c->db, SQL_QUOTA_SET, why, "ii", (int64_t)one->resource,
                           one->most == QUOTA_UNLIMITED ? -1 : (int64_t)one->most)) {
            return false;
        }
    }
    c->wrote = true;
    c->restructured = true; /* the state is read anew, with its limits */
    return true;
}

bool quota_set(struct account *a, const struct quota_change *changes, size_t count, struct fail *why)
{
    struct setting s = {.changes = changes, .count = count};

    return count == 0 || change_run(a, CHANGE_ALONE, set_limits, &s, why);
}
