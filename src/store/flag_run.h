/*
 * store/flag_run.h - changes of many messages' flags that their rows do not show yet.
 *
 * Layer: store; private to the room.  See flag_run.c.
 */
#ifndef STORE_FLAG_RUN_H
#define STORE_FLAG_RUN_H

#include "store/internal.h"

enum {
    FLAG_RUN_LEAST = 512, /* messages: of fewer the rows are written at once */
    FLAG_RUNS_MAX = 8,    /* of a mailbox: before there are more, the first is settled */
};

/* Flags of entries from first to last whose modseq is lower become (flags & keep) | set. */
struct flag_run {
    uint64_t modseq;
    uint32_t first, last; /* UIDs */
    uint32_t keep, set;
    int64_t keywords; /* the new set, or -1: as they are */
};
struct flag_runs {
    struct flag_run list[FLAG_RUNS_MAX]; /* by modseq */
    size_t count;
};

bool flag_runs_read(struct db *db, uint64_t mailbox, struct flag_runs *out, struct fail *why);
bool flag_runs_touch(const struct flag_runs *runs, uint32_t first, uint32_t last);
/* In the file and in `runs`, with the highest modseq; last_modseq: the highest of its entries before. */
bool flag_runs_add(struct db *db, uint64_t mailbox, struct flag_runs *runs, const struct flag_run *run,
                   uint64_t last_modseq, struct fail *why);
/* What the rows said becomes what the runs say. */
void flag_runs_apply(const struct flag_runs *runs, struct view **v);

/* In a transaction: the rows from first to last say all; all rows of the mailbox or of all, and no runs are left. */
bool flag_runs_settle(struct db *db, uint64_t mailbox, uint32_t first, uint32_t last, struct fail *why);
bool flag_runs_end(struct db *db, uint64_t mailbox, struct fail *why);
bool flag_runs_end_all(struct db *db, struct fail *why);

/* Some rows at a time, until none are left or somebody uses the account. */
void flag_runs_settle_idle(struct account *a, int64_t unused_since_ms);

#endif
