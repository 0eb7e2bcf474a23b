/*
 * transfer/keeper.h - mail that comes into an account of ours.
 *
 * Layer: transfer.  UIDVALIDITY and UIDs of the source are kept where nothing stands in
 * the way (the mailbox is new, or empty, or of an earlier run).  What came is remembered
 * in the account (store/import.h), in the transaction that makes its rows: a second run
 * brings what is new, sets flags that changed at the source, and takes out what is gone
 * there, all unless it was touched here.  Messages gather and are committed together.
 */
#ifndef TRANSFER_KEEPER_H
#define TRANSFER_KEEPER_H

#include "transfer/transfer.h"

struct keeper;

struct keeper_options {
    struct slice mailbox;    /* all goes into this one; empty: each into its own */
    struct slice prefix;     /* in front of every name, without the '/'; INBOX becomes PREFIX/INBOX */
    bool         over_quota; /* may go over the account's quota */
    bool         keep_gone;  /* what is gone at the source stays */
};

struct keeper_summary {
    uint64_t mailboxes, new_mailboxes;
    uint64_t messages, bytes;  /* that came now */
    uint64_t known;            /* were there from an earlier run */
    uint64_t flags;            /* of which flags or keywords changed at the source */
    uint64_t gone;             /* taken out, because they are gone at the source */
    uint64_t renumbered;       /* got another UID than they had */
    uint64_t scripts, subscriptions;
    uint64_t left_out, notes;  /* said by `note` */
};

/* `left_out`: it is not brought along; else it is, but not as it was. */
typedef void keeper_note(void *ctx, bool left_out, struct slice what, const char *reason);

struct keeper *keeper_create(struct account *a, const struct keeper_options *options, keeper_note *note, void *ctx);
struct transfer_into keeper_into(struct keeper *k);
/* All was told: what still waits is committed. */
bool keeper_finish(struct keeper *k, struct fail *why);
const struct keeper_summary *keeper_summary(const struct keeper *k);
/* What waits is given back.  Fine on NULL; leaves *k NULL. */
void keeper_destroy(struct keeper **k);

#endif
