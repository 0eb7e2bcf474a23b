/*
 * imap/notify.c - NOTIFY, and when its answers are told.
 *
 * Layer: imap.  RFC 5465.
 */
#include "imap/notify.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/fail.h"
#include "imap/lasting.h"
#include "imap/target.h"

enum {
    ARENA_MAX = 256 * 1024, /* of one client's filters */
    NAMES_MAX = 1000,       /* mailboxes named in one command */
    EVENTS_MAX = 2000,      /* that wait to be told */
};

static void stop_listening(struct notify_account *a)
{
    watch_journal_end(&a->journal);
    account_release(&a->account);
    free(a);
}

void imap_notify_free(struct imap_notify **np)
{
    struct imap_notify *n = *np;

    *np = NULL;
    if (n == NULL)
        return;
    while (n->accounts != NULL) {
        struct notify_account *a = n->accounts;
        n->accounts = a->next;
        stop_listening(a);
    }
    imap_fetch_end(&n->fetch);
    watch_events_free(&n->events, n->count);
    uid_set_finish(&n->own);
    arena_finish(&n->arena);
    free(n);
}

struct imap_notify *imap_notify_of(const struct imap_session *s)
{
    return s->lasting != NULL ? s->lasting->notify : NULL;
}

unsigned imap_notify_wants(const struct imap_session *s)
{
    const struct imap_notify *n = imap_notify_of(s);

    return n != NULL ? n->selected : NOTIFY_MESSAGES;
}

/* ---- arguments ---- */

struct reading {
    struct imap_reader *r;
    struct imap_notify *n;
    const char *bad;    /* what is wrong though the syntax is right: BAD */
    bool unsupported;   /* an event nobody tells of: NO [BADEVENT ...] */
    bool has_selected;  /* SELECTED or SELECTED-DELAYED was there */
    unsigned names;
};

/* one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")" */
static void read_names(struct reading *g, struct notify_group *group)
{
    struct imap_reader *r = g->r;
    size_t cap = 0;

    imap_expect_space(r);
    bool several = imap_accept(r, '(');
    do {
        struct slice name = imap_read_mailbox(r);
        if (group->count == cap && !r->failed) {
            size_t more = cap == 0 ? 4 : cap * 2;
            struct slice *grown = arena_new_array(r->arena, struct slice, more);
            if (grown == NULL) {
                imap_fail(r, "fewer mailboxes");
                return;
            }
            if (cap > 0)
                memcpy(grown, group->names, cap * sizeof(*grown));
            group->names = grown;
            cap = more;
        }
        if (r->failed)
            return;
        group->names[group->count++] = name;
        g->names++;
    } while (several && imap_accept(r, ' '));
    if (several)
        imap_expect(r, ')');
}

/*
 * event         = message-event / mailbox-event / user-event / event-ext
 * message-event = "MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"] / "MessageExpunge" / "FlagChange" /
 *                 "AnnotationChange"
 */
static unsigned read_event(struct reading *g, bool selected)
{
    static const struct {
        const char *name;
        unsigned bits;
    } events[] = {
        {"MessageNew", WATCH_NEW},
        {"MessageExpunge", WATCH_GONE},
        {"FlagChange", WATCH_FLAGS},
        {"MailboxName", NOTIFY_NAMES},
        {"SubscriptionChange", WATCH_SUBSCRIBED},
        {"MailboxMetadataChange", WATCH_METADATA},
        {"ServerMetadataChange", NOTIFY_SERVER_METADATA},
    };
    struct slice name = imap_read_atom(g->r);
    unsigned bits = 0;

    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (slice_eq_nocase(name, slice_of(events[i].name)))
            bits = events[i].bits;
    if (bits == 0)
        g->unsupported = true;
    if (selected && (bits & ~(unsigned)NOTIFY_MESSAGES))
        g->bad = "Expected only events of messages with SELECTED";
    if (bits == WATCH_NEW && slice_starts(slice_from(g->r->text, g->r->at), SLICE(" ("))) {
        imap_expect_space(g->r);
        if (!selected)
            g->bad = "Expected items of MessageNew only with SELECTED";
        g->n->items = (struct fetch_args){0};
        fetch_items_read(g->r, &g->n->items);
    }
    return bits;
}

