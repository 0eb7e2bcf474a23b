/*
 * imap/notify.h - a client says what it wants to hear of (NOTIFY).
 *
 * Layer: imap; inside the room only.  RFC 5465.  A session that has used NOTIFY
 * hears of changes between commands too, and of mailboxes that are not selected.
 * What happened comes from journals that the store keeps, one for each account
 * with mailboxes of interest; it is matched with the client's filters when told.
 */
#ifndef IMAP_NOTIFY_H
#define IMAP_NOTIFY_H

#include "imap/fetch.h"
#include "imap/session.h"

enum {
    NOTIFY_MESSAGES = WATCH_NEW | WATCH_GONE | WATCH_FLAGS,
    NOTIFY_NAMES = WATCH_MADE | WATCH_DELETED | WATCH_RENAMED | WATCH_RIGHTS,
    NOTIFY_SERVER_METADATA = 1 << 16,
};

enum notify_filter { NOTIFY_PERSONAL, NOTIFY_SUBSCRIBED, NOTIFY_SUBTREE, NOTIFY_MAILBOXES };

struct notify_group {
    enum notify_filter   filter;
    struct slice        *names; /* as the client calls them; the last two filters */
    size_t               count;
    bool                *known;  /* of each name: the client has been able to look it up; NULL: of none */
    unsigned             events; /* watch_kind and NOTIFY_ bits */
    struct notify_group *next;
};

struct notify_account {
    struct watch_journal   journal;
    struct account        *account;
    struct notify_account *next;
};

struct imap_notify {
    struct arena          arena; /* groups and items */
    struct notify_group  *groups;
    unsigned              selected; /* message events wanted of the selected mailbox */
    bool                  delayed;  /* SELECTED-DELAYED */
    bool                  status;   /* asked for in the command */
    struct fetch_args     items;    /* MessageNew's */
    struct notify_account *accounts;

    /* being told */
    struct watch_event   *events;
    size_t                count, cap;
    size_t                at, telling; /* so many of them, in two rounds */
    bool                  overflowed;
    bool                  look;  /* something may have happened to the selected mailbox */
    struct uid_set        own;   /* new messages in it that came from this session */
    struct fetch         *fetch;
};

void imap_notify_free(struct imap_notify **n);

/* Has it used NOTIFY?  Then what it wants of the selected mailbox: WATCH_ bits; else all of them. */
struct imap_notify *imap_notify_of(const struct imap_session *s);
unsigned imap_notify_wants(const struct imap_session *s);
/* A mailbox was selected: it may be another account's. */
void imap_notify_selected(struct imap_session *s);
/* Is there anything to tell?  Cheap. */
bool imap_notify_due(const struct imap_session *s);
/*
 * Tells it; `expunges`: where SELECTED-DELAYED allows them (IDLE).  false: call again when output has
 * drained.  May end the session (s->closing).
 */
bool imap_notify_tell(struct imap_session *s, bool expunges);
/* Takes what the journals have; of new messages it must be known which are the session's own. */
void imap_notify_collect(struct imap_session *s);
/* The items of MessageNew for what was added to the view; false: call again. */
bool imap_notify_fetch(struct imap_session *s, const struct imap_news *news);
/* Around each turn: what the session does itself is not told. */
void imap_notify_enter(struct imap_session *s);
void imap_notify_leave(struct imap_session *s);

/* ---- notify_tell.c ---- */

/* What is wanted of a mailbox, by the client's name for it; events of all groups that match. */
unsigned notify_events_of(const struct imap_notify *n, struct slice name, bool personal, bool subscribed);
/* One event, as lines; nothing if it is not wanted. */
void notify_tell_event(struct imap_session *s, struct account *a, const struct watch_event *e);
/* "* STATUS name (...)" for those of `kinds` that happened; info.name is its owner's, as everywhere. */
void notify_write_status(struct imap_session *s, struct account *a, struct mailbox_info info,
                         unsigned kinds, bool all);

#endif
