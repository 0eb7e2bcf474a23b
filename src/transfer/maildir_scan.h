/*
 * transfer/maildir_scan.h - the files of one Maildir folder, in the order of their UIDs.
 *
 * Layer: transfer; private to maildir*.c.  About 100 bytes a message.
 */
#ifndef TRANSFER_MAILDIR_SCAN_H
#define TRANSFER_MAILDIR_SCAN_H

#include "base/arena.h"
#include "base/fail.h"

struct maildir_entry {
    const char *name; /* NUL-terminated */
    const char *uidl; /* its own, or NULL */
    uint32_t    uid;  /* 0: there is no list of UIDs */
    uint16_t    base; /* bytes of `name` before the flags */
    bool        is_new; /* in new/, not in cur/ */
};

struct maildir_scan {
    struct arena          arena;
    struct maildir_entry *entries;
    size_t                count, cap;
    bool                  stable;  /* nothing was renamed while they were listed */
    uint32_t              uidvalidity, uidnext; /* 0: there is no list of UIDs */
    struct slice          guid;
    unsigned              bad_lines; /* of that list */
};

/* What is in cur/ and new/ of a folder, ordered by base name. */
bool maildir_scan_files(int folder, struct maildir_scan *out, struct fail *why);
/* By UID then, which dovecot-uidlist (in the folder `control`) says; others get those that come next. */
bool maildir_scan_uids(struct maildir_scan *s, int control, struct fail *why);
void maildir_scan_finish(struct maildir_scan *s);
/* While they are ordered by base name. */
struct maildir_entry *maildir_scan_find(const struct maildir_scan *s, struct slice base);
/* How many files there are, roughly; 0 if there is no cur/. */
uint64_t maildir_count(int folder);

#endif
