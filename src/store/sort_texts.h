/*
 * store/sort_texts.h - texts that are compared often, each kept once and known by a number.
 *
 * Layer: store; private to sort*.c and thread*.c.  Text 0 is the empty one.  Two texts are
 * equal when their numbers are; which comes first their ranks say, which are worked out when
 * first asked for, in steps.  Texts are keys of a collation (base/collation.h), cut at
 * SORT_TEXT_BYTES.
 */
#ifndef STORE_SORT_TEXTS_H
#define STORE_SORT_TEXTS_H

#include "base/buf.h"

enum { SORT_TEXT_BYTES = 1000 };

struct sort_ranks;

struct sort_texts {
    struct sort_text *list;
    uint32_t count, cap;
    char *bytes;
    uint32_t bytes_len, bytes_cap;
    uint32_t *slots; /* hash table of numbers + 1; a power of two of them */
    uint32_t slot_count;
    /* Made by whoever needs them first, then never changed; of the first ranks->count texts. */
    struct sort_ranks *_Atomic ranks;
};

struct sort_ranks {
    uint32_t count;
    uint32_t *of;             /* of each text; equal texts have one number, so no two are equal */
    uint32_t *order;          /* texts by rank */
    struct sort_ranks *stale; /* of fewer texts; somebody may still be reading them */
};

void sort_texts_init(struct sort_texts *t);
void sort_texts_finish(struct sort_texts *t);
/* A copy that may grow; the ranks come along. */
void sort_texts_copy(struct sort_texts *to, const struct sort_texts *from);
/* The number of a key.  When four gigabytes of them are kept every further one is taken for empty. */
uint32_t sort_texts_add(struct sort_texts *t, struct slice key);
/* Nobody else has the texts now: what only others could still be reading goes. */
void sort_texts_settle(struct sort_texts *t);
uint64_t sort_texts_cost(const struct sort_texts *t);

/*
 * Ranks of all texts: `out` is set when they are there.  Otherwise work is done until `until_ms`
 * (clock_mono_ms) and kept in *work, which starts NULL and is freed by sort_ranking_end.
 */
struct sort_ranking;
bool sort_texts_rank(struct sort_texts *t, struct sort_ranking **work, int64_t until_ms,
                     const struct sort_ranks **out);
void sort_ranking_end(struct sort_ranking **work);

#endif
