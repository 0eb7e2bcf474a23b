/*
 * store/quota.c - who has reserved room, and is there any?
 *
 * Layer: store.  What RCPT must know of an account is kept in memory for those of
 * late, whether their files are open or not.  `quota_lock` is held for moments and
 * no other lock is taken under it.
 */
#include "store/quota.h"

#include <stdlib.h>

#include "store/quota_internal.h"

/* Accounts that are remembered.  Past that all are forgotten in which nothing is reserved. */
enum { REMEMBERED_MAX = 16384 };

void quota_init(struct store *st)
{
    pthread_condattr_t monotonic;

    (void)pthread_mutex_init(&st->quota_lock, NULL);
    (void)pthread_mutex_init(&st->quota_scan, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&st->quota_news, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    idmap_init(&st->quotas);
    idmap_init(&st->quota_groups);
    idmap_init(&st->quota_crossed);
    idmap_init(&st->quota_domains_crossed);
    st->quotas_max = REMEMBERED_MAX;
}

static void free_values(struct idmap *map)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    while (idmap_next(map, &at, &id, &value))
        free(value);
    idmap_finish(map);
}

void quota_finish(struct store *st)
{
    free_values(&st->quotas);
    free_values(&st->quota_groups);
    idmap_finish(&st->quota_crossed);
    idmap_finish(&st->quota_domains_crossed);
    free(st->quota_wanted);
    (void)pthread_cond_destroy(&st->quota_news);
    (void)pthread_mutex_destroy(&st->quota_scan);
    (void)pthread_mutex_destroy(&st->quota_lock);
}

/* ---- what is remembered; all with quota_lock held ---- */

static bool may_be_forgotten(const struct quota_entry *e)
{
    return e->reserved.bytes == 0 && e->reserved.messages == 0 && e->group == NULL;
}

static void forget_the_idle(struct store *st)
{
    struct idmap kept;
    size_t at = 0;
    uint64_t id;
    void *value;

    idmap_init(&kept);
    while (idmap_next(&st->quotas, &at, &id, &value)) {
        if (may_be_forgotten(value))
            free(value);
        else
            (void)idmap_put(&kept, id, value);
    }
    idmap_finish(&st->quotas);
    st->quotas = kept;
    st->quotas_max = kept.count > REMEMBERED_MAX / 2 ? kept.count * 2 : REMEMBERED_MAX;
}

struct quota_entry *quota_entry_of(struct store *st, uint64_t id)
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

static void add_to(struct quota_amount *to, struct quota_amount amount)
{
    to->bytes += amount.bytes;
    to->messages += amount.messages;
}

static void reserve(struct quota_entry *e, struct quota_amount amount)
{
    add_to(&e->reserved, amount);
    if (e->group != NULL)
        add_to(&e->group->reserved, amount);
}

static void release(struct quota_entry *e, struct quota_amount amount)
{
    take_back(&e->reserved, amount);
    if (e->group != NULL)
        take_back(&e->group->reserved, amount);
}

/* What is used and what will be. */
static struct quota_amount taken(const struct quota_entry *e)
{
    struct quota_amount sum = e->used;

    add_to(&sum, e->reserved);
    return sum;
}

static struct quota_amount taken_together(const struct quota_group *g)
{
    struct quota_amount sum = g->used;

    add_to(&sum, g->reserved);
    return sum;
}

/* ---- is there room? ---- */

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

/* The domain's own limits, with its name in what is said. */
static bool fit_together(const struct quota_domain *d, struct quota_amount used, struct quota_amount more,
                         struct fail *why)
{
    if (both_fit(used, more, d->most, why))
        return true;
    if (why != NULL)
        why->reason = FAIL_OVER_DOMAIN_QUOTA;
    return fail_at(why, "all accounts of %s together", d->name);
}

/* Somebody who asks. */
struct asking {
    struct quota_domain domain;
    bool has_domain, together; /* the domain has limits of its own */
    struct quota_entry *e;
    struct quota_amount most;
};

/* What holds for a resource: `most` if that is the account's own, the domain's for all its accounts, or `most`. */
static uint64_t limit_of(const bool *own, const struct quota_domain *d, enum quota_resource r, uint64_t most)
{
    return d != NULL && !own[r] && d->has_default[r] ? d->each[r] : most;
}

