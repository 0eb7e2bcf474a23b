/*
 * store/quota_limit.c - the limits of an account: read, set, and that on mailboxes.
 *
 * Layer: store.
 */
#include "store/quota_internal.h"

/* What holds for an account: its own, its domain's for all there, the config's for all. */
static void limits_that_hold(struct store *st, uint64_t account, const struct account_state *s,
                             uint64_t out[QUOTA_RESOURCES])
{
    struct quota_domain d;
    const bool has_domain = quota_domain_find(st, account, &d);

    for (int i = 0; i < QUOTA_RESOURCES; i++)
        out[i] = has_domain && !s->quota_own[i] && d.has_default[i] ? d.each[i] : s->quota_most[i];
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
    const uint64_t count = count_mailboxes(s);
    uint64_t most[QUOTA_RESOURCES];

    limits_that_hold(c->account->store, c->account->id, s, most);
    return most[QUOTA_MAILBOX] == QUOTA_UNLIMITED || count < most[QUOTA_MAILBOX] ||
           fail_code(why, FAIL_PERM, FAIL_OVER_QUOTA, "5.2.2", "over quota: %llu of %llu mailboxes are there",
                     (unsigned long long)count, (unsigned long long)most[QUOTA_MAILBOX]);
}

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
    limits_that_hold(a->store, a->id, s, out->most);
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
