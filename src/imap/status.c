/*
 * imap/status.c - STATUS.
 *
 * Layer: imap.  RFC 3501 section 6.3.10, RFC 9051 section 6.3.11, RFC 7162
 * section 3.1.7, RFC 8438, RFC 7889, RFC 8474 section 4.3,
 * RFC 9208 section 4.1.4.  Answered from kept counts: no mailbox is opened, but for RECENT
 * where there is any.
 */
#include "imap/status.h"
#include "imap/target.h"

#include "base/fail.h"

static const struct {
    const char *name;
    enum status_item item;
} status_items[] = {
    {"MESSAGES", STATUS_MESSAGES}, {"RECENT", STATUS_RECENT},
    {"UIDNEXT", STATUS_UIDNEXT},   {"UIDVALIDITY", STATUS_UIDVALIDITY},
    {"UNSEEN", STATUS_UNSEEN},     {"HIGHESTMODSEQ", STATUS_HIGHESTMODSEQ},
    {"SIZE", STATUS_SIZE},         {"APPENDLIMIT", STATUS_APPENDLIMIT},
    {"DELETED", STATUS_DELETED},   {"MAILBOXID", STATUS_MAILBOXID},
    {"DELETED-STORAGE", STATUS_DELETED_STORAGE},
};

/* "(" status-att *(SP status-att) ")"; IMAP4rev2 knows no RECENT (RFC 9051 appendix E) */
unsigned imap_read_status_items(struct imap_reader *r)
{
    unsigned items = 0;

    imap_expect(r, '(');
    do {
        unsigned known = 0;
        for (size_t i = 0; i < ARRAY_LEN(status_items) && known == 0; i++)
            if (!(r->rev2 && status_items[i].item == STATUS_RECENT) &&
                imap_accept_word(r, status_items[i].name))
                known = status_items[i].item;
        if (known == 0)
            imap_fail(r, "a status item");
        items |= known;
    } while (imap_accept(r, ' '));
    imap_expect(r, ')');
    return items;
}

/* How many the next session to select it will see as \Recent; that is the owner's matter. */
static bool count_recent(const struct imap_session *s, struct account *a, const struct mailbox_info *info, uint32_t *out,
                         struct fail *why)
{
    struct view *v = NULL;
    bool found;

    *out = 0;
    if (info->first_recent >= info->uidnext || info->messages == 0 || a != s->account)
        return true;
    if (!view_open(a, info->id, &v, why))
        return false;
    *out = view_count(v) - view_find(v, info->first_recent, &found);
    view_release(&v);
    return true;
}

/* In another's mailbox one has seen what one has seen oneself. */
static bool count_unseen(const struct imap_session *s, struct account *a, const struct mailbox_info *info,
                         uint32_t *out, struct fail *why)
{
    struct view *v = NULL;
    struct view_cursor at;
    struct view_entry e;

    *out = info->unseen;
    if (a == s->account || info->messages == 0)
        return true;
    if (!view_open_for(a, info->id, account_id(s->account), &v, why))
        return false;
    *out = 0;
    view_cursor_init(&at, v, 0);
    while (view_next(&at, &e))
        *out += (e.flags & STORE_SEEN) == 0;
    view_release(&v);
    return true;
}

static uint64_t status_value(const struct imap_session *s, const struct mailbox_info *info,
                             enum status_item item, uint32_t recent)
{
    switch (item) {
    case STATUS_MESSAGES: return info->messages;
    case STATUS_RECENT: return recent;
    case STATUS_UIDNEXT: return info->uidnext;
    case STATUS_UIDVALIDITY: return info->uidvalidity;
    case STATUS_UNSEEN: return info->unseen;
    case STATUS_HIGHESTMODSEQ: return info->highest_modseq;
    case STATUS_SIZE: return info->bytes;
    case STATUS_APPENDLIMIT: return s->service->limits.append_bytes;
    case STATUS_DELETED: return info->deleted;
    case STATUS_MAILBOXID: break; /* no number */
    case STATUS_DELETED_STORAGE: return info->deleted_bytes;
    }
    return 0;
}

bool imap_write_status(struct imap_session *s, struct account *a, const struct mailbox_info *info,
                       unsigned items, struct fail *why)
{
    struct buf *out = conn_out(s->conn);
    struct mailbox_info told = *info;
    uint32_t recent = 0;
    bool first = true;

    if ((items & STATUS_UNSEEN) && !count_unseen(s, a, info, &told.unseen, why))
        return false;
    if ((items & STATUS_RECENT) && !count_recent(s, a, info, &recent, why))
        return false;
    buf_add(out, SLICE("* STATUS "));
    imap_write_mailbox(s, out, imap_name_of(s, a, info->name));
    buf_add(out, SLICE(" ("));
    for (size_t i = 0; i < ARRAY_LEN(status_items); i++) {
        if (!(items & status_items[i].item))
            continue;
        if (!first)
            buf_add_char(out, ' ');
        first = false;
        buf_add(out, slice_of(status_items[i].name));
        buf_add_char(out, ' ');
        if (status_items[i].item == STATUS_MAILBOXID) {
            buf_add_char(out, '(');
            imap_write_mailboxid(out, a, info->id);
            buf_add_char(out, ')');
        } else {
            buf_add_u64(out, status_value(s, &told, status_items[i].item, recent));
        }
    }
    buf_add(out, SLICE(")\r\n"));
    return true;
}

/* status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"      RFC 3501 section 9 */
void imap_status(struct imap_session *s, struct imap_reader *args)
{
    struct imap_target target;
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_space(args);
    unsigned items = imap_read_status_items(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (items & STATUS_HIGHESTMODSEQ)
        imap_enable_condstore(s);
    if (!imap_find(s, name, RIGHT_READ, &target, &why))
        imap_no_because(s, &why);
    else if (target.info.no_select)
        imap_no(s, "[NONEXISTENT] The mailbox cannot be selected");
    else if (!imap_write_status(s, target.account, &target.info, items, &why))
        imap_no_because(s, &why);
    else
        imap_ok(s, "That is it");
}
