/*
 * imap/target.c - names of mailboxes, one's own and those of others.
 *
 * Layer: imap.
 */
#include "imap/target.h"

#include <stdlib.h>

#include "base/fail.h"
#include "imap/lasting.h"
#include "store/acl.h"

enum { OTHERS_MAX = 64 }; /* handles of other accounts that a session keeps */

/* The last used stands first. */
struct imap_others {
    size_t count;
    struct account *list[OTHERS_MAX];
};

static bool not_found(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such mailbox");
}

/* ---- accounts of others ---- */

void imap_others_free(struct imap_others **o)
{
    for (size_t i = 0; *o != NULL && i < (*o)->count; i++)
        account_release(&(*o)->list[i]);
    free(*o);
    *o = NULL;
}

static void put_first(struct imap_others *o, size_t at)
{
    struct account *a = o->list[at];

    memmove(&o->list[1], &o->list[0], at * sizeof(struct account *));
    o->list[0] = a;
}

/* The one unused for longest goes, unless its mailbox is selected. */
static void make_room(struct imap_session *s, struct imap_others *o)
{
    size_t last = o->count - 1;

    if (s->state == IMAP_SELECTED && o->list[last] == s->box.account)
        last--;
    account_release(&o->list[last]);
    memmove(&o->list[last], &o->list[last + 1], (o->count - last - 1) * sizeof(struct account *));
    o->count--;
}

bool imap_other(struct imap_session *s, uint64_t id, struct account **out, struct fail *why)
{
    struct imap_lasting *l = imap_lasting(s);
    struct account *a = NULL;

    if (l->others == NULL)
        l->others = xcalloc(1, sizeof(*l->others));
    struct imap_others *o = l->others;
    for (size_t i = 0; i < o->count; i++) {
        if (account_id(o->list[i]) == id) {
            put_first(o, i);
            *out = o->list[0];
            return true;
        }
    }
    if (!store_account(s->service->store, id, &a, why))
        return false;
    if (o->count == OTHERS_MAX)
        make_room(s, o);
    o->list[o->count++] = a;
    put_first(o, o->count - 1);
    *out = a;
    return true;
}

/* ---- names ---- */

static bool is_shared(struct slice name)
{
    return slice_starts(name, IMAP_SHARED) && (name.len == IMAP_SHARED.len || name.ptr[IMAP_SHARED.len] == '/');
}

/*
 * "Shared/ADDRESS/NAME".  A local part may have a '/' (RFC 5321 section 4.1.2), a domain
 * none: the address ends at the first one after its '@'.
 */
static bool split(struct slice name, struct slice *address, struct slice *own)
{
    if (!is_shared(name) || name.len == IMAP_SHARED.len)
        return false;
    struct slice rest = slice_from(name, IMAP_SHARED.len + 1);
    size_t at = slice_find_char(rest, '@');
    size_t end = at + slice_find_char(slice_from(rest, at), '/');
    *address = slice_sub(rest, 0, end);
    *own = slice_from(rest, end + 1);
    return at < rest.len && own->len > 0;
}

struct slice imap_name_of(struct imap_session *s, struct account *a, struct slice own)
{
    struct directory_account who;

    if (a == s->account || !directory_account(s->service->login->directory, account_id(a), &s->arena, &who, NULL))
        return own;
    return arena_printf(&s->arena, PRIslice "/" PRIslice "/" PRIslice, SLICE_ARG(IMAP_SHARED),
                        SLICE_ARG(who.address), SLICE_ARG(own));
}

struct slice imap_my_address(struct imap_session *s)
{
    struct directory_account who;

    return directory_account(s->service->login->directory, account_id(s->account), &s->arena, &who, NULL)
               ? who.address
               : SLICE("");
}

unsigned imap_rights_in(struct imap_session *s, struct account *a, const struct mailbox_info *info, struct slice me)
{
    bool owner = a == s->account;
    unsigned rights;

    if (!info->has_acl)
        return owner ? RIGHTS_ALL : 0;
    if (me.len == 0 || !acl_rights_in(a, info->id, me, owner, &rights, NULL))
        return owner ? ACL_OWNERS : 0;
    return rights;
}

/* The account of somebody else; one's own is reached by its own names only. */
static bool find_owner(struct imap_session *s, struct slice address, struct account **out, struct fail *why)
{
    struct directory_account who;
    struct fail local = {0};

    if (!directory_login(s->service->login->directory, address, &s->arena, &who, &local) || who.disabled ||
        who.id == account_id(s->account)) {
        if (local.kind == FAIL_TEMP && local.text[0] != '\0' && local.reason != FAIL_NOT_FOUND)
            return fail_set(why, FAIL_TEMP, local.reason, "%s", local.text);
        return not_found(why);
    }
    if (imap_other(s, who.id, out, &local))
        return true;
    return local.reason == FAIL_NOT_FOUND ? not_found(why)
                                          : fail_set(why, local.kind, local.reason, "%s", local.text);
}

