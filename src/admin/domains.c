/*
 * admin/domains.c - domains and aliases.
 *
 * Layer: admin.
 */
#include "admin/internal.h"
#include "deliver/deliver.h"
#include "store/quota.h"

bool admin_domain_add(struct admin_call *c, struct fail *why)
{
    struct slice domain;

    if (!admin_text(c, "domain", &domain, why) || !directory_domain_add(c->on->directory, domain, why))
        return false;
    admin_put(c, "domain", admin_json(domain));
    return true;
}

bool admin_domain_remove(struct admin_call *c, struct fail *why)
{
    struct slice domain;

    if (!admin_text(c, "domain", &domain, why) || !directory_domain_remove(c->on->directory, domain, why))
        return false;
    admin_put(c, "domain", admin_json(domain));
    return true;
}

static bool list_domain(void *ctx, struct slice domain)
{
    return json_array_append_new(ctx, admin_json(domain)) == 0;
}

bool admin_domain_list(struct admin_call *c, struct fail *why)
{
    json_t *list = json_array();

    admin_put(c, "domains", list);
    return directory_each_domain(c->on->directory, list_domain, list, why);
}

/* ---- quotas ---- */

/* What a request and its answer call the limits. */
static const char *const limit_names[DOMAIN_LIMITS] = {
    [DOMAIN_BYTES] = "storage",
    [DOMAIN_MESSAGES] = "messages",
    [DOMAIN_ACCOUNT_BYTES] = "account_storage",
    [DOMAIN_ACCOUNT_MESSAGES] = "account_messages",
    [DOMAIN_ACCOUNT_MAILBOXES] = "account_mailboxes",
};

/* "storage": 1000, "storage": 0 (no limit), "account_storage": null (what the config says for all). */
static bool wanted_limits(const struct admin_call *c, struct domain_quota_change changes[DOMAIN_LIMITS], size_t *count,
                          struct fail *why)
{
    *count = 0;
    for (size_t i = 0; i < DOMAIN_LIMITS; i++) {
        const json_t *limit = json_object_get(c->request, limit_names[i]);
        if (limit == NULL)
            continue;
        if (!json_is_null(limit) && (!json_is_integer(limit) || json_integer_value(limit) < 0))
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is a number (0: no limit) or null", limit_names[i]);
        changes[(*count)++] = (struct domain_quota_change){
            .which = (enum domain_limit)i,
            .limit = json_is_null(limit) ? DOMAIN_LIMIT_UNSET : json_integer_value(limit)};
    }
    return true;
}

static json_t *limit_json(int64_t limit)
{
    return limit == DOMAIN_LIMIT_UNSET ? json_null() : json_integer(limit);
}

/* {"storage": {"used": 7, "limit": 100}, "messages": {...}, "account_storage": {"limit": null}, ...}; 0: no limit */
static json_t *quota_json(const struct domain_quota *q, struct quota_amount used)
{
    const uint64_t sums[] = {[DOMAIN_BYTES] = used.bytes, [DOMAIN_MESSAGES] = used.messages};
    json_t *out = json_object();

    for (size_t i = 0; i < DOMAIN_LIMITS; i++) {
        json_t *one = json_pack("{s:o}", "limit", limit_json(q->limits[i]));
        if (i < ARRAY_LEN(sums))
            (void)json_object_set_new(one, "used", json_integer((json_int_t)sums[i]));
        if (json_object_set_new(out, limit_names[i], one) != 0)
            die_no_memory(0);
    }
    return out;
}

/* {"do": "domain.quota", "domain", and limits to be set} */
bool admin_domain_quota(struct admin_call *c, struct fail *why)
{
    struct domain_quota_change changes[DOMAIN_LIMITS];
    struct domain_quota q;
    struct quota_domain counted;
    struct quota_amount used;
    struct slice domain;
    size_t count;

    if (!admin_text(c, "domain", &domain, why) || !wanted_limits(c, changes, &count, why) ||
        (count > 0 && !directory_domain_quota_set(c->on->directory, domain, changes, count, why)) ||
        !directory_domain_quota(c->on->directory, domain, &q, why))
        return false;
    deliver_domain_quota(&q, &counted);
    if (!quota_domain_used(c->on->store, &counted, &used, why))
        return false;
    admin_put(c, "domain", json_string(q.name));
    admin_put(c, "quota", quota_json(&q, used));
    return true;
}

bool admin_alias_add(struct admin_call *c, struct fail *why)
{
    const json_t *members = json_object_get(c->request, "members"), *member;
    struct slice  address;
    size_t        i;

    if (!admin_text(c, "address", &address, why))
        return false;
    if (json_array_size(members) == 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "an alias needs a member");
    json_array_foreach (members, i, member) {
        struct slice text = slice_make(json_string_value(member), json_string_length(member));
        if (!directory_alias_add(c->on->directory, address, text, why))
            return false;
    }
    admin_put(c, "address", admin_json(address));
    return true;
}

bool admin_alias_remove(struct admin_call *c, struct fail *why)
{
    struct slice address;

    if (!admin_text(c, "address", &address, why) ||
        !directory_alias_remove(c->on->directory, address, admin_text_or_empty(c, "member"), why))
        return false;
    admin_put(c, "address", admin_json(address));
    return true;
}

/* Members of one alias come one after the other: they are put into one entry. */
static bool list_alias(void *ctx, struct slice address, struct slice member)
{
    json_t *list = ctx, *last = json_array_get(list, json_array_size(list) - 1);
    json_t *name = admin_json(address);

    if (last == NULL || !json_equal(json_object_get(last, "address"), name)) {
        last = json_pack("{s:O, s:[]}", "address", name, "members");
        if (last == NULL || json_array_append_new(list, last) != 0)
            die_no_memory(0);
    }
    json_decref(name);
    return json_array_append_new(json_object_get(last, "members"), admin_json(member)) == 0;
}

bool admin_alias_list(struct admin_call *c, struct fail *why)
{
    json_t *list = json_array();

    admin_put(c, "aliases", list);
    return directory_each_alias(c->on->directory, list_alias, list, why);
}
