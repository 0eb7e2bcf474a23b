/*
 * main/takeover_make.c - domains, accounts, aliases and grants of a takeover are made.
 *
 * Layer: main.
 */
#include "auth/control.h"
#include "main/config.h"
#include "main/reach.h"
#include "main/takeover_box.h"

static json_t *text_json(struct slice s)
{
    return json_stringn(s.ptr, s.len);
}

static bool request(struct reach *r, json_t *what, json_t **result, struct fail *why)
{
    json_t *answer = NULL;
    bool ok = what != NULL ? reach_ask(r, what, &answer, why)
                           : fail_set(why, FAIL_PERM, FAIL_INVALID, "a name that is no UTF-8");

    if (ok && result != NULL)
        *result = answer;
    else
        json_decref(answer);
    return ok;
}

static bool used_one(void *ctx, const struct auth_credential *k)
{
    if (k->last_used > 0)
        (void)idmap_put(ctx, k->account, ctx);
    return true;
}

/* An account that was used here keeps the password it has. */
static void set_hash(struct box *b, struct reach *r, const struct person *p, const struct idmap *used)
{
    struct fail why;

    if (p->user.hash.len == 0)
        return;
    if (idmap_get(used, p->id) != NULL)
        b->kept++;
    else if (auth_control_set_hash(r->auth, p->id, p->address, p->user.hash, &why))
        b->made++;
    else
        takeover_note(b, p->address, arena_cstr(&b->arena, arena_printf(&b->arena, "comes without its password: %s", why.text)));
}

static void make_account(struct box *b, struct reach *r, struct person *p, const struct idmap *used)
{
    json_t *account = NULL;
    struct fail why;

    if (!request(r, json_pack("{s:s, s:o}", "do", "account.find", "address", text_json(p->address)), &account, &why) &&
        !request(r, json_pack("{s:s, s:o}", "do", "account.add", "address", text_json(p->address)), &account, &why)) {
        takeover_note(b, p->address, why.text);
        return;
    }
    p->id = (uint64_t)json_integer_value(json_object_get(account, "id"));
    json_decref(account);
    set_hash(b, r, p, used);
    if (p->user.quota > 0 && !request(r, json_pack("{s:s, s:o, s:I}", "do", "account.quota", "address", text_json(p->address), "storage",
                                                   (json_int_t)p->user.quota), NULL, &why))
        takeover_note(b, p->address, why.text);
}

static bool json_is(const json_t *value, struct slice text)
{
    return slice_eq_nocase(slice_make(json_string_value(value), json_string_length(value)), text);
}

static bool alias_is_there(const json_t *aliases, struct slice address, struct slice member)
{
    const json_t *row, *one;
    size_t i, k;

    json_array_foreach (aliases, i, row)
        if (json_is(json_object_get(row, "address"), address))
            json_array_foreach (json_object_get(row, "members"), k, one)
                if (json_is(one, member))
                    return true;
    return false;
}

static void make_alias(struct box *b, struct reach *r, const struct alias *a, const json_t *there)
{
    struct slice rest = a->members;
    struct fail why;

    for (struct slice w = postfix_word(&rest); w.len > 0; w = postfix_word(&rest))
        if (!alias_is_there(there, a->address, w) &&
            !request(r, json_pack("{s:s, s:o, s:[o]}", "do", "alias.add", "address", text_json(a->address), "members", text_json(w)), NULL, &why))
            takeover_note(b, a->address, why.text);
}

static bool grant_is_there(struct reach *r, const struct grant *g)
{
    json_t *result = NULL;
    const json_t *one;
    struct fail why;
    bool there = false;
    size_t i;

    if (request(r, json_pack("{s:s, s:o}", "do", "account.sender_list", "address", text_json(g->address)), &result, &why))
        json_array_foreach (json_object_get(result, "senders"), i, one)
            there = there || json_is(one, g->sender);
    json_decref(result);
    return there;
}

static void make_grant(struct box *b, struct reach *r, const struct grant *g)
{
    struct fail why;

    if (!grant_is_there(r, g) &&
        !request(r, json_pack("{s:s, s:o, s:o}", "do", "account.sender_add", "address", text_json(g->address), "sender", text_json(g->sender)),
                 NULL, &why))
        takeover_note(b, arena_printf(&b->arena, "smtpd_sender_login_maps: " PRIslice, SLICE_ARG(g->sender)), why.text);
}

static bool make_domains(const struct box *b, struct reach *r, struct fail *why)
{
    json_t *result = NULL;
    const json_t *one;
    size_t k;
    bool ok = request(r, json_pack("{s:s}", "do", "domain.list"), &result, why);

    for (size_t i = 0; i < b->domains.count && ok; i++) {
        bool there = false;
        json_array_foreach (json_object_get(result, "domains"), k, one)
            there = there || json_is(one, b->domains.items[i]);
        ok = there || request(r, json_pack("{s:s, s:o}", "do", "domain.add", "domain", text_json(b->domains.items[i])), NULL, why);
    }
    json_decref(result);
    return ok;
}

bool takeover_make(struct box *b, struct fail *why)
{
    struct config *config = NULL;
    struct reach r;
    struct idmap used;
    json_t *aliases = NULL;

    if (!cli_config(b->cli, &config))
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "no config");
    idmap_init(&used);
    reach_init(&r, config);
    bool ok = reach_auth(&r, why) && auth_control_list(r.auth, used_one, &used, why);
    ok = ok && make_domains(b, &r, why);
    for (size_t i = 0; i < b->people_count && ok; i++)
        make_account(b, &r, &b->people[i], &used);
    ok = ok && request(&r, json_pack("{s:s}", "do", "alias.list"), &aliases, why);
    for (size_t i = 0; i < b->alias_count && ok; i++)
        make_alias(b, &r, &b->aliases[i], json_object_get(aliases, "aliases"));
    for (size_t i = 0; i < b->grant_count && ok; i++)
        make_grant(b, &r, &b->grants[i]);
    json_decref(aliases);
    idmap_finish(&used);
    reach_finish(&r);
    config_destroy(&config);
    return ok;
}
