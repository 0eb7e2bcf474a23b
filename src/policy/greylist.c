/*
 * policy/greylist.c - who comes for the first time is asked to come again.
 *
 * Layer: policy.  RFC 6647.  A triple (client network, sender, recipient) is let in from some minutes after its first try on;
 * a network that did so a few times is not asked any more.  Digits of the sender do not count: mailing lists number their
 * reverse-paths.
 */
#include "base/clock.h"
#include "policy/internal.h"

enum { HOUR = 3600, DAY = 24 * 3600 };

static void add_lower(struct buf *b, struct slice s, bool hide_digits)
{
    bool hidden = false;

    for (size_t i = 0; i < s.len; i++) {
        const bool digit = hide_digits && ascii_is_digit(s.ptr[i]);
        if (!digit)
            buf_add_char(b, ascii_lower(s.ptr[i]));
        else if (!hidden)
            buf_add_char(b, '#');
        hidden = digit;
    }
    buf_add_char(b, '\0');
}

static uint64_t triple_key(const struct policy_facts *f)
{
    const struct in6_addr network = client_network(&f->address);
    struct buf b;

    buf_init(&b, 4096);
    buf_add(&b, SLICE("triple"));
    buf_add(&b, slice_make(&network, sizeof network));
    add_lower(&b, f->sender, true);
    add_lower(&b, f->recipient, false);
    uint64_t key = hash_for_good(buf_slice(&b));
    buf_finish(&b);
    return key;
}

static uint64_t network_key(const struct policy_facts *f)
{
    struct { char what[8]; struct in6_addr network; } key = {.what = "network", .network = client_network(&f->address)};

    return hash_for_good(slice_make(&key, sizeof key));
}

static bool is_old(const struct memo_row *row, const struct policy_limits *l, int64_t now)
{
    const int64_t keep = row->count > 0 ? (int64_t)l->greylist_keep_days * DAY : (int64_t)l->greylist_retry_hours * HOUR;

    return now - row->last > keep || now < row->first;
}

static void count_network(struct policy *p, const struct policy_facts *f, int64_t now)
{
    struct memo_row *row = memo_put(&p->greylist, network_key(f));

    if (row->first == 0 || is_old(row, p->limits, now))
        *row = (struct memo_row){.key = row->key, .first = now};
    row->last = now;
    row->count++;
}

/* With the lock.  0: let in; else seconds to wait. */
static int64_t wait_for(struct policy *p, const struct policy_facts *f, int64_t now)
{
    const struct policy_limits *l = p->limits;
    const struct memo_row *network = memo_get(&p->greylist, network_key(f));

    p->memo_changed = true;
    if (l->greylist_auto_allow > 0 && network != NULL && network->count >= l->greylist_auto_allow && !is_old(network, l, now)) {
        count_network(p, f, now);
        return 0;
    }
    struct memo_row *row = memo_put(&p->greylist, triple_key(f));
    if (row->first == 0 || is_old(row, l, now))
        *row = (struct memo_row){.key = row->key, .first = now};
    if (row->count == 0 && now < row->first + l->greylist_delay_seconds) {
        row->last = row->first; /* a try too early does not make it younger */
        return row->first + l->greylist_delay_seconds - now;
    }
    row->last = now;
    row->count++;
    count_network(p, f, now);
    return 0;
}

/* The same without leaving a trace. */
static int64_t would_wait(const struct policy *p, const struct policy_facts *f, int64_t now)
{
    const struct policy_limits *l = p->limits;
    const struct memo_row *network = memo_get(&p->greylist, network_key(f)), *row = memo_get(&p->greylist, triple_key(f));

    if (l->greylist_auto_allow > 0 && network != NULL && network->count >= l->greylist_auto_allow && !is_old(network, l, now))
        return 0;
    if (row == NULL || is_old(row, l, now))
        return l->greylist_delay_seconds;
    return row->count == 0 && now < row->first + l->greylist_delay_seconds ? row->first + l->greylist_delay_seconds - now : 0;
}

bool step_greylist(struct policy_check *c)
{
    struct policy *p = c->policy;

    if (!p->limits->greylist || !c->facts.has_peer)
        return true;
    (void)pthread_mutex_lock(&p->memo_lock);
    int64_t wait = c->explain != NULL ? would_wait(p, &c->facts, clock_now()) : wait_for(p, &c->facts, clock_now());
    (void)pthread_mutex_unlock(&p->memo_lock);
    if (wait <= 0) {
        check_note(c, "greylist knows this client network, sender and recipient");
        return true;
    }
    return check_say(c, POLICY_DEFER, 450, "4.7.1", "greylist", "greylisted: we have not met before, come again in %lld s", (long long)wait);
}
