/*
 * admin/accounts.c - accounts: the name in the directory and the mail in the store.
 *
 * Layer: admin.  An account's password is set in the auth role, by its id.
 */
#include <stdlib.h>

#include "admin/internal.h"
#include "net/net.h"
#include "store/acl.h"
#include "store/quota.h"
#include "store/store.h"

static void put_account(struct admin_call *c, const struct directory_account *a)
{
    admin_put(c, "id", json_integer((json_int_t)a->id));
    admin_put(c, "address", admin_json(a->address));
    admin_put(c, "disabled", json_boolean(a->disabled));
}

/* An account with a name and no mail: what was cut short is made whole by asking for it again. */
static bool finish_account(struct admin_call *c)
{
    struct directory_account account;
    struct fail              local;

    if (!admin_account(c, &account, &local) || !store_account_create(c->on->store, account.id, &local))
        return false;
    put_account(c, &account);
    return true;
}

/* The store first would leave a file without a name behind; so the name first, taken back if the file fails. */
bool admin_account_add(struct admin_call *c, struct fail *why)
{
    struct slice             address;
    struct directory_account account;
    uint64_t                 id;

    if (!admin_text(c, "address", &address, why))
        return false;
    if (!directory_account_add(c->on->directory, address, &id, why))
        return why->reason == FAIL_EXISTS && finish_account(c);
    if (!store_account_create(c->on->store, id, why)) {
        (void)directory_account_remove(c->on->directory, id, NULL);
        return false;
    }
    if (!directory_account(c->on->directory, id, &c->arena, &account, why))
        return false;
    put_account(c, &account);
    return true;
}

bool admin_account_find(struct admin_call *c, struct fail *why)
{
    struct directory_account account;

    if (!admin_account(c, &account, why))
        return false;
    put_account(c, &account);
    return true;
}

static void end_sessions(struct admin_call *c, uint64_t account)
{
    unsigned ended = c->on->net != NULL ? net_kick_account(c->on->net, account) : 0;

    admin_put(c, "sessions_ended", json_integer(ended));
}

static bool set_disabled(struct admin_call *c, bool disabled, struct fail *why)
{
    struct directory_account account;

    if (!admin_account(c, &account, why) ||
        !directory_account_disable(c->on->directory, account.id, disabled, why))
        return false;
    account.disabled = disabled;
    put_account(c, &account);
    if (disabled)
        end_sessions(c, account.id);
    return true;
}

bool admin_account_disable(struct admin_call *c, struct fail *why)
{
    return set_disabled(c, true, why);
}

bool admin_account_enable(struct admin_call *c, struct fail *why)
{
    return set_disabled(c, false, why);
}

/* The name goes first: from then on nothing new arrives and nobody signs in. */
bool admin_account_remove(struct admin_call *c, struct fail *why)
{
    struct directory_account account;

    if (!admin_account(c, &account, why) || !directory_account_remove(c->on->directory, account.id, why))
        return false;
    put_account(c, &account);
    end_sessions(c, account.id);
    if (!store_forget_grantee(c->on->store, account.address, why))
        return fail_at(why, "the name is removed, its mail and the rights that others gave it are not");
    return store_account_remove(c->on->store, account.id, why) ||
           fail_at(why, "the name is removed, its mail is not");
}

/* ---- what it sends ---- */

/* "on": true */
bool admin_account_sent_copy(struct admin_call *c, struct fail *why)
{
    struct directory_account account;
    const json_t            *on = json_object_get(c->request, "on");

    if (!json_is_boolean(on))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"on\" is true or false");
    if (!admin_account(c, &account, why) ||
        !directory_account_sent_copy(c->on->directory, account.id, json_is_true(on), why))
        return false;
    put_account(c, &account);
    admin_put(c, "sent_copy", json_boolean(json_is_true(on)));
    return true;
}

static bool change_sender(struct admin_call *c,
                          bool (*change)(struct directory *, uint64_t, struct slice, struct fail *), struct fail *why)
{
    struct directory_account account;
    struct slice             sender;

    if (!admin_text(c, "sender", &sender, why) || !admin_account(c, &account, why) ||
        !change(c->on->directory, account.id, sender, why))
        return false;
    put_account(c, &account);
    admin_put(c, "sender", admin_json(sender));
    return true;
}

bool admin_account_sender_add(struct admin_call *c, struct fail *why)
{
    return change_sender(c, directory_sender_add, why);
}

bool admin_account_sender_remove(struct admin_call *c, struct fail *why)
{
    return change_sender(c, directory_sender_remove, why);
}

bool admin_account_sender_list(struct admin_call *c, struct fail *why)
{
    struct directory_account account;
    struct slice            *senders;
    size_t                   count;
    json_t                  *list = json_array();

    admin_put(c, "senders", list);
    if (!admin_account(c, &account, why) ||
        !directory_senders(c->on->directory, account.id, &c->arena, &senders, &count, why))
        return false;
    put_account(c, &account);
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, admin_json(senders[i])) != 0)
            die_no_memory(0);
    return true;
}

