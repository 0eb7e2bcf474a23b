/*
 * imap/scope.h - which mailboxes? "personal", "subtree X", "mailboxes (A B)" ...
 *
 * Layer: imap; inside the room only.  filter-mailboxes of RFC 5465 section 6, with RFC 7377's subtree-one;
 * NOTIFY and ESEARCH read it.
 */
#ifndef IMAP_SCOPE_H
#define IMAP_SCOPE_H

#include "imap/session.h"

enum imap_scope_kind {
    SCOPE_SELECTED,
    SCOPE_SELECTED_DELAYED, /* NOTIFY only */
    SCOPE_INBOXES,          /* those that mail is delivered to: all of one's own, as filters may choose any */
    SCOPE_PERSONAL,         /* all of one's own */
    SCOPE_SUBSCRIBED,
    SCOPE_SUBTREE,     /* `names` and all below them; "": all of one's own */
    SCOPE_SUBTREE_ONE, /* `names` and the next level below them; ESEARCH only */
    SCOPE_MAILBOXES,   /* `names` */
};

struct imap_scope {
    enum imap_scope_kind kind;
    struct slice        *names; /* in the arena, as the client calls them */
    size_t               count;
};

/* One filter-mailboxes; where a kind is not to be had, the caller says so. */
struct imap_scope imap_read_scope(struct imap_reader *r);

/*
 * Is a mailbox of that name one of them, apart from `selected`?  `own`: it is in the account of who is logged
 * in.  Names in the spelling of imap_target.name; those of the scope should have been made so (mailbox_name_check).
 */
bool imap_scope_has(const struct imap_scope *scope, struct slice name, bool own, bool subscribed);

#endif
