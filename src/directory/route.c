/*
 * directory/route.c - where does an address go?
 *
 * Layer: directory.  Memory only: no look-up waits for a disk.
 */
#include <stdlib.h>

#include "directory/internal.h"

/* A login or RCPT without a domain means the first one.  false: not an address, or no domain is ours. */
static bool key_of(const struct directory *d, struct slice address, struct address_key *out)
{
    if (slice_find_char(address, '@') < address.len)
        return address_key_parse(address, out);
    return address.len > 0 && d->first_domain.len > 0 &&
           address_key_join(address, domain_text(&d->first_domain), out);
}

/* An account as its callers see it, in the arena. */
static bool account_copy(const struct name *n, struct arena *a, struct directory_account *out,
                         struct fail *why)
{
    *out = (struct directory_account){.id = n->account.id,
                                      .address = arena_keep(a, name_text(n)),
                                      .disabled = n->disabled,
                                      .sent_copy = n->sent_copy,
                                      .created = n->account.created};
    return !a->failed ||
           fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no memory left for %u bytes of address", n->len);
}

/* ---- one walk from an address to its destinations ---- */

struct walk {
    const struct directory *d;
    struct arena *arena;
    struct map seen; /* addresses that were met, so that each counts once */
    struct route_target *targets;
    size_t count, cap;
    struct slice owner;             /* of the list whose members are being walked */
    bool circle, endless, disabled; /* what was met on the way */
};

static bool seen_before(struct walk *w, struct slice address)
{
    return map_put(&w->seen, address, w) != NULL;
}

static void add_target(struct walk *w, struct route_target t)
{
    if (w->count == w->d->limits.route_targets) {
        w->endless = true;
        return;
    }
    if (w->count == w->cap) {
        size_t cap = w->cap > 0 ? w->cap * 2 : 1;
        struct route_target *bigger = arena_new_array(w->arena, struct route_target, cap);
        if (bigger == NULL)
            return; /* arena->failed says it */
        if (w->count > 0)
            memcpy(bigger, w->targets, w->count * sizeof *bigger);
        w->targets = bigger;
        w->cap = cap;
    }
    t.address = arena_keep(w->arena, t.address);
    t.detail = arena_keep(w->arena, t.detail);
    t.owner = w->owner; /* in the arena already */
    w->targets[w->count++] = t;
}

/* The database goes before the file. */
static const struct name *get_name(const struct directory *d, struct slice address)
{
    const struct name *n = names_get(&d->names, address);

    return n != NULL ? n : aliases_file_get(d, address);
}

/* The name an address of ours means, NULL if none; *detail: what stood behind the separator, in the key. */
static const struct name *find_name(const struct directory *d, const struct address_key *key,
                                    struct slice *detail)
{
    struct slice local = key_local(key);
    size_t plus = slice_find_char(local, d->limits.separator);
    const struct name *n = get_name(d, key_text(key));
    struct address_key base;

    *detail = SLICE("");
    if (n == NULL && d->limits.separator != '\0' && plus > 0 && plus < local.len &&
        address_key_join(slice_sub(local, 0, plus), key_domain(key), &base)) {
        n = get_name(d, key_text(&base));
        if (n != NULL)
            *detail = slice_from(local, plus + 1);
    }
    return n != NULL ? n : get_name(d, slice_from(key_text(key), local.len)); /* "@domain" */
}

static void walk_address(struct walk *w, const struct address_key *key, unsigned depth);

/* Who answers for the alias as a list, in the arena; empty if it is none. */
static struct slice list_owner(struct walk *w, struct slice alias)
{
    struct slice owner = arena_printf(w->arena, "owner-" PRIslice, SLICE_ARG(alias));

    if (alias.ptr[0] == '@' || slice_starts(alias, SLICE("owner-")) || get_name(w->d, owner) == NULL)
        owner.len = 0;
    return owner;
}

static void walk_members(struct walk *w, const struct name *n, unsigned depth)
{
    const struct slice outer = w->owner, owner = list_owner(w, name_text(n));
    struct address_key key;

    if (owner.len > 0)
        w->owner = owner;
    for (unsigned i = 0; i < n->alias.count && !w->endless; i++)
        if (address_key_parse(slice_of(n->alias.items[i]), &key))
            walk_address(w, &key, depth + 1);
    w->owner = outer;
}

static void walk_name(struct walk *w, const struct name *n, struct slice detail, unsigned depth)
{
    if (n->is_account && n->disabled) {
        w->disabled = true;
    } else if (n->is_account) {
        if (!seen_before(w, name_text(n)))
            add_target(
                w, (struct route_target){
                       .local = true, .account = n->account.id, .address = name_text(n), .detail = detail});
    } else if (depth >= w->d->limits.alias_depth) {
        w->endless = true;
    } else if (seen_before(w, name_text(n))) {
        w->circle = true;
    } else {
        walk_members(w, n, depth);
    }
}

static void walk_local(struct walk *w, const struct address_key *key, unsigned depth)
{
    struct slice detail;
    const struct name *n = find_name(w->d, key, &detail), *first = w->d->names.first;

    if (n != NULL)
        walk_name(w, n, detail, depth);
    /* Postmaster's mail always finds a reader (RFC 5321 section 4.5.1), also where the admin's alias leads
     * nowhere. */
    if (first != NULL && slice_eq(key_local(key), SLICE("postmaster")) &&
        (depth == 0 ? w->count == 0 : n == NULL))
        walk_name(w, first, SLICE(""), depth);
}

