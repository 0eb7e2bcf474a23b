/*
 * imap/multisearch.c - ESEARCH: one search in many mailboxes.
 *
 * Layer: imap.  RFC 7377.  The program is read once to see that it is well-formed, and again for each mailbox,
 * for which its numbers, "*" and RECENT mean something else.
 */
#include "base/clock.h"
#include "base/fail.h"
#include "imap/comparator.h"
#include "imap/context.h"
#include "imap/filters.h"
#include "imap/limit.h"
#include "imap/saved.h"
#include "imap/scope.h"
#include "imap/target.h"

enum { BUDGET_MS = 8, SCOPES_MAX = 100 };

struct place {
    struct account *account; /* counted */
    uint64_t mailbox;
    struct slice name; /* the client's */
    bool selected;
};

struct multisearch {
    struct imap_scope scopes[SCOPES_MAX];
    size_t scope_count;
    struct imap_reader program; /* stands before the space before RETURN, CHARSET or the first key */
    struct search_args args;
    struct imap_context *context; /* UPDATE's */

    struct place *places;
    size_t place_count, place_cap, at;
    size_t others; /* those that the source now looked at did not bring: it brings none twice */

    /* The mailbox that is looked at. */
    struct view *view;
    struct search_run *run;
    struct uid_range recent;
    struct esearch answer;
    bool finished;
};

static void end_mailbox(struct multisearch *m)
{
    search_end(&m->run);
    view_release(&m->view);
    m->finished = false;
}

static void end_multisearch(struct imap_session *s)
{
    struct multisearch *m = s->step_data;

    end_mailbox(m);
    imap_context_drop(&m->context);
    for (size_t i = 0; i < m->place_count; i++)
        account_release(&m->places[i].account);
}

/* ---- arguments ---- */

/* esearch-source-opts = "IN" SP "(" filter-mailboxes *(SP filter-mailboxes) [SP "(" scope-options ")"] ")" */
static void read_sources(struct imap_reader *r, struct multisearch *m)
{
    imap_expect_space(r);
    imap_expect(r, '(');
    do {
        if (m->scope_count > 0 && imap_peek(r) == '(')
            imap_fail(r, "no scope options, as none are known");
        if (m->scope_count == SCOPES_MAX)
            imap_fail(r, "at most 100 sources");
        if (r->failed)
            return;
        m->scopes[m->scope_count] = imap_read_scope(r);
        if (m->scopes[m->scope_count++].kind == SCOPE_SELECTED_DELAYED)
            imap_fail(r, "selected");
    } while (imap_accept(r, ' '));
    imap_expect(r, ')');
}

static bool only_selected(const struct multisearch *m)
{
    for (size_t i = 0; i < m->scope_count; i++)
        if (m->scopes[i].kind != SCOPE_SELECTED)
            return false;
    return true;
}

static bool has_selected(const struct multisearch *m)
{
    for (size_t i = 0; i < m->scope_count; i++)
        if (m->scopes[i].kind == SCOPE_SELECTED)
            return true;
    return false;
}

/* RFC 7377 section 2.2; false: answered BAD. */
static bool check_state(struct imap_session *s, const struct multisearch *m)
{
    if (has_selected(m) && s->state != IMAP_SELECTED) {
        imap_bad(s, "Expected a selected mailbox, or IN with others");
        return false;
    }
    if ((m->args.options.returns & RETURN_SAVE) && !only_selected(m)) {
        imap_bad(s, "Expected no source but selected with SAVE");
        return false;
    }
    if ((m->args.options.returns & RETURN_UPDATE) && s->state != IMAP_SELECTED) {
        imap_bad(s, "Expected a selected mailbox with UPDATE");
        return false;
    }
    return true;
}

/* ---- where ---- */

static bool add_place(struct imap_session *s, struct multisearch *m, struct account *a, const struct mailbox_info *info,
                      struct slice name)
{
    bool selected = s->state == IMAP_SELECTED && a == s->box.account && info->id == s->box.mailbox;

    if (info->no_select)
        return true;
    for (size_t i = 0; i < m->others; i++)
        if (m->places[i].account == a && m->places[i].mailbox == info->id)
            return true;
    if (m->place_count == m->place_cap) {
        size_t cap = m->place_cap == 0 ? 16 : m->place_cap * 2;
        struct place *grown = arena_new_array(&s->arena, struct place, cap);
        if (grown == NULL)
            return false;
        if (m->place_count > 0)
            memcpy(grown, m->places, m->place_count * sizeof *grown);
        m->places = grown;
        m->place_cap = cap;
    }
    m->places[m->place_count++] = (struct place){
        .account = account_ref(a),
        .mailbox = info->id,
        .name = arena_keep(&s->arena, name),
        .selected = selected,
    };
    return true;
}

/* All mailboxes of an account that the scope has and the client may look up and read. */
static bool add_of_account(struct imap_session *s, struct multisearch *m, const struct imap_scope *scope,
                           struct account *a, struct fail *why)
{
    const struct mailbox_list *list;
    struct slice me = imap_my_address(s);
    bool own = a == s->account, ok = true;

