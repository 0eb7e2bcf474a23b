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
#include "base/clock.h"
#include "base/log.h"
#include "store/quota_internal.h"

/* Who waits for a domain to be counted, at most; the counting goes on. */
enum { COUNT_WAIT_MS = 2000 };

void quota_set_source(struct store *st, const struct quota_source *source)
{
    quota_stop_counting(st); /* it asks the source */
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

    if (s->store->quota_counter_stops)
        return false;
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

/* On the counting thread. */
static bool make_whole(struct store *st, const struct quota_domain *d, struct fail *why)
{
    const struct quota_source *source = st->quota_source;
    bool whole;
    struct scan s = {.store = st, .group = group_of(st, d->id, &whole)};
    unsigned told[2] = {0, 0};

    if (whole)
        return true;
    if (source == NULL || !quota_load_domain_told(st, d->id, told, why) || !source->members(source->ctx, d, add_member, &s, why))
        return source != NULL || fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server is going down");
    if (st->quota_counter_stops)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server is going down");
    (void)pthread_mutex_lock(&st->quota_lock);
    s.group->whole = true;
    memcpy(s.group->told, told, sizeof told);
    const struct quota_amount used = s.group->used;
    quota_unlock(st);
    log_event(LOG_INFO, "store.quota.counted", LOG_CSTR("domain", d->name), LOG_U64("bytes", used.bytes),
              LOG_U64("messages", used.messages), LOG_U64("opened", s.opened));
    return true;
}

static void *count_main(void *arg)
{
    struct store *st = arg;

    (void)pthread_mutex_lock(&st->quota_scan);
    while (st->quota_wanted_count > 0 && !st->quota_counter_stops) {
        const struct quota_domain d = st->quota_wanted[0];
        struct fail why = {0};
        bool whole;
        (void)pthread_mutex_unlock(&st->quota_scan);
        bool ok = make_whole(st, &d, &why);
        struct quota_group *g = group_of(st, d.id, &whole);
        (void)pthread_mutex_lock(&st->quota_scan);
        if (!ok)
            g->failed = why;
        st->quota_wanted_count--;
        memmove(st->quota_wanted, st->quota_wanted + 1, st->quota_wanted_count * sizeof d);
        (void)pthread_cond_broadcast(&st->quota_news);
    }
    (void)pthread_mutex_unlock(&st->quota_scan);
    return NULL;
}

static bool is_wanted(const struct store *st, uint64_t domain)
{
    for (size_t i = 0; i < st->quota_wanted_count; i++)
        if (st->quota_wanted[i].id == domain)
            return true;
    return false;
}

/* With quota_scan held. */
static bool want(struct store *st, struct quota_group *g, const struct quota_domain *d, struct fail *why)
{
    if (is_wanted(st, d->id))
        return true;
    if (st->quota_counter_stops)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server is going down");
    if (st->quota_wanted_count == st->quota_wanted_room) {
        st->quota_wanted_room = st->quota_wanted_room > 0 ? 2 * st->quota_wanted_room : 8;
        st->quota_wanted = xrealloc(st->quota_wanted, st->quota_wanted_room * sizeof *st->quota_wanted);
    }
    g->failed = (struct fail){0};
    st->quota_wanted[st->quota_wanted_count++] = *d;
    if (st->quota_wanted_count > 1)
        return true; /* who counts the first goes on with it */
    if (st->quota_counter_runs)
        (void)pthread_join(st->quota_counter, NULL); /* it has nothing to do: it ends at once */
    int status = pthread_create(&st->quota_counter, NULL, count_main, st);
    st->quota_counter_runs = status == 0;
    st->quota_wanted_count = status == 0;
    return status == 0 || fail_errno(why, status, "a thread to count a domain's accounts");
}

/* Waits for the count, for a while. */
static bool wait_for_count(struct store *st, const struct quota_domain *d, struct fail *why)
{
    const int64_t until = clock_mono_ms() + COUNT_WAIT_MS;
    const struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    bool whole;

    (void)pthread_mutex_lock(&st->quota_scan);
    struct quota_group *g = group_of(st, d->id, &whole);
    bool ok = whole || want(st, g, d, why), in_time = true;
    while (ok && in_time && is_wanted(st, d->id))
        in_time = pthread_cond_timedwait(&st->quota_news, &st->quota_scan, &at) == 0;
    if (ok && !in_time && is_wanted(st, d->id)) {
        ok = fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.3.2", "the accounts of %s are being counted after a restart: try again in a few minutes",
                       d->name);
    } else if (ok && g->failed.text[0] != '\0') {
        if (why != NULL)
            *why = g->failed;
        ok = false;
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
    bool ok = wait_for_count(st, d, why);
    block_end();
    return ok;
}

void quota_stop_counting(struct store *st)
{
    st->quota_counter_stops = true;
    (void)pthread_mutex_lock(&st->quota_scan);
    bool runs = st->quota_counter_runs;
    st->quota_counter_runs = false;
    (void)pthread_mutex_unlock(&st->quota_scan);
    if (runs)
        (void)pthread_join(st->quota_counter, NULL);
    (void)pthread_mutex_lock(&st->quota_scan);
    st->quota_wanted_count = 0;
    (void)pthread_cond_broadcast(&st->quota_news);
    (void)pthread_mutex_unlock(&st->quota_scan);
    st->quota_counter_stops = false;
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
