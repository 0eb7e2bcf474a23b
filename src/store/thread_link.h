/*
 * store/thread_link.h - who is whose parent, by references (RFC 5256 section 3, steps 1 to 3).
 *
 * Layer: store; private to thread*.c.  Nodes are messages, 0 to messages - 1 in the order of
 * the mailbox, and behind them dummies: ids that are named and belong to none of the messages.
 */
#ifndef STORE_THREAD_LINK_H
#define STORE_THREAD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINK_NONE = -1 };

struct thread_links {
    uint32_t messages, count, cap;
    int32_t *parent; /* LINK_NONE: a root */

    /* Which node has an id: open addressing, a power of two of slots. */
    struct link_slot *slots;
    uint64_t slot_count, slots_used;
    uint64_t seed; /* so that nobody can choose ids that fall into one place */

    /* The same trees as splay trees of their paths (link-cut trees), to find a root in logarithmic time. */
    struct link_path *paths;
};

void thread_links_init(struct thread_links *l, uint32_t messages);
void thread_links_finish(struct thread_links *l);

/* The ids of the messages themselves, 0 for none, in order, before any references.  A repeated one is unique.
 */
void thread_links_own(struct thread_links *l, uint32_t message, uint64_t id);
/* Step 1 for one message, in order: its references from the oldest on. */
void thread_links_references(struct thread_links *l, uint32_t message, const uint64_t *ids, size_t count);
/*
 * Step 3: dummies go, their children move up; one stays a root where it has two children or more.
 * Afterwards `parent` names messages and such roots only; other dummies are LINK_NONE and in *gone.
 */
void thread_links_prune(struct thread_links *l, bool *gone);

#endif