static void walk_address(struct walk *w, const struct address_key *key, unsigned depth)
{
    if (map_get(&w->d->domains, key_domain(key)) != NULL) {
        walk_local(w, key, depth);
        return;
    }
    struct slice remote =
        arena_printf(w->arena, PRIslice "@" PRIslice, SLICE_ARG(key->given), SLICE_ARG(key_domain(key)));
    if (!seen_before(w, remote))
        add_target(w, (struct route_target){.address = remote});
}

static enum route_kind walk_result(const struct walk *w, const struct address_key *key)
{
    if (w->endless)
        return ROUTE_LOOP;
    if (w->count > 0)
        return map_get(&w->d->domains, key_domain(key)) != NULL ? ROUTE_LOCAL : ROUTE_REMOTE;
    return w->circle ? ROUTE_LOOP : w->disabled ? ROUTE_DISABLED : ROUTE_UNKNOWN;
}

/*
 * An address elsewhere that none of ours can look like (a long local part, one that needs its quotes): what it
 * means is for them to know.
 */
static bool route_elsewhere(const struct directory *d, struct slice address, struct arena *a, struct route *out)
{
    const size_t at = slice_rfind_char(address, '@');
    struct domain_key domain;

    if (at == 0 || at == address.len || !domain_key_parse(slice_from(address, at + 1), &domain) ||
        map_get(&d->domains, domain_text(&domain)) != NULL)
        return false;
    out->targets = arena_new(a, struct route_target);
    if (out->targets == NULL)
        return true; /* arena->failed says it */
    out->kind = ROUTE_REMOTE;
    out->count = 1;
    out->targets->address = arena_printf(a, PRIslice "@" PRIslice, SLICE_ARG(slice_sub(address, 0, at)),
                                         SLICE_ARG(domain_text(&domain)));
    return true;
}

static void route_locked(const struct directory *d, struct slice address, struct arena *a, struct route *out)
{
    struct address_key key;
    bool whole = slice_find_char(address, '@') < address.len;

    *out = (struct route){.kind = ROUTE_INVALID};
    if (!whole && !slice_eq_nocase(address, SLICE("postmaster")))
        return;
    if (!key_of(d, address, &key)) {
        (void)route_elsewhere(d, address, a, out);
        return;
    }

    struct walk w = {.d = d, .arena = a};
    map_init(&w.seen);
    walk_address(&w, &key, 0);
    out->kind = walk_result(&w, &key);
    if (out->kind == ROUTE_LOCAL || out->kind == ROUTE_REMOTE) {
        out->targets = w.targets;
        out->count = w.count;
    }
    map_finish(&w.seen);
}

/* ---- asking ---- */

static void memory_read(struct directory *d)
{
    (void)pthread_rwlock_rdlock(&d->memory);
}

static void memory_done(struct directory *d)
{
    (void)pthread_rwlock_unlock(&d->memory);
}

bool directory_route(struct directory *d, struct slice address, struct arena *a, struct route *out,
                     struct fail *why)
{
    aliases_file_look(d);
    memory_read(d);
    route_locked(d, address, a, out);
    memory_done(d);
    if (a->failed)
        return fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.5.3", PRIslice " leads to too many addresses",
                         SLICE_ARG(address));
    return true;
}

bool directory_login(struct directory *d, struct slice login, struct arena *a, struct directory_account *out,
                     struct fail *why)
{
    struct address_key key;

    memory_read(d);
    const struct name *n = key_of(d, login, &key) ? names_get(&d->names, key_text(&key)) : NULL;
    bool ok = n != NULL && n->is_account ? account_copy(n, a, out, why)
                                         : fail_set(why, FAIL_PERM, FAIL_NOT_FOUND,
                                                    "there is no account \"" PRIslice "\"", SLICE_ARG(login));
    memory_done(d);
    return ok;
}

bool directory_account(struct directory *d, uint64_t id, struct arena *a, struct directory_account *out,
                       struct fail *why)
{
    memory_read(d);
    const struct name *n = names_account(&d->names, id);
    bool ok = n != NULL ? account_copy(n, a, out, why)
                        : fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no account has the id %llu",
                                   (unsigned long long)id);
    memory_done(d);
    return ok;
}

bool directory_may_send_as(struct directory *d, uint64_t account, struct slice address, bool *may,
                           struct fail *why)
{
    struct arena a;
    struct route r;

    arena_init(&a, 16 * 1024 * 1024);
    bool ok = directory_route(d, address, &a, &r, why);
    if (ok) {
        *may = false;
        for (size_t i = 0; i < r.count; i++)
            *may = *may || (r.targets[i].local && r.targets[i].account == account);
        memory_read(d);
        *may = *may || sender_is_granted(d, account, address);
        memory_done(d);
    }
    arena_finish(&a);
    return ok;
}

bool directory_is_local_domain(struct directory *d, struct slice domain)
{
    struct domain_key key;

    if (!domain_key_parse(domain, &key))
        return false;
    memory_read(d);
    bool ours = map_get(&d->domains, domain_text(&key)) != NULL;
    memory_done(d);
    return ours;
}

struct slice directory_first_domain(struct directory *d, struct arena *a)
{
    memory_read(d);
    struct slice first = arena_keep(a, domain_text(&d->first_domain));
    memory_done(d);
    return first;
}

bool directory_has_name(struct directory *d, struct slice address)
{
    struct address_key key;

    if (!address_key_parse(address, &key))
        return false;
    (void)pthread_rwlock_rdlock(&d->memory);
    const bool has = names_get(&d->names, key_text(&key)) != NULL || aliases_file_get(d, key_text(&key)) != NULL;
    (void)pthread_rwlock_unlock(&d->memory);
    return has;
}
