/*
 * imap/select.c - SELECT, EXAMINE, CLOSE, UNSELECT, EXPUNGE.
 *
 * Layer: imap.
 */
#include "imap/lasting.h"
#include "imap/limit.h"
#include "imap/notify.h"
#include "imap/qresync.h"
#include "imap/target.h"

#include "base/fail.h"

void imap_deselect(struct imap_session *s)
{
    imap_lasting_deselect(s);
    view_release(&s->box.view);
    uid_set_finish(&s->box.recent);
    s->box = (struct imap_selected){0};
    s->state = IMAP_AUTHED;
}

/* Which messages the mailbox's first unread one is (RFC 3501 section 6.3.1, UNSEEN); 0: none. */
static uint32_t first_unseen(const struct view *v)
{
    uint32_t position = view_first_unseen(v);

    return position < view_count(v) ? position + 1 : 0;
}

/*
 * The untagged responses of RFC 3501 section 6.3.1 or RFC 9051 section 6.3.2, with those of RFC 7162
 * section 3.1.2 and RFC 8474 section 4.2.
 */
static void tell_mailbox(struct imap_session *s, const struct imap_target *target, struct slice name)
{
    const struct view *v = s->box.view;
    bool rev2 = (s->enabled & IMAP_REV2) != 0;
    bool none_unseen = target->account == s->account && target->info.unseen == 0;
    bool tell_unseen = !rev2 && !(s->enabled & IMAP_UIDONLY) && !none_unseen;
    uint32_t unseen = tell_unseen ? first_unseen(v) : 0;
    struct buf *out = conn_out(s->conn);

    imap_tell_flags(s);
    imap_write_counts(s, out);
    if (rev2) {
        struct imap_list_line line = {.name = target->name, .info = &target->info};
        if (!slice_eq(name, line.name)) /* it was not written in NFC */
            line.old = name;
        imap_write_list_line(s, out, &line);
    }
    if (unseen != 0)
        buf_addf(out, "* OK [UNSEEN %u] The first that is not \\Seen\r\n", unseen);
    buf_addf(out, "* OK [UIDVALIDITY %u] UIDs are valid\r\n", s->box.uidvalidity);
    buf_addf(out, "* OK [UIDNEXT %u] The next UID\r\n", view_uidnext(v));
    buf_addf(out, "* OK [HIGHESTMODSEQ %llu] The highest\r\n", (unsigned long long)view_modseq(v));
    if (s->service->limits.urlauth)
        buf_add(out, SLICE("* OK [URLMECH INTERNAL] How URLs are authorized\r\n")); /* RFC 4467 section 8 */
    buf_add(out, SLICE("* OK [MAILBOXID ("));
    imap_write_mailboxid(out, target->account, target->info.id);
    buf_add(out, SLICE(")] Its object id\r\n"));
}

/* RFC 4314 section 5.2: a mailbox that one may change nothing in is read-only. */
static bool may_change(unsigned rights)
{
    return (rights & (RIGHT_SEEN | RIGHT_WRITE | RIGHT_INSERT | RIGHT_DELETE_MESSAGES | RIGHT_EXPUNGE)) != 0;
}

static bool open_mailbox(struct imap_session *s, struct slice name, bool read_only,
                         struct imap_target *target, struct fail *why)
{
    struct view *v = NULL;
    uint32_t first_recent;

    if (!imap_find(s, name, RIGHT_READ, target, why))
        return false;
    if (target->info.no_select)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "The mailbox cannot be selected");
    if (!imap_open_view(s, target->account, target->info.id, !read_only, &v, &first_recent, why))
        return false;
    s->box = (struct imap_selected){
        .account = target->account,
        .mailbox = target->info.id,
        .rights = (uint16_t)target->rights,
        .view = v,
        .uidvalidity = view_uidvalidity(v),
        .read_only = read_only || !may_change(target->rights),
    };
    imap_add_recent(s, first_recent, view_uidnext(v));
    s->state = IMAP_SELECTED;
    imap_notify_selected(s);
    return true;
}

/* select-param = "CONDSTORE" / "QRESYNC" ...           RFC 7162 sections 3.1.8 and 3.2.5 */
static void read_parameters(struct imap_reader *r, bool *condstore, struct imap_qresync *qresync)
{
    imap_expect(r, '(');
    do {
        if (imap_accept_word(r, "QRESYNC"))
            imap_read_qresync(r, qresync);
        else if (imap_accept_word(r, "CONDSTORE"))
            *condstore = true;
        else
            imap_fail(r, "CONDSTORE or QRESYNC");
    } while (imap_accept(r, ' '));
    imap_expect(r, ')');
}