    if (!mailbox_list(a, &list, why))
        return false;
    m->others = m->place_count;
    for (size_t i = 0; ok && i < list->count; i++) {
        const struct mailbox_info *info = &list->items[i];
        enum { NEEDED = RIGHT_LOOKUP | RIGHT_READ };
        struct slice name = own ? info->name : imap_name_of(s, a, info->name);
        if (imap_scope_has(scope, name, own, own && info->subscribed) &&
            (imap_rights_in(s, a, info, me) & NEEDED) == NEEDED)
            ok = add_place(s, m, a, info, name) || fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many mailboxes");
    }
    mailbox_list_release(&list);
    return ok;
}

/* One that is named; that it is not there or not to be read is not said (section 2.2, last paragraph). */
static bool add_named(struct imap_session *s, struct multisearch *m, struct slice name, unsigned rights,
                      struct imap_target *found, struct fail *why)
{
    struct fail local;

    if (!imap_find(s, name, rights, found, &local)) {
        *found = (struct imap_target){0};
        return local.kind == FAIL_PERM || fail_set(why, local.kind, local.reason, "%s", local.text);
    }
    m->others = m->place_count;
    return add_place(s, m, found->account, &found->info, found->name) ||
           fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many mailboxes");
}

static bool add_subtrees(struct imap_session *s, struct multisearch *m, struct imap_scope *scope, struct fail *why)
{
    for (size_t i = 0; i < scope->count; i++) {
        struct imap_scope one = {.kind = scope->kind, .names = &scope->names[i], .count = 1};
        struct imap_target top = {.account = s->account};
        struct fail local;
        if (scope->names[i].len > 0) {
            if (!imap_find(s, scope->names[i], RIGHT_LOOKUP, &top, &local)) {
                if (local.kind == FAIL_TEMP)
                    return fail_set(why, local.kind, local.reason, "%s", local.text);
                continue;
            }
            scope->names[i] = top.name; /* as it is spelled in the list */
        }
        if (!add_of_account(s, m, &one, top.account, why))
            return false;
    }
    return true;
}

/* Those of others that one has subscribed to are subscriptions without a mailbox of one's own. */
static bool add_subscribed_of_others(struct imap_session *s, struct multisearch *m, struct fail *why)
{
    const struct mailbox_list *list;
    struct imap_target found;
    bool ok = true;

    if (!mailbox_list(s->account, &list, why))
        return false;
    for (size_t i = 0; ok && i < list->subscribed_only_count; i++)
        if (slice_starts(list->subscribed_only[i], IMAP_SHARED))
            ok = add_named(s, m, list->subscribed_only[i], RIGHT_LOOKUP | RIGHT_READ, &found, why);
    mailbox_list_release(&list);
    return ok;
}

static bool add_scope(struct imap_session *s, struct multisearch *m, struct imap_scope *scope, struct fail *why)
{
    struct mailbox_info info;
    struct imap_target found;

    m->others = m->place_count;
    switch (scope->kind) {
    case SCOPE_SELECTED:
        return mailbox_get(s->box.account, s->box.mailbox, &s->arena, &info, why) &&
               (add_place(s, m, s->box.account, &info, imap_name_of(s, s->box.account, info.name)) ||
                fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many mailboxes"));
    case SCOPE_SELECTED_DELAYED: return true;
    case SCOPE_INBOXES:
    case SCOPE_PERSONAL: return add_of_account(s, m, scope, s->account, why);
    case SCOPE_SUBSCRIBED:
        return add_of_account(s, m, scope, s->account, why) && add_subscribed_of_others(s, m, why);
    case SCOPE_SUBTREE:
    case SCOPE_SUBTREE_ONE: return add_subtrees(s, m, scope, why);
    case SCOPE_MAILBOXES: break;
    }
    for (size_t i = 0; i < scope->count; i++)
        if (!add_named(s, m, scope->names[i], RIGHT_READ, &found, why))
            return false;
    return true;
}

/* ---- one mailbox after the other ---- */

static struct search_scope scope_of(struct imap_session *s, struct multisearch *m, const struct place *p,
                                    uint32_t first_recent)
{
    uint32_t count = view_count(m->view);

    if (p->selected) {
        struct search_scope scope = search_scope_selected(s);
        scope.any_number = true;
        return scope;
    }
    m->recent = (struct uid_range){first_recent, UINT32_MAX};
    return (struct search_scope){
        .messages = count,
        .last_uid = count > 0 ? view_at(m->view, count - 1).uid : 0,
        .recent = &m->recent,
        .recent_count = 1,
        .now = clock_now(),
        .collation = imap_collation(s),
        .foreign = p->account == s->account ? 0 : account_id(p->account),
        .uid_only = (s->enabled & IMAP_UIDONLY) != 0,
        .any_number = true,
        .filter = imap_filter_find,
        .session = s,
    };
}

static struct slice written_name(struct imap_session *s, struct slice name)
{
    struct buf b;

    buf_init(&b, 64 * 1024);
    imap_write_mailbox(s, &b, name);
    struct slice kept = arena_keep(&s->arena, buf_slice(&b));
    buf_finish(&b);
    return kept;
}

/* false: the mailbox is gone, or cannot be read now (*why). */
static bool begin_mailbox(struct imap_session *s, struct multisearch *m, struct fail *why)
{
    const struct place *p = &m->places[m->at];
    struct imap_reader again = m->program;
    uint32_t first_recent = 0;

    if (p->selected)
        m->view = view_ref(s->box.view);
    else if (!imap_open_view(s, p->account, p->mailbox, false, &m->view, &first_recent, why))
        return false;
    struct search_scope scope = scope_of(s, m, p, first_recent);
    struct search_args args = search_args_read(&again, &scope);
    if (again.failed) /* a filter has changed meanwhile, or there is no more room */
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "The search became too large");
    m->answer = (struct esearch){
        .options = m->args.options,
        .tag = s->tag,
        .uid = true,
        .view = m->view,
        .modseq = args.modseq,
        .mailbox = written_name(s, p->name),
        .uidvalidity = view_uidvalidity(m->view),
    };
    m->run = search_start(p->account, p->mailbox, m->view, args.tree, &s->arena);
    if (p->selected)
        imap_limit_search(s, m->run, args.tree);
    return true;
}

