/*
 * admin/past.c - time travel and counts: what was expunged, mailboxes as they were, recount.
 *
 * Layer: admin.
 */
#include "store/past.h"

#include "admin/internal.h"
#include "base/scoped.h"
#include "deliver/deliver.h"
#include "message/envelope.h"
#include "message/header.h"
#include "store/store.h"

enum {
    SETTLE_SECONDS = 5, /* for rows that are on their way */
    NAMES_TRIED = 100,  /* "Restored ... (2)" and so on */
    TEXT_MAX = 1000,    /* of a subject, shown */
};

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* The account of the request, open; with its names in the answer. */
static bool open_account(struct admin_call *c, struct account **out, struct fail *why)
{
    struct directory_account account;

    if (!admin_account(c, &account, why) || !store_account(c->on->store, account.id, out, why))
        return false;
    admin_put(c, "id", number(account.id));
    admin_put(c, "address", admin_json(account.address));
    return true;
}

/* ---- what a message is known by, to people ---- */

static json_t *decoded(struct slice raw)
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    header_decode_text(&text, raw);
    json_t *value = admin_json(buf_slice(&text));
    buf_finish(&text);
    return value;
}

static json_t *sender_of(struct arena *a, struct slice envelope)
{
    struct address from;

    if (!envelope_text_address(a, envelope_text(envelope, ENVELOPE_FROM), &from))
        return json_string("");
    return admin_json(arena_printf(a, PRIslice "@" PRIslice, SLICE_ARG(from.mailbox), SLICE_ARG(from.host)));
}

static json_t *message_json(struct account *a, const struct past_message *m, struct fail *why)
{
    struct slice envelope, subject;
    struct arena arena;
    json_t *line = NULL;

    arena_init(&arena, 1 << 20);
    if (past_envelope(a, m->message_id, &arena, &envelope, why)) {
        if (!envelope_string(&arena, envelope, ENVELOPE_SUBJECT, &subject))
            subject = SLICE("");
        line = json_pack("{s:I, s:o, s:I, s:I, s:o, s:o}", "message", (json_int_t)m->message_id, "mailbox",
                         admin_json(m->box->name), "expunged", (json_int_t)m->expunged_at, "size",
                         (json_int_t)m->size, "from", sender_of(&arena, envelope), "subject", decoded(subject));
        if (line == NULL)
            die_no_memory(0);
    }
    arena_finish(&arena);
    return line;
}

/* Each as a line, since they may be many. */
static bool tell_list(struct admin_call *c, struct account *a, const struct past *p, struct fail *why)
{
    for (size_t i = 0; i < p->count; i++) {
        json_t *line = message_json(a, &p->list[i], why);
        if (line == NULL)
            return false;
        if (c->progress != NULL)
            c->progress->tell(c->progress->ctx, line);
        json_decref(line);
    }
    return true;
}

static void put_past(struct admin_call *c, const struct past *p)
{
    admin_put(c, "messages", number(p->count));
    admin_put(c, "bytes", number(p->bytes));
    admin_put(c, "kept_since", p->kept_since > 0 ? json_integer((json_int_t)p->kept_since) : json_null());
}

static void put_result(struct admin_call *c, const struct past_result *r)
{
    admin_put(c, "messages", number(r->messages));
    admin_put(c, "bytes", number(r->bytes));
    admin_put(c, "mailboxes", number(r->mailboxes));
}

/* ---- undelete ---- */

/* "messages": [12, 15] */
static bool read_messages(struct admin_call *c, struct past_filter *f, struct fail *why)
{
    const json_t *list = json_object_get(c->request, "messages"), *one;
    size_t i;

    if (list == NULL)
        return true;
    uint64_t *ids = arena_new_array(&c->arena, uint64_t, json_array_size(list) + 1);
    json_array_foreach (list, i, one) {
        if (!json_is_integer(one) || json_integer_value(one) < 1)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a message's id is a number");
        ids[i] = (uint64_t)json_integer_value(one);
    }
    f->messages = ids;
    f->message_count = json_array_size(list);
    return true;
}

static bool undelete(struct admin_call *c, struct account *a, const struct past *p, struct fail *why)
{
    struct past_result result;

    put_past(c, p);
    if (json_is_true(json_object_get(c->request, "list")))
        return tell_list(c, a, p, why);
    if (!past_bring_back(a, p, &result, why))
        return result.messages > 0 ? fail_at(why, "%llu messages are back, then", (unsigned long long)result.messages) : false;
    put_result(c, &result);
    return true;
}

/* {"do": "account.undelete", "address", "mailbox", "since": seconds, "messages": [ids], "moved": true, "list": true} */
bool admin_account_undelete(struct admin_call *c, struct fail *why)
{
    struct past_filter f = {
        .mailbox = admin_text_or_empty(c, "mailbox"),
        .since = json_integer_value(json_object_get(c->request, "since")),
        .moved = json_is_true(json_object_get(c->request, "moved")),
    };
    struct account *a = NULL;
    struct past *p = NULL;
    bool ok = read_messages(c, &f, why) && open_account(c, &a, why) && past_expunged(a, &f, &p, why) &&
              undelete(c, a, p, why);

    past_destroy(&p);
    account_release(&a);
    return ok;
}

/* ---- restore ---- */

