/*
 * imap/notify_tell.c - what happened, as the lines that NOTIFY promises.
 *
 * Layer: imap.  RFC 5465 sections 5 and 6.  Filters are asked when an event is told,
 * with the mailboxes, subscriptions and rights as they are then.
 */
#include "imap/notify.h"

#include "imap/metadata.h"
#include "imap/status.h"
#include "imap/target.h"

static bool is_below(struct slice name, struct slice top)
{
    return name.len > top.len && slice_starts(name, top) && name.ptr[top.len] == '/';
}

static bool matches(const struct notify_group *g, struct slice name, bool personal, bool subscribed)
{
    switch (g->filter) {
    case NOTIFY_PERSONAL: return personal;
    case NOTIFY_SUBSCRIBED: return subscribed;
    case NOTIFY_SUBTREE:
    case NOTIFY_MAILBOXES: break;
    }
    for (size_t i = 0; i < g->count; i++)
        if (slice_eq(name, g->names[i]) || (g->filter == NOTIFY_SUBTREE && is_below(name, g->names[i])))
            return true;
    return false;
}

unsigned notify_events_of(const struct imap_notify *n, struct slice name, bool personal, bool subscribed)
{
    unsigned events = 0;

    for (const struct notify_group *g = n->groups; g != NULL; g = g->next)
        if (matches(g, name, personal, subscribed))
            events |= g->events;
    return events;
}

/*
 * Sections 5.1 to 5.3 and 3.1: new and expunged messages give MESSAGES and UIDNEXT, flags UIDVALIDITY and
 * UNSEEN, all of them HIGHESTMODSEQ for those who know it; `all`: for the command, where some more is due.
 */
void notify_write_status(struct imap_session *s, struct account *a, struct mailbox_info info,
                         unsigned kinds, bool all)
{
    unsigned items = 0;
    struct fail why;

    if (kinds & (WATCH_NEW | WATCH_GONE))
        items |= STATUS_MESSAGES | STATUS_UIDNEXT | (all ? STATUS_UIDVALIDITY : 0);
    if (kinds & WATCH_FLAGS)
        items |= STATUS_UIDVALIDITY | STATUS_UNSEEN | (all ? STATUS_HIGHESTMODSEQ : 0);
    if (items == 0)
        return;
    if (s->enabled & IMAP_CONDSTORE)
        items |= STATUS_HIGHESTMODSEQ;
    (void)imap_write_status(s, a, &info, items, &why); /* what cannot be read now cannot be told of */
}

/*
 * Has the client, which named it, been able to look it up?  Who may not look a mailbox up does not learn that
 * it was there (RFC 4314 section 6), so not that it went either.
 */
static bool was_known(const struct imap_notify *n, struct slice name)
{
    for (const struct notify_group *g = n->groups; g != NULL; g = g->next)
        for (size_t i = 0; i < g->count && g->known != NULL; i++)
            if (g->known[i] && slice_eq(g->names[i], name))
                return true;
    return false;
}

static void note_known(const struct imap_notify *n, struct slice name, bool known)
{
    for (const struct notify_group *g = n->groups; g != NULL; g = g->next)
        for (size_t i = 0; i < g->count && g->known != NULL; i++)
            if (slice_eq(g->names[i], name))
                g->known[i] = known;
}

/* A mailbox, or the lack of one, as this client sees it. */
struct seen {
    struct slice name;
    struct mailbox_info info;
    bool exists, readable, personal, subscribed;
};

static bool is_subscribed(struct imap_session *s, struct slice name)
{
    const struct mailbox_list *l = NULL;
    struct fail why;
    bool found = false;

    if (!mailbox_list(s->account, &l, &why))
        return false;
    const struct mailbox_info *info = mailbox_in_list(l, name);
    for (size_t i = 0; i < l->subscribed_only_count && !found; i++)
        found = slice_eq(l->subscribed_only[i], name);
    found = found || (info != NULL && info->subscribed);
    mailbox_list_release(&l);
    return found;
}

static struct seen see(struct imap_session *s, struct account *a, struct slice name)
{
    struct seen m = {.name = name, .personal = a == s->account};
    struct imap_target target;
    struct fail why;

    m.subscribed = is_subscribed(s, name);
    m.exists = imap_find(s, name, RIGHT_LOOKUP, &target, &why);
    m.readable = m.exists && imap_find(s, name, RIGHT_LOOKUP | RIGHT_READ, &target, &why);
    if (m.exists)
        m.info = target.info;
    return m;
}

static unsigned wanted(struct imap_session *s, const struct seen *m)
{
    return notify_events_of(imap_notify_of(s), m->name, m->personal, m->subscribed);
}

