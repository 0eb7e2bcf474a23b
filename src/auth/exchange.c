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
    struct exchange *oldest, *newest; /* all wait equally long, so the oldest expires first */
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
    t->max = max > 0 ? max : 1;
    t->seconds = seconds;
    return t;
}

void exchanges_destroy(struct exchanges **tp)
{
    struct exchanges *t = *tp;

    if (t == NULL)
        return;
    while (t->oldest != NULL) {
        struct exchange *x = t->oldest;
        t->oldest = x->newer;
        exchange_destroy(&x);
    }
    idmap_finish(&t->waiting);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
    *tp = NULL;
}

/* With the lock held: out of the table; *x is the caller's. */
static struct exchange *take_out(struct exchanges *t, struct exchange *x)
{
    (void)idmap_remove(&t->waiting, x->id);
    *(x->older != NULL ? &x->older->newer : &t->oldest) = x->newer;
    *(x->newer != NULL ? &x->newer->older : &t->newest) = x->older;
    x->older = x->newer = NULL;
    return x;
}

void exchanges_put(struct exchanges *t, struct exchange **xp)
{
    struct exchange *x = *xp, *forgotten = NULL;

    *xp = NULL;
    x->expires = clock_mono_ms() + (int64_t)t->seconds * 1000;
    (void)pthread_mutex_lock(&t->lock);
    if (t->waiting.count >= t->max)
        forgotten = take_out(t, t->oldest);
    (void)idmap_put(&t->waiting, x->id, x); /* an id is 64 random bits: nobody else has it */
    x->older = t->newest;
    *(t->newest != NULL ? &t->newest->newer : &t->oldest) = x;
    t->newest = x;
    (void)pthread_mutex_unlock(&t->lock);
    exchange_destroy(&forgotten);
}

struct exchange *exchanges_take(struct exchanges *t, uint64_t id)
{
    (void)pthread_mutex_lock(&t->lock);
    struct exchange *x = idmap_get(&t->waiting, id);
    if (x != NULL)
        x = take_out(t, x);
    (void)pthread_mutex_unlock(&t->lock);
    if (x != NULL && x->expires < clock_mono_ms())
        exchange_destroy(&x);
    return x;
}

void exchanges_sweep(struct exchanges *t)
{
    int64_t now = clock_mono_ms();

    for (;;) {
        (void)pthread_mutex_lock(&t->lock);
        struct exchange *x = t->oldest != NULL && t->oldest->expires < now ? take_out(t, t->oldest) : NULL;
        (void)pthread_mutex_unlock(&t->lock);
        if (x == NULL)
            return;
        exchange_destroy(&x);
    }
}
