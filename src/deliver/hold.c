/*
 * deliver/hold.c - may they have it, and is there room?  What a transaction has reserved.
 *
 * Layer: deliver.
 */
#include <stdlib.h>

#include "base/log.h"
#include "deliver/internal.h"

enum { SCAN_MAX = 8 }; /* accounts up to which looking through all is quickest */

/* Room in one account. */
struct held {
    uint64_t account;
    struct quota_amount amount;
};

void deliver_hold_init(struct deliver_hold *h)
{
    *h = (struct deliver_hold){.list = NULL};
    idmap_init(&h->places);
}

static struct held *find_held(const struct deliver_hold *h, uint64_t account)
{
    if (h->count > SCAN_MAX) {
        uintptr_t place = (uintptr_t)idmap_get(&h->places, account);
        return place > 0 ? &h->list[place - 1] : NULL;
    }
    for (size_t i = 0; i < h->count; i++)
        if (h->list[i].account == account)
            return &h->list[i];
    return NULL;
}

static void note_place(struct deliver_hold *h, size_t i)
{
    (void)idmap_put(&h->places, h->list[i].account, (void *)(uintptr_t)(i + 1));
}

static void add_held(struct deliver_hold *h, uint64_t account, struct quota_amount amount)
{
    if (h->count == h->cap) {
        h->cap = h->cap > 0 ? h->cap * 2 : 2;
        h->list = xrealloc(h->list, h->cap * sizeof *h->list);
    }
    h->list[h->count++] = (struct held){.account = account, .amount = amount};
    if (h->count > SCAN_MAX + 1)
        note_place(h, h->count - 1);
    else if (h->count == SCAN_MAX + 1)
        for (size_t i = 0; i < h->count; i++)
            note_place(h, i);
}

static void drop_from(struct deliver *d, struct deliver_hold *h, size_t first)
{
    while (h->count > first) {
        const struct held *last = &h->list[--h->count];
        quota_release(d->store, last->account, last->amount);
        (void)idmap_remove(&h->places, last->account);
    }
}

void deliver_hold_finish(struct deliver *d, struct deliver_hold *h)
{
    drop_from(d, h, 0);
    idmap_finish(&h->places);
    free(h->list);
    deliver_hold_init(h);
}

struct quota_amount hold_take(struct deliver_hold *h, uint64_t account)
{
    struct held *held = h != NULL ? find_held(h, account) : NULL;
    struct quota_amount amount = {0, 0};

    if (held != NULL) {
        amount = held->amount;
        held->amount = (struct quota_amount){0, 0};
    }
    return amount;
}

/* ---- deciding ---- */

static bool no_mail_now(struct fail *why)
{
    return fail_code(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "4.2.0", "that mailbox takes no mail just now");
}

/* Is the account in service?  Then it is the caller's. */
static bool open_account(struct deliver *d, uint64_t id, struct account **out, struct fail *why)
{
    struct fail local = {0};

    (void)pthread_mutex_lock(&d->lock);
    const struct account_queue *q = idmap_get(&d->queues, id);
    const bool full = q != NULL && q->failed.count >= d->limits.retries_per_account;
    (void)pthread_mutex_unlock(&d->lock);
    if (full)
        return no_mail_now(why);
    if (store_account(d->store, id, out, &local))
        return true;
    log_event(LOG_WARNING, "deliver.account", LOG_U64("account", id), LOG_FAIL(&local));
    return no_mail_now(why);
}

/* How full it is, is no business of the sender's. */
static bool no_room(uint64_t id, const struct fail *said, struct fail *why)
{
    if (said->reason == FAIL_OVER_DOMAIN_QUOTA)
        return fail_code(why, said->kind, said->reason, said->code,
                         said->kind == FAIL_PERM ? "that message is larger than all mailboxes of that domain may be"
                                                 : "all mailboxes of that domain together are full");
    if (said->reason == FAIL_OVER_QUOTA)
        return fail_code(why, said->kind, FAIL_OVER_QUOTA, said->code,
                         said->kind == FAIL_PERM ? "that message is larger than the mailbox may be"
                                                 : "that mailbox is full");
    log_event(LOG_WARNING, "deliver.account", LOG_U64("account", id), LOG_FAIL(said));
    return no_mail_now(why);
}

/* A message whose size nobody has said needs one byte at least. */
static bool reserve(struct deliver_hold *h, struct account *a, uint64_t size, struct fail *why)
{
    const struct quota_amount amount = {size > 0 ? size : 1, 1};
    struct fail said = {0};

    if (find_held(h, account_id(a)) != NULL)
        return true; /* another recipient leads there too: they share the one copy */
    if (!quota_reserve(a, amount, &said))
        return no_room(account_id(a), &said, why);
    add_held(h, account_id(a), amount);
    return true;
}

static bool grow(struct deliver_hold *h, struct account *a, uint64_t size, struct fail *why)
{
    struct held *held = find_held(h, account_id(a));
    struct fail said = {0};

    return held == NULL || quota_grow(a, &held->amount, size, &said) || no_room(account_id(a), &said, why);
}

/* While the queue role takes nothing, what is accepted for elsewhere has an end. */
static bool may_leave(struct deliver *d, struct fail *why)
{
    (void)pthread_mutex_lock(&d->lock);
    const bool full = outbound_is_full(d);
    (void)pthread_mutex_unlock(&d->lock);
    return !full || fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.3.2", "no mail for other servers can be taken just now");
}

typedef bool ask(struct deliver_hold *h, struct account *a, uint64_t size, struct fail *why);

static bool ask_each(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r,
                     uint64_t size, ask *what, struct fail *why)
{
    for (size_t i = 0; i < r->route.count; i++) {
        struct account *a = NULL;

        if (!r->route.targets[i].local && what == reserve && !may_leave(d, why))
            return false;
        if (!r->route.targets[i].local)
            continue;
        if (!open_account(d, r->route.targets[i].account, &a, why))
            return false;
        bool ok = what(h, a, size, why);
        account_release(&a);
        if (!ok)
            return false;
    }
    return true;
}

bool deliver_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r, uint64_t size,
                 struct fail *why)
{
    const size_t before = h->count;

    if (ask_each(d, h, r, size, reserve, why))
        return true;
    drop_from(d, h, before);
    return false;
}

uint64_t mailbox_for_use(struct account *a, enum special_use use, struct fail *why)
{
    const struct mailbox_list *list;
    uint64_t id = 0;

    if (!mailbox_list(a, &list, why))
        return 0;
    for (size_t i = 0; i < list->count && id == 0; i++)
        if (list->items[i].use == use && !list->items[i].no_select)
            id = list->items[i].id;
    mailbox_list_release(&list);
    if (id == 0)
        (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such mailbox");
    return id;
}

bool deliver_want_copy(struct deliver *d, struct deliver_hold *h, uint64_t account, uint64_t size,
                       struct delivery_copy *out)
{
    struct account *a = NULL;
    struct fail why;
    bool ok = open_account(d, account, &a, &why);

    if (ok) {
        const uint64_t mailbox = mailbox_for_use(a, USE_SENT, &why);
        ok = mailbox != 0 && reserve(h, a, size, &why);
        if (ok)
            *out = (struct delivery_copy){.account = account, .mailbox = mailbox};
        account_release(&a);
    }
    if (!ok)
        log_event(LOG_WARNING, "deliver.no_copy", LOG_U64("account", account), LOG_FAIL(&why));
    return ok;
}

bool deliver_still_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r,
                       uint64_t size, struct fail *why)
{
    return ask_each(d, h, r, size, grow, why);
}