/* ---- quotas ---- */

static const char *const resources[QUOTA_RESOURCES] = {
    [QUOTA_STORAGE] = "storage", [QUOTA_MESSAGE] = "messages", [QUOTA_MAILBOX] = "mailboxes"};

/* {"storage": {"used": 7, "limit": 100, "own": true}, ...}; without a limit: "limit": null */
static bool quota_json(struct account *a, json_t **out, struct fail *why)
{
    struct quota q;

    if (!quota_read(a, &q, why))
        return false;
    *out = json_object();
    for (size_t i = 0; i < QUOTA_RESOURCES; i++) {
        json_t *limit = q.most[i] == QUOTA_UNLIMITED ? json_null() : json_integer((json_int_t)q.most[i]);
        if (json_object_set_new(*out, resources[i],
                                json_pack("{s:I, s:o, s:b}", "used", (json_int_t)q.used[i], "limit", limit, "own",
                                          (int)q.own[i])) != 0)
            die_no_memory(0);
    }
    return true;
}

/* "storage": 1000, "storage": 0 (no limit), "storage": null (what the config says for all). */
static bool wanted_limits(const struct admin_call *c, struct quota_change changes[QUOTA_RESOURCES], size_t *count,
                          struct fail *why)
{
    *count = 0;
    for (size_t i = 0; i < QUOTA_RESOURCES; i++) {
        const json_t *limit = json_object_get(c->request, resources[i]);
        json_int_t n = json_integer_value(limit);
        if (limit == NULL)
            continue;
        if (!json_is_null(limit) && (!json_is_integer(limit) || n < 0))
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is a number (0: no limit) or null", resources[i]);
        changes[(*count)++] = (struct quota_change){.resource = (enum quota_resource)i,
                                                    .by_default = json_is_null(limit),
                                                    .most = n > 0 ? (uint64_t)n : QUOTA_UNLIMITED};
    }
    return true;
}

bool admin_account_quota(struct admin_call *c, struct fail *why)
{
    struct quota_change      changes[QUOTA_RESOURCES];
    struct directory_account account;
    struct account          *open = NULL;
    json_t                  *quota;
    size_t                   count;

    if (!wanted_limits(c, changes, &count, why) || !admin_account(c, &account, why) ||
        !store_account(c->on->store, account.id, &open, why))
        return false;
    bool ok = quota_set(open, changes, count, why) && quota_json(open, &quota, why);
    account_release(&open);
    if (!ok)
        return false;
    put_account(c, &account);
    admin_put(c, "quota", quota);
    return true;
}

/* ---- all of them ---- */

struct collection {
    struct admin_call        *call;
    struct directory_account *items;
    size_t                    count, cap;
};

static bool collect(void *ctx, const struct directory_account *a)
{
    struct collection *all = ctx;

    if (all->count == all->cap) {
        all->cap = all->cap > 0 ? all->cap * 2 : 64;
        all->items = xrealloc(all->items, all->cap * sizeof *all->items);
    }
    all->items[all->count] = *a;
    all->items[all->count++].address = arena_keep(&all->call->arena, a->address);
    return true;
}

bool admin_each_account(struct admin_call *c, void (*each)(struct admin_call *c, const struct directory_account *a),
                        struct fail *why)
{
    struct collection all = {.call = c};
    bool              ok = directory_each_account(c->on->directory, collect, &all, why);

    if (ok && c->arena.failed)
        ok = fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many accounts for one answer");
    for (size_t i = 0; ok && i < all.count; i++)
        each(c, &all.items[i]);
    free(all.items);
    return ok;
}

static void list_account(struct admin_call *c, const struct directory_account *a)
{
    struct account      *open = NULL;
    struct account_usage usage;
    json_t              *quota;
    struct fail          why;
    json_t              *row = json_pack("{s:I, s:o, s:b, s:I}", "id", (json_int_t)a->id, "address",
                                         admin_json(a->address), "disabled", (int)a->disabled, "created",
                                         (json_int_t)a->created);

    if (row == NULL || json_array_append_new(json_object_get(c->result, "accounts"), row) != 0)
        die_no_memory(0);
    if (store_account(c->on->store, a->id, &open, &why) && account_usage(open, &usage, &why) &&
        quota_json(open, &quota, &why)) {
        (void)json_object_set_new(row, "messages", json_integer((json_int_t)usage.messages));
        (void)json_object_set_new(row, "bytes", json_integer((json_int_t)usage.bytes));
        (void)json_object_set_new(row, "quota", quota);
    } else {
        (void)json_object_set_new(row, "error", admin_json(slice_of(why.text)));
    }
    account_release(&open);
}

bool admin_account_list(struct admin_call *c, struct fail *why)
{
    admin_put(c, "accounts", json_array());
    return admin_each_account(c, list_account, why);
}