uint64_t imap_foreign(const struct imap_session *s)
{
    return s->box.account == s->account ? 0 : account_id(s->box.account);
}

bool imap_may_stay(struct imap_session *s)
{
    struct directory_account owner;
    struct mailbox_info info;
    struct fail why;

    if (!mailbox_get(s->box.account, s->box.mailbox, &s->arena, &info, &why))
        return true; /* that it is gone is told where changes are */
    s->box.rights = (uint16_t)imap_rights_in(s, s->box.account, &info, imap_my_address(s));
    if ((s->box.rights & RIGHT_READ) && directory_account(s->service->login->directory, account_id(s->box.account),
                                                          &s->arena, &owner, NULL) && !owner.disabled)
        return true;
    imap_bye(s, "The selected mailbox is no longer shared with you");
    return false;
}

/* Who may not look a mailbox up does not learn that it is there (RFC 4314 section 6). */
static bool check_rights(const struct imap_target *t, unsigned rights, struct fail *why)
{
    if ((t->rights & rights) == rights)
        return true;
    return (t->rights & RIGHT_LOOKUP) ? fail_set(why, FAIL_PERM, FAIL_NO_PERMISSION, "You lack a right that this needs")
                                      : not_found(why);
}

/* Is there a mailbox below it that this client may know of? */
static bool has_visible_child(struct imap_session *s, struct account *a, struct slice name)
{
    const struct mailbox_list *list = NULL;
    struct slice me = imap_my_address(s);
    bool any = false;

    if (!mailbox_list(a, &list, NULL))
        return false;
    for (size_t i = 0; i < list->count && !any; i++) {
        const struct mailbox_info *info = &list->items[i];
        any = info->has_acl && info->name.len > name.len && slice_starts(info->name, name) && info->name.ptr[name.len] == '/' &&
              (imap_rights_in(s, a, info, me) & RIGHT_LOOKUP);
    }
    mailbox_list_release(&list);
    return any;
}

static bool find_in(struct imap_session *s, struct account *a, struct slice own, unsigned rights,
                    struct imap_target *out, struct fail *why)
{
    *out = (struct imap_target){.account = a};
    if (!mailbox_find(a, own, &s->arena, &out->info, why))
        return false;
    bool asks = out->info.has_acl;
    out->rights = imap_rights_in(s, a, &out->info, asks ? imap_my_address(s) : SLICE(""));
    if (a != s->account) { /* whose use it is, and which one wants to see it, is not the sharer's to say */
        out->info.use = USE_NONE;
        out->info.subscribed = false;
        out->info.has_children = out->info.has_children && has_visible_child(s, a, out->info.name);
    }
    return check_rights(out, rights, why);
}

bool imap_find(struct imap_session *s, struct slice name, unsigned rights, struct imap_target *out,
               struct fail *why)
{
    struct slice address, own;
    struct account *a = NULL;

    if (!split(name, &address, &own)) {
        if (!find_in(s, s->account, name, rights, out, why))
            return false;
        out->name = out->info.name;
        return true;
    }
    if (!find_owner(s, address, &a, why) || !find_in(s, a, own, rights, out, why))
        return false;
    out->name = imap_name_of(s, a, out->info.name);
    return true;
}

/* The right to make mailboxes is looked for in the nearest level above that is there (RFC 4314 section 4). */
static bool may_make(struct imap_session *s, struct account *a, struct slice own, struct fail *why)
{
    struct imap_target above;
    struct fail local;

    for (size_t cut = slice_rfind_char(own, '/'); cut < own.len; cut = slice_rfind_char(own, '/')) {
        own = slice_sub(own, 0, cut);
        if (find_in(s, a, own, RIGHT_CREATE, &above, &local))
            return true;
        if (above.info.id != 0 || local.reason != FAIL_NOT_FOUND)
            return fail_set(why, FAIL_PERM, FAIL_NO_PERMISSION, "You may not make mailboxes here");
    }
    return a == s->account || fail_set(why, FAIL_PERM, FAIL_NO_PERMISSION, "You may not make mailboxes here");
}

bool imap_find_place(struct imap_session *s, struct slice name, struct imap_target *out, struct fail *why)
{
    struct slice address, own;

    *out = (struct imap_target){.account = s->account, .name = name};
    if (!is_shared(name)) {
        out->info.name = name;
        return may_make(s, s->account, name, why);
    }
    if (!split(name, &address, &own))
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "Names below " PRIslice " are those of other users",
                        SLICE_ARG(IMAP_SHARED));
    if (!find_owner(s, address, &out->account, why)) {
        if (why->kind == FAIL_PERM)
            (void)fail_set(why, FAIL_PERM, FAIL_NO_PERMISSION, "You may not make mailboxes here");
        return false;
    }
    out->info.name = own;
    return may_make(s, out->account, own, why);
}
