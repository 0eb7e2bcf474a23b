/*
 * policy/rate.c - how much may one address, one network, one account?
 *
 * Layer: policy.  Clients have token buckets, kept as the one time at which a bucket will be full again ("generic cell
 * rate"): so many at once, then as many as flow in.  Accounts have an hour and a day that begin with their first message,
 * so that a user can be told when it is over; those survive a restart.
 */
#include <stdio.h>

#include "base/clock.h"
#include "policy/internal.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 24 * 3600 };

struct in6_addr client_network(const struct in6_addr *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct in6_addr network = *address;
    const unsigned keep = memcmp(network.s6_addr, mapped, sizeof mapped) == 0 ? 15 : 8;

    memset(&network.s6_addr[keep], 0, 16 - keep);
    return network;
}

/* ---- clients ---- */

struct bucket {
    const char *what; /* "connections" */
    unsigned    limit, seconds;
    bool        network;
};

static uint64_t bucket_key(const struct bucket *b, const struct in6_addr *address)
{
    struct { char what[20]; unsigned char network; struct in6_addr address; } key;

    memset(&key, 0, sizeof key);
    (void)snprintf(key.what, sizeof key.what, "%s", b->what);
    key.network = b->network;
    key.address = b->network ? client_network(address) : *address;
    return hash_bytes(slice_make(&key, sizeof key));
}

/* With the lock.  0: taken; else so many seconds until it may. */
static unsigned bucket_take(struct memo *m, const struct bucket *b, const struct in6_addr *address, bool in_earnest)
{
    const int64_t second = 1000000, window = b->seconds * second, each = window / b->limit;
    const int64_t now = clock_mono_ms() * 1000;
    struct memo_row *row = in_earnest ? memo_put(m, bucket_key(b, address)) : memo_get(m, bucket_key(b, address));

    if (row == NULL)
        return 0;
    const int64_t from = row->first > now ? row->first : now;
    if (from + each - now > window)
        return (unsigned)((from + each - now - window + second - 1) / second);
    if (in_earnest) {
        row->first = from + each;
        row->last = clock_now();
    }
    return 0;
}

static bool take_buckets(struct policy_check *c, const struct bucket *buckets, size_t count)
{
    struct policy *p = c->policy;

    for (size_t i = 0; i < count && c->facts.has_peer; i++) {
        const struct bucket *b = &buckets[i];
        if (b->limit == 0)
            continue;
        (void)pthread_mutex_lock(&p->memo_lock);
        unsigned wait = bucket_take(&p->rates, b, &c->facts.address, c->explain == NULL);
        (void)pthread_mutex_unlock(&p->memo_lock);
        if (wait > 0)
            return check_say(c, c->stage == POLICY_CONNECT ? POLICY_CLOSE : POLICY_DEFER, 450, c->stage == POLICY_CONNECT ? "4.7.0" : "4.7.1",
                             "rate", "too many %s from your %s: at most %u in %s, again in %u s", b->what,
                             b->network ? "network" : "address", b->limit, b->seconds == MINUTE ? "a minute" : "an hour", wait);
    }
    return true;
}

bool step_rate_client(struct policy_check *c)
{
    const struct policy_limits *l = c->policy->limits;
    const struct bucket buckets[] = {{"connections", l->connections_per_minute, MINUTE, false},
                                     {"connections", l->network_connections_per_minute, MINUTE, true}};

    return !check_is_stranger(c) || take_buckets(c, buckets, ARRAY_LEN(buckets));
}

bool step_rate_message(struct policy_check *c)
{
    const struct policy_limits *l = c->policy->limits;
    const struct bucket buckets[] = {{"messages", l->messages_per_hour, HOUR, false},
                                     {"messages", l->network_messages_per_hour, HOUR, true}};

    return take_buckets(c, buckets, ARRAY_LEN(buckets));
}

bool step_rate_recipient(struct policy_check *c)
{
    const struct policy_limits *l = c->policy->limits;
    const struct bucket buckets[] = {{"recipients", l->recipients_per_hour, HOUR, false},
                                     {"recipients", l->network_recipients_per_hour, HOUR, true}};

    return take_buckets(c, buckets, ARRAY_LEN(buckets));
}

/* ---- accounts ---- */

struct window {
    const char *what;
    unsigned    limit, seconds, take;
};

static uint64_t window_key(const struct window *w, uint64_t account)
{
    struct { char what[20]; uint64_t account; uint64_t seconds; } key;

    memset(&key, 0, sizeof key);
    (void)snprintf(key.what, sizeof key.what, "%s", w->what);
    key.account = account;
    key.seconds = w->seconds;
    return hash_for_good(slice_make(&key, sizeof key)); /* it is stored */
}

/* With the lock: the row as it is now; its window may be a new one. */
static struct memo_row *window_row(struct memo *m, const struct window *w, uint64_t account, int64_t now)
{
    struct memo_row *row = memo_put(m, window_key(w, account));

    if (row->first == 0 || now >= row->first + w->seconds || now < row->first) {
        row->first = now;
        row->count = 0;
    }
    row->last = now;
    return row;
}

static bool over(const struct window *w, const struct memo_row *row, struct fail *why)
{
    const struct date_text when = clock_rfc5322(row->first + w->seconds);

    if (w->take > w->limit)
        return fail_code(why, FAIL_PERM, FAIL_LIMIT, "5.5.3", "you may send to at most %u %s in %s: split the message", w->limit, w->what,
                         w->seconds == HOUR ? "an hour" : "a day");
    return fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.7.1", "you may send at most %u %s in %s, and have sent %u: again from %s", w->limit,
                     w->what, w->seconds == HOUR ? "an hour" : "a day", row->count, when.text);
}

bool policy_rate_take(struct policy *p, uint64_t account, unsigned recipients, struct fail *why)
{
    if (p == NULL)
        return true;
    const struct policy_limits *l = p->limits;
    const struct window windows[] = {{"messages", l->account_messages_per_hour, HOUR, 1},
                                     {"messages", l->account_messages_per_day, DAY, 1},
                                     {"recipients", l->account_recipients_per_hour, HOUR, recipients},
                                     {"recipients", l->account_recipients_per_day, DAY, recipients}};
    const int64_t now = clock_now();
    bool ok = true;

    (void)pthread_mutex_lock(&p->memo_lock);
    for (size_t i = 0; ok && i < ARRAY_LEN(windows); i++) {
        if (windows[i].limit == 0)
            continue;
        const struct memo_row *row = window_row(&p->accounts, &windows[i], account, now);
        ok = (uint64_t)row->count + windows[i].take <= windows[i].limit || over(&windows[i], row, why);
    }
    for (size_t i = 0; ok && i < ARRAY_LEN(windows); i++) { /* all or none */
        if (windows[i].limit == 0)
            continue;
        window_row(&p->accounts, &windows[i], account, now)->count += windows[i].take;
        p->memo_changed = true;
    }
    (void)pthread_mutex_unlock(&p->memo_lock);
    return ok;
}