/* events = "(" event *(SP event) ")" / "NONE"; without the parentheses too, as in the RFC's example */
static unsigned read_events(struct reading *g, bool selected)
{
    unsigned bits = 0;

    imap_expect_space(g->r);
    if (imap_accept_word(g->r, "NONE"))
        return 0;
    bool list = imap_accept(g->r, '(');
    do
        bits |= read_event(g, selected);
    while (imap_accept(g->r, ' '));
    if (list)
        imap_expect(g->r, ')');
    bool pair = (bits & WATCH_NEW) && (bits & WATCH_GONE);
    if (!pair && (bits & NOTIFY_MESSAGES))
        g->bad = "Expected MessageNew and MessageExpunge together, and FlagChange only with both";
    return bits;
}

/*
 * event-group      = "(" filter-mailboxes SP events ")"
 * filter-mailboxes = "selected" / "selected-delayed" / "inboxes" / "personal" / "subscribed" /
 *                    "subtree" SP one-or-more-mailbox / "mailboxes" SP one-or-more-mailbox
 */
static void read_group(struct reading *g, struct notify_group ***tail)
{
    struct imap_reader *r = g->r;

    imap_expect(r, '(');
    bool delayed = imap_accept_word(r, "SELECTED-DELAYED");
    if (delayed || imap_accept_word(r, "SELECTED")) {
        if (g->has_selected)
            g->bad = "Expected SELECTED or SELECTED-DELAYED once";
        g->has_selected = true;
        g->n->delayed = delayed;
        g->n->selected = read_events(g, true) & NOTIFY_MESSAGES;
        imap_expect(r, ')');
        return;
    }
    struct notify_group *group = arena_new(r->arena, struct notify_group);
    if (group == NULL) {
        imap_fail(r, "fewer groups");
        return;
    }
    if (imap_accept_word(r, "PERSONAL") || imap_accept_word(r, "INBOXES"))
        group->filter = NOTIFY_PERSONAL; /* mail may be delivered to any of them: section 6.3 */
    else if (imap_accept_word(r, "SUBSCRIBED"))
        group->filter = NOTIFY_SUBSCRIBED;
    else if (imap_accept_word(r, "SUBTREE"))
        group->filter = NOTIFY_SUBTREE;
    else if (imap_accept_word(r, "MAILBOXES"))
        group->filter = NOTIFY_MAILBOXES;
    else
        imap_fail(r, "SELECTED, SELECTED-DELAYED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE or MAILBOXES");
    if (group->filter == NOTIFY_SUBTREE || group->filter == NOTIFY_MAILBOXES)
        read_names(g, group);
    group->events = read_events(g, false);
    imap_expect(r, ')');
    **tail = group;
    *tail = &group->next;
}

/*
 * notify     = "NOTIFY" SP (notify-set / "NONE")
 * notify-set = "SET" [SP "STATUS"] SP event-group *(SP event-group)     RFC 5465 section 8
 */
static void read_notify(struct reading *g)
{
    struct notify_group **tail = &g->n->groups;

    imap_expect_space(g->r);
    if (!imap_accept_word(g->r, "NONE")) {
        if (!imap_accept_word(g->r, "SET"))
            imap_fail(g->r, "SET or NONE");
        imap_expect_space(g->r);
        g->n->status = imap_accept_word(g->r, "STATUS");
        if (g->n->status)
            imap_expect_space(g->r);
        do
            read_group(g, &tail);
        while (imap_accept(g->r, ' '));
    }
    imap_expect_end(g->r);
}

/* ---- what is listened to ---- */