static void list(struct imap_session *s, const struct seen *m, struct slice old, bool subscription)
{
    bool subscribed = subscription && m->subscribed, closed = m->exists && !m->readable;
    struct imap_list_line line = {
        .name = m->name,
        .old = old,
        .info = m->exists ? &m->info : NULL,
        .more = subscribed && closed ? "\\Subscribed \\NoAccess "
                : subscribed         ? "\\Subscribed "
                : closed             ? "\\NoAccess "
                                     : NULL,
    };

    imap_write_list_line(s, conn_out(s->conn), &line);
}

/* The level above has a child more or less: it is told too (section 5.4). */
static void list_parent(struct imap_session *s, struct account *a, struct slice name)
{
    size_t slash = slice_rfind_char(name, '/');

    if (slash == name.len)
        return;
    struct seen parent = see(s, a, slice_sub(name, 0, slash));
    if ((parent.personal || parent.exists) && (wanted(s, &parent) & NOTIFY_NAMES))
        list(s, &parent, SLICE(""), true);
}

/*
 * Is it for this client to know?  Another's mailbox that cannot be looked up is told of once, to whom could
 * before; of one that was deleted nobody knows any more who that was, so besides those who named it those
 * hear of it who may look up the level above.
 */
static bool may_know(struct imap_session *s, struct account *a, const struct watch_event *e, const struct seen *m)
{
    size_t slash = slice_rfind_char(m->name, '/');

    if (m->personal || m->exists || was_known(imap_notify_of(s), m->name))
        return true;
    return e->kinds == WATCH_DELETED && slash < m->name.len && see(s, a, slice_sub(m->name, 0, slash)).exists;
}

static void tell_name(struct imap_session *s, struct account *a, const struct watch_event *e, struct slice name)
{
    struct slice old = e->name != NULL ? imap_name_of(s, a, slice_of(e->name)) : SLICE("");
    struct seen m = see(s, a, e->kinds == WATCH_DELETED ? old : name);
    unsigned events = wanted(s, &m);

    if (e->kinds == WATCH_RIGHTS && m.personal)
        return; /* one's own rights are what they were */
    if (e->kinds == WATCH_RENAMED) {
        struct seen before = see(s, a, old);
        events |= wanted(s, &before);
    }
    if (!(events & NOTIFY_NAMES) || m.name.len == 0 || !may_know(s, a, e, &m))
        return;
    note_known(imap_notify_of(s), m.name, m.exists);
    list(s, &m, e->kinds == WATCH_RENAMED ? old : SLICE(""), true);
    if (e->kinds & (WATCH_MADE | WATCH_DELETED))
        list_parent(s, a, m.name);
}

static void tell_metadata(struct imap_session *s, struct account *a, const struct watch_event *e, struct slice name)
{
    uint64_t told = e->modseq - 1;
    struct fail why;

    if (e->mailbox_id == 0 && a != s->account)
        return; /* an account's own, by which every user has others */
    if (e->mailbox_id == 0) {
        for (const struct notify_group *g = imap_notify_of(s)->groups; g != NULL; g = g->next)
            if (g->events & NOTIFY_SERVER_METADATA) {
                (void)imap_metadata_tell_of(s, a, 0, SLICE(""), &told, &why);
                return;
            }
        return;
    }
    struct seen m = see(s, a, name);
    if (m.readable && (wanted(s, &m) & WATCH_METADATA))
        (void)imap_metadata_tell_of(s, a, e->mailbox_id, name, &told, &why);
}

void notify_tell_event(struct imap_session *s, struct account *a, const struct watch_event *e)
{
    struct mailbox_info info = {.id = 0};
    struct slice name = {0};
    struct fail why;

    if (e->kinds == WATCH_SUBSCRIBED) {
        struct seen m = see(s, a, slice_of(e->name));
        if (a == s->account && (wanted(s, &m) & WATCH_SUBSCRIBED))
            list(s, &m, SLICE(""), true);
        return;
    }
    if (e->mailbox_id != 0 && mailbox_get(a, e->mailbox_id, &s->arena, &info, &why))
        name = imap_name_of(s, a, info.name);
    else if (e->mailbox_id != 0 && e->kinds != WATCH_DELETED)
        return; /* gone meanwhile, of which another event tells */
    if (e->kinds & (NOTIFY_NAMES)) {
        tell_name(s, a, e, name);
    } else if (e->kinds == WATCH_METADATA) {
        tell_metadata(s, a, e, name);
    } else {
        struct seen m = see(s, a, name);
        unsigned events = wanted(s, &m), kinds = events & e->kinds;
        if (kinds != 0) /* new messages may be unseen ones: who cares for flags hears of that too */
            kinds |= events & WATCH_FLAGS;
        if (m.readable && !m.info.no_select)
            notify_write_status(s, a, m.info, kinds, false);
    }
}
