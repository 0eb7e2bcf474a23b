/*
 * store/sort.h - messages in another order than the mailbox's, and in threads.
 *
 * Layer: store.  What messages are sorted by is kept in memory between commands, within
 * store_limits.sort_bytes (store/sort_table.h).  Both calls work in steps, may be given up at
 * any time, and need time and memory that grow with the number of messages, times a logarithm
 * where texts are put in order.
 */
#ifndef STORE_SORT_H
#define STORE_SORT_H

#include "base/collation.h"
#include "store/view.h"

/* RFC 5256 section 3, RFC 5957 section 4, RFC 6203 section 5. */
enum sort_key {
    SORT_ARRIVAL,
    SORT_CC,
    SORT_DATE,
    SORT_FROM,
    SORT_SIZE,
    SORT_SUBJECT,
    SORT_TO,
    SORT_DISPLAYFROM,
    SORT_DISPLAYTO,
    SORT_RELEVANCY,
};
struct sort_criterion {
    enum sort_key key;
    bool reverse;
};

/* What is to be put in order; all of it must outlive the run. */
struct sort_request {
    struct account *account;
    uint64_t mailbox_id;
    struct view *view;
    enum collation collation;
    const uint32_t *found; /* positions, ascending */
    size_t count;
    const uint8_t *scores; /* of each found, 1 to 100; NULL: all are alike */
};

/* By the first criterion, among equals by the next, in the end by position (RFC 5256 section 3). */
struct sort_run;
struct sort_run *sort_start(const struct sort_request *q, const struct sort_criterion *criteria,
                            size_t count);
/* 1: *out holds the positions in order, in the run.  0: call again.  -1: failed. */
int sort_continue(struct sort_run *r, unsigned budget_ms, const uint32_t **out, struct fail *why);
void sort_end(struct sort_run **r);

/* RFC 5256 section 3; REFS: as REFERENCES, but threads with the same subject stay apart, and they are
 * sorted by the internal date of what came last in each. */
enum thread_algorithm { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES, THREAD_REFS };

enum { THREAD_NONE = -1 };
struct thread_node {
    int32_t parent, first_child, next; /* nodes, THREAD_NONE: there is none; `next` has the same parent */
    uint32_t position; /* of a message; of no use in a dummy, which is a root and has children */
    bool is_dummy;
};
struct thread_forest {
    const struct thread_node *nodes;
    int32_t first_root; /* by `next` to the others */
};

struct threading;
struct threading *threading_start(const struct sort_request *q, enum thread_algorithm algorithm);
/* 1: *out is there, in the run.  0: call again.  -1: failed. */
int threading_continue(struct threading *r, unsigned budget_ms, struct thread_forest *out, struct fail *why);
void threading_end(struct threading **r);

#endif
