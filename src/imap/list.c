/*
 * imap/list.c - LIST and LSUB.
 *
 * Layer: imap.  RFC 3501 sections 6.3.8 and 6.3.9, RFC 5258 (LIST-EXTENDED),
 * RFC 3348 (CHILDREN), RFC 6154 (SPECIAL-USE), RFC 5819 (LIST-STATUS).
 */
#include "base/fail.h"
#include "base/map.h"
#include "imap/list_match.h"
#include "imap/special_use.h"
#include "imap/status.h"

enum { PATTERNS_MAX = 100 };

enum list_option {
    BY_SUBSCRIBED = 1, /* selection */
    BY_REMOTE = 2,
    BY_SPECIAL_USE = 4,
    RECURSIVE = 8,
    TELL_SUBSCRIBED = 16, /* return */
};

/* A name that may be listed: a mailbox, a subscription without one, or only a level above such. */
struct candidate {
    struct slice name;
    const struct mailbox_info *info; /* NULL: no such mailbox */
    bool subscribed;
    bool below; /* something below it is selected that no pattern matches */
};

struct list_command {
    bool lsub, extended;
    unsigned options;
    unsigned status; /* STATUS_ bits of RETURN (STATUS ...) */
    struct slice reference;
    struct slice *texts; /* patterns as given */
    struct list_pattern *patterns;
    size_t pattern_count;

    const struct mailbox_list *list;
    struct candidate *candidates;
    size_t candidate_count, candidate_cap, at;

    size_t below_at, below_end; /* RECURSIVEMATCH: the levels above these are looked at first */
    struct map made;            /* names without a mailbox, to their place in `candidates` plus one */
};

static void end_list(struct imap_session *s)
{
    struct list_command *c = s->step_data;

    mailbox_list_release(&c->list);
    map_finish(&c->made);
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

/* return-option = "SUBSCRIBED" / "CHILDREN" / "SPECIAL-USE" / "STATUS" SP "(" ... ")" */
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
        } else if (!imap_accept_word(r, "CHILDREN") && !imap_accept_word(r, "SPECIAL-USE")) {
            imap_fail(r, "SUBSCRIBED, CHILDREN, SPECIAL-USE or STATUS"); /* the two are told always */
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

/* ---- choosing ---- */

static bool matches(const struct list_command *c, struct slice name)
{
    bool inbox = slice_eq(name, SLICE("INBOX"));

    for (size_t i = 0; i < c->pattern_count; i++)
        if (c->texts[i].len > 0 && list_pattern_matches(&c->patterns[i], name, inbox))
            return true;
    return false;
}

static bool is_selected(const struct list_command *c, const struct candidate *m)
{
    if ((c->options & BY_SUBSCRIBED) ? !m->subscribed : m->info == NULL)
        return false;
    return !(c->options & BY_SPECIAL_USE) || (m->info != NULL && m->info->use != USE_NONE);
}

static struct candidate *add_candidate(struct arena *a, struct list_command *c)
{
    if (c->candidate_count == c->candidate_cap) {
        size_t cap = c->candidate_cap * 2 + 16;
        struct candidate *grown = arena_new_array(a, struct candidate, cap);
        if (grown == NULL)
            return NULL;
        if (c->candidate_count > 0)
            memcpy(grown, c->candidates, c->candidate_count * sizeof(*grown));
        c->candidates = grown;
        c->candidate_cap = cap;
    }
    return &c->candidates[c->candidate_count++];
}

/*
 * A level above what is selected is listed too, if a pattern matches it (RFC 5258
 * section 3.5; RFC 3501 section 6.3.9).
 */
static bool mark_levels_above(struct arena *a, struct list_command *c, struct slice name)
{
    for (size_t cut = 0; cut < name.len; cut++) {
        struct slice above = slice_sub(name, 0, cut);
        if (name.ptr[cut] != '/' || !matches(c, above))
            continue;
        const struct mailbox_info *info = mailbox_in_list(c->list, above);
        uintptr_t known = (uintptr_t)map_get(&c->made, above);
        if (info != NULL) {
            c->candidates[info - c->list->items].below = true;
        } else if (known != 0) {
            c->candidates[known - 1].below = true;
        } else {
            struct candidate *m = add_candidate(a, c);
            if (m == NULL)
                return false;
            *m = (struct candidate){.name = above, .below = true};
            map_put(&c->made, above, (void *)(uintptr_t)c->candidate_count);
        }
    }
    return true;
}

/* The mailboxes first, in the list's order and places; then subscriptions without one. */
static bool gather(struct arena *a, struct list_command *c)
{
    struct candidate *m;

    for (size_t i = 0; i < c->list->count; i++) {
        if ((m = add_candidate(a, c)) == NULL)
            return false;
        *m = (struct candidate){.name = c->list->items[i].name,
                                .info = &c->list->items[i],
                                .subscribed = c->list->items[i].subscribed};
    }
    for (size_t i = 0; i < c->list->subscribed_only_count && (c->options & BY_SUBSCRIBED); i++) {
        if ((m = add_candidate(a, c)) == NULL)
            return false;
        *m = (struct candidate){.name = c->list->subscribed_only[i], .subscribed = true};
        map_put(&c->made, m->name, (void *)(uintptr_t)c->candidate_count);
    }
    c->below_end = (c->options & RECURSIVE) ? c->candidate_count : 0; /* those that are added need no look */
    return true;
}

/* ---- answering ---- */

static void write_attributes(struct buf *out, const struct list_command *c, const struct candidate *m)
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
    bool has_children = m->info != NULL ? m->info->has_children : m->below;
    buf_add(out, has_children ? SLICE("\\HasChildren)") : SLICE("\\HasNoChildren)"));
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

static void write_candidate(struct imap_session *s, const struct list_command *c, const struct candidate *m)
{
    struct buf *out = conn_out(s->conn);
    struct fail why;

    buf_add(out, c->lsub ? SLICE("* LSUB ") : SLICE("* LIST "));
    write_attributes(out, c, m);
    buf_add(out, SLICE(" \"/\" "));
    imap_write_mailbox(s, out, m->name);
    if (m->below && !c->lsub)
        write_childinfo(out, c);
    buf_add(out, SLICE("\r\n"));
    /* RFC 5819 section 2: what cannot be told of is left out. */
    if (c->status != 0 && m->info != NULL && !m->info->no_select)
        (void)imap_write_status(s, s->account, m->info, c->status, &why);
}

/* Patterns and names can be made to match slowly: the turn is asked for after each. */
static enum turn list_step(struct imap_session *s)
{
    struct list_command *c = s->step_data;

    while (c->below_at < c->below_end) {
        const struct candidate *m = &c->candidates[c->below_at++];
        if (is_selected(c, m) && !matches(c, m->name) && !mark_levels_above(&s->arena, c, m->name)) {
            imap_no(s, "[LIMIT] Too many mailboxes");
            return TURN_PARK;
        }
        if (conn_turn_over(s->conn))
            return TURN_AGAIN;
    }
    while (c->at < c->candidate_count) {
        const struct candidate *m = &c->candidates[c->at++];
        if (matches(c, m->name) && (is_selected(c, m) || m->below))
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
    if (c->patterns == NULL || !gather(&s->arena, c)) {
        imap_no(s, "[LIMIT] Too many mailboxes");
        return;
    }
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
