/*
 * auth/throttle.c - see auth/throttle.h.
 *
 * Layer: auth.
 */
#include "auth/throttle.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/fail.h"

enum { WAYS = 4 };

struct entry {
    uint64_t key, guess;
    int64_t since;     /* when `failures` was last halved */
    unsigned failures; /* 0: the entry is free */
};

struct set {
    struct entry ways[WAYS];
};

struct throttle {
    pthread_mutex_t lock;
    unsigned half_life;
    uint64_t mask;
    struct set *sets; /* from calloc: what was never touched costs no memory */
};

struct throttle *throttle_create(unsigned entries, unsigned half_life)
{
    struct throttle *t = xcalloc(1, sizeof *t);
    uint64_t sets = 1;

    while (sets * 2 * WAYS <= entries)
        sets *= 2;
    (void)pthread_mutex_init(&t->lock, NULL);
    t->half_life = half_life > 0 ? half_life : 1;
    t->mask = sets - 1;
    t->sets = xcalloc(sets, sizeof *t->sets);
    return t;
}

void throttle_destroy(struct throttle **t)
{
    if (*t == NULL)
        return;
    (void)pthread_mutex_destroy(&(*t)->lock);
    free((*t)->sets);
    free(*t);
    *t = NULL;
}

static void decay(const struct throttle *t, struct entry *e, int64_t now)
{
    int64_t steps = (now - e->since) / t->half_life;

    if (steps <= 0)
        return;
    e->failures = steps < 32 ? e->failures >> steps : 0;
    e->since += steps * t->half_life;
}

/* The key's entry; else, with `make`, the one it may take; else NULL. */
static struct entry *find(struct throttle *t, uint64_t key, int64_t now, bool make)
{
    struct set *s = &t->sets[key & t->mask];
    struct entry *least = &s->ways[0];

    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *e = &s->ways[i];
        decay(t, e, now);
        if (e->failures > 0 && e->key == key)
            return e;
        if (e->failures < least->failures || (e->failures == least->failures && e->since < least->since))
            least = e;
    }
    if (!make)
        return NULL;
    *least = (struct entry){.key = key, .since = now};
    return least;
}

unsigned throttle_failures(struct throttle *t, uint64_t key, int64_t now)
{
    (void)pthread_mutex_lock(&t->lock);
    const struct entry *e = find(t, key, now, false);
    unsigned n = e != NULL ? e->failures : 0;
    (void)pthread_mutex_unlock(&t->lock);
    return n;
}

struct throttle_mark throttle_begin(struct throttle *t, uint64_t key, uint64_t guess, int64_t now)
{
    (void)pthread_mutex_lock(&t->lock);
    struct entry *e = find(t, key, now, true);
    struct throttle_mark mark = {.counted = e->failures == 0 || e->guess != guess};
    if (mark.counted)
        e->failures++;
    e->guess = guess;
    mark.failures = e->failures;
    (void)pthread_mutex_unlock(&t->lock);
    return mark;
}

void throttle_forgive(struct throttle *t, uint64_t key, struct throttle_mark mark, int64_t now)
{
    if (!mark.counted)
        return;
    (void)pthread_mutex_lock(&t->lock);
    struct entry *e = find(t, key, now, false);
    if (e != NULL)
        e->failures--;
    (void)pthread_mutex_unlock(&t->lock);
}
