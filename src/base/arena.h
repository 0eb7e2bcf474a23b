/*
 * base/arena.h - memory that is given back all at once.
 *
 * Layer: base.  One arena per command, one per transaction, one per session.
 * Users free nothing.  Memory comes back zeroed.  Running out of the machine's
 * memory ends the process (see base/fail.h, die_no_memory); running into the
 * arena's own limit gives NULL and sets `failed`, so that a reader can add many
 * pieces and ask once.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *head;
    size_t              used;  /* bytes handed out since the last reset */
    size_t              limit; /* `used` never passes this */
    bool                failed;
    struct budget      *budget;  /* that its chunks come from; NULL: none */
};

void arena_init(struct arena *a, size_t limit);
/* Right after arena_init: its memory counts there, and what is not free there counts as past the limit. */
struct budget;
void arena_charge_to(struct arena *a, struct budget *b);
/* Would the budget let it have so much more now? */
bool arena_may_have(const struct arena *a, size_t size);
/* Gives everything back but keeps one small chunk for the next use. */
void arena_reset(struct arena *a);
/* Gives everything back to the system; the arena may be used again. */
void arena_finish(struct arena *a);

/* Overwrites all that was handed out (a password was in it); it stays what it was otherwise. */
void arena_wipe(struct arena *a);

/* Aligned for any type; zeroed; NULL once the limit would be passed. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_alloc_array(struct arena *a, size_t count, size_t size); /* checked multiplication */

#define arena_new(a, type)              ((type *)arena_alloc((a), sizeof(type)))
#define arena_new_array(a, type, count) ((type *)arena_alloc_array((a), (count), sizeof(type)))

/* A copy that lives as long as the arena.  An empty slice past the limit. */
struct slice arena_keep(struct arena *a, struct slice s);
/* The same, NUL-terminated for the C library; never NULL ("" past the limit). */
const char *arena_cstr(struct arena *a, struct slice s);
struct slice arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