static void listen_to(struct imap_session *s, struct imap_notify *n, struct account *account)
{
    struct notify_account *a;

    for (a = n->accounts; a != NULL; a = a->next)
        if (a->account == account)
            return;
    a = xcalloc(1, sizeof(*a));
    a->account = account_ref(account);
    a->next = n->accounts;
    n->accounts = a;
    watch_journal_begin(&a->journal, account, s->waker);
    watch_journal_enter(&a->journal); /* this turn's: left with it */
}

void imap_notify_selected(struct imap_session *s)
{
    struct imap_notify *n = imap_notify_of(s);

    if (n == NULL)
        return;
    uid_set_finish(&n->own);
    if (n->selected == 0)
        return;
    listen_to(s, n, s->box.account);
    n->look = true; /* for what came since it was opened */
}

/* Mailboxes of others, as far as they are named.  One that may be known of but not read: \NoAccess. */
static void listen_to_named(struct imap_session *s, struct imap_notify *n)
{
    for (struct notify_group *g = n->groups; g != NULL; g = g->next) {
        g->known = arena_new_array(&n->arena, bool, g->count);
        for (size_t i = 0; i < g->count && g->known != NULL; i++) {
            struct imap_target target;
            struct fail why;
            if (!imap_find(s, g->names[i], RIGHT_LOOKUP, &target, &why))
                continue;
            g->known[i] = true;
            if (target.rights & RIGHT_READ) {
                listen_to(s, n, target.account);
            } else {
                struct imap_list_line line = {
                    .name = g->names[i], .info = &target.info, .more = "\\NoAccess "};
                imap_write_list_line(s, conn_out(s->conn), &line);
            }
        }
    }
}

void imap_notify_enter(struct imap_session *s)
{
    struct imap_notify *n = imap_notify_of(s);

    for (struct notify_account *a = n != NULL ? n->accounts : NULL; a != NULL; a = a->next)
        watch_journal_enter(&a->journal);
}

void imap_notify_leave(struct imap_session *s)
{
    struct imap_notify *n = imap_notify_of(s);

    for (struct notify_account *a = n != NULL ? n->accounts : NULL; a != NULL; a = a->next)
        watch_journal_leave(&a->journal);
}

/* ---- the command ---- */

struct set_command {
    const struct mailbox_list *list;
    size_t at;
    const struct notify_group *group; /* names of others' mailboxes */
    size_t name;
};

static void end_set(struct imap_session *s)
{
    struct set_command *c = s->step_data;

    mailbox_list_release(&c->list);
}

static void tell_status_of_named(struct imap_session *s, struct imap_notify *n, struct slice name)
{
    struct imap_target target;
    struct fail why;

    if (!imap_find(s, name, RIGHT_LOOKUP | RIGHT_READ, &target, &why) || target.account == s->account ||
        target.info.no_select)
        return;
    notify_write_status(s, target.account, target.info, notify_events_of(n, name, false, false), true);
}

/* STATUS of every mailbox with message events but the selected one (section 3.1). */
static enum turn set_step(struct imap_session *s)
{
    struct set_command *c = s->step_data;
    struct imap_notify *n = imap_notify_of(s);

    for (; c->at < c->list->count; c->at++) {
        const struct mailbox_info *info = &c->list->items[c->at];
        bool selected = s->state == IMAP_SELECTED && s->box.account == s->account && s->box.mailbox == info->id;
        if (conn_is_full(s->conn))
            return TURN_MORE;
        if (!selected && !info->no_select)
            notify_write_status(s, s->account, *info, notify_events_of(n, info->name, true, info->subscribed),
                                true);
    }
    for (; c->group != NULL; c->group = c->group->next, c->name = 0) {
        for (; c->name < c->group->count; c->name++) {
            if (conn_is_full(s->conn))
                return TURN_MORE;
            tell_status_of_named(s, n, c->group->names[c->name]);
        }
    }
    imap_ok(s, "You will hear of it");
    return TURN_PARK;
}