/* What SAVE and UPDATE do, of the selected mailbox; false: answered. */
static bool keep(struct imap_session *s, struct multisearch *m)
{
    struct imap_spans kept;

    if (!m->places[m->at].selected || !(m->args.options.returns & RETURN_SAVE))
        return true;
    if (esearch_saves(&m->answer, &s->arena, &kept) && imap_saved_set(s, &kept))
        return true;
    imap_saved_clear(s);
    imap_no(s, "[NOTSAVED] Too many ranges of messages to be saved");
    return false;
}

static void failed(struct imap_session *s, const struct multisearch *m, const struct fail *why)
{
    if (m->args.options.returns & RETURN_SAVE)
        imap_saved_clear(s);
    imap_no_because(s, why);
}

static enum turn multisearch_step(struct imap_session *s)
{
    struct multisearch *m = s->step_data;
    struct fail why;

    for (; m->at < m->place_count; m->at++, end_mailbox(m)) {
        if (m->run == NULL) {
            if (conn_turn_over(s->conn))
                return TURN_AGAIN;
            if (!begin_mailbox(s, m, &why)) {
                if (why.reason == FAIL_NOT_FOUND)
                    continue;
                failed(s, m, &why);
                return TURN_PARK;
            }
        }
        if (!m->finished) {
            switch (search_continue(m->run, BUDGET_MS, &m->answer.found, &m->answer.count, &why)) {
            case 0: imap_in_progress(s, m->at, m->place_count); return TURN_AGAIN;
            case 1: m->finished = true; m->answer.scores = search_scores(m->run); break;
            default: failed(s, m, &why); return TURN_PARK;
            }
            if (!keep(s, m))
                return TURN_PARK;
        }
        if (m->answer.count > 0 && !esearch_write(s, &m->answer))
            return TURN_MORE;
        if (m->places[m->at].selected)
            imap_context_begin(s, &m->context, &m->answer);
    }
    imap_ok(s, "Searched");
    return TURN_PARK;
}

/*
 * esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program      RFC 7377 section 4
 */
void imap_esearch(struct imap_session *s, struct imap_reader *args)
{
    struct multisearch *m = arena_new(&s->arena, struct multisearch);
    struct search_scope any = {
        .any_number = true, .uid_only = (s->enabled & IMAP_UIDONLY) != 0, .filter = imap_filter_find, .session = s};
    struct fail why;

    if (m == NULL || (s->state == IMAP_SELECTED && !imap_unpark(s))) {
        imap_no(s, "[UNAVAILABLE] The mailboxes cannot be searched now");
        return;
    }
    m->program = *args;
    imap_expect_space(args);
    if (imap_accept_word(args, "IN")) {
        read_sources(args, m);
        m->program = *args;
    } else {
        m->scopes[m->scope_count++].kind = SCOPE_SELECTED;
        *args = m->program;
    }
    m->args = search_args_read(args, &any);
    if (!args->failed && !check_state(s, m))
        return;
    if (!search_args_accept(s, args, &m->args) || !search_charset_allowed(s, &m->args))
        return;
    s->by_uid = true; /* the answers are UIDs, so may everything else be */
    if (!imap_context_prepare(s, &m->args, &m->context))
        return;
    if (m->args.options.returns == 0)
        m->args.options.returns = RETURN_ALL;
    s->step_data = m;
    s->cleanup = end_multisearch;
    for (size_t i = 0; i < m->scope_count; i++) {
        if (!add_scope(s, m, &m->scopes[i], &why)) {
            failed(s, m, &why);
            return;
        }
    }
    s->step = multisearch_step;
}
