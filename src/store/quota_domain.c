/*
 * store/quota_domain.c - the accounts of a domain, counted together.
 *
 * Layer: store.  The sum of a domain is made when somebody first asks for it, from what is known of its accounts
 * and, for those of which nothing is, from their files.  From then on every change of a member's counts changes it in
 * the same moment.  A process that ends in order leaves what it knew in the node's database, for the next one; after
 * any other end the files are read again, so a crash cannot make it wrong.
 */
#include <stdlib.h>

#include "base/block.h"
#include "base/log.h"
#include "store/quota_internal.h"

void quota_set_source(struct store *st, const struct quota_source *source)
{
    st->quota_source = source;
}

bool quota_domain_find(struct store *st, uint64_t account, struct quota_domain *out)
{
    return st->quota_source != NULL && st->quota_source->domain_of(st->quota_source->ctx, account, out);
}

bool quota_domain_of(struct account *a, struct quota_domain *out)
{
    return quota_domain_find(a->store, a->id, out);
}

struct quota_group *quota_group_get(const struct store *st, uint64_t domain)
{
    return idmap_get(&st->quota_groups, domain);
}

static void give_away(struct quota_amount *from, struct quota_amount amount)
{
    from->bytes -= amount.bytes;
    from->messages -= amount.messages;
}

static void take_in(struct quota_amount *to, struct quota_amount amount)
{
    to->bytes += amount.bytes;
    to->messages += amount.messages;
}

void quota_join(struct quota_entry *e, struct quota_group *g)
{
    if (e->group != NULL)
        return;
    e->group = g;
    take_in(&g->used, e->counted);
    take_in(&g->reserved, e->reserved);
}

void quota_counted(struct quota_entry *e, struct quota_amount now)
{
    if (e->group != NULL) {
        give_away(&e->group->used, e->counted);
        take_in(&e->group->used, now);
    }
    e->counted = now;
    e->counts = true;
}

void quota_forget_account(struct store *st, uint64_t id)
{
    (void)pthread_mutex_lock(&st->quota_lock);
    struct quota_entry *e = idmap_get(&st->quotas, id);
    if (e != NULL) {
        quota_counted(e, (struct quota_amount){0, 0});
        e->known = false;
        e->counts = false;
    }
    quota_unlock(st);
}

/* ---- the sum ---- */

struct scan {
    struct store *store;
    struct quota_group *group;
    uint64_t opened;
};

/* Is something known of it?  Then it is a member. */
static bool join_if_known(struct scan *s, uint64_t account)
{
    (void)pthread_mutex_lock(&s->store->quota_lock);
    struct quota_entry *e = quota_entry_of(s->store, account);
    bool known = e->known || e->counts;
    if (known)
        quota_join(e, s->group);
    quota_unlock(s->store);
    return known;
}

/* Of a file that cannot be read nothing counts; when it can be again, it does from that moment. */
static bool add_member(void *ctx, uint64_t account)
{
    struct scan *s = ctx;
    struct account *a = NULL;
    struct fail why = {0};

    if (join_if_known(s, account))
        return true;
    s->opened++;
    bool ok = store_account(s->store, account, &a, &why) && quota_lock_known(a, &why) != NULL;
    if (!ok && why.reason != FAIL_NOT_FOUND)
        log_event(LOG_WARNING, "store.quota", LOG_U64("account", account), LOG_FAIL(&why));
    if (!ok)
        (void)pthread_mutex_lock(&s->store->quota_lock);
    quota_join(quota_entry_of(s->store, account), s->group);
    quota_unlock(s->store);
    account_release(&a);
    return true;
}

static struct quota_group *group_of(struct store *st, uint64_t domain, bool *whole)
{
    (void)pthread_mutex_lock(&st->quota_lock);
    struct quota_group *g = quota_group_get(st, domain);
    if (g == NULL) {
        g = xcalloc(1, sizeof *g);
        (void)idmap_put(&st->quota_groups, domain, g);
    }
    *whole = g->whole;
    quota_unlock(st);
    return g;
}

/* One at a time: who comes meanwhile waits, and finds it done. */
static bool make_whole(struct store *st, const struct quota_domain *d, struct fail *why)
{
    const struct quota_source *source = st->quota_source;
    bool whole;

    (void)pthread_mutex_lock(&st->quota_scan);
    struct scan s = {.store = st, .group = group_of(st, d->id, &whole)};
    unsigned told[2] = {0, 0};
    bool ok = whole || (quota_load_domain_told(st, d->id, told, why) &&
                        source->members(source->ctx, d, add_member, &s, why));
    if (ok && !whole) {
        (void)pthread_mutex_lock(&st->quota_lock);
        s.group->whole = true;
        memcpy(s.group->told, told, sizeof told);
        const struct quota_amount used = s.group->used;
        quota_unlock(st);
        log_event(LOG_INFO, "store.quota.counted", LOG_CSTR("domain", d->name), LOG_U64("bytes", used.bytes),
                  LOG_U64("messages", used.messages), LOG_U64("opened", s.opened));
    }
    (void)pthread_mutex_unlock(&st->quota_scan);
    return ok;
}

bool quota_group_ready(struct store *st, const struct quota_domain *d, struct fail *why)
{
    bool whole;

    (void)group_of(st, d->id, &whole);
    if (whole)
        return true;
    block_begin();
    bool ok = make_whole(st, d, why);
    block_end();
    return ok;
}

bool quota_domain_used(struct store *st, const struct quota_domain *d, struct quota_amount *used, struct fail *why)
{
    if (st->quota_source == NULL || !quota_group_ready(st, d, why))
        return false;
    (void)pthread_mutex_lock(&st->quota_lock);
    *used = quota_group_get(st, d->id)->used;
    quota_unlock(st);
    return true;
}

/* ---- from one process to the next ---- */

/* All accounts are closed, in service. */
bool quota_save(struct store *st, struct fail *why)
{
    size_t at = 0;
    uint64_t id;
    void *value;
    bool ok = db_run(st->node, NODE_USAGE_CLEAR, why, "");

    while (ok && idmap_next(&st->quotas, &at, &id, &value)) {
        const struct quota_entry *e = value;
        if ((e->group != NULL || e->saved) && e->counts)
            ok = db_run(st->node, NODE_USAGE_SET, why, "iii", (int64_t)id, (int64_t)e->counted.bytes,
                        (int64_t)e->counted.messages);
    }
    return ok;
}

bool quota_load(struct store *st, struct fail *why)
{
    struct db_stmt *q = db_stmt(st->node, NODE_USAGE_ALL, why);

    if (q == NULL)
        return false;
    (void)pthread_mutex_lock(&st->quota_lock);
    while (db_step(q, why)) {
        struct quota_entry *e = quota_entry_of(st, (uint64_t)db_col_i64(q, 0));
        quota_counted(e, (struct quota_amount){(uint64_t)db_col_i64(q, 1), (uint64_t)db_col_i64(q, 2)});
        e->saved = true;
    }
    quota_unlock(st);
    return db_done(q, why);
}
