/*
 * relay/memory.h - what is remembered of addresses for a while: that nobody answered there, that their TLS is broken.
 *
 * Layer: relay, private.  In memory only; bounded; any thread.
 */
#ifndef RELAY_MEMORY_H
#define RELAY_MEMORY_H

#include "base/arena.h"

struct host_memory;
struct host_memory *host_memory_create(void);
void host_memory_destroy(struct host_memory **m);

/* `where`: the address as text, with its port. */
void host_memory_dead(struct host_memory *m, struct slice where, unsigned seconds, const char *why);
/* Why nobody answered there a moment ago, in the arena; NULL: nothing is known. */
const char *host_memory_is_dead(struct host_memory *m, struct slice where, struct arena *a);

/* Opportunistic TLS failed there: for a while it is not tried. */
void host_memory_no_tls(struct host_memory *m, struct slice where, unsigned seconds);
bool host_memory_has_no_tls(struct host_memory *m, struct slice where);

#endif
