/*
 * imap/copy.c - COPY, MOVE and their UID forms.
 *
 * Layer: imap.  RFC 3501 section 6.4.7, RFC 6851, RFC 4315 section 3 (COPYUID).
 * Within an account a copy is a row.  Into a mailbox of another account, or where
 * flags must be left out (RFC 4314 section 4), see copy_across.c.
 */
#include "imap/copy.h"
#include "imap/limit.h"

#include "base/fail.h"

enum {
    COPYUID_MAX = 7 * 1024 * 1024,                          /* of one answer (session.c) */
    MOVE_RIGHTS = RIGHT_DELETE_MESSAGES | RIGHT_EXPUNGE,    /* RFC 6851 section 4.2 */
};

/* "[COPYUID validity source destination] " into `b`; nothing if nothing was copied. */
static void write_copyuid(struct buf *b, const struct copy_result *result)
{
    struct imap_set_writer w = {.out = b};
    uint64_t count = uid_set_size(&result->source);

    if (count == 0)
        return;
    buf_addf(b, "[COPYUID %u ", result->uidvalidity);
    for (size_t i = 0; i < result->source.count; i++)
        imap_set_writer_add(&w, result->source.ranges[i].first, result->source.ranges[i].last);
    imap_set_writer_end(&w);
    buf_addf(b, " %u", result->first_uid);
    if (count > 1)
        buf_addf(b, ":%u", (unsigned)(result->first_uid + count - 1));
    buf_add(b, SLICE("] "));
}

/* By sequence number all must be there: one that went would silently be missed (RFC 2180 section 4.4). */
static bool any_gone(const struct view *v, const struct imap_spans *spans)
{
    struct imap_spans_at at = {0};
    uint32_t position;

    while (imap_spans_next(spans, &at, &position))
        if (view_at(v, position).flags & VIEW_GONE)
            return true;
    return false;
}

void imap_answer_copied(struct imap_session *s, const struct copy_result *result, bool move, unsigned rights)
{
    struct buf code;
    bool some = result->source.count > 0;

    buf_init(&code, COPYUID_MAX);
    if (rights & RIGHT_READ) /* RFC 4315 section 3: who cannot select it hears no UIDs */
        write_copyuid(&code, result);
    if (code.failed) /* it is done: better no code than a torn one, or a NO */
        buf_reset(&code);
    if (move) {
        /* RFC 6851 section 4.3: before the EXPUNGE responses. */
        if (some)
            conn_printf(s->conn, "* OK " PRIslice "Moved\r\n", SLICE_ARG(buf_slice(&code)));
        if (some && (s->enabled & IMAP_QRESYNC) && result->from_modseq > 0) /* as for EXPUNGE (RFC 7162 section 3.2.7) */
            imap_ok(s, "[HIGHESTMODSEQ %llu] Moved", (unsigned long long)result->from_modseq);
        else
            imap_ok(s, some ? "Moved" : "None of those");
    } else {
        imap_ok(s, PRIslice "%s", SLICE_ARG(buf_slice(&code)), some ? "Copied" : "None of those");
    }
    buf_finish(&code);
}

/*
 * In another's mailboxes the copies are as seen by this user as what was copied, once it is done: a
 * copy's entry has what its owner has seen.  Where that fails they are unseen, no more.
 */
static void carry_seen(struct imap_session *s, const struct copy_result *r, uint64_t to)
{
    struct flag_change change = {.op = FLAGS_ADD, .flags = STORE_SEEN, .user = imap_seen_user(s)};
    struct uid_set seen = {0};
    uint32_t nth = 0;
    bool found;

    if (change.user == 0)
        return;
    for (size_t i = 0; i < r->source.count; i++) {
        for (uint64_t uid = r->source.ranges[i].first; uid <= r->source.ranges[i].last; uid++, nth++) {
            uint32_t position = view_find(s->box.view, (uint32_t)uid, &found);
            if (found && (view_at(s->box.view, position).flags & STORE_SEEN))
                uid_set_add(&seen, r->first_uid + nth);
        }
    }
    if (seen.count > 0)
        (void)message_flags(s->box.account, to, seen.ranges, seen.count, &change, NULL, NULL, NULL);
    uid_set_finish(&seen);
}

/*
 * copy = "COPY" SP sequence-set SP mailbox             RFC 3501 section 9
 * move = "MOVE" SP sequence-set SP mailbox             RFC 6851 section 4.8
 */
static void copy_messages(struct imap_session *s, struct imap_reader *args, bool move)
{
    struct imap_target target;
    struct copy_result result = {0};
    struct imap_spans spans;
    struct fail why;

    imap_expect_space(args);
    struct imap_set set = imap_read_set(args);
    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (move && s->box.read_only) {
        imap_no(s, "[READ-ONLY] The mailbox was opened to look");
        return;
    }
    if (move && (s->box.rights & MOVE_RIGHTS) != MOVE_RIGHTS) {
        imap_no(s, "[NOPERM] Moving messages out of this mailbox takes the rights t and e");
        return;
    }
    if (!imap_resolve(s, set, &spans))
        return;
    if (move)
        imap_limit_spans(s, &spans, 0);
    else if (!imap_limit_allows(s, imap_spans_size(&spans)))
        return;
    if (!imap_find(s, name, RIGHT_INSERT, &target, &why)) {
        imap_no_target(s, &why);
        return;
    }
    if (target.info.no_select) {
        imap_no(s, "[TRYCREATE] The mailbox cannot hold messages");
        return;
    }
    if (!s->by_uid && any_gone(s->box.view, &spans)) {
        imap_no(s, "[EXPUNGEISSUED] Some of the messages are gone");
        return;
    }
    if (spans.count == 0) {
        imap_ok(s, "None of those");
        return;
    }
    if (target.account != s->box.account || imap_flags_by(target.rights) != STORE_FLAGS) {
        imap_copy_across(s, &target, &spans, move);
        return;
    }
    struct imap_set uids = imap_spans_uids(&s->arena, s->box.view, &spans);
    if (!message_copy(s->box.account, s->box.mailbox, uids.ranges, uids.count, target.info.id, move, &result, &why)) {
        imap_no_target(s, &why);
    } else {
        carry_seen(s, &result, target.info.id);
        imap_answer_copied(s, &result, move, target.rights);
    }
    uid_set_finish(&result.source);
}

void imap_copy(struct imap_session *s, struct imap_reader *args)
{
    copy_messages(s, args, false);
}

void imap_move(struct imap_session *s, struct imap_reader *args)
{
    copy_messages(s, args, true);
}
