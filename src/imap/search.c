/*
 * imap/search.c - SEARCH and UID SEARCH.
 *
 * Layer: imap.  RFC 3501 section 6.4.4, RFC 4731, RFC 7162 section 3.1.5.
 */
#include "base/fail.h"
#include "imap/search_args.h"
#include "imap/session.h"

enum { BUDGET_MS = 8 }; /* of a turn of ten */

struct search_command {
    struct search_args args;
    struct view *view;
    struct search_run *run;
    const uint32_t *found; /* positions, in the run */
    size_t count, at;
    bool finished, begun;
};

static void end_search(struct imap_session *s)
{
    struct search_command *c = s->step_data;

    search_end(&c->run);
    view_release(&c->view);
}

/* What a found message is called in the answer. */
static uint32_t number_of(const struct imap_session *s, const struct search_command *c, size_t i)
{
    return s->by_uid ? view_at(c->view, c->found[i]).uid : c->found[i] + 1;
}

static uint64_t modseq_of(const struct search_command *c, size_t i)
{
    return view_at(c->view, c->found[i]).modseq;
}

/* MODSEQ of what is returned: RFC 4731 section 3.2. */
static uint64_t highest_modseq(const struct search_command *c)
{
    unsigned returns = c->args.returns;
    uint64_t min, max, highest = 0;

    if (c->count == 0)
        return 0;
    if (returns != 0 && !(returns & (RETURN_ALL | RETURN_COUNT))) {
        min = (returns & RETURN_MIN) ? modseq_of(c, 0) : 0;
        max = (returns & RETURN_MAX) ? modseq_of(c, c->count - 1) : 0;
        return min > max ? min : max;
    }
    for (size_t i = 0; i < c->count; i++)
        if (modseq_of(c, i) > highest)
            highest = modseq_of(c, i);
    return highest;
}

/* search-return-data, after a space each; nothing found: no MIN, MAX, ALL. */
static void write_esearch(struct imap_session *s, const struct search_command *c)
{
    struct buf *out = conn_out(s->conn);
    unsigned returns = c->args.returns;

    buf_add(out, SLICE("* ESEARCH (TAG "));
    imap_write_string(out, s->tag);
    buf_add_char(out, ')');
    if (s->by_uid)
        buf_add(out, SLICE(" UID"));
    if ((returns & RETURN_MIN) && c->count > 0) {
        buf_add(out, SLICE(" MIN "));
        buf_add_u64(out, number_of(s, c, 0));
    }
    if ((returns & RETURN_MAX) && c->count > 0) {
        buf_add(out, SLICE(" MAX "));
        buf_add_u64(out, number_of(s, c, c->count - 1));
    }
    if ((returns & RETURN_ALL) && c->count > 0) {
        struct imap_set_writer w = {.out = out};
        buf_add(out, SLICE(" ALL "));
        for (size_t i = 0; i < c->count; i++)
            imap_set_writer_add(&w, number_of(s, c, i), number_of(s, c, i));
        imap_set_writer_end(&w);
    }
    if (returns & RETURN_COUNT) {
        buf_add(out, SLICE(" COUNT "));
        buf_add_u64(out, c->count);
    }
    if (c->args.modseq && c->count > 0) {
        buf_add(out, SLICE(" MODSEQ "));
        buf_add_u64(out, highest_modseq(c));
    }
    buf_add(out, SLICE("\r\n"));
}

/* mailbox-data =/ "SEARCH" [1*(SP nz-number) SP "(" "MODSEQ" SP mod-sequence-value ")"]; false: call again */
static bool write_search(struct imap_session *s, struct search_command *c)
{
    struct buf *out = conn_out(s->conn);

    if (!c->begun)
        buf_add(out, SLICE("* SEARCH"));
    c->begun = true;
    while (c->at < c->count) {
        if (conn_is_full(s->conn))
            return false;
        buf_add_char(out, ' ');
        buf_add_u64(out, number_of(s, c, c->at++));
    }
    if (c->args.modseq && c->count > 0) {
        buf_add(out, SLICE(" (MODSEQ "));
        buf_add_u64(out, highest_modseq(c));
        buf_add_char(out, ')');
    }
    buf_add(out, SLICE("\r\n"));
    return true;
}

static enum turn search_step(struct imap_session *s)
{
    struct search_command *c = s->step_data;
    struct fail why;

    if (!c->finished) {
        switch (search_continue(c->run, BUDGET_MS, &c->found, &c->count, &why)) {
        case 0: return TURN_AGAIN;
        case 1: c->finished = true; break;
        default: imap_no_because(s, &why); return TURN_PARK;
        }
    }
    if (c->args.returns != 0)
        write_esearch(s, c);
    else if (!write_search(s, c))
        return TURN_MORE;
    imap_ok(s, "Searched");
    return TURN_PARK;
}

void imap_search(struct imap_session *s, struct imap_reader *args)
{
    struct search_command *c = arena_new(&s->arena, struct search_command);

    if (c == NULL || !imap_unpark(s)) {
        imap_no(s, "[UNAVAILABLE] The mailbox cannot be searched now");
        return;
    }
    uint32_t count = view_count(s->box.view);
    struct search_scope scope = {
        .messages = count,
        .last_uid = count > 0 ? view_at(s->box.view, count - 1).uid : 0,
        .recent = s->box.recent.ranges,
        .recent_count = s->box.recent.count,
    };
    c->args = search_args_read(args, &scope);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (c->args.bad_charset) {
        imap_no(s, "[BADCHARSET (US-ASCII UTF-8 ISO-8859-1 WINDOWS-1252)] That charset is not known");
        return;
    }
    if (c->args.modseq)
        imap_enable_condstore(s);
    c->view = view_ref(s->box.view);
    s->step_data = c;
    s->cleanup = end_search;
    c->run = search_start(s->box.account, s->box.mailbox, c->view, c->args.tree, &s->arena);
    s->step = search_step;
}