static struct quota_amount limits_of(const struct quota_entry *e, const struct quota_domain *d)
{
    return (struct quota_amount){limit_of(e->own, d, QUOTA_STORAGE, e->most.bytes),
                                 limit_of(e->own, d, QUOTA_MESSAGE, e->most.messages)};
}

/* With quota_lock held if true; without any lock before it. */
static bool ask(struct account *a, struct asking *q, struct fail *why)
{
    struct store *st = a->store;

    q->has_domain = quota_domain_find(st, a->id, &q->domain);
    q->together = q->has_domain && quota_domain_limits(&q->domain);
    if (q->together && !quota_group_ready(st, &q->domain, why))
        return false;
    q->e = quota_lock_known(a, why);
    if (q->e == NULL)
        return false;
    if (q->together && q->e->group == NULL)
        quota_join(q->e, quota_group_get(st, q->domain.id)); /* it is new in the domain */
    q->most = limits_of(q->e, q->has_domain ? &q->domain : NULL);
    return true;
}

/* May so much more come in, if `less` of what is reserved is not counted? */
static bool has_room(const struct asking *q, struct quota_amount less, struct quota_amount more, struct fail *why)
{
    struct quota_amount own = taken(q->e);

    take_back(&own, less);
    if (!both_fit(own, more, q->most, why))
        return false;
    if (!q->together)
        return true;
    struct quota_amount all = taken_together(q->e->group);
    take_back(&all, less);
    return fit_together(&q->domain, all, more, why);
}

static const struct quota_amount nothing = {0, 0};

bool quota_fits(struct account *a, struct quota_amount more, struct fail *why)
{
    struct asking q;

    if (!ask(a, &q, why))
        return false;
    bool ok = has_room(&q, nothing, more, why);
    quota_unlock(a->store);
    return ok;
}

bool quota_reserve(struct account *a, struct quota_amount more, struct fail *why)
{
    struct asking q;

    if (!ask(a, &q, why))
        return false;
    bool ok = has_room(&q, nothing, more, why);
    if (ok)
        reserve(q.e, more);
    quota_unlock(a->store);
    return ok;
}

bool quota_grow(struct account *a, struct quota_amount *reserved, uint64_t bytes, struct fail *why)
{
    struct asking q;

    if (bytes <= reserved->bytes)
        return true;
    if (!ask(a, &q, why))
        return false;
    bool ok = has_room(&q, *reserved, (struct quota_amount){.bytes = 1}, why);
    if (ok) {
        reserve(q.e, (struct quota_amount){.bytes = bytes - reserved->bytes});
        reserved->bytes = bytes;
    }
    quota_unlock(a->store);
    return ok;
}

static uint64_t missing(uint64_t used, uint64_t more, uint64_t most)
{
    return fits(used, more, most) ? 0 : used + more - most;
}

bool quota_tell_missing(struct account *a, struct quota_amount more, struct fail *why)
{
    struct asking q;
    struct fail none;

    if (why == NULL || !fail_is_quota(why) || !ask(a, &q, &none))
        return false;
    const bool together = why->reason == FAIL_OVER_DOMAIN_QUOTA && q.together;
    struct quota_amount used = together ? taken_together(q.e->group) : taken(q.e),
                        most = together ? q.domain.most : q.most;
    quota_unlock(a->store);
    return fail_code(why, FAIL_PERM, why->reason, "5.2.2",
                     "over quota%s%s: %llu messages of %llu bytes are to come in, for which %llu bytes and %llu messages"
                     " are missing",
                     together ? " of " : "", together ? q.domain.name : "", (unsigned long long)more.messages,
                     (unsigned long long)more.bytes, (unsigned long long)missing(used.bytes, more.bytes, most.bytes),
                     (unsigned long long)missing(used.messages, more.messages, most.messages));
}

void quota_release(struct store *st, uint64_t id, struct quota_amount amount)
{
    if (amount.bytes == 0 && amount.messages == 0)
        return;
    (void)pthread_mutex_lock(&st->quota_lock);
    release(quota_entry_of(st, id), amount);
    quota_unlock(st);
}

struct quota_amount quota_reserved(struct store *st, uint64_t id)
{
    struct quota_amount amount = nothing;

    (void)pthread_mutex_lock(&st->quota_lock);
    const struct quota_entry *e = idmap_get(&st->quotas, id);
    if (e != NULL)
        amount = e->reserved;
    quota_unlock(st);
    return amount;
}

