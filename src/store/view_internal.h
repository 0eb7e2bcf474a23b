/*
 * store/view_internal.h - how a view lies in memory.
 *
 * Layer: store; private to view*.c.  Two levels: a root with one slot per chunk,
 * and chunks of at most 1,024 entries of 16 bytes.  Roots and chunks are counted;
 * what has one reference belongs to whoever holds it and may be changed in place,
 * everything else is never changed again.
 */
#ifndef STORE_VIEW_INTERNAL_H
#define STORE_VIEW_INTERNAL_H

#include "store/internal.h"

enum { CHUNK_ENTRIES = 1024, CHUNK_ENTRIES_MIN = 8 };

struct view_packed {
    uint32_t uid;
    uint32_t bits; /* flags below, VIEW_GONE as PACKED_GONE, the keyword set above */
    uint64_t modseq;
};
enum { PACKED_GONE = 32, PACKED_SET_SHIFT = 6 };

struct view_chunk {
    _Atomic uint32_t refs;
    uint16_t count, cap;
    uint16_t unseen;     /* entries without \Seen */
    uint64_t max_modseq; /* no entry's is above it */
    struct view_packed entries[];
};

struct view_slot {
    struct view_chunk *chunk;
    uint32_t start; /* position of its first entry */
    uint32_t first_uid;
};

struct view {
    _Atomic uint32_t refs;
    uint32_t count, uidvalidity, uidnext;
    uint64_t modseq;
    uint64_t whole_modseq; /* 0: the same as modseq */
    uint32_t slot_count, slot_cap;
    struct view_slot slots[];
};

static inline struct view_entry view_unpack(const struct view_packed *p)
{
    return (struct view_entry){
        .uid = p->uid,
        .flags = (p->bits & STORE_FLAGS) | ((p->bits & PACKED_GONE) != 0 ? VIEW_GONE : 0),
        .keyword_set = p->bits >> PACKED_SET_SHIFT,
        .modseq = p->modseq,
    };
}

static inline struct view_packed view_pack(const struct view_entry *e)
{
    return (struct view_packed){
        .uid = e->uid,
        .bits = (e->flags & STORE_FLAGS) | ((e->flags & VIEW_GONE) != 0 ? (uint32_t)PACKED_GONE : 0) |
                e->keyword_set << PACKED_SET_SHIFT,
        .modseq = e->modseq,
    };
}

/* An empty view with room for `slots` chunks; one reference, the caller's. */
struct view *view_create(uint32_t uidvalidity, uint32_t slots);
struct view_chunk *view_chunk_create(uint32_t cap);
void view_chunk_release(struct view_chunk *c);
/* The slot that position (< count) lies in. */
uint32_t view_slot_of(const struct view *v, uint32_t position);
/* At the end of a view of one's own: a chunk others have too, or one entry. */
void view_add_shared(struct view **v, struct view_chunk *c);
void view_add(struct view **v, struct view_packed p);
/* The messages of both; uidnext and modseq are those of `one`. */
struct view *view_merge(const struct view *one, const struct view *other);
/* Makes *v the caller's own. */
void view_own(struct view **v);

#endif
