/*
 * transfer/maildir_internal.h - what the files of maildir share.
 *
 * Layer: transfer; private to maildir*.c.
 */
#ifndef TRANSFER_MAILDIR_INTERNAL_H
#define TRANSFER_MAILDIR_INTERNAL_H

#include "transfer/maildir.h"
#include "transfer/maildir_scan.h"

/* A mailbox that was found. */
struct maildir_folder {
    struct maildir_folder *next;
    struct slice           name; /* here */
    const char            *path; /* below the Maildir; "" the Maildir itself */
    bool                   is_inbox, subscribed;
};

struct maildir {
    int                    root, inbox, control; /* folders; control -1: with the mail */
    char                  *real_path;
    struct maildir_options options;
    struct arena           arena;
    struct maildir_folder *first, **tail;
    struct slice          *subscribed; /* names as they are here */
    size_t                 subscribed_count;
    bool                   has_subscriptions;
    uint64_t               all, told; /* messages */
    uint64_t               told_bytes;
};

/* "A/B" below a folder, one level at a time. */
int maildir_descend(int from, const char *path, struct fail *why);

/* ---- maildir_folders.c ---- */

/* Finds the mailboxes; tells what looks like one and is none. */
bool maildir_find_folders(struct maildir *m, const struct transfer_into *into, struct fail *why);
bool maildir_is_one(int folder);

/* ---- maildir_sieve.c ---- */

bool maildir_tell_scripts(struct maildir *m, const struct transfer_into *into, struct fail *why);

#endif