/* Under the name that was asked for, or with a number behind it where that is taken. */
static bool restore(struct admin_call *c, struct account *a, const struct past *p, struct slice into, struct fail *why)
{
    struct past_result result = {0};
    struct slice name = into;
    bool ok = false;

    for (int i = 2; i <= NAMES_TRIED; i++) {
        ok = past_restore(a, p, name, &result, why);
        if (ok || why->reason != FAIL_EXISTS || result.messages > 0)
            break;
        name = arena_printf(&c->arena, PRIslice " (%d)", SLICE_ARG(into), i);
    }
    if (!ok && result.messages > 0)
        return fail_at(why, "%llu messages are in \"" PRIslice "\", then", (unsigned long long)result.messages,
                       SLICE_ARG(name));
    if (ok) {
        put_result(c, &result);
        admin_put(c, "into", admin_json(name));
    }
    return ok;
}

/* {"do": "account.restore", "address", "at": seconds, "into": "Restored ...", "mailbox", "list": true} */
bool admin_account_restore(struct admin_call *c, struct fail *why)
{
    const json_t *at = json_object_get(c->request, "at");
    struct account *a = NULL;
    struct past *p = NULL;
    struct slice into;

    if (!json_is_integer(at))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"at\" is a time in seconds since 1970");
    bool ok = admin_text(c, "into", &into, why) && open_account(c, &a, why) &&
              past_at(a, json_integer_value(at), admin_text_or_empty(c, "mailbox"), &p, why);
    if (ok) {
        put_past(c, p);
        ok = json_is_true(json_object_get(c->request, "list")) ? tell_list(c, a, p, why)
                                                               : restore(c, a, p, into, why);
    }
    past_destroy(&p);
    account_release(&a);
    return ok;
}

/* ---- purge ---- */

/* {"do": "account.purge", "address", "all": true} */
bool admin_account_purge(struct admin_call *c, struct fail *why)
{
    struct purge_result result = {0};
    struct account *a = NULL;

    if (!open_account(c, &a, why))
        return false;
    if (c->on->deliver != NULL) { /* what came in a moment ago can go only when all of it has its rows */
        (void)deliver_settle_within(c->on->deliver, SETTLE_SECONDS);
        deliver_save_mark(c->on->deliver);
    }
    bool ok = past_purge(a, json_is_true(json_object_get(c->request, "all")), &result, why);
    if (ok) {
        admin_put(c, "messages", number(result.messages));
        admin_put(c, "bytes", number(result.bytes));
        admin_put(c, "waiting", number(result.waiting));
    }
    account_release(&a);
    return ok;
}

/* ---- recount ---- */

struct recounted {
    struct admin_call *call;
    struct slice address;
};

static void tell_difference(void *ctx, const struct recount_difference *d)
{
    const struct recounted *r = ctx;
    json_t *line = json_pack("{s:o, s:o, s:s, s:I, s:I}", "address", admin_json(r->address), "mailbox",
                             admin_json(d->mailbox), "what", d->what, "was", (json_int_t)d->was, "is",
                             (json_int_t)d->is);

    if (line != NULL && r->call->progress != NULL)
        r->call->progress->tell(r->call->progress->ctx, line);
    json_decref(line);
}

static void count_up(struct admin_call *c, const char *name, unsigned by)
{
    admin_put(c, name, json_integer(json_integer_value(json_object_get(c->result, name)) + by));
}

static void recount_account(struct admin_call *c, const struct directory_account *account)
{
    struct recounted r = {.call = c, .address = account->address};
    struct account *a = NULL;
    unsigned differences = 0;
    struct fail why;

    if (store_account(c->on->store, account->id, &a, &why) &&
        store_recount(a, tell_difference, &r, &differences, &why)) {
        count_up(c, "accounts", 1);
        count_up(c, "differences", differences);
    } else {
        json_t *line = json_pack("{s:o, s:o}", "address", admin_json(account->address), "error",
                                 admin_json(slice_of(why.text)));
        if (line != NULL && c->progress != NULL)
            c->progress->tell(c->progress->ctx, line);
        json_decref(line);
        count_up(c, "failed", 1);
    }
    account_release(&a);
}

/* Of the domain that the request names, or all. */
static void recount_if_wanted(struct admin_call *c, const struct directory_account *account)
{
    struct slice wanted = admin_text_or_empty(c, "domain");
    struct domain_quota mine, other;

    if (wanted.len == 0 || (directory_domain_quota(c->on->directory, wanted, &mine, NULL) &&
                            directory_account_quota(c->on->directory, account->id, &other) && mine.id == other.id))
        recount_account(c, account);
}

/* {"do": "account.recount", "address"}; or with "domain" all of that; without either all there are. */
bool admin_account_recount(struct admin_call *c, struct fail *why)
{
    struct directory_account account;
    struct domain_quota domain;

    admin_put(c, "accounts", json_integer(0));
    admin_put(c, "differences", json_integer(0));
    admin_put(c, "failed", json_integer(0));
    if (admin_text_or_empty(c, "address").len == 0)
        return (admin_text_or_empty(c, "domain").len == 0 ||
                directory_domain_quota(c->on->directory, admin_text_or_empty(c, "domain"), &domain, why)) &&
               admin_each_account(c, recount_if_wanted, why);
    if (!admin_account(c, &account, why))
        return false;
    recount_account(c, &account);
    return true;
}
