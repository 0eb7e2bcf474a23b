/*
 * imap/list_gather.c - which names LIST may tell of.
 *
 * Layer: imap.  One's own mailboxes first, in the order and places of the account's
 * list; then subscriptions without one; then, an account at a time, what others
 * share (RFC 4314: with the right l), with the levels above it.
 */
#include "base/fail.h"
#include "imap/list.h"
#include "imap/target.h"
#include "store/acl.h"

bool list_matches(const struct list_command *c, struct slice name)
{
    bool inbox = slice_eq(name, SLICE("INBOX"));

    for (size_t i = 0; i < c->pattern_count; i++)
        if (c->texts[i].len > 0 && list_pattern_matches(&c->patterns[i], name, inbox))
            return true;
    return false;
}

bool list_selects(const struct list_command *c, const struct list_candidate *m)
{
    if ((c->options & BY_SUBSCRIBED) ? !m->subscribed : m->info == NULL && !m->level)
        return false;
    return !(c->options & BY_SPECIAL_USE) || (m->info != NULL && m->info->use != USE_NONE);
}

static struct list_candidate *add_candidate(struct arena *a, struct list_command *c)
{
    if (c->candidate_count == c->candidate_cap) {
        size_t cap = c->candidate_cap * 2 + 16;
        struct list_candidate *grown = arena_new_array(a, struct list_candidate, cap);
        if (grown == NULL)
            return NULL;
        if (c->candidates != NULL)
            memcpy(grown, c->candidates, c->candidate_count * sizeof(*grown));
        c->candidates = grown;
        c->candidate_cap = cap;
    }
    return &c->candidates[c->candidate_count++];
}

/* One that is not in the list of one's own mailboxes, found again by its name. */
static struct list_candidate *add_made(struct arena *a, struct list_command *c, struct slice name)
{
    struct list_candidate *m = add_candidate(a, c);

    if (m == NULL)
        return NULL;
    *m = (struct list_candidate){.name = name};
    map_put(&c->made, name, (void *)(uintptr_t)c->candidate_count);
    return m;
}

static struct list_candidate *find_made(const struct list_command *c, struct slice name)
{
    uintptr_t known = (uintptr_t)map_get(&c->made, name);

    return known != 0 ? &c->candidates[known - 1] : NULL;
}

/* RFC 5258 section 3.5; RFC 3501 section 6.3.9. */
bool list_mark_above(struct arena *a, struct list_command *c, struct slice name)
{
    for (size_t cut = 0; cut < name.len; cut++) {
        struct slice above = slice_sub(name, 0, cut);
        if (name.ptr[cut] != '/' || !list_matches(c, above))
            continue;
        const struct mailbox_info *info = mailbox_in_list(c->list, above);
        struct list_candidate *m = info != NULL ? &c->candidates[info - c->list->items] : find_made(c, above);
        if (m == NULL)
            m = add_made(a, c, above);
        if (m == NULL)
            return false;
        m->below = true;
    }
    return true;
}

/* ---- others' ---- */

/* Can a pattern match what begins with "Shared"?  Looks at what stands before its first wildcard. */
static bool asks_for_shared(const struct list_command *c)
{
    struct slice top = IMAP_SHARED;

    for (size_t i = 0; i < c->pattern_count; i++) {
        struct slice text = c->patterns[i].text;
        size_t n = 0;
        while (n < text.len && n < top.len && text.ptr[n] == top.ptr[n])
            n++;
        if (n == top.len || (n < text.len && (text.ptr[n] == '*' || text.ptr[n] == '%')))
            return true;
    }
    return false;
}

/* Names that are subscribed to without being one's own; false: none of them is another's. */
static bool note_subscriptions(struct list_command *c)
{
    bool any = false;

    for (size_t i = 0; i < c->list->subscribed_only_count; i++) {
        struct slice name = c->list->subscribed_only[i];
        any = any || slice_starts(name, SLICE("Shared/"));
        map_put(&c->subscribed, name, c);
    }
    return any;
}

