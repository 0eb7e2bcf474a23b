/*
 * auth/verified.c - see auth/verified.h.
 *
 * Layer: auth.
 */
#include "auth/verified.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

enum { WAYS = 4, PEERS = 3 };

struct entry {
    uint64_t account; /* 0: free */
    int64_t expires;
    uint64_t peers[PEERS]; /* the latest first */
    unsigned char mac[VERIFIED_MAC_BYTES];
};

struct set {
    struct entry ways[WAYS];
};

struct verified {
    pthread_mutex_t lock;
    unsigned seconds;
    uint64_t count; /* of sets; 0: remembers nothing */
    struct set *sets;
};

struct verified *verified_create(unsigned entries, unsigned seconds)
{
    struct verified *v = xcalloc(1, sizeof *v);

    (void)pthread_mutex_init(&v->lock, NULL);
    v->seconds = seconds;
    v->count = ((uint64_t)entries + WAYS - 1) / WAYS;
    v->sets = xcalloc(v->count > 0 ? v->count : 1, sizeof *v->sets);
    return v;
}

void verified_destroy(struct verified **v)
{
    if (*v == NULL)
        return;
    sodium_memzero((*v)->sets, (*v)->count * sizeof *(*v)->sets);
    (void)pthread_mutex_destroy(&(*v)->lock);
    free((*v)->sets);
    free(*v);
    *v = NULL;
}

/* The account's entry or NULL.  Account ids are ours: nobody can aim at a set. */
static struct entry *find(struct verified *v, uint64_t account)
{
    if (v->count == 0)
        return NULL;
    struct set *s = &v->sets[account % v->count];
    for (unsigned i = 0; i < WAYS; i++)
        if (s->ways[i].account == account)
            return &s->ways[i];
    return NULL;
}

bool verified_has(struct verified *v, uint64_t account, const unsigned char mac[VERIFIED_MAC_BYTES],
                  int64_t now)
{
    (void)pthread_mutex_lock(&v->lock);
    const struct entry *e = find(v, account);
    bool has = e != NULL && now < e->expires && sodium_memcmp(e->mac, mac, VERIFIED_MAC_BYTES) == 0;
    (void)pthread_mutex_unlock(&v->lock);
    return has;
}

static bool has_peer(const struct entry *e, uint64_t peer)
{
    bool has = false;

    for (unsigned i = 0; i < PEERS; i++)
        has = has || e->peers[i] == peer;
    return has;
}

static void add_peer(struct entry *e, uint64_t peer)
{
    if (has_peer(e, peer))
        return;
    memmove(e->peers + 1, e->peers, sizeof e->peers - sizeof e->peers[0]);
    e->peers[0] = peer;
}

bool verified_knows_peer(struct verified *v, uint64_t account, uint64_t peer)
{
    (void)pthread_mutex_lock(&v->lock);
    const struct entry *e = find(v, account);
    bool knows = e != NULL && has_peer(e, peer);
    (void)pthread_mutex_unlock(&v->lock);
    return knows;
}

/* The account's entry, or in its place the one that expires first. */
static struct entry *take(struct verified *v, uint64_t account)
{
    struct set *s = &v->sets[account % v->count];
    struct entry *e = find(v, account), *oldest = &s->ways[0];

    if (e != NULL)
        return e;
    for (unsigned i = 1; i < WAYS; i++)
        if (s->ways[i].expires < oldest->expires)
            oldest = &s->ways[i];
    *oldest = (struct entry){.account = account};
    return oldest;
}

void verified_add(struct verified *v, uint64_t account, const unsigned char mac[VERIFIED_MAC_BYTES],
                  uint64_t peer, int64_t now)
{
    if (v->count == 0)
        return;
    (void)pthread_mutex_lock(&v->lock);
    struct entry *e = take(v, account);
    e->expires = now + v->seconds;
    memcpy(e->mac, mac, VERIFIED_MAC_BYTES);
    add_peer(e, peer);
    (void)pthread_mutex_unlock(&v->lock);
}

void verified_add_peer(struct verified *v, uint64_t account, uint64_t peer, int64_t now)
{
    if (v->count == 0)
        return;
    (void)pthread_mutex_lock(&v->lock);
    struct entry *e = find(v, account);
    if (e == NULL) {
        e = take(v, account);
        e->expires = now + v->seconds;
        randombytes_buf(e->mac, sizeof e->mac); /* no password has it */
    }
    add_peer(e, peer);
    (void)pthread_mutex_unlock(&v->lock);
}

void verified_drop(struct verified *v, uint64_t account)
{
    (void)pthread_mutex_lock(&v->lock);
    struct entry *e = find(v, account);
    if (e != NULL)
        sodium_memzero(e, sizeof *e);
    (void)pthread_mutex_unlock(&v->lock);
}
