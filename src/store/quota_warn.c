/*
 * store/quota_warn.c - has an account, or a domain, become so full that somebody should hear of it?
 *
 * Layer: store.  Its level is the highest of the configured percentages that it has reached.  The level that was told
 * last stands in the account's file, a domain's in the node's database; whenever the two differ, upward or downward,
 * it is noted, and who sends warnings comes for it.
 */
#include <stdio.h>

#include "store/quota_internal.h"

void quota_set_warnings(struct store *st, const struct quota_warnings *warnings)
{
    (void)pthread_mutex_lock(&st->quota_lock);
    __atomic_store_n(&st->quota_warnings, warnings, __ATOMIC_RELEASE);
    quota_unlock(st);
}

unsigned quota_level(const struct quota_warnings *w, uint64_t used, uint64_t most)
{
    unsigned level = 0;

    if (most == QUOTA_UNLIMITED)
        return 0;
    for (size_t i = 0; i < w->count; i++) {
        const uint64_t p = w->percents[i];
        /* used * 100 >= most * p, where neither may wrap */
        const bool reached = most > UINT64_MAX / 100 || used > UINT64_MAX / 100 ? used / p >= most / 100
                                                                                : used * 100 >= most * p;
        if (reached && p > level)
            level = (unsigned)p;
    }
    return level;
}

static void note(struct store *st, struct idmap *crossed, uint64_t id)
{
    if (idmap_get(crossed, id) != NULL)
        return;
    (void)idmap_put(crossed, id, st);
    st->quota_warnings->crossed(st->quota_warnings->ctx);
}

void quota_watch(struct account *a, const struct quota_entry *e, struct quota_amount most, const struct quota_domain *d)
{
    struct store *st = a->store;
    const struct quota_warnings *w = st->quota_warnings;

    if (w == NULL || w->count == 0)
        return;
    if (quota_level(w, e->used.bytes, most.bytes) != a->state->quota_told[QUOTA_STORAGE] ||
        quota_level(w, e->used.messages, most.messages) != a->state->quota_told[QUOTA_MESSAGE])
        note(st, &st->quota_crossed, a->id);
    const struct quota_group *g = d != NULL ? e->group : NULL;
    if (g != NULL && g->whole &&
        (quota_level(w, g->used.bytes, d->most.bytes) != g->told[QUOTA_STORAGE] ||
         quota_level(w, g->used.messages, d->most.messages) != g->told[QUOTA_MESSAGE]))
        note(st, &st->quota_domains_crossed, d->id);
}

/* One of them, which is taken out; false: there is none. */
static bool take_one(struct idmap *from, uint64_t *id)
{
    size_t at = 0;
    void *value;

    if (!idmap_next(from, &at, id, &value))
        return false;
    (void)idmap_remove(from, *id);
    return true;
}

bool quota_take_crossed(struct store *st, bool *is_domain, uint64_t *id)
{
    (void)pthread_mutex_lock(&st->quota_lock);
    *is_domain = false;
    bool any = take_one(&st->quota_crossed, id);
    if (!any) {
        *is_domain = true;
        any = take_one(&st->quota_domains_crossed, id);
    }
    quota_unlock(st);
    return any;
}

/* ---- what was told ---- */

bool quota_read_told(struct account *a, unsigned told[2], struct fail *why)
{
    if (!account_peek(a, why))
        return false;
    memcpy(told, a->state->quota_told, sizeof a->state->quota_told);
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

static bool write_told(struct change *c, void *ctx, struct fail *why)
{
    const unsigned *told = ctx;

    for (int r = 0; r < 2; r++)
        if (!db_run(c->db, SQL_QUOTA_TOLD, why, "ii", (int64_t)r, (int64_t)told[r]))
            return false;
    c->wrote = true;
    c->told = told;
    return true;
}

bool quota_write_told(struct account *a, const unsigned told[2], struct fail *why)
{
    unsigned mine[2] = {told[0], told[1]};

    return change_run(a, CHANGE_ALONE, write_told, mine, why);
}

/* "told:7:0" */
static struct slice number_name(uint64_t domain, int resource, char out[48])
{
    int n = snprintf(out, 48, "told:%llu:%d", (unsigned long long)domain, resource);

    return slice_make(out, n > 0 ? (size_t)n : 0);
}

bool quota_load_domain_told(struct store *st, uint64_t domain, unsigned told[2], struct fail *why)
{
    char name[48];
    bool ok = true;

    node_lock(st);
    for (int r = 0; ok && r < 2; r++) {
        struct fail none = {0};
        int64_t value = 0;
        ok = db_get_i64(st->node, NODE_GET, &value, &none, "t", number_name(domain, r, name)) ||
             none.reason == FAIL_NOT_FOUND;
        told[r] = (unsigned)value;
        if (!ok && why != NULL)
            *why = none;
    }
    node_unlock(st);
    return ok;
}

void quota_read_domain_told(struct store *st, uint64_t domain, unsigned told[2])
{
    told[0] = told[1] = 0;
    (void)pthread_mutex_lock(&st->quota_lock);
    const struct quota_group *g = quota_group_get(st, domain);
    if (g != NULL)
        memcpy(told, g->told, sizeof g->told);
    quota_unlock(st);
}

bool quota_write_domain_told(struct store *st, uint64_t domain, const unsigned told[2], struct fail *why)
{
    char name[48];
    bool ok = true;

    node_lock(st);
    for (int r = 0; ok && r < 2; r++)
        ok = db_run(st->node, NODE_SET, why, "ti", number_name(domain, r, name), (int64_t)told[r]);
    node_unlock(st);
    (void)pthread_mutex_lock(&st->quota_lock);
    struct quota_group *g = quota_group_get(st, domain);
    if (ok && g != NULL)
        memcpy(g->told, told, sizeof g->told);
    quota_unlock(st);
    return ok;
}
