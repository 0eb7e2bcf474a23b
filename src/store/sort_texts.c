/*
 * store/sort_texts.c - texts that are compared often, each kept once and known by a number.
 *
 * Layer: store.  Ranks are made by a merge sort that can stop anywhere: what was in order
 * before and blocks of new texts are runs, merged two by two.
 */
#include "store/sort_texts.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/map.h"

struct sort_text {
    uint64_t prefix; /* the first eight bytes, compared without a look at the rest */
    uint32_t at, len;
    uint32_t hash;
};

enum {
    FIRST_SLOTS = 64,
    BLOCK = 1024,        /* texts sorted at one go */
    MERGES_A_LOOK = 512, /* texts merged between two looks at the clock */
};

static struct slice text_of(const struct sort_texts *t, uint32_t number)
{
    return slice_make(t->bytes + t->list[number].at, t->list[number].len);
}

static uint64_t prefix_of(struct slice s)
{
    uint64_t prefix = 0;

    for (size_t i = 0; i < sizeof prefix; i++)
        prefix = prefix << 8 | (i < s.len ? (unsigned char)s.ptr[i] : 0);
    return prefix;
}

void sort_texts_init(struct sort_texts *t)
{
    *t = (struct sort_texts){.count = 0};
    (void)sort_texts_add(t, SLICE(""));
}

static void free_ranks(struct sort_ranks *r)
{
    if (r == NULL)
        return;
    free_ranks(r->stale); /* never more than one: see sort_texts_settle */
    free(r->of);
    free(r->order);
    free(r);
}

void sort_texts_finish(struct sort_texts *t)
{
    free(t->list);
    free(t->bytes);
    free(t->slots);
    free_ranks(atomic_load(&t->ranks));
    *t = (struct sort_texts){.count = 0};
}

void sort_texts_settle(struct sort_texts *t)
{
    struct sort_ranks *ranks = atomic_load(&t->ranks);

    if (ranks == NULL)
        return;
    free_ranks(ranks->stale);
    ranks->stale = NULL;
}

static void *copy_of(const void *from, size_t size)
{
    void *to = xmalloc(size > 0 ? size : 1);

    if (size > 0)
        memcpy(to, from, size);
    return to;
}

void sort_texts_copy(struct sort_texts *to, const struct sort_texts *from)
{
    const struct sort_ranks *ranks = atomic_load(&from->ranks);

    *to = (struct sort_texts){
        .list = copy_of(from->list, from->count * sizeof *from->list),
        .count = from->count,
        .cap = from->count,
        .bytes = copy_of(from->bytes, from->bytes_len),
        .bytes_len = from->bytes_len,
        .bytes_cap = from->bytes_len,
        .slots = copy_of(from->slots, from->slot_count * sizeof *from->slots),
        .slot_count = from->slot_count,
    };
    if (ranks == NULL)
        return;
    struct sort_ranks *copy = xcalloc(1, sizeof *copy);
    copy->count = ranks->count;
    copy->of = copy_of(ranks->of, ranks->count * sizeof *ranks->of);
    copy->order = copy_of(ranks->order, ranks->count * sizeof *ranks->order);
    atomic_store(&to->ranks, copy);
}

uint64_t sort_texts_cost(const struct sort_texts *t)
{
    return (uint64_t)t->cap * (sizeof *t->list + 2 * sizeof(uint32_t)) + t->bytes_cap +
           (uint64_t)t->slot_count * sizeof *t->slots;
}

/* ---- adding ---- */

static void put(struct sort_texts *t, uint32_t number)
{
    uint32_t at = t->list[number].hash & (t->slot_count - 1);

    while (t->slots[at] != 0)
        at = (at + 1) & (t->slot_count - 1);
    t->slots[at] = number + 1;
}

static void grow_slots(struct sort_texts *t)
{
    if ((uint64_t)t->count * 4 < (uint64_t)t->slot_count * 3)
        return;
    free(t->slots);
    t->slot_count = t->slot_count > 0 ? t->slot_count * 2 : FIRST_SLOTS;
    t->slots = xcalloc(t->slot_count, sizeof *t->slots);
    for (uint32_t i = 0; i < t->count; i++)
        put(t, i);
}

static bool make_room(struct sort_texts *t, size_t len)
{
    if (len > UINT32_MAX - t->bytes_len || t->count >= UINT32_MAX / 4)
        return false;
    if (len > t->bytes_cap - t->bytes_len) {
        uint64_t cap = (uint64_t)t->bytes_cap + t->bytes_cap / 2 + 4096;
        t->bytes_cap = cap < UINT32_MAX ? (uint32_t)cap : UINT32_MAX;
        t->bytes = xrealloc(t->bytes, t->bytes_cap);
    }
    if (t->count == t->cap) {
        t->cap = t->cap + t->cap / 2 + 64;
        t->list = xrealloc(t->list, t->cap * sizeof *t->list);
    }
    return true;
}

uint32_t sort_texts_add(struct sort_texts *t, struct slice key)
{
    struct slice s = slice_sub(key, 0, SORT_TEXT_BYTES);
    uint32_t hash = (uint32_t)hash_bytes(s), at;

    if (t->slot_count > 0) {
        for (at = hash & (t->slot_count - 1); t->slots[at] != 0; at = (at + 1) & (t->slot_count - 1)) {
            uint32_t number = t->slots[at] - 1;
            if (t->list[number].hash == hash && slice_eq(text_of(t, number), s))
                return number;
        }
    }
    grow_slots(t);
    if (!make_room(t, s.len))
        return 0;
    if (s.len > 0)
        memcpy(t->bytes + t->bytes_len, s.ptr, s.len);
    t->list[t->count] =
        (struct sort_text){.prefix = prefix_of(s), .at = t->bytes_len, .len = (uint32_t)s.len, .hash = hash};
    t->bytes_len += (uint32_t)s.len;
    put(t, t->count);
    return t->count++;
}

