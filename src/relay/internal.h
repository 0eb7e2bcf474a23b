/*
 * relay/internal.h - what the files of this room share.
 *
 * Layer: relay, private.
 */
#ifndef RELAY_INTERNAL_H
#define RELAY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "relay/links.h"
#include "relay/memory.h"
#include "relay/relay.h"

struct relay {
    struct relay_setting setting;
    struct links        *links;
    struct host_memory  *memory;
    atomic_bool          stopping;
    pthread_mutex_t      lock; /* of what follows */
    pthread_cond_t       ended;
    unsigned             threads, idle;
    unsigned             least_idle, surplus; /* waiting at all times since the last count; threads that may end */
    int64_t              surplus_until;       /* monotonic ms: when they are counted again */
};

/*
 * Sends what was claimed over *link if that leads there, else over another, and reports it.  *link is then a connection over
 * which more can be sent to the same destination, or NULL.  `arena` is the caller's, and reset here.
 */
void relay_attempt(struct relay *r, struct queue_claim **claim, struct link **link, struct arena *arena);

#endif
