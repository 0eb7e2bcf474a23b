/*
 * net/peers.c - how many connections an address has, and how fast it makes them.
 *
 * Layer: net.
 */
#include "net/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/map.h"

enum { SWEEP_FIRST = 1024, WINDOW_MS = 1000 };

struct peer {
    unsigned open;
    unsigned recent; /* made since window_at */
    int64_t window_at;
};

struct peers {
    pthread_mutex_t lock;
    struct idmap map;      /* of struct peer, by address */
    struct idmap networks; /* of numbers of connections, above 0 */
    size_t sweep_at; /* entries in the map when those that say nothing are to be dropped */
    unsigned connections_max, per_second_max, network_max;
};

struct peers *peers_create(unsigned connections_max, unsigned per_second_max, unsigned network_max)
{
    struct peers *p = xcalloc(1, sizeof(*p));

    (void)pthread_mutex_init(&p->lock, NULL);
    idmap_init(&p->map);
    idmap_init(&p->networks);
    p->sweep_at = SWEEP_FIRST;
    p->connections_max = connections_max;
    p->per_second_max = per_second_max;
    p->network_max = network_max;
    return p;
}

void peers_destroy(struct peers **p_)
{
    struct peers *p = *p_;
    size_t at = 0;
    uint64_t key;
    void *value;

    if (p == NULL)
        return;
    while (idmap_next(&p->map, &at, &key, &value))
        free(value);
    idmap_finish(&p->map);
    idmap_finish(&p->networks);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
    *p_ = NULL;
}

void address_unmap(struct sockaddr_storage *address)
{
    struct sockaddr_in6 six;

    if (address->ss_family != AF_INET6)
        return;
    memcpy(&six, address, sizeof(six));
    if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
        return;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six.sin6_port};
    memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], 4);
    *address = (struct sockaddr_storage){0};
    memcpy(address, &four, sizeof(four));
}

bool address_is_local(const struct sockaddr_storage *address)
{
    struct sockaddr_storage a = *address;
    struct sockaddr_in four;
    struct sockaddr_in6 six;

    address_unmap(&a);
    switch (a.ss_family) {
    case AF_INET:
        memcpy(&four, &a, sizeof(four));
        return (ntohl(four.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    case AF_INET6: memcpy(&six, &a, sizeof(six)); return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
    default: return true;
    }
}

/* One number for who counts as one: half an IPv6 address; an IPv4 one in ff00::/8, where no client is. */
uint64_t peers_key(const struct sockaddr_storage *address)
{
    struct sockaddr_storage a = *address;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    uint64_t key = 0;

    address_unmap(&a);
    if (a.ss_family == AF_INET) {
        memcpy(&four, &a, sizeof(four));
        return (uint64_t)0xff00 << 48 | ntohl(four.sin_addr.s_addr);
    }
    memcpy(&six, &a, sizeof(six));
    for (unsigned i = 0; i < 8; i++)
        key = key << 8 | six.sin6_addr.s6_addr[i];
    return key;
}

/* Likewise of its network: /24, /48. */
static uint64_t network_key(uint64_t key)
{
    return key >> 56 == 0xff ? key & ~(uint64_t)0xff : key >> 16;
}

static uintptr_t network_count(const struct peers *p, uint64_t network)
{
    return (uintptr_t)idmap_get(&p->networks, network);
}

static void network_set(struct peers *p, uint64_t network, uintptr_t count)
{
    if (count > 0)
        (void)idmap_put(&p->networks, network, (void *)count); /* NOLINT(performance-no-int-to-ptr): a number, not a place */
    else
        (void)idmap_remove(&p->networks, network);
}

static bool says_nothing(const struct peer *e, int64_t now)
{
    return e->open == 0 && now - e->window_at >= WINDOW_MS;
}

/* Drops those who have gone: now and then, so that the work for one connection stays constant. */
static void sweep(struct peers *p, int64_t now)
{
    uint64_t *gone = xcalloc(p->map.count, sizeof(*gone));
    size_t count = 0, at = 0;
    uint64_t key;
    void *value;

    while (idmap_next(&p->map, &at, &key, &value)) {
        if (says_nothing(value, now))
            gone[count++] = key;
    }
    for (size_t i = 0; i < count; i++)
        free(idmap_remove(&p->map, gone[i]));
    free(gone);
    p->sweep_at = p->map.count * 2 > SWEEP_FIRST ? p->map.count * 2 : SWEEP_FIRST;
}

enum peers_verdict peers_enter(struct peers *p, const struct sockaddr_storage *address, int64_t now)
{
    enum peers_verdict verdict = PEERS_OK;

    if (address_is_local(address))
        return PEERS_OK;
    (void)pthread_mutex_lock(&p->lock);
    if (p->map.count >= p->sweep_at)
        sweep(p, now);
    uint64_t key = peers_key(address), network = network_key(key);
    struct peer *e = idmap_get(&p->map, key);
    if (e == NULL) {
        e = xcalloc(1, sizeof(*e));
        e->window_at = now;
        (void)idmap_put(&p->map, key, e);
    }
    if (now - e->window_at >= WINDOW_MS) {
        e->window_at = now;
        e->recent = 0;
    }
    if (e->recent >= p->per_second_max)
        verdict = PEERS_TOO_FAST;
    else if (e->open >= p->connections_max)
        verdict = PEERS_TOO_MANY;
    else if (network_count(p, network) >= p->network_max)
        verdict = PEERS_NETWORK_FULL;
    if (verdict == PEERS_OK) {
        e->open++;
        network_set(p, network, network_count(p, network) + 1);
    }
    if (verdict != PEERS_TOO_FAST)
        e->recent++;
    (void)pthread_mutex_unlock(&p->lock);
    return verdict;
}

void peers_leave(struct peers *p, const struct sockaddr_storage *address, int64_t now)
{
    if (address_is_local(address))
        return;
    (void)pthread_mutex_lock(&p->lock);
    uint64_t key = peers_key(address);
    struct peer *e = idmap_get(&p->map, key);
    if (e != NULL && e->open > 0) {
        e->open--;
        network_set(p, network_key(key), network_count(p, network_key(key)) - 1);
        if (says_nothing(e, now))
            free(idmap_remove(&p->map, key));
    } else {
        bug("an address leaves that never came");
    }
    (void)pthread_mutex_unlock(&p->lock);
}
