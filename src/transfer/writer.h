/*
 * transfer/writer.h - mail written into files: Maildir++ as Dovecot keeps it, or a tree of mbox files.
 *
 * Layer: transfer.  What is told to a writer stands afterwards below one folder.
 *
 *     Maildir++   the folder itself is INBOX, ".A.B" beside cur, new and tmp the mailbox A/B; per mailbox a
 *                 dovecot-uidlist (UIDVALIDITY, UIDs, POP3 UIDLs) and dovecot-keywords; `subscriptions`; the
 *                 modification time of a file is the internal date.  A "." in a level's name is written as "\2e".
 *     mbox        NAME.mbox, and below NAME.sbd/ the mailboxes below NAME; X-IMAPbase, X-UID, Status, X-Status,
 *                 X-Keywords and X-UIDL say the rest (transfer/mbox.h); .subscriptions.
 *     both        names of levels in modified UTF-7; Sieve scripts as sieve/NAME.sieve, .dovecot.sieve leads to the active one
 *
 * Messages whose lines all end in CRLF are written with LF, as programs on Unix expect; others as they are.
 *
 * Files are made for their owner only, relative to descriptors, never through symbolic links.  A mailbox counts as
 * written once it ended: its files are on the disk before dovecot-uidlist gets its name.  `resume`: into a folder of
 * an earlier, interrupted run: a Maildir's messages that are there (name and size say so) are not written again, those
 * of that run that are gone by now are removed; an mbox that is there is left out.
 */
#ifndef TRANSFER_WRITER_H
#define TRANSFER_WRITER_H

#include "transfer/mbox.h"
#include "transfer/transfer.h"

struct writer_options {
    enum writer_format { WRITER_MAILDIR, WRITER_MBOX } format;
    enum mbox_dialect dialect; /* of an mbox; MBOX_GUESS: mboxrd */
    bool              resume;
    /* As in struct transfer_into; `progress` may be NULL. */
    void (*left_out)(void *ctx, struct slice what, const char *reason);
    void (*progress)(void *ctx, uint64_t messages, uint64_t bytes, uint64_t all_messages, uint64_t all_bytes);
    void *ctx;
};

struct writer_summary {
    uint64_t mailboxes, messages, bytes, known, scripts, left_out; /* known: were there of an earlier run */
};

struct writer;
/* `root`: the folder, stays the caller's and open until the writer is destroyed. */
struct writer       *writer_create(int root, const struct writer_options *options);
struct transfer_into writer_into(struct writer *w);
/* All was told: subscriptions are written, everything is on the disk. */
bool                         writer_finish(struct writer *w, struct fail *why);
const struct writer_summary *writer_summary(const struct writer *w);
void                         writer_destroy(struct writer **w); /* fine on NULL */

#endif
