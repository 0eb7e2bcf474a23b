/*
 * imap/replace.c - REPLACE and UID REPLACE.
 *
 * Layer: imap.  RFC 8508.  The new message comes as APPEND's does; it becomes
 * visible, and the old one goes, in one transaction.  Where the two mailboxes
 * belong to different accounts there are two: the new message is safe before the
 * old one goes, and a crash between them leaves both.
 */
#include "imap/append.h"

#include "base/fail.h"

bool replace_allowed(struct imap_session *s)
{
    const unsigned needed = RIGHT_DELETE_MESSAGES | RIGHT_EXPUNGE; /* RFC 8508 section 4.1 */

    if (s->box.read_only) {
        imap_no(s, "[READ-ONLY] The mailbox was opened to look");
        return false;
    }
    if ((s->box.rights & needed) != needed) {
        imap_no(s, "[NOPERM] Removing messages from this mailbox takes the rights t and e");
        return false;
    }
    return true;
}

static bool commit(struct imap_session *s, struct append *a, struct appended *out, struct fail *why)
{
    struct uid_range range = {a->replaced, a->replaced};
    uint64_t modseq;

    if (a->target.account == s->box.account)
        return appender_commit(a->appender, out, why);
    return appender_commit(a->appender, out, why) &&
           message_expunge(s->box.account, s->box.mailbox, &range, 1, true, NULL, &modseq, why);
}

void replace_finish(struct imap_session *s, struct append *a)
{
    struct appended out;
    struct fail why;

    if (!commit(s, a, &out, &why)) {
        imap_no_because(s, &why);
        return;
    }
    if (a->target.rights & RIGHT_READ) /* section 4.3: before the EXPUNGE */
        conn_printf(s->conn, "* OK [APPENDUID %u %u] The new message is kept\r\n", out.uidvalidity,
                    out.first_uid);
    imap_ok(s, "Replaced");
}

/* The UID of the one message that the command names; 0: answered. */
static uint32_t find_message(struct imap_session *s, struct imap_set set)
{
    struct imap_spans spans;

    if (!imap_resolve(s, set, &spans))
        return 0;
    if (spans.count == 0) {
        imap_no(s, "[NONEXISTENT] There is no such message");
        return 0;
    }
    struct view_entry e = view_at(s->box.view, spans.items[0].first);
    if (e.flags & VIEW_GONE) {
        imap_no(s, "[EXPUNGEISSUED] The message is gone");
        return 0;
    }
    return e.uid;
}

/*
 * replace = "REPLACE" SP seq-number SP mailbox append-message
 * uid     =/ "UID" SP replace                                RFC 8508 section 5
 */
void imap_replace(struct imap_session *s, struct imap_reader *args, const struct frame_found *message)
{
    struct append *a = arena_new(&s->arena, struct append);

    if (a == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    imap_expect_space(args);
    size_t began = args->at;
    struct imap_set set = imap_read_set(args);
    if (!args->failed && (set.count != 1 || set.ranges[0].first != set.ranges[0].last)) {
        args->at = began;
        imap_fail(args, "one message's number");
    }
    imap_expect_space(args);
    a->mailbox = imap_read_mailbox(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    a->replace = true;
    if (!replace_allowed(s))
        return;
    a->replaced = find_message(s, set);
    if (a->replaced != 0)
        append_begin(s, a, args, message);
}

void imap_replace_bare(struct imap_session *s, struct imap_reader *args)
{
    imap_replace(s, args, NULL);
}
