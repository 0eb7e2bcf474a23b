/*
 * imap/url_fetch.c - what an IMAP URL names.
 *
 * Layer: imap.
 */
#include "imap/url_fetch.h"

#include "base/fail.h"
#include "message/envelope.h"

struct opening {
    struct imap_session *s;
    const struct fetch_item *item;
    struct section *out;
    struct slice *structure; /* NULL: not asked for */
    struct fail *why;
    enum section_found found;
    bool seen;
};

/* The whole message is shown as what a message/rfc822 part of it would be. */
static void write_whole(struct buf *out, const struct message_info *info, const struct mime_part *root,
                        unsigned form)
{
    struct mime_part inner = *root;
    const struct mime_part outer = {
        .type = SLICE("message"),
        .subtype = SLICE("rfc822"),
        .encoding = SLICE("8bit"),
        .is_message = true,
        .first_child = &inner,
        .end_offset = info->size,
        .body_lines = root->header_lines + root->body_lines,
    };

    inner.envelope = info->envelope;
    bodystructure_write(out, &outer, form);
}

/* A part as it is given: without its encoding if that was undone, and cut if it was. */
static void write_part(struct buf *out, const struct fetch_item *item, const struct mime_part *part,
                       uint64_t length, unsigned form)
{
    static const struct mime_part header = {
        .type = {"text", 4}, .subtype = {"rfc822-headers", 14}, .encoding = {"8bit", 4}};
    bool of_header = item->part != PART_ALL && item->part != PART_TEXT;
    struct mime_part shown = of_header ? header : *part;

    if (item->kind == ITEM_BINARY && !part->is_multipart && !part->is_message)
        shown.encoding = SLICE("binary");
    shown.end_offset = shown.body_offset + length;
    if (of_header)
        shown.body_lines = part->header_lines;
    bodystructure_write(out, &shown, form);
}

static struct slice describe(const struct opening *o, const struct fetch_message *m)
{
    const struct fetch_item *item = o->item;
    unsigned form = imap_speaks_utf8(o->s) ? BODY_UTF8 : 0;
    const struct mime_part *part;
    struct section_range r;
    struct buf text;

    if (m->root == NULL || !section_find(item, m, &r, &part))
        return SLICE("");
    buf_init(&text, 1024 * 1024);
    if (item->depth == 0 && item->part == PART_ALL)
        write_whole(&text, m->info, m->root, form);
    else
        write_part(&text, item, part, o->out->length, form);
    struct slice kept = text.failed ? SLICE("") : arena_keep(&o->s->arena, buf_slice(&text));
    buf_finish(&text);
    return kept;
}

static bool open_it(void *ctx, const struct message_info *info)
{
    struct opening *o = ctx;
    struct fetch_message m = {.info = info, .root = mime_unpack(&o->s->arena, info->structure)};

    o->seen = true;
    o->found = section_open(o->s->service->store, &o->s->arena, o->item, &m, o->out, o->why);
    if (o->structure != NULL)
        *o->structure = describe(o, &m);
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
                      const struct imap_url *url, enum fetch_kind kind, struct section *out,
                      struct slice *structure, struct fail *why)
{
    struct fetch_item item = url->section;
    struct opening o = {.s = s, .item = &item, .out = out, .structure = structure, .why = why};
    struct uid_range range = {url->uid, url->uid};

    item.kind = kind;
    if (url->uidvalidity != 0 && url->uidvalidity != box->uidvalidity)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "The mailbox has another UIDVALIDITY by now");
    if (!is_there(a, box->id, url->uid, why) ||
        !message_fetch(a, box->id, &range, 1, FETCH_STRUCTURE | FETCH_ENVELOPE, open_it, &o, why))
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
               imap_url_open_in(s, s->box.account, &info, url, kind, out, NULL, why);
    }
    if (!imap_find(s, url->mailbox, RIGHT_READ, &target, why))
        return false;
    if (target.info.no_select)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "The mailbox cannot hold messages");
    return imap_url_open_in(s, target.account, &target.info, url, kind, out, NULL, why);
}
