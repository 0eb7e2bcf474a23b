/*
 * directory/quota.c - what the accounts of a domain may hold, together and each.
 *
 * Layer: directory.  Only kept here; the store counts and refuses (store/quota.h).
 */
#include "base/scoped.h"
#include "directory/internal.h"

static void fill(struct domain_quota *out, const struct domain *domain, struct slice name)
{
    out->id = domain->id;
    memcpy(out->limits, domain->limits, sizeof out->limits);
    memcpy(out->name, name.ptr, name.len);
    out->name[name.len] = '\0';
}

bool directory_domain_quota(struct directory *d, struct slice domain, struct domain_quota *out, struct fail *why)
{
    struct domain_key key;
    const struct domain *found = NULL;

    if (domain_key_parse(domain, &key)) {
        (void)pthread_rwlock_rdlock(&d->memory);
        found = map_get(&d->domains, domain_text(&key));
        if (found != NULL)
            fill(out, found, domain_text(&key));
        (void)pthread_rwlock_unlock(&d->memory);
    }
    return found != NULL || fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, PRIslice " is not a domain of this server",
                                     SLICE_ARG(domain));
}

bool directory_account_quota(struct directory *d, uint64_t account, struct domain_quota *out)
{
    bool found = false;

    (void)pthread_rwlock_rdlock(&d->memory);
    const struct name *n = names_account(&d->names, account);
    if (n != NULL) {
        struct slice address = name_text(n), name = slice_from(address, slice_rfind_char(address, '@') + 1);
        const struct domain *domain = map_get(&d->domains, name);
        found = domain != NULL;
        if (found)
            fill(out, domain, name);
    }
    (void)pthread_rwlock_unlock(&d->memory);
    return found;
}

static bool set(struct directory *d, struct slice name, const struct domain_quota_change *changes, size_t count,
                struct fail *why)
{
    struct domain *domain = map_get(&d->domains, name);
    int64_t limits[DOMAIN_LIMITS];

    if (domain == NULL)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, PRIslice " is not a domain of this server", SLICE_ARG(name));
    memcpy(limits, domain->limits, sizeof limits);
    for (size_t i = 0; i < count; i++)
        limits[changes[i].which] = changes[i].limit;
    if (!db_begin(d->db, why) ||
        !db_run(d->db, SQL_DOMAIN_QUOTA, why, "tiiiii", name, limits[0], limits[1], limits[2], limits[3], limits[4]) ||
        !db_commit(d->db, why))
        return false;
    (void)pthread_rwlock_wrlock(&d->memory);
    memcpy(domain->limits, limits, sizeof limits);
    (void)pthread_rwlock_unlock(&d->memory);
    return true;
}

bool directory_domain_quota_set(struct directory *d, struct slice domain, const struct domain_quota_change *changes,
                                size_t count, struct fail *why)
{
    struct domain_key key;

    for (size_t i = 0; i < count; i++)
        if (changes[i].limit < DOMAIN_LIMIT_UNSET)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a limit is a number, 0 (none), or not set");
    if (!domain_key_parse(domain, &key))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"" PRIslice "\" is not a domain name", SLICE_ARG(domain));
    directory_change_begin(d);
    bool ok = set(d, domain_text(&key), changes, count, why);
    directory_change_end(d);
    return ok;
}

struct members_of {
    struct slice domain;
    bool (*each)(void *ctx, uint64_t account);
    void *ctx;
};

static bool is_member(void *ctx, const struct directory_account *a)
{
    const struct members_of *m = ctx;
    struct slice domain = slice_from(a->address, slice_rfind_char(a->address, '@') + 1);

    return !slice_eq(domain, m->domain) || m->each(m->ctx, a->id);
}

bool directory_domain_accounts(struct directory *d, struct slice domain, bool (*each)(void *ctx, uint64_t account),
                               void *ctx, struct fail *why)
{
    struct domain_key key;

    if (!domain_key_parse(domain, &key))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"" PRIslice "\" is not a domain name", SLICE_ARG(domain));
    struct members_of m = {.domain = domain_text(&key), .each = each, .ctx = ctx};
    return directory_each_account(d, is_member, &m, why);
}
