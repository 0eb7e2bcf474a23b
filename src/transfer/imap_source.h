/*
 * transfer/imap_source.h - mail from a running IMAP server.
 *
 * Layer: transfer.  Nothing is changed there: mailboxes are opened with EXAMINE, bodies fetched with BODY.PEEK[].
 *
 * Mailboxes are those of the user (other users' and shared ones by NAMESPACE only with `shared`), their hierarchy
 * delimiter becomes "/", a personal prefix such as "INBOX." goes.  UIDVALIDITY, UIDs, flags, keywords, internal dates,
 * subscriptions and special uses come along.  A second run fetches flags of all and bodies of those that the
 * keeper lacks.  A connection that breaks is opened again, with growing pauses, and goes on where it was; a message
 * at which it breaks twice, or that the server refuses to give, is left out.
 *
 * Gmail (X-GM-EXT-1): labels are mailboxes there, and "All Mail" holds everything once more.  Of that only what has no
 * other mailbox that is taken comes along, as Archive; Starred and Important, which are views, are passed over (\Flagged
 * and $Important say the same).  "[Gmail]/" in front of names goes.
 */
#ifndef TRANSFER_IMAP_SOURCE_H
#define TRANSFER_IMAP_SOURCE_H

#include "transfer/imap_link.h"
#include "transfer/transfer.h"

struct imap_source {
    struct imap_host    host;
    const struct slice *only, *skip; /* mailboxes by their names here, with what is below them; none: all, none */
    size_t              only_count, skip_count;
    bool                shared;      /* other users' and shared mailboxes too */
    struct slice        uidl_format; /* Dovecot's pop3_uidl_format of %u and %v, for INBOX; empty: none */
    struct body_limits  bodies;
    unsigned            tries;    /* of a connection without any progress; 0: 8 */
    unsigned            pause_ms; /* before the second try, doubled until 30 s; 0: 1000 */
    void (*say)(void *ctx, const char *text); /* for people: the connection broke ...; may be NULL */
    void *say_ctx;
};

/* A transfer_read; ctx is a const struct imap_source. */
bool imap_source_read(void *ctx, const struct transfer_into *into, struct fail *why);

/* "%08Xu%08Xv" and the like filled in; false if it holds what cannot be known over IMAP. */
bool imap_uidl_write(struct buf *out, struct slice format, uint32_t uid, uint32_t uidvalidity);

/* ---- among imap_source.c, imap_list.c and imap_fetch.c ---- */

struct imap_mailbox {
    struct slice     wire; /* as the server writes it */
    struct slice     name; /* as we do */
    enum special_use use;
    bool             subscribed, no_select, all_mail;
    uint64_t         messages; /* by STATUS */
};

/* What ended a step: done; the link (try again); the keeper, or something that no trying mends. */
enum imap_step { IMAP_STEP_DONE, IMAP_STEP_LINK, IMAP_STEP_FATAL };

struct imap_run {
    const struct imap_source   *source;
    const struct transfer_into *into;
    struct imap_link            link;
    struct arena                names; /* of the mailboxes */
    struct imap_mailbox        *mailboxes;
    size_t                      mailbox_count, mailbox_cap;
    const struct imap_mailbox  *selected; /* NULL: none, or not on this connection */
    uint32_t                    uidvalidity, uidnext, exists;
    bool                        gmail, was_open; /* was_open: there was a connection, which may have broken */
    uint64_t                    moved; /* grows with everything that came: a try that moved something is not in vain */
    uint64_t                    told, told_bytes, all;
};

/* Repeats `step` over new connections until it is done, or trying is in vain. */
bool imap_repeat(struct imap_run *r, enum imap_step (*step)(struct imap_run *r, void *ctx, struct fail *why), void *ctx, struct fail *why);
/* All mailboxes, into r->mailboxes. */
enum imap_step imap_list_all(struct imap_run *r, void *unused, struct fail *why);
/* Opens the mailbox on this connection, if it is not. *refused: the server will not. */
enum imap_step imap_source_examine(struct imap_run *r, const struct imap_mailbox *m, bool *refused, struct fail *why);
/* The messages of the mailbox that is open. *whole: nothing was left out. */
bool imap_tell_messages(struct imap_run *r, const struct imap_mailbox *m, bool *whole, struct fail *why);

#endif
