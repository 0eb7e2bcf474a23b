/*
 * auth/exchange.c - see auth/exchange.h.
 *
 * Layer: auth.
 */
#include "auth/exchange.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"

struct exchanges {
    pthread_mutex_t lock;
    unsigned max, seconds;
    struct idmap waiting;
};

struct exchange *exchange_create(const struct auth_context *about)
{
    struct exchange *x = xcalloc(1, sizeof *x);

    x->id = random_u64();
    arena_init(&x->arena, 4096);
    x->about = (struct auth_context){.service = arena_keep(&x->arena, about->service),
                                     .peer = arena_keep(&x->arena, about->peer),
                                     .session = arena_keep(&x->arena, about->session),
                                     .domain = arena_keep(&x->arena, about->domain),
                                     .binding = arena_keep(&x->arena, about->binding),
                                     .tls = about->tls};
    return x;
}

void exchange_destroy(struct exchange **x)
{
    if (*x == NULL)
        return;
    sasl_finish(&(*x)->sasl);
    arena_finish(&(*x)->arena);
    free(*x);
    *x = NULL;
}

struct exchanges *exchanges_create(unsigned max, unsigned seconds)
{
    struct exchanges *t = xcalloc(1, sizeof *t);

    (void)pthread_mutex_init(&t->lock, NULL);
    idmap_init(&t->waiting);
    t->max = max;
    t->seconds = seconds;
    return t;
}

void exchanges_destroy(struct exchanges **tp)
{
    struct exchanges *t = *tp;
    size_t at = 0;
    uint64_t id;
    void *x;

    if (t == NULL)
        return;
    while (idmap_next(&t->waiting, &at, &id, &x))
        exchange_destroy(&(struct exchange *){x});
    idmap_finish(&t->waiting);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
    *tp = NULL;
}

bool exchanges_put(struct exchanges *t, struct exchange **x)
{
    struct exchange *old = NULL;

    (*x)->expires = clock_mono_ms() + (int64_t)t->seconds * 1000;
    (void)pthread_mutex_lock(&t->lock);
    bool room = t->waiting.count < t->max;
    if (room)
        old = idmap_put(&t->waiting, (*x)->id, *x);
    (void)pthread_mutex_unlock(&t->lock);
    exchange_destroy(room ? &old : x);
    *x = NULL;
    return room;
}

struct exchange *exchanges_take(struct exchanges *t, uint64_t id)
{
    (void)pthread_mutex_lock(&t->lock);
    struct exchange *x = idmap_remove(&t->waiting, id);
    (void)pthread_mutex_unlock(&t->lock);
    if (x != NULL && x->expires < clock_mono_ms())
        exchange_destroy(&x);
    return x;
}

void exchanges_sweep(struct exchanges *t)
{
    struct idmap kept;
    int64_t now = clock_mono_ms();
    size_t at = 0;
    uint64_t id;
    void *value;

    idmap_init(&kept);
    (void)pthread_mutex_lock(&t->lock);
    while (idmap_next(&t->waiting, &at, &id, &value)) {
        struct exchange *x = value;
        if (x->expires < now)
            exchange_destroy(&x);
        else
            (void)idmap_put(&kept, id, x);
    }
    idmap_finish(&t->waiting);
    t->waiting = kept;
    (void)pthread_mutex_unlock(&t->lock);
}
