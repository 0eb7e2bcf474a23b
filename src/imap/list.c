/*
 * imap/list.c - LIST and LSUB.
 *
 * Layer: imap.  RFC 3501 sections 6.3.8 and 6.3.9, RFC 5258 (LIST-EXTENDED),
 * RFC 3348 (CHILDREN), RFC 6154 (SPECIAL-USE), RFC 5819 (LIST-STATUS),
 * RFC 8440 (MYRIGHTS), RFC 9590 (METADATA).
 */
#include "imap/list.h"

#include "base/fail.h"
#include "imap/acl.h"
#include "imap/special_use.h"
#include "imap/status.h"
#include "imap/target.h"

enum { PATTERNS_MAX = 100 };

static void end_list(struct imap_session *s)
{
    struct list_command *c = s->step_data;

    mailbox_list_release(&c->list);
    map_finish(&c->made);
    map_finish(&c->subscribed);
}

/* ---- arguments ---- */

/* list-select-opt = "SUBSCRIBED" / "REMOTE" / "RECURSIVEMATCH" / "SPECIAL-USE" */
static void read_selection(struct imap_reader *r, struct list_command *c)
{
    c->extended = true;
    while (!r->failed && imap_peek(r) != ')') {
        if (imap_accept_word(r, "SUBSCRIBED"))
            c->options |= BY_SUBSCRIBED | TELL_SUBSCRIBED;
        else if (imap_accept_word(r, "REMOTE"))
            c->options |= BY_REMOTE;
        else if (imap_accept_word(r, "SPECIAL-USE"))
            c->options |= BY_SPECIAL_USE;
        else if (imap_accept_word(r, "RECURSIVEMATCH"))
            c->options |= RECURSIVE;
        else
            imap_fail(r, "SUBSCRIBED, REMOTE, SPECIAL-USE or RECURSIVEMATCH");
        if (!imap_accept(r, ' '))
            break;
    }
    imap_expect(r, ')');
    if ((c->options & RECURSIVE) && !(c->options & (BY_SUBSCRIBED | BY_SPECIAL_USE)))
        imap_fail(r, "something that RECURSIVEMATCH can look for");
}

/*
 * return-option = "SUBSCRIBED" / "CHILDREN" / "SPECIAL-USE" / "STATUS" SP "(" ... ")" / "MYRIGHTS"
 *               / "METADATA" SP entries
 */
static void read_return(struct imap_reader *r, struct list_command *c)
{
    c->extended = true;
    if (!imap_accept_word(r, "RETURN"))
        imap_fail(r, "RETURN");
    imap_expect_space(r);
    imap_expect(r, '(');
    while (!r->failed && imap_peek(r) != ')') {
        if (imap_accept_word(r, "STATUS")) {
            imap_expect_space(r);
            c->status |= imap_read_status_items(r);
        } else if (imap_accept_word(r, "SUBSCRIBED")) {
            c->options |= TELL_SUBSCRIBED;
        } else if (imap_accept_word(r, "MYRIGHTS")) {
            c->options |= TELL_RIGHTS;
        } else if (imap_accept_word(r, "METADATA")) {
            imap_expect_space(r);
            c->metadata = (struct imap_metadata){.entries = imap_read_entries(r), .most_bytes = UINT64_MAX};
        } else if (!imap_accept_word(r, "CHILDREN") && !imap_accept_word(r, "SPECIAL-USE")) {
            imap_fail(r, "SUBSCRIBED, CHILDREN, SPECIAL-USE, STATUS, MYRIGHTS or METADATA"); /* the two are told always */
        }
        if (!imap_accept(r, ' '))
            break;
    }
    imap_expect(r, ')');
}

/* mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")" */
static void read_patterns(struct imap_reader *r, struct list_command *c)
{
    bool several = !c->lsub && imap_accept(r, '(');

    c->texts = arena_new_array(r->arena, struct slice, PATTERNS_MAX);
    if (c->texts == NULL)
        imap_fail(r, "a shorter command");
    do {
        if (c->pattern_count == PATTERNS_MAX)
            imap_fail(r, "fewer patterns");
        struct slice pattern = imap_read_list_mailbox(r);
        if (!r->failed)
            c->texts[c->pattern_count++] = pattern;
    } while (several && imap_accept(r, ' '));
    if (several) {
        imap_expect(r, ')');
        c->extended = true;
    }
}

/* list = "LIST" [SP "(" [list-select-opts] ")"] SP mailbox SP mbox-or-pat [SP "RETURN" SP "(" [...] ")"] */
static void read_list(struct imap_reader *r, struct list_command *c)
{
    imap_expect_space(r);
    if (!c->lsub && imap_accept(r, '(')) {
        read_selection(r, c);
        imap_expect_space(r);
    }
    c->reference = imap_read_mailbox(r);
    imap_expect_space(r);
    read_patterns(r, c);
    if (!c->lsub && imap_accept(r, ' '))
        read_return(r, c);
    imap_expect_end(r);
}

/* ---- answering ---- */

static void write_attributes(struct buf *out, const struct list_command *c, const struct list_candidate *m)
{
    const char *use = m->info != NULL ? imap_special_use_name(m->info->use) : NULL;

    buf_add_char(out, '(');
    if (m->info == NULL)
        buf_add(out, c->lsub ? SLICE("\\Noselect ") : SLICE("\\NonExistent "));
    else if (m->info->no_select || (c->lsub && !m->subscribed))
        buf_add(out, SLICE("\\Noselect ")); /* LSUB: itself not subscribed, RFC 3501 section 6.3.9 */
    if (m->subscribed && (c->options & TELL_SUBSCRIBED) && !c->lsub)
        buf_add(out, SLICE("\\Subscribed "));
    if (use != NULL) {
        buf_add(out, slice_of(use));
        buf_add_char(out, ' ');
    }
    buf_add(out, m->has_children || m->below ? SLICE("\\HasChildren)") : SLICE("\\HasNoChildren)"));
}

/* childinfo-extended-item = "CHILDINFO" SP "(" list-select-base-opt-quoted *(SP ...) ")" */
static void write_childinfo(struct buf *out, const struct list_command *c)
{
    buf_add(out, SLICE(" (\"CHILDINFO\" ("));
    if (c->options & BY_SUBSCRIBED)
        buf_add(out, SLICE("\"SUBSCRIBED\""));
    if (c->options & BY_SPECIAL_USE)
        buf_add(out, (c->options & BY_SUBSCRIBED) ? SLICE(" \"SPECIAL-USE\"") : SLICE("\"SPECIAL-USE\""));
    buf_add(out, SLICE("))"));
}

/* What was asked for of a mailbox that may be told of: what cannot be is left out (RFC 5819 section 2). */
static void write_about(struct imap_session *s, struct list_command *c, const struct list_candidate *m)
{
    enum { BUSINESS = RIGHT_READ | RIGHT_SEEN | RIGHT_WRITE | RIGHT_INSERT | RIGHT_POST };
    struct buf *out = conn_out(s->conn);
    struct account *a = s->account;

    if (m->info == NULL || (m->owner != 0 && !imap_other(s, m->owner, &a, NULL)))
        return;
    if (c->me.len == 0 && m->info->has_acl)
        c->me = imap_my_address(s);
    unsigned rights = imap_rights_in(s, a, m->info, c->me);
    if (c->status != 0 && !m->info->no_select && (rights & RIGHT_READ))
        (void)imap_write_status(s, a, m->info, c->status, NULL);
    if (c->options & TELL_RIGHTS) {
        buf_add(out, SLICE("* MYRIGHTS "));
        imap_write_mailbox(s, out, m->name);
        buf_add_char(out, ' ');
        imap_write_rights(out, rights);
        buf_add(out, SLICE("\r\n"));
    }
    if (c->metadata.entries.count > 0 && (rights & BUSINESS))
        (void)imap_write_metadata(s, a, m->info, m->name, &c->metadata, NULL);
}

