/*
 * store/view.c - what a session sees of a mailbox: counting, finding, walking.
 *
 * Layer: store.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "store/view_internal.h"

struct view *view_create(uint32_t uidvalidity, uint32_t slots)
{
    struct view *v = xcalloc(1, sizeof *v + slots * sizeof v->slots[0]);

    v->refs = 1;
    v->uidvalidity = uidvalidity;
    v->uidnext = 1;
    v->slot_cap = slots;
    return v;
}

struct view_chunk *view_chunk_create(uint32_t cap)
{
    struct view_chunk *c = xmalloc(sizeof *c + cap * sizeof c->entries[0]);

    c->refs = 1;
    c->count = 0;
    c->unseen = 0;
    c->cap = (uint16_t)cap;
    c->max_modseq = 0;
    return c;
}

void view_chunk_release(struct view_chunk *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        free(c);
}

struct view *view_ref(struct view *v)
{
    (void)atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void view_release(struct view **vp)
{
    struct view *v = *vp;

    *vp = NULL;
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < v->slot_count; i++)
        view_chunk_release(v->slots[i].chunk);
    free(v);
}

uint32_t view_count(const struct view *v)
{
    return v->count;
}

uint32_t view_uidvalidity(const struct view *v)
{
    return v->uidvalidity;
}

uint32_t view_uidnext(const struct view *v)
{
    return v->uidnext;
}

uint64_t view_modseq(const struct view *v)
{
    return v->modseq;
}

uint64_t view_bytes(const struct view *v)
{
    return sizeof *v + v->slot_cap * sizeof v->slots[0] + v->slot_count * sizeof(struct view_chunk) +
           (uint64_t)v->count * sizeof(struct view_packed);
}

uint64_t view_whole_modseq(const struct view *v)
{
    return v->whole_modseq != 0 ? v->whole_modseq : v->modseq;
}

uint32_t view_slot_of(const struct view *v, uint32_t position)
{
    uint32_t low = 0, high = v->slot_count; /* slots[low].start <= position < slots[high].start */

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (v->slots[middle].start <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

struct view_entry view_at(const struct view *v, uint32_t position)
{
    if (position >= v->count)
        bug("position %u of %u", position, v->count);
    const struct view_slot *slot = &v->slots[view_slot_of(v, position)];
    return view_unpack(&slot->chunk->entries[position - slot->start]);
}

/* The last slot that may hold `uid`; 0 if it is below all. */
static uint32_t slot_of_uid(const struct view *v, uint32_t uid)
{
    uint32_t low = 0, high = v->slot_count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (v->slots[middle].first_uid <= uid)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint32_t view_find(const struct view *v, uint32_t uid, bool *found)
{
    *found = false;
    if (v->slot_count == 0)
        return 0;

    const struct view_slot *slot = &v->slots[slot_of_uid(v, uid)];
    uint32_t low = 0, high = slot->chunk->count; /* the answer is in [low, high] */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slot->chunk->entries[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < slot->chunk->count && slot->chunk->entries[low].uid == uid;
    return slot->start + low;
}

void view_cursor_init(struct view_cursor *c, const struct view *v, uint32_t position)
{
    *c = (struct view_cursor){.view = v, .position = position};
}

/* `in_chunk` is the next entry's place in `chunk`, the slot's of the position. */
bool view_next(struct view_cursor *c, struct view_entry *out)
{
    const struct view_chunk *chunk = c->chunk;

    if (c->position >= c->view->count)
        return false;
    if (chunk == NULL || c->in_chunk >= chunk->count) {
        const struct view_slot *slot = &c->view->slots[view_slot_of(c->view, c->position)];
        chunk = slot->chunk;
        c->chunk = chunk;
        c->in_chunk = c->position - slot->start;
    }
    *out = view_unpack(&chunk->entries[c->in_chunk]);
    c->in_chunk++;
    c->position++;
    return true;
}

bool view_next_changed(struct view_cursor *c, uint64_t since, struct view_entry *out)
{
    const struct view *v = c->view;

    for (;;) {
        if (c->position >= v->count)
            return false;
        if (c->chunk == NULL || c->in_chunk >= ((const struct view_chunk *)c->chunk)->count) {
            uint32_t slot = view_slot_of(v, c->position);
            if (v->slots[slot].chunk->max_modseq <= since) {
                c->position = v->slots[slot].start + v->slots[slot].chunk->count;
                c->chunk = NULL;
                continue;
            }
        }
        (void)view_next(c, out);
        if (out->modseq > since)
            return true;
    }
}

uint32_t view_first_unseen(const struct view *v)
{
    for (uint32_t i = 0; i < v->slot_count; i++) {
        const struct view_chunk *c = v->slots[i].chunk;
        for (uint32_t k = 0; c->unseen > 0 && k < c->count; k++)
            if ((c->entries[k].bits & STORE_SEEN) == 0)
                return v->slots[i].start + k;
    }
    return v->count;
}

struct view_token view_token(const struct view *v)
{
    return (struct view_token){.modseq = v->modseq, .uidnext = v->uidnext, .count = v->count};
}