static void install(struct imap_session *s, struct imap_notify *n)
{
    struct imap_lasting *l = imap_lasting(s);
    struct set_command *c = arena_new(&s->arena, struct set_command);
    struct fail why;

    imap_notify_free(&l->notify);
    l->notify = n;
    if (n->groups != NULL)
        listen_to(s, n, s->account);
    listen_to_named(s, n);
    if (s->state == IMAP_SELECTED)
        imap_notify_selected(s);
    if (!n->status || c == NULL) {
        imap_ok(s, n->groups == NULL && n->selected == 0 ? "You will hear of nothing" : "You will hear of it");
        return;
    }
    c->group = n->groups;
    s->step_data = c;
    s->cleanup = end_set;
    if (mailbox_list(s->account, &c->list, &why))
        s->step = set_step;
    else
        imap_no_because(s, &why);
}

void imap_notify(struct imap_session *s, struct imap_reader *args)
{
    struct imap_notify *n = xcalloc(1, sizeof(*n));
    struct reading g = {.r = args, .n = n};

    arena_init(&n->arena, ARENA_MAX);
    args->text = arena_keep(&n->arena, args->text); /* what is read outlives the command */
    args->arena = &n->arena;
    read_notify(&g);
    if (args->failed)
        imap_bad_args(s, args);
    else if (g.bad != NULL)
        imap_bad(s, "%s", g.bad);
    else if (g.unsupported)
        imap_no(s, "[BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange"
                   " MailboxMetadataChange ServerMetadataChange)] Expected only these events");
    else if (g.names > NAMES_MAX)
        imap_no(s, "[NOTIFICATIONOVERFLOW] Expected at most %d mailboxes", (int)NAMES_MAX);
    if (s->answer.len == 0)
        install(s, n);
    else
        imap_notify_free(&n);
}

/* ---- when it is told ---- */

bool imap_notify_due(const struct imap_session *s)
{
    const struct imap_notify *n = imap_notify_of(s);

    if (n == NULL)
        return false;
    for (const struct notify_account *a = n->accounts; a != NULL; a = a->next)
        if (atomic_load(&a->journal.watch.marked))
            return true;
    return n->count > 0 || n->look || n->overflowed || n->fetch != NULL;
}

static bool is_selected(const struct imap_session *s, const struct account *a, uint64_t mailbox)
{
    return s->state == IMAP_SELECTED && s->box.account == a && s->box.mailbox == mailbox;
}

/* Own new messages come in order of their UIDs. */
static void note_own(struct imap_notify *n, const struct watch_event *e)
{
    const struct uid_range *end = n->own.count > 0 ? &n->own.ranges[n->own.count - 1] : NULL;

    for (uint32_t uid = e->first; uid <= e->last && uid != 0 && (end == NULL || uid > end->last); uid++)
        uid_set_add(&n->own, uid);
}

/* What is of messages in the selected mailbox is seen by looking at it; the rest is listed. */
static void sort_in(struct imap_session *s, struct imap_notify *n, struct account *a, struct watch_event *e)
{
    bool selected = is_selected(s, a, e->mailbox_id);

    if (selected && (e->kinds & NOTIFY_MESSAGES)) {
        n->look = true;
        if (e->own)
            note_own(n, e);
        return;
    }
    if (e->own || n->groups == NULL)
        return;
    if (n->count == EVENTS_MAX) {
        n->overflowed = true;
        return;
    }
    if (n->count == n->cap) {
        n->cap = n->cap == 0 ? 4 : n->cap * 2;
        n->events = xrealloc(n->events, n->cap * sizeof(*n->events));
    }
    n->events[n->count] = *e;
    n->events[n->count++].first = 0;
    e->name = NULL; /* ours now */
}

void imap_notify_collect(struct imap_session *s)
{
    struct imap_notify *n = imap_notify_of(s);

    for (struct notify_account *a = n != NULL ? n->accounts : NULL; a != NULL; a = a->next) {
        struct watch_event *events;
        bool overflowed;
        size_t count;
        if (!atomic_load(&a->journal.watch.marked))
            continue;
        count = watch_journal_take(&a->journal, &events, &overflowed);
        n->overflowed = n->overflowed || overflowed;
        for (size_t i = 0; i < count; i++)
            sort_in(s, n, a->account, &events[i]);
        watch_events_free(&events, count);
    }
}

