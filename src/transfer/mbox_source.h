/*
 * transfer/mbox_source.h - mail from mbox files: one, or a tree of them.
 *
 * Layer: transfer.  In a tree every file that is an mbox is a mailbox and every folder a level; NAME.sbd (Thunderbird)
 * holds what is below NAME, NAME.mbox may be a file or a folder with a file "mbox" in it (Apple Mail).  Names are
 * taken as modified UTF-7 where they are that, without ".mbox" or ".mbx"; "inbox" in any case, and "mbox", is INBOX.
 * Hidden files and what Thunderbird keeps beside (.msf, .dat ...) are passed over without a word unless they are one; other
 * files that are no mbox are left out.  A .subscriptions (Dovecot) says what is subscribed to, else every mailbox is; Sieve scripts come
 * from the top's sieve/, the active one is that to which .dovecot.sieve leads.
 *
 * A file of Google Takeout (X-Gmail-Labels in its first message) is all of an account: each message goes to the
 * mailbox of its first label that says where it is (Trash and Spam before all others), or to Archive; its other labels
 * become keywords.  Unread, Starred, Important and Draft become flags; categories are dropped.
 *
 * UIDs and UIDVALIDITY are taken from files that have them (X-IMAPbase, X-UID) while they ascend.  All other
 * messages are known in a second run by a digest of what they are, and the number of their copies before.
 */
#ifndef TRANSFER_MBOX_SOURCE_H
#define TRANSFER_MBOX_SOURCE_H

#include "base/map.h"
#include "transfer/mbox.h"
#include "transfer/transfer.h"

struct mbox_source {
    const char        *root; /* a copied machine: the folder that is taken for "/" (files_start()); NULL */
    const char        *path;
    enum mbox_dialect  dialect; /* MBOX_GUESS: each file is looked at */
    struct slice       mailbox; /* for a single file; empty: its own name, but see `inbox` */
    struct slice       inbox;   /* a file of this name is INBOX (/var/mail/ann) */
    struct body_limits bodies;
};

/* A transfer_read; ctx is a const struct mbox_source. */
bool mbox_source_read(void *ctx, const struct transfer_into *into, struct fail *why);

/* ---- among mbox*.c and takeout.c ---- */

/* One file while it is told. */
struct mbox_file {
    const struct mbox_source   *source;
    const struct transfer_into *into;
    struct mbox                *mbox;
    const char                 *shown; /* its path, for people */
    struct slice                name;  /* of the mailbox */
    bool                        subscribed;
    uint64_t                    size;
    uint64_t                   *messages, *bytes; /* told, of all files */
    uint64_t                    all_bytes;
};

/* What stands beside the mailboxes at the top of a tree (mbox_aside.c). */
struct mbox_aside {
    struct map  *subscribed; /* names; NULL: nothing is said */
    struct arena names;
};
void mbox_aside_read(struct mbox_aside *a, int folder);
bool mbox_aside_is_subscribed(struct mbox_aside *a, struct slice mailbox);
/* Names that no mailbox had, and the scripts of sieve/. */
bool mbox_aside_tell(struct mbox_aside *a, int folder, const struct transfer_into *into, struct fail *why);
void mbox_aside_finish(struct mbox_aside *a);

/* What is told of one message beside what stands in it; for takeout.c. */
struct mbox_adjust {
    uint32_t            uid, flags;
    const struct slice *keywords;
    size_t              keyword_count;
};

/* Which copies of a message were told already. */
struct mbox_seen;
struct mbox_seen *mbox_seen_create(void);
void mbox_seen_destroy(struct mbox_seen **s);

/*
 * Reads the next message and tells it; `adjust` may change what is told of it or say false: it is none.
 * *whole becomes false when something was left out.
 */
typedef bool mbox_adjust(void *ctx, const struct mbox_message *m, struct mbox_adjust *told);
enum mbox_step mbox_tell_next(struct mbox_file *f, struct mbox_seen *seen, mbox_adjust *adjust, void *ctx, bool *whole, struct fail *why);

/* All of a file of Google Takeout. */
bool takeout_tell(struct mbox_file *f, struct fail *why);

#endif