/* ---- for the rest of the room ---- */

void quota_unlock(struct store *st)
{
    (void)pthread_mutex_unlock(&st->quota_lock);
}

struct quota_entry *quota_lock_known(struct account *a, struct fail *why)
{
    struct store *st = a->store;

    for (;;) {
        (void)pthread_mutex_lock(&st->quota_lock);
        struct quota_entry *e = idmap_get(&st->quotas, a->id);
        if (e != NULL && e->known)
            return e;
        quota_unlock(st);
        if (!account_peek(a, why))
            return NULL;
        quota_note(a, nothing);
        (void)pthread_mutex_unlock(&a->lock);
    }
}

void quota_note(struct account *a, struct quota_amount returned)
{
    struct store *st = a->store;
    const struct account_state *s = a->state;
    struct quota_domain d;

    /* Only warnings need to know the domain here. */
    const bool has_domain = s != NULL && __atomic_load_n(&st->quota_warnings, __ATOMIC_ACQUIRE) != NULL &&
                            quota_domain_find(st, a->id, &d);
    (void)pthread_mutex_lock(&st->quota_lock);
    struct quota_entry *e = quota_entry_of(st, a->id);
    release(e, returned);
    e->known = s != NULL;
    if (s != NULL) {
        e->used = (struct quota_amount){s->row.bytes, s->row.messages};
        e->most = (struct quota_amount){s->quota_most[QUOTA_STORAGE], s->quota_most[QUOTA_MESSAGE]};
        e->own[QUOTA_STORAGE] = s->quota_own[QUOTA_STORAGE];
        e->own[QUOTA_MESSAGE] = s->quota_own[QUOTA_MESSAGE];
        quota_counted(e, e->used);
        quota_watch(a, e, limits_of(e, has_domain ? &d : NULL), has_domain && quota_domain_limits(&d) ? &d : NULL);
    }
    quota_unlock(st);
}

bool quota_ready(struct account *a, struct fail *why)
{
    struct asking q;

    if (!ask(a, &q, why))
        return false;
    quota_unlock(a->store);
    return true;
}

/*
 * What became rows in this very transaction counts already, and is reserved still: it counts once.  What is admitted
 * is reserved by the transaction itself, so that another account of the domain cannot have it meanwhile.
 */
bool quota_admits(struct change *c, struct quota_amount more, struct fail *why)
{
    struct store *st = c->account->store;
    const struct account_state *s = c->account->state;
    struct quota_amount used = {c->row.bytes, c->row.messages};
    struct quota_domain d;

    const bool has_domain = quota_domain_find(st, c->account->id, &d);
    (void)pthread_mutex_lock(&st->quota_lock);
    struct quota_entry *e = quota_entry_of(st, c->account->id);
    add_to(&used, e->reserved);
    take_back(&used, c->returned);
    const struct quota_domain *of = has_domain ? &d : NULL;
    const struct quota_amount most = {limit_of(s->quota_own, of, QUOTA_STORAGE, s->quota_most[QUOTA_STORAGE]),
                                      limit_of(s->quota_own, of, QUOTA_MESSAGE, s->quota_most[QUOTA_MESSAGE])};
    bool ok = both_fit(used, more, most, why);
    if (ok && has_domain && quota_domain_limits(&d) && e->group != NULL) {
        struct quota_amount all = taken_together(e->group);
        add_to(&all, (struct quota_amount){c->row.bytes, c->row.messages});
        take_back(&all, e->counted);
        take_back(&all, c->returned);
        ok = fit_together(&d, all, more, why);
    }
    if (ok) {
        reserve(e, more);
        add_to(&c->returned, more);
        add_to(&c->taken, more);
    }
    quota_unlock(st);
    return ok;
}

bool quota_check(struct account *a)
{
    struct store *st = a->store;
    bool right = true;

    (void)pthread_mutex_lock(&a->lock);
    (void)pthread_mutex_lock(&st->quota_lock);
    const struct quota_entry *e = idmap_get(&st->quotas, a->id);
    const struct account_row *row = &a->state->row;
    if (e != NULL && e->known)
        right = e->used.bytes == row->bytes && e->used.messages == row->messages;
    if (e != NULL && e->group != NULL)
        right = right && e->counted.bytes == row->bytes && e->counted.messages == row->messages;
    quota_unlock(st);
    (void)pthread_mutex_unlock(&a->lock);
    return right;
}