/* false: answered. */
static bool qresync_allowed(struct imap_session *s, const struct imap_qresync *q)
{
    if (!q->given)
        return true;
    if (!(s->enabled & IMAP_QRESYNC)) {
        imap_bad(s, "Expected ENABLE QRESYNC before the QRESYNC parameter");
        return false;
    }
    if ((s->enabled & IMAP_UIDONLY) && q->match_numbers.count > 0) {
        imap_bad(s, "[UIDREQUIRED] Expected no message numbers, as UIDONLY is enabled");
        return false;
    }
    return true;
}

/*
 * select = ("SELECT" / "EXAMINE") SP mailbox [SP "(" select-param *(SP select-param) ")"]
 *                                                      RFC 3501 sections 6.3.1 and 6.3.2
 */
static void select_mailbox(struct imap_session *s, struct imap_reader *args, bool read_only)
{
    struct imap_target target;
    struct imap_qresync qresync = {.given = false};
    bool condstore = false;
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    if (imap_accept(args, ' '))
        read_parameters(args, &condstore, &qresync);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!qresync_allowed(s, &qresync))
        return;
    if (s->state == IMAP_SELECTED) {
        imap_deselect(s);
        conn_write(s->conn, SLICE("* OK [CLOSED] The previous mailbox is closed\r\n"));
    }
    if (!open_mailbox(s, name, read_only, &target, &why)) {
        imap_no_because(s, &why);
        return;
    }
    s->enabled |= condstore ? IMAP_CONDSTORE : 0;
    tell_mailbox(s, &target, name);
    const char *ok = s->box.read_only ? "[READ-ONLY] Opened to look" : "[READ-WRITE] Opened";
    if (qresync.given)
        imap_resynchronise(s, &qresync, ok);
    else
        imap_ok(s, "%s", ok);
}

void imap_select(struct imap_session *s, struct imap_reader *args)
{
    select_mailbox(s, args, false);
}

void imap_examine(struct imap_session *s, struct imap_reader *args)
{
    select_mailbox(s, args, true);
}

/* close = "CLOSE"                                      RFC 3501 section 6.4.2 */
void imap_close(struct imap_session *s, struct imap_reader *args)
{
    struct uid_set gone = {0};
    uint64_t modseq;
    struct fail why;

    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!s->box.read_only && (s->box.rights & RIGHT_EXPUNGE) && /* without it CLOSE is UNSELECT (RFC 4314 section 4) */
        !message_expunge(s->box.account, s->box.mailbox, NULL, 0, false, &gone, &modseq, &why)) {
        imap_no_because(s, &why);
        return;
    }
    uid_set_finish(&gone);
    imap_deselect(s);
    imap_ok(s, "Closed");
}

/* unselect = "UNSELECT"                                RFC 3691 section 2 */
void imap_unselect(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    imap_deselect(s);
    imap_ok(s, "Closed, nothing expunged");
}

/*
 * expunge     = "EXPUNGE"                              RFC 3501 section 6.4.3
 * uid-expunge = "UID" SP "EXPUNGE" SP sequence-set     RFC 4315 section 2.1
 */
void imap_expunge(struct imap_session *s, struct imap_reader *args)
{
    struct imap_set uids = {0};
    struct uid_set gone = {0};
    uint64_t modseq;
    struct fail why;

    if (s->by_uid) {
        imap_expect_space(args);
        uids = imap_read_set(args);
    }
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (s->box.read_only) {
        imap_no(s, "[READ-ONLY] The mailbox was opened to look");
        return;
    }
    if (!(s->box.rights & RIGHT_EXPUNGE)) {
        imap_no(s, "[NOPERM] You may not expunge here");
        return;
    }
    if (s->by_uid) {
        struct imap_spans spans;
        if (!imap_resolve(s, uids, &spans))
            return;
        imap_limit_spans(s, &spans, STORE_DELETED);
        if (spans.count == 0) {
            imap_ok(s, "None of those");
            return;
        }
        uids = imap_spans_uids(&s->arena, s->box.view, &spans);
    }
    if (!message_expunge(s->box.account, s->box.mailbox, uids.ranges, uids.count, false, &gone, &modseq, &why)) {
        imap_no_because(s, &why);
        return;
    }
    bool any = gone.count > 0;
    uid_set_finish(&gone);
    if (any && (s->enabled & IMAP_QRESYNC)) /* RFC 7162 section 3.2.7; all that has a lower one is told before */
        imap_ok(s, "[HIGHESTMODSEQ %llu] Expunged", (unsigned long long)modseq);
    else
        imap_ok(s, "Expunged");
}