/* Too much: as after NOTIFY NONE (section 5.8). */
static void give_up(struct imap_session *s, struct imap_notify *n)
{
    conn_write(s->conn, SLICE("* OK [NOTIFICATIONOVERFLOW] More happened than can be told\r\n"));
    watch_events_free(&n->events, n->count);
    n->count = n->cap = n->at = n->telling = 0;
    n->groups = NULL;
    n->selected = 0;
    n->overflowed = n->look = false;
    while (n->accounts != NULL) {
        struct notify_account *a = n->accounts;
        n->accounts = a->next;
        stop_listening(a);
    }
}

/* Names first, so that nothing is told of a mailbox by a name that the client has not heard. */
static bool tell_events(struct imap_session *s, struct imap_notify *n)
{
    if (n->at == 0)
        n->telling = n->count;
    while (n->at < 2 * n->telling) {
        if (conn_is_full(s->conn))
            return false;
        size_t i = n->at++;
        const struct watch_event *e = &n->events[i < n->telling ? i : i - n->telling];
        bool of_names = (e->kinds & (NOTIFY_NAMES | WATCH_SUBSCRIBED)) != 0;
        if (of_names == (i < n->telling))
            notify_tell_event(s, e->account, e);
    }
    for (size_t i = 0; i < n->telling; i++)
        free(n->events[i].name);
    n->count -= n->telling; /* more may have come meanwhile */
    if (n->count > 0)
        memmove(n->events, n->events + n->telling, n->count * sizeof(*n->events));
    n->at = n->telling = 0;
    return true;
}

bool imap_notify_tell(struct imap_session *s, bool expunges)
{
    struct imap_notify *n = imap_notify_of(s);

    if (n == NULL)
        bug("told of what was not asked for");
    if (s->news == NULL && n->at == 0) {
        imap_notify_collect(s);
        if (n->overflowed)
            give_up(s, n);
        if (n->look && n->selected != 0 && s->state == IMAP_SELECTED)
            s->news = imap_news_gather(s, (n->selected & WATCH_GONE) && (expunges || !n->delayed));
        n->look = false;
        if (s->closing)
            return true;
    }
    if (s->news != NULL) {
        if (!imap_news_tell(s, s->news))
            return false;
        s->news = NULL;
    }
    return s->closing || tell_events(s, n);
}

/* Those of the added that did not come from this session. */
static struct imap_spans foreign(struct imap_session *s, const struct imap_notify *n, uint32_t added)
{
    struct imap_spans out = {.items = arena_new_array(&s->arena, struct imap_span, (size_t)added)};
    uint32_t end = view_count(s->box.view);

    for (uint32_t i = end - added; i < end && out.items != NULL; i++) {
        if (uid_set_has(&n->own, view_at(s->box.view, i).uid))
            continue;
        if (out.count > 0 && out.items[out.count - 1].end == i)
            out.items[out.count - 1].end++;
        else
            out.items[out.count++] = (struct imap_span){i, i + 1};
    }
    return out;
}

bool imap_notify_fetch(struct imap_session *s, const struct imap_news *news)
{
    struct imap_notify *n = imap_notify_of(s);

    if (n == NULL || n->items.items == NULL || !(n->selected & WATCH_NEW) || news->diff.added == 0)
        return true;
    if (n->fetch == NULL) {
        imap_notify_collect(s);
        struct imap_spans spans = foreign(s, n, news->diff.added);
        if (spans.count == 0 || (n->fetch = imap_fetch_begin(s, n->items.items, spans)) == NULL)
            return true;
    }
    if (!imap_fetch_more(s, n->fetch))
        return false;
    imap_fetch_end(&n->fetch);
    return true;
}
