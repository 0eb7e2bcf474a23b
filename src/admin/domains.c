/*
 * admin/domains.c - domains and aliases.
 *
 * Layer: admin.
 */
#include "admin/internal.h"

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
