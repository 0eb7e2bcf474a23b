/*
 * deliver/domain.c - tells the store which account is of which domain, and what that may hold.
 *
 * Layer: deliver, which knows the store and the directory.
 */
#include "deliver/internal.h"

static uint64_t limit_or_none(int64_t limit)
{
    return limit > 0 ? (uint64_t)limit : QUOTA_UNLIMITED;
}

void deliver_domain_quota(const struct domain_quota *from, struct quota_domain *out)
{
    static const enum domain_limit each[QUOTA_RESOURCES] = {
        [QUOTA_STORAGE] = DOMAIN_ACCOUNT_BYTES,
        [QUOTA_MESSAGE] = DOMAIN_ACCOUNT_MESSAGES,
        [QUOTA_MAILBOX] = DOMAIN_ACCOUNT_MAILBOXES,
    };

    out->id = from->id;
    out->most = (struct quota_amount){limit_or_none(from->limits[DOMAIN_BYTES]),
                                      limit_or_none(from->limits[DOMAIN_MESSAGES])};
    for (size_t i = 0; i < QUOTA_RESOURCES; i++) {
        out->has_default[i] = from->limits[each[i]] != DOMAIN_LIMIT_UNSET;
        out->each[i] = limit_or_none(from->limits[each[i]]);
    }
    memcpy(out->name, from->name, sizeof out->name);
}

static bool domain_of(void *ctx, uint64_t account, struct quota_domain *out)
{
    const struct deliver *d = ctx;
    struct domain_quota found;

    if (!directory_account_quota(d->directory, account, &found))
        return false;
    deliver_domain_quota(&found, out);
    return true;
}

static bool members(void *ctx, const struct quota_domain *domain, bool (*each)(void *ctx, uint64_t account),
                    void *each_ctx, struct fail *why)
{
    const struct deliver *d = ctx;

    return directory_domain_accounts(d->directory, slice_of(domain->name), each, each_ctx, why);
}

void domain_begin(struct deliver *d)
{
    d->quotas = (struct quota_source){.domain_of = domain_of, .members = members, .ctx = d};
    quota_set_source(d->store, &d->quotas);
}

void domain_end(struct deliver *d)
{
    quota_set_source(d->store, NULL);
}
