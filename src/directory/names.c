/*
 * directory/names.c - see directory/names.h.
 *
 * Layer: directory.
 */
#include "directory/names.h"

#include <stdlib.h>

#include "base/fail.h"

enum { CAP_FIRST = 64 };

void names_init(struct names *t)
{
    *t = (struct names){.cap = CAP_FIRST, .slots = xcalloc(CAP_FIRST, sizeof(struct name *))};
    idmap_init(&t->accounts);
}

static void name_free(struct name *n)
{
    if (!n->is_account) {
        for (unsigned i = 0; i < n->alias.count; i++)
            free(n->alias.items[i]);
        free(n->alias.items);
    }
    free(n);
}

void names_finish(struct names *t)
{
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i] != NULL)
            name_free(t->slots[i]);
    free(t->slots);
    idmap_finish(&t->accounts);
    *t = (struct names){0};
}

/* Where `address` is, or the empty slot where it would go.  Linear probing; never full. */
static size_t slot_of(const struct names *t, struct slice address)
{
    size_t at = (size_t)hash_bytes(address) & (t->cap - 1);

    while (t->slots[at] != NULL && !slice_eq(name_text(t->slots[at]), address))
        at = (at + 1) & (t->cap - 1);
    return at;
}

struct name *names_get(const struct names *t, struct slice address)
{
    return t->slots[slot_of(t, address)];
}

struct name *names_account(const struct names *t, uint64_t id)
{
    return idmap_get(&t->accounts, id);
}

static void grow(struct names *t)
{
    struct name **old = t->slots;
    size_t old_cap = t->cap;

    t->cap *= 2;
    t->slots = xcalloc(t->cap, sizeof(struct name *));
    for (size_t i = 0; i < old_cap; i++)
        if (old[i] != NULL)
            t->slots[slot_of(t, name_text(old[i]))] = old[i];
    free(old);
}

static struct name *add(struct names *t, struct slice address)
{
    struct name *n = xcalloc(1, sizeof *n + address.len);

    n->len = (uint16_t)address.len;
    memcpy(n->text, address.ptr, address.len);
    if (t->count + 1 > t->cap / 4 * 3)
        grow(t);
    t->slots[slot_of(t, address)] = n;
    t->count++;
    return n;
}

/* After the first account was disabled or removed. */
static void find_first(struct names *t)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    t->first = NULL;
    while (idmap_next(&t->accounts, &at, &id, &value)) {
        struct name *n = value;
        if (!n->disabled && (t->first == NULL || id < t->first->account.id))
            t->first = n;
    }
}

struct name *names_add_account(struct names *t, struct slice address, uint64_t id, int64_t created,
                               bool disabled)
{
    struct name *n = add(t, address);

    n->is_account = true;
    n->account.id = id;
    n->account.created = created;
    (void)idmap_put(&t->accounts, id, n);
    names_disable(t, n, disabled);
    return n;
}

void names_disable(struct names *t, struct name *account, bool disabled)
{
    account->disabled = disabled;
    if (disabled && t->first == account)
        find_first(t);
    else if (!disabled && (t->first == NULL || account->account.id < t->first->account.id))
        t->first = account;
}

void names_add_member(struct names *t, struct slice address, struct slice member)
{
    struct name *n = names_get(t, address);
    struct members *m = n != NULL ? &n->alias : &add(t, address)->alias;
    unsigned at = m->count;

    m->items = xrealloc(m->items, (m->count + 1) * sizeof *m->items);
    for (; at > 0 && slice_cmp(member, slice_of(m->items[at - 1])) < 0; at--)
        m->items[at] = m->items[at - 1];
    m->items[at] = xslicedup(member);
    m->count++;
}

void names_remove_member(struct names *t, struct name *alias, unsigned at)
{
    struct members *m = &alias->alias;

    free(m->items[at]);
    m->count--;
    memmove(m->items + at, m->items + at + 1, (m->count - at) * sizeof *m->items);
    if (m->count == 0)
        names_remove(t, alias);
}

void names_remove(struct names *t, struct name *n)
{
    size_t mask = t->cap - 1, hole = slot_of(t, name_text(n));

    /* Names of the run behind the hole move up unless their home lies behind it. */
    for (size_t at = (hole + 1) & mask; t->slots[at] != NULL; at = (at + 1) & mask) {
        size_t home = (size_t)hash_bytes(name_text(t->slots[at])) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            t->slots[hole] = t->slots[at];
            hole = at;
        }
    }
    t->slots[hole] = NULL;
    t->count--;
    if (n->is_account) {
        (void)idmap_remove(&t->accounts, n->account.id);
        if (t->first == n)
            find_first(t);
    }
    name_free(n);
}
