/*
 * relay/memory.c - what is remembered of addresses for a while.
 *
 * Layer: relay.
 */
#include "relay/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/map.h"

enum { PLACES_MAX = 10000 };

struct place {
    int64_t dead_until, no_tls_until; /* clock_mono_ms */
    char why[160];
};

struct host_memory {
    pthread_mutex_t lock;
    struct map places;
};

struct host_memory *host_memory_create(void)
{
    struct host_memory *m = xcalloc(1, sizeof *m);

    (void)pthread_mutex_init(&m->lock, NULL);
    map_init(&m->places);
    return m;
}

static void forget_all(struct host_memory *m)
{
    struct slice key;
    void *place;

    for (size_t at = 0; map_next(&m->places, &at, &key, &place);)
        free(place);
    map_finish(&m->places);
    map_init(&m->places);
}

void host_memory_destroy(struct host_memory **m)
{
    if (*m == NULL)
        return;
    forget_all(*m);
    map_finish(&(*m)->places);
    (void)pthread_mutex_destroy(&(*m)->lock);
    free(*m);
    *m = NULL;
}

/* Locked.  When there are too many all are forgotten: they are found out again, and this is rarer than keeping them in order is dear. */
static struct place *place_for(struct host_memory *m, struct slice where)
{
    struct place *p = map_get(&m->places, where);

    if (p != NULL)
        return p;
    if (m->places.count >= PLACES_MAX)
        forget_all(m);
    p = xcalloc(1, sizeof *p);
    (void)map_put(&m->places, where, p);
    return p;
}

void host_memory_dead(struct host_memory *m, struct slice where, unsigned seconds, const char *why)
{
    if (seconds == 0)
        return;
    (void)pthread_mutex_lock(&m->lock);
    struct place *p = place_for(m, where);
    p->dead_until = clock_mono_ms() + (int64_t)seconds * 1000;
    (void)snprintf(p->why, sizeof p->why, "%s", why);
    (void)pthread_mutex_unlock(&m->lock);
}

const char *host_memory_is_dead(struct host_memory *m, struct slice where, struct arena *a)
{
    const char *why = NULL;

    (void)pthread_mutex_lock(&m->lock);
    const struct place *p = map_get(&m->places, where);
    if (p != NULL && p->dead_until > clock_mono_ms())
        why = arena_cstr(a, slice_of(p->why));
    (void)pthread_mutex_unlock(&m->lock);
    return why;
}

void host_memory_no_tls(struct host_memory *m, struct slice where, unsigned seconds)
{
    (void)pthread_mutex_lock(&m->lock);
    place_for(m, where)->no_tls_until = clock_mono_ms() + (int64_t)seconds * 1000;
    (void)pthread_mutex_unlock(&m->lock);
}

bool host_memory_has_no_tls(struct host_memory *m, struct slice where)
{
    (void)pthread_mutex_lock(&m->lock);
    const struct place *p = map_get(&m->places, where);
    bool broken = p != NULL && p->no_tls_until > clock_mono_ms();
    (void)pthread_mutex_unlock(&m->lock);
    return broken;
}