/* ---- ranking ---- */

struct sort_ranking {
    uint32_t count;
    uint32_t *from, *to; /* texts, in runs */
    uint32_t *ends;      /* of the runs in `from` */
    uint32_t run_count;
    uint32_t blocks_left; /* where the next block that is not yet sorted begins */
    /* The pass under way: runs [2n] and [2n + 1] go to `to`. */
    uint32_t run, left, right, put;
};

static int compare(const struct sort_texts *t, uint32_t a, uint32_t b)
{
    const struct sort_text *x = &t->list[a], *y = &t->list[b];

    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    return slice_cmp(text_of(t, a), text_of(t, b));
}

static int compare_numbers(const void *a, const void *b, void *texts)
{
    return compare(texts, *(const uint32_t *)a, *(const uint32_t *)b);
}

static struct sort_ranking *begin(const struct sort_texts *t, const struct sort_ranks *known)
{
    struct sort_ranking *w = xcalloc(1, sizeof *w);
    uint32_t ordered = known != NULL ? known->count : 0;

    w->count = t->count;
    w->from = xcalloc(t->count, sizeof *w->from);
    w->to = xcalloc(t->count, sizeof *w->to);
    w->ends = xcalloc((t->count - ordered) / BLOCK + 2, sizeof *w->ends);
    if (ordered > 0) {
        memcpy(w->from, known->order, ordered * sizeof *w->from);
        w->ends[w->run_count++] = ordered;
    }
    for (uint32_t i = ordered; i < t->count; i++)
        w->from[i] = i;
    w->blocks_left = ordered;
    return w;
}

void sort_ranking_end(struct sort_ranking **wp)
{
    struct sort_ranking *w = *wp;

    if (w == NULL)
        return;
    free(w->from);
    free(w->to);
    free(w->ends);
    free(w);
    *wp = NULL;
}

static void sort_block(struct sort_texts *t, struct sort_ranking *w)
{
    uint32_t n = w->count - w->blocks_left < BLOCK ? w->count - w->blocks_left : BLOCK;

    qsort_r(w->from + w->blocks_left, n, sizeof *w->from, compare_numbers, t);
    w->blocks_left += n;
    w->ends[w->run_count++] = w->blocks_left;
}

static uint32_t run_begin(const struct sort_ranking *w, uint32_t run)
{
    return run == 0 ? 0 : w->ends[run - 1];
}

/* Where run n ends, or the last one where there is no such. */
static uint32_t run_end(const struct sort_ranking *w, uint32_t run)
{
    return w->ends[run < w->run_count ? run : w->run_count - 1];
}

/* All pairs are merged: half as many runs. */
static void end_pass(struct sort_ranking *w)
{
    uint32_t *spare = w->from, runs = 0;

    for (uint32_t i = 0; i < w->run_count; i += 2)
        w->ends[runs++] = run_end(w, i + 1);
    w->run_count = runs;
    w->from = w->to;
    w->to = spare;
    w->run = w->put = w->left = w->right = 0;
}

/* Some of the pair of runs under way. */
static void merge_some(const struct sort_texts *t, struct sort_ranking *w)
{
    uint32_t middle = run_end(w, w->run), end = run_end(w, w->run + 1), looks = 0;

    if (w->put == run_begin(w, w->run)) {
        w->left = w->put;
        w->right = middle;
    }
    for (; w->put < end && looks < MERGES_A_LOOK; looks++) {
        bool take_left =
            w->right == end || (w->left < middle && compare(t, w->from[w->left], w->from[w->right]) <= 0);
        w->to[w->put++] = w->from[take_left ? w->left++ : w->right++];
    }
    if (w->put == end)
        w->run += 2;
    if (w->run >= w->run_count)
        end_pass(w);
}

/* They are everybody's from now on; if somebody else was faster, theirs are as good. */
static const struct sort_ranks *publish(struct sort_texts *t, struct sort_ranking *w)
{
    struct sort_ranks *made = xcalloc(1, sizeof *made), *old = atomic_load(&t->ranks);

    made->count = w->count;
    made->order = w->from;
    w->from = NULL;
    made->of = xcalloc(w->count, sizeof *made->of);
    for (uint32_t i = 0; i < w->count; i++)
        made->of[made->order[i]] = i;
    made->stale = old;
    if ((old == NULL || old->count < made->count) && atomic_compare_exchange_strong(&t->ranks, &old, made))
        return made;
    made->stale = NULL;
    free_ranks(made);
    return atomic_load(&t->ranks);
}

bool sort_texts_rank(struct sort_texts *t, struct sort_ranking **work, int64_t until_ms,
                     const struct sort_ranks **out)
{
    const struct sort_ranks *known = atomic_load(&t->ranks);

    if (known != NULL && known->count == t->count) {
        *out = known;
        return true;
    }
    if (*work == NULL)
        *work = begin(t, known);
    struct sort_ranking *w = *work;
    while (w->blocks_left < w->count || w->run_count > 1) {
        if (w->blocks_left < w->count)
            sort_block(t, w);
        else
            merge_some(t, w);
        if (clock_mono_ms() >= until_ms)
            return false;
    }
    *out = publish(t, w);
    sort_ranking_end(work);
    return true;
}
