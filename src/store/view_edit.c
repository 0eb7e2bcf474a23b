/*
 * store/view_edit.c - a new view from an old one, sharing all that stays.
 *
 * Layer: store.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "store/view_internal.h"

/* A root of the caller's own, with the same chunks, and room for `spare` more. */
static struct view *copy_root(const struct view *v, uint32_t spare)
{
    struct view *copy = view_create(v->uidvalidity, v->slot_count + spare);

    copy->count = v->count;
    copy->uidnext = v->uidnext;
    copy->modseq = v->modseq;
    copy->slot_count = v->slot_count;
    memcpy(copy->slots, v->slots, v->slot_count * sizeof v->slots[0]);
    for (uint32_t i = 0; i < v->slot_count; i++)
        (void)atomic_fetch_add_explicit(&v->slots[i].chunk->refs, 1, memory_order_relaxed);
    return copy;
}

void view_own(struct view **v)
{
    struct view *copy;

    if (atomic_load_explicit(&(*v)->refs, memory_order_acquire) == 1)
        return;
    copy = copy_root(*v, 1);
    view_release(v);
    *v = copy;
}

static uint32_t larger(uint32_t cap)
{
    cap = cap < CHUNK_ENTRIES_MIN ? CHUNK_ENTRIES_MIN : cap + cap / 2;
    return cap < CHUNK_ENTRIES ? cap : CHUNK_ENTRIES;
}

/* The slot's chunk becomes the view's own, with room for `spare` more entries where a chunk can have it. */
static struct view_chunk *own_chunk(struct view_slot *slot, uint32_t spare)
{
    struct view_chunk *old = slot->chunk, *own;
    uint32_t need = old->count + spare;

    if (need <= old->cap && atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
        return old;
    own = view_chunk_create(need <= old->cap ? old->cap : larger(need));
    own->count = old->count;
    own->unseen = old->unseen;
    own->max_modseq = old->max_modseq;
    memcpy(own->entries, old->entries, old->count * sizeof old->entries[0]);
    view_chunk_release(old);
    slot->chunk = own;
    return own;
}

static struct view_slot *add_slot(struct view **vp, struct view_chunk *c, uint32_t first_uid)
{
    struct view *v = *vp;

    if (v->slot_count == v->slot_cap) {
        v->slot_cap = v->slot_cap < 4 ? 4 : v->slot_cap * 2;
        v = xrealloc(v, sizeof *v + v->slot_cap * sizeof v->slots[0]);
        *vp = v;
    }
    struct view_slot *slot = &v->slots[v->slot_count++];
    *slot = (struct view_slot){.chunk = c, .start = v->count, .first_uid = first_uid};
    return slot;
}

void view_add_shared(struct view **v, struct view_chunk *c)
{
    (void)atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    (void)add_slot(v, c, c->entries[0].uid);
    (*v)->count += c->count;
}

void view_add(struct view **v, struct view_packed p)
{
    struct view_slot *last = (*v)->slot_count > 0 ? &(*v)->slots[(*v)->slot_count - 1] : NULL;
    struct view_chunk *c;

    if (last != NULL && last->chunk->count < CHUNK_ENTRIES)
        c = own_chunk(last, 1);
    else
        c = add_slot(v, view_chunk_create(larger(0)), p.uid)->chunk;
    c->entries[c->count++] = p;
    c->unseen = (uint16_t)(c->unseen + ((p.bits & STORE_SEEN) == 0));
    if (c->max_modseq < p.modseq)
        c->max_modseq = p.modseq;
    (*v)->count++;
}

void view_append(struct view **v, struct view_entry e)
{
    view_own(v);
    view_add(v, view_pack(&e));
}

void view_set(struct view **v, uint32_t position, struct view_entry e)
{
    view_own(v);
    struct view_slot *slot = &(*v)->slots[view_slot_of(*v, position)];
    struct view_chunk *c = own_chunk(slot, 0);
    struct view_packed *p = &c->entries[position - slot->start];
    bool was_unseen = (p->bits & STORE_SEEN) == 0, is_unseen = (e.flags & STORE_SEEN) == 0;
    c->unseen = (uint16_t)(c->unseen + is_unseen - was_unseen);
    *p = view_pack(&e);
    if (c->max_modseq < e.modseq)
        c->max_modseq = e.modseq;
}

void view_change(struct view **v, uint32_t position, uint32_t count, void (*each)(void *ctx, struct view_entry *e),
                 void *ctx)
{
    view_own(v);
    while (count > 0) {
        struct view_slot *slot = &(*v)->slots[view_slot_of(*v, position)];
        struct view_chunk *c = own_chunk(slot, 0);
        uint32_t at = position - slot->start, n = c->count - at < count ? c->count - at : count;
        for (uint32_t end = at + n; at < end; at++) {
            struct view_entry e = view_unpack(&c->entries[at]);
            bool was_unseen = (e.flags & STORE_SEEN) == 0;
            each(ctx, &e);
            c->unseen = (uint16_t)(c->unseen + ((e.flags & STORE_SEEN) == 0) - was_unseen);
            c->entries[at] = view_pack(&e);
            if (c->max_modseq < e.modseq)
                c->max_modseq = e.modseq;
        }
        position += n;
        count -= n;
    }
}

void view_stamp(struct view **v, uint32_t uidnext, uint64_t modseq)
{
    view_own(v);
    (*v)->uidnext = uidnext;
    (*v)->modseq = modseq;
}

/* Do the ranges from *at on touch [first, last]?  *at moves past those below it. */
static bool touches(const struct uid_set *set, size_t *at, uint32_t first, uint32_t last)
{
    while (*at < set->count && set->ranges[*at].last < first)
        (*at)++;
    return *at < set->count && set->ranges[*at].first <= last;
}

/* The entries of `c` that stay; in a chunk of their own unless the one before has much room. */
static void keep_rest(struct view **v, const struct view_chunk *c, const struct uid_set *gone, size_t *range)
{
    bool fresh = (*v)->slot_count == 0 ||
                 (*v)->slots[(*v)->slot_count - 1].chunk->count + c->count > CHUNK_ENTRIES / 2;

    for (uint32_t k = 0; k < c->count; k++) {
        if (touches(gone, range, c->entries[k].uid, c->entries[k].uid))
            continue;
        if (fresh)
            (void)add_slot(v, view_chunk_create(c->count), c->entries[k].uid);
        fresh = false;
        view_add(v, c->entries[k]);
    }
}

/* Chunks that lose nothing are shared. */
void view_remove(struct view **vp, const struct uid_set *gone)
{
    struct view *old = *vp, *new = view_create(old->uidvalidity, old->slot_count);
    size_t range = 0;

    new->uidnext = old->uidnext;
    new->modseq = old->modseq;
    for (uint32_t i = 0; i < old->slot_count; i++) {
        struct view_chunk *c = old->slots[i].chunk;
        if (touches(gone, &range, c->entries[0].uid, c->entries[c->count - 1].uid))
            keep_rest(&new, c, gone, &range);
        else
            view_add_shared(&new, c);
    }
    view_release(vp);
    *vp = new;
}