static bool find_owners(struct imap_session *s, struct list_command *c, struct fail *why)
{
    bool subscribed = note_subscriptions(c);

    if ((c->options & BY_SPECIAL_USE) || ((c->options & BY_SUBSCRIBED) && !subscribed) || !asks_for_shared(c))
        return true;
    c->me = imap_my_address(s);
    struct slice identifiers[] = {c->me, ACL_ANYONE, ACL_AUTHENTICATED};
    return store_sharing(s->service->store, identifiers, ARRAY_LEN(identifiers), &s->arena, &c->owners,
                         &c->owner_count, why);
}

/* The levels above, which have children now; those that are no visible mailboxes are made. */
static bool add_levels(struct arena *a, struct list_command *c, struct slice name)
{
    for (size_t cut = 0; cut < name.len; cut++) {
        if (name.ptr[cut] != '/')
            continue;
        struct list_candidate *m = find_made(c, slice_sub(name, 0, cut));
        if (m == NULL) {
            m = add_made(a, c, slice_sub(name, 0, cut));
            if (m == NULL)
                return false;
            m->level = true;
        }
        m->has_children = true;
    }
    return true;
}

static bool add_shared(struct imap_session *s, struct list_command *c, struct account *a, struct slice address,
                       const struct mailbox_info *item)
{
    struct mailbox_info *info = arena_new(&s->arena, struct mailbox_info);
    struct slice name = arena_printf(&s->arena, PRIslice "/" PRIslice "/" PRIslice, SLICE_ARG(IMAP_SHARED),
                                     SLICE_ARG(address), SLICE_ARG(item->name));

    if (info == NULL || name.len == 0 || !add_levels(&s->arena, c, name))
        return false;
    *info = *item;
    info->name = slice_from(name, name.len - item->name.len);
    info->use = USE_NONE;
    struct list_candidate *m = find_made(c, name);
    if (m == NULL)
        m = add_made(&s->arena, c, name);
    if (m == NULL)
        return false;
    m->info = info;
    m->owner = account_id(a);
    m->subscribed = map_get(&c->subscribed, name) != NULL;
    return true;
}

/* The next account's; one that cannot be read now is passed over.  false: the arena's limit. */
bool list_gather_shared(struct imap_session *s, struct list_command *c)
{
    uint64_t id = c->owners[c->owner_at++];
    const struct mailbox_list *list = NULL;
    struct directory_account owner;
    struct account *a = NULL;
    bool ok = true;

    if (id == account_id(s->account) ||
        !directory_account(s->service->login->directory, id, &s->arena, &owner, NULL) || owner.disabled ||
        !store_account(s->service->store, id, &a, NULL))
        return true;
    if (mailbox_list(a, &list, NULL)) {
        for (size_t i = 0; ok && i < list->count; i++)
            if (imap_rights_in(s, a, &list->items[i], c->me) & RIGHT_LOOKUP)
                ok = add_shared(s, c, a, owner.address, &list->items[i]);
        mailbox_list_release(&list);
    }
    account_release(&a);
    return ok;
}

bool list_gather(struct imap_session *s, struct list_command *c, struct fail *why)
{
    const struct mailbox_list *list = c->list;
    struct list_candidate *m = NULL;

    for (size_t i = 0; i < list->count; i++) {
        if ((m = add_candidate(&s->arena, c)) == NULL)
            break;
        *m = (struct list_candidate){.name = list->items[i].name,
                                     .info = &list->items[i],
                                     .has_children = list->items[i].has_children,
                                     .subscribed = list->items[i].subscribed};
    }
    for (size_t i = 0; i < list->subscribed_only_count && (c->options & BY_SUBSCRIBED); i++) {
        if ((m = add_made(&s->arena, c, list->subscribed_only[i])) == NULL)
            break;
        m->subscribed = true;
    }
    if (s->arena.failed)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "Too many mailboxes");
    return find_owners(s, c, why);
}
