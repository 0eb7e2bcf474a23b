/*
 * imap/url_fetch.c - what an IMAP URL names.
 *
 * Layer: imap.
 */
#include "imap/url_fetch.h"

#include "base/fail.h"

struct opening {
    struct imap_session *s;
    const struct fetch_item *item;
    struct section *out;
    struct fail *why;
    enum section_found found;
    bool seen;
};

static bool open_it(void *ctx, const struct message_info *info)
{
    struct opening *o = ctx;
    struct fetch_message m = {.info = info, .root = mime_unpack(&o->s->arena, info->structure)};

    o->seen = true;
    o->found = section_open(o->s->service->store, &o->s->arena, o->item, &m, o->out, o->why);
    store_body_release(&m.body);
    return false;
}

static bool is_there(struct account *a, uint64_t mailbox, uint32_t uid, struct fail *why)
{
    struct view *v = NULL;
    bool found;

    if (!view_open(a, mailbox, &v, why))
        return false;
    (void)view_find(v, uid, &found);
    view_release(&v);
    return found || fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "There is no such message");
}

bool imap_url_open_in(struct imap_session *s, struct account *a, const struct mailbox_info *box,
                      const struct imap_url *url, enum fetch_kind kind, struct section *out, struct fail *why)
{
    struct fetch_item item = url->section;
    struct opening o = {.s = s, .item = &item, .out = out, .why = why};
    struct uid_range range = {url->uid, url->uid};

    item.kind = kind;
    if (url->uidvalidity != 0 && url->uidvalidity != box->uidvalidity)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "The mailbox has another UIDVALIDITY by now");
    if (!is_there(a, box->id, url->uid, why) ||
        !message_fetch(a, box->id, &range, 1, FETCH_STRUCTURE, open_it, &o, why))
        return false;
    if (!o.seen)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "There is no such message");
    switch (o.found) {
    case SECTION_FOUND: return true;
    case SECTION_NONE: return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "The message has no such part");
    case SECTION_UNKNOWN_CTE:
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "The part's Content-Transfer-Encoding is not known");
    case SECTION_FAILED: return false;
    }
    return false;
}

bool imap_url_open(struct imap_session *s, const struct imap_url *url, enum fetch_kind kind,
                   struct section *out, struct fail *why)
{
    struct imap_target target;
    struct mailbox_info info;

    if (url->mailbox.len == 0) {
        if (s->state != IMAP_SELECTED)
            return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "The URL names no mailbox, and none is selected");
        return mailbox_get(s->box.account, s->box.mailbox, &s->arena, &info, why) &&
               imap_url_open_in(s, s->box.account, &info, url, kind, out, why);
    }
    if (!imap_find(s, url->mailbox, RIGHT_READ, &target, why))
        return false;
    if (target.info.no_select)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "The mailbox cannot hold messages");
    return imap_url_open_in(s, target.account, &target.info, url, kind, out, why);
}