static void write_candidate(struct imap_session *s, struct list_command *c, const struct list_candidate *m)
{
    struct buf *out = conn_out(s->conn);

    buf_add(out, c->lsub ? SLICE("* LSUB ") : SLICE("* LIST "));
    write_attributes(out, c, m);
    buf_add(out, SLICE(" \"/\" "));
    imap_write_mailbox(s, out, m->name);
    if (m->below && !c->lsub)
        write_childinfo(out, c);
    buf_add(out, SLICE("\r\n"));
    if (c->status != 0 || (c->options & TELL_RIGHTS) || c->metadata.entries.count > 0)
        write_about(s, c, m);
}

static enum turn too_many(struct imap_session *s)
{
    imap_no(s, "[LIMIT] Too many mailboxes");
    return TURN_PARK;
}

/* Levels above what no pattern matches; those that are added need no look themselves.  false: the turn is over. */
static bool look_below(struct imap_session *s, struct list_command *c, size_t end, bool *fits)
{
    while (c->below_at < end) {
        const struct list_candidate *m = &c->candidates[c->below_at++];
        if (list_selects(c, m) && !list_matches(c, m->name))
            *fits = list_mark_above(&s->arena, c, m->name);
        if (!*fits || conn_turn_over(s->conn))
            return false;
    }
    c->looked_below = true;
    return true;
}

/* Patterns and names can be made to match slowly: the turn is asked for after each. */
static enum turn list_step(struct imap_session *s)
{
    struct list_command *c = s->step_data;
    bool fits = true;

    while (c->owner_at < c->owner_count) {
        if (!list_gather_shared(s, c))
            return too_many(s);
        if (conn_turn_over(s->conn))
            return TURN_AGAIN;
    }
    if ((c->options & RECURSIVE) && !c->looked_below && !look_below(s, c, c->candidate_count, &fits))
        return fits ? TURN_AGAIN : too_many(s);
    while (c->at < c->candidate_count) {
        const struct list_candidate *m = &c->candidates[c->at++];
        if (list_matches(c, m->name) && (list_selects(c, m) || m->below))
            write_candidate(s, c, m);
        if (conn_is_full(s->conn))
            return TURN_MORE;
        if (conn_turn_over(s->conn))
            return TURN_AGAIN;
    }
    imap_ok(s, "Listed");
    return TURN_PARK;
}

static void list_mailboxes(struct imap_session *s, struct imap_reader *args, bool lsub)
{
    struct list_command *c = arena_new(&s->arena, struct list_command);
    struct fail why;

    if (c == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    c->lsub = lsub;
    if (lsub)
        c->options = BY_SUBSCRIBED | RECURSIVE;
    read_list(args, c);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (c->status & STATUS_HIGHESTMODSEQ)
        imap_enable_condstore(s);
    if (!c->extended && !lsub && c->texts[0].len == 0) {
        /* RFC 3501 section 6.3.8: just the separator */
        conn_write(s->conn, SLICE("* LIST (\\Noselect) \"/\" \"\"\r\n"));
        imap_ok(s, "Listed");
        return;
    }
    c->patterns = arena_new_array(&s->arena, struct list_pattern, c->pattern_count);
    for (size_t i = 0; i < c->pattern_count && c->patterns != NULL; i++)
        c->patterns[i] = list_pattern_make(&s->arena, c->reference, c->texts[i]);
    s->step_data = c;
    s->cleanup = end_list;
    if (!mailbox_list(s->account, &c->list, &why)) {
        imap_no_because(s, &why);
        return;
    }
    if (c->patterns == NULL)
        (void)too_many(s);
    else if (!list_gather(s, c, &why))
        imap_no_because(s, &why);
    else
        s->step = list_step;
}

void imap_list(struct imap_session *s, struct imap_reader *args)
{
    list_mailboxes(s, args, false);
}

void imap_lsub(struct imap_session *s, struct imap_reader *args)
{
    list_mailboxes(s, args, true);
}
