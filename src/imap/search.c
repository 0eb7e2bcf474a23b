/*
 * imap/search.c - SEARCH and UID SEARCH.
 *
 * Layer: imap.  RFC 3501 and RFC 9051 section 6.4.4, RFC 4731, RFC 5182, RFC 7162 section 3.1.5.
 */
#include "imap/comparator.h"
#include "imap/context.h"
#include "imap/limit.h"
#include "imap/filters.h"
#include "imap/saved.h"

#include "base/clock.h"
#include "base/fail.h"

enum { BUDGET_MS = 8 }; /* of a turn of ten */

struct search_command {
    struct search_args args;
    struct view *view;
    struct search_run *run;
    struct esearch answer;
    struct imap_context *context; /* UPDATE's, until it is begun */
    bool finished;
};

static void end_search(struct imap_session *s)
{
    struct search_command *c = s->step_data;

    search_end(&c->run);
    imap_context_drop(&c->context);
    view_release(&c->view);
}

static void search_failed(struct imap_session *s, const struct search_command *c, const struct fail *why)
{
    if (c->args.options.returns & RETURN_SAVE)
        imap_saved_clear(s);
    imap_no_because(s, why);
}

static void tell_progress(struct imap_session *s, const struct search_command *c)
{
    uint32_t done, total;

    search_progress(c->run, &done, &total);
    imap_in_progress(s, done, total);
}

static enum turn search_step(struct imap_session *s)
{
    struct search_command *c = s->step_data;
    struct fail why;

    if (!c->finished) {
        switch (search_continue(c->run, BUDGET_MS, &c->answer.found, &c->answer.count, &why)) {
        case 0: tell_progress(s, c); return TURN_AGAIN;
        case 1: c->finished = true; c->answer.scores = search_scores(c->run); break;
        default: search_failed(s, c, &why); return TURN_PARK;
        }
        if (!imap_saved_found(s, &c->answer))
            return TURN_PARK;
    }
    if (c->args.options.returns != 0 ? !esearch_write(s, &c->answer) : !esearch_write_plain(s, &c->answer, SLICE("SEARCH")))
        return TURN_MORE;
    imap_context_begin(s, &c->context, &c->answer);
    imap_ok(s, "Searched");
    return TURN_PARK;
}

struct search_scope search_scope_selected(struct imap_session *s)
{
    uint32_t count = view_count(s->box.view);

    return (struct search_scope){
        .messages = count,
        .last_uid = count > 0 ? view_at(s->box.view, count - 1).uid : 0,
        .recent = s->box.recent.ranges,
        .recent_count = s->box.recent.count,
        .saved = imap_saved_uids(s),
        .now = clock_now(),
        .collation = imap_collation(s),
        .foreign = imap_foreign(s),
        .uid_only = (s->enabled & IMAP_UIDONLY) != 0,
        .filter = imap_filter_find,
        .session = s,
    };
}

/* The command is refused with NO: RFC 5182 section 2.1. */
static bool refuse(struct imap_session *s, const struct search_args *args)
{
    if (args->options.returns & RETURN_SAVE)
        imap_saved_clear(s);
    return false;
}

bool search_args_accept(struct imap_session *s, const struct imap_reader *r, struct search_args *args)
{
    if (args->undefined.len > 0) {
        imap_no(s, "[UNDEFINED-FILTER " PRIslice "] There is no such filter, or it is not a search",
                SLICE_ARG(args->undefined));
        return refuse(s, args);
    }
    if (args->uid_required) {
        imap_bad(s, "[UIDREQUIRED] Expected UID before a set of numbers at byte %zu of the command", r->at + 1);
        return false;
    }
    if (r->failed) {
        imap_bad_args(s, r);
        return false;
    }
    /* RFC 5466 section 3.1. */
    if (args->filtered && args->charset.len > 0 && !slice_eq_nocase(args->charset, SLICE("UTF-8")) &&
        !slice_eq_nocase(args->charset, SLICE("US-ASCII"))) {
        imap_bad(s, "[BADCHARSET (US-ASCII UTF-8)] Expected CHARSET UTF-8 with FILTER");
        return false;
    }
    if (args->bad_charset) {
        imap_no(s, "[BADCHARSET (US-ASCII UTF-8 ISO-8859-1 WINDOWS-1252)] That charset is not known");
        return refuse(s, args);
    }
    if (args->modseq)
        imap_enable_condstore(s);
    return true;
}

bool search_charset_allowed(struct imap_session *s, const struct search_args *args)
{
    if (!(s->enabled & IMAP_UTF8) || args->charset.len == 0)
        return true;
    imap_bad(s, "Expected no CHARSET, as UTF8=ACCEPT is enabled: strings are UTF-8");
    return false;
}

void imap_search(struct imap_session *s, struct imap_reader *args)
{
    struct search_command *c = arena_new(&s->arena, struct search_command);

    if (c == NULL || !imap_unpark(s)) {
        imap_no(s, "[UNAVAILABLE] The mailbox cannot be searched now");
        return;
    }
    struct search_scope scope = search_scope_selected(s);
    c->args = search_args_read(args, &scope);
    if (!search_args_accept(s, args, &c->args) || !search_charset_allowed(s, &c->args))
        return;
    if (!imap_context_prepare(s, &c->args, &c->context))
        return;
    /* RFC 9051 section 6.4.4: always ESEARCH; without RETURN as if it were RETURN (ALL). */
    if (c->args.options.returns == 0 && (s->enabled & IMAP_REV2))
        c->args.options.returns = RETURN_ALL;
    c->view = view_ref(s->box.view);
    c->answer = (struct esearch){
        .options = c->args.options,
        .tag = s->tag,
        .uid = s->by_uid,
        .view = c->view,
        .modseq = c->args.modseq,
    };
    s->holds_gone = c->args.numbers;
    s->step_data = c;
    s->cleanup = end_search;
    c->run = search_start(s->box.account, s->box.mailbox, c->view, c->args.tree, &s->arena);
    imap_limit_search(s, c->run, c->args.tree);
    s->step = search_step;
}
