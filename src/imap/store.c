/*
 * imap/store.c - STORE and UID STORE.
 *
 * Layer: imap.  RFC 3501 section 6.4.6, RFC 7162 section 3.1.3.
 */
#include "imap/session.h"
#include "imap/limit.h"

#include <stdlib.h>

#include "base/fail.h"

struct store_command {
    struct imap_set set;
    struct flag_change change;
    bool silent;

    struct imap_spans spans;
    struct imap_spans_at at;
    struct view *before; /* what the client knew */
    struct imap_news *news;
    struct uid_set refused; /* UNCHANGEDSINCE */
    uint64_t modseq;        /* of the change */
    bool missing;

    uint32_t keywords_before, keywords_after; /* the last pair compared */
    bool keywords_as_expected, compared;
};

static void end_store(struct imap_session *s)
{
    struct store_command *c = s->step_data;

    view_release(&c->before);
    uid_set_finish(&c->refused);
}

static int by_name(const void *one, const void *other)
{
    const struct slice *a = one, *b = other;
    size_t n = a->len < b->len ? a->len : b->len;

    for (size_t i = 0; i < n; i++) {
        int x = (unsigned char)ascii_lower(a->ptr[i]), y = (unsigned char)ascii_lower(b->ptr[i]);
        if (x != y)
            return x - y;
    }
    return (a->len > b->len) - (a->len < b->len);
}

/* Of names in order, as an account's sets are. */
static bool has_name(const struct slice *names, size_t count, struct slice name)
{
    return count > 0 && bsearch(&name, names, count, sizeof *names, by_name) != NULL;
}

/*
 * store           = "STORE" SP sequence-set SP [store-modifiers SP] store-att-flags
 * store-modifiers = "(" "UNCHANGEDSINCE" SP mod-sequence-value ")"
 * store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
 */
static void read_store(struct imap_reader *r, struct store_command *c)
{
    imap_expect_space(r);
    c->set = imap_read_set(r);
    imap_expect_space(r);
    if (imap_accept(r, '(')) {
        if (!imap_accept_word(r, "UNCHANGEDSINCE"))
            imap_fail(r, "UNCHANGEDSINCE");
        imap_expect_space(r);
        c->change.conditional = true;
        c->change.unchanged_since = imap_read_number(r, 0, IMAP_MODSEQ_MAX);
        imap_expect(r, ')');
        imap_expect_space(r);
    }
    c->change.op = imap_accept(r, '+') ? FLAGS_ADD : imap_accept(r, '-') ? FLAGS_REMOVE : FLAGS_REPLACE;
    c->silent = imap_accept_word(r, "FLAGS.SILENT");
    if (!c->silent && !imap_accept_word(r, "FLAGS"))
        imap_fail(r, "FLAGS or FLAGS.SILENT");
    imap_expect_space(r);
    struct imap_flags flags = imap_read_store_flags(r);
    imap_expect_end(r);
    c->change.flags = flags.flags;
    if (flags.keyword_count > 0)
        qsort(flags.keywords, flags.keyword_count, sizeof *flags.keywords, by_name);
    c->change.keywords = flags.keywords;
    c->change.keyword_count = flags.keyword_count;
}

/* Is `after` what `before` becomes by +FLAGS or -FLAGS? */
static bool keywords_follow(struct account *a, const struct flag_change *c, uint32_t before_id,
                            uint32_t after_id)
{
    struct keyword_set before = account_keyword_set(a, before_id), after = account_keyword_set(a, after_id);
    bool add = c->op == FLAGS_ADD;

    for (size_t i = 0; i < before.count; i++) {
        bool named = has_name(c->keywords, c->keyword_count, before.names[i]);
        if (has_name(after.names, after.count, before.names[i]) != (add || !named))
            return false;
    }
    for (size_t i = 0; i < after.count; i++) {
        bool named = has_name(c->keywords, c->keyword_count, after.names[i]);
        if (!has_name(before.names, before.count, after.names[i]) && !(add && named))
            return false;
    }
    for (size_t i = 0; add && i < c->keyword_count; i++)
        if (!has_name(after.names, after.count, c->keywords[i]))
            return false;
    return true;
}

/* Does a client that asked for the change know what came of it without being told? */
static bool as_expected(struct imap_session *s, struct store_command *c, const struct view_entry *before,
                        const struct view_entry *after)
{
    uint32_t flags = before->flags & STORE_FLAGS;

    switch (c->change.op) {
    case FLAGS_REPLACE: return (after->flags & STORE_FLAGS) == c->change.flags && after->modseq <= c->modseq;
    case FLAGS_ADD: flags |= c->change.flags; break;
    case FLAGS_REMOVE: flags &= ~c->change.flags; break;
    }
    if ((after->flags & STORE_FLAGS) != flags)
        return false;
    if (!c->compared || c->keywords_before != before->keyword_set ||
        c->keywords_after != after->keyword_set) {
        c->keywords_before = before->keyword_set;
        c->keywords_after = after->keyword_set;
        c->keywords_as_expected =
            keywords_follow(s->box.account, &c->change, before->keyword_set, after->keyword_set);
        c->compared = true;
    }
    return c->keywords_as_expected;
}

/* "* n FETCH (MODSEQ (m))": a .SILENT client that keeps modseqs needs it (RFC 7162 section 3.1.3). */
static void write_modseq_fetch(struct imap_session *s, struct buf *out, uint32_t position,
                               const struct view_entry *e)
{
    imap_begin_fetch(s, out, position, e->uid);
    if (imap_tells_uid(s)) {
        buf_add(out, SLICE("UID "));
        buf_add_u64(out, e->uid);
        buf_add_char(out, ' ');
    }
    buf_add(out, SLICE("MODSEQ ("));
    buf_add_u64(out, e->modseq);
    buf_add(out, SLICE("))\r\n"));
}

static void tell_outcome(struct imap_session *s, struct store_command *c, uint32_t position)
{
    struct view_entry before = view_at(c->before, position), after = view_at(s->box.view, position);
    struct buf *out = conn_out(s->conn);
    bool refused = c->refused.count > 0 && uid_set_has(&c->refused, after.uid);
    bool changed = before.modseq != after.modseq;

    if (after.flags & VIEW_GONE)
        c->missing = true;
    else if (refused ? changed : !c->silent || !as_expected(s, c, &before, &after))
        imap_write_flag_fetch(s, out, position, &after);
    else if (!refused && (s->enabled & IMAP_CONDSTORE) && (changed || c->change.conditional))
        write_modseq_fetch(s, out, position, &after);
}

/* resp-text-code =/ "MODIFIED" SP sequence-set         RFC 7162 section 7 */
static void answer_modified(struct imap_session *s, const struct store_command *c)
{
    struct buf b;
    struct imap_set_writer w = {.out = &b};
    const struct view *v = s->box.view;

    buf_init(&b, 1024 * 1024);
    for (size_t i = 0; i < c->refused.count; i++) {
        struct uid_range r = c->refused.ranges[i];
        bool found;
        if (s->by_uid) {
            imap_set_writer_add(&w, r.first, r.last);
            continue;
        }
        uint32_t first = view_find(v, r.first, &found), last = view_find(v, r.last, &found);
        if (found)
            imap_set_writer_add(&w, first + 1, last + 1);
    }
    imap_set_writer_end(&w);
    imap_ok(s, "[MODIFIED " PRIslice "] Some had changed", SLICE_ARG(buf_slice(&b)));
    buf_finish(&b);
}

static enum turn store_step(struct imap_session *s)
{
    struct store_command *c = s->step_data;
    uint32_t position, looked = 0;

    if (c->news != NULL && !imap_news_tell(s, c->news))
        return TURN_MORE;
    while (imap_spans_next(&c->spans, &c->at, &position)) {
        tell_outcome(s, c, position);
        if (conn_is_full(s->conn))
            return TURN_MORE;
        if (++looked % 16 == 0 && conn_turn_over(s->conn)) /* .SILENT says nothing, and may compare long */
            return TURN_AGAIN;
    }
    if (c->refused.count > 0)
        answer_modified(s, c);
    else if (c->missing && !s->by_uid)
        imap_no(s, "[EXPUNGEISSUED] Some of the messages are gone");
    else
        imap_ok(s, "Stored");
    return TURN_PARK;
}

/*
 * RFC 4314 section 4: what the client may not change stays as it is; only if it may change
 * nothing of what it asked for is that told by NO (false).
 */
static bool keep_within_rights(struct flag_change *c, unsigned rights)
{
    uint32_t may = imap_flags_by(rights);
    bool keywords = (rights & RIGHT_WRITE) != 0;

    if (may == STORE_FLAGS)
        return true;
    c->held = STORE_FLAGS & ~may;
    c->hold_keywords = !keywords;
    if (c->op == FLAGS_REPLACE)
        return may != 0;
    bool asked = c->flags != 0 || c->keyword_count > 0;
    c->flags &= may;
    c->keyword_count = keywords ? c->keyword_count : 0;
    return !asked || c->flags != 0 || c->keyword_count > 0;
}

void imap_store(struct imap_session *s, struct imap_reader *args)
{
    struct store_command *c = arena_new(&s->arena, struct store_command);
    struct fail why;

    if (c == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    read_store(args, c);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (c->change.conditional)
        imap_enable_condstore(s);
    if (s->box.read_only) {
        imap_no(s, "[READ-ONLY] The mailbox was opened to look");
        return;
    }
    if (!keep_within_rights(&c->change, s->box.rights)) {
        imap_no(s, "[NOPERM] You may not change these flags here");
        return;
    }
    if (!imap_resolve(s, c->set, &c->spans))
        return;
    imap_limit_spans(s, &c->spans, 0);
    if (c->spans.count == 0) {
        imap_ok(s, "None of those");
        return;
    }
    struct imap_set uids = imap_spans_uids(&s->arena, s->box.view, &c->spans);
    s->step_data = c;
    s->cleanup = end_store;
    c->change.user = imap_seen_user(s);
    c->before = view_ref(s->box.view);
    if (!message_flags(s->box.account, s->box.mailbox, uids.ranges, uids.count, &c->change, &c->refused,
                       &c->modseq, &why)) {
        imap_no_because(s, &why);
        return;
    }
    c->news = imap_news_gather(s, false);
    if (s->closing) {
        imap_no(s, "[UNAVAILABLE] The mailbox is not there");
        return;
    }
    if (c->news != NULL)
        c->news->own = &c->spans;
    s->step = store_step;
}
