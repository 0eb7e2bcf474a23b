/*
 * net/crowd.c - when it is too full: what all connections hold together, how many an account has, who has to go.
 *
 * Layer: net.  Strangers (who has not signed in, and is not local) stand in a list, the oldest first.  Once seven
 * eighths of the places or of the memory are taken, each newcomer sends the oldest of them away: whoever comes to
 * sit there is the first to go, and whoever comes to work finds a place.
 *
 * Memory is counted, not measured: what a connection holds while it is parked.  What its command needs beside
 * is charged to the same budget by the command's arena (base/budget.h).
 */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "net/loop.h"

enum {
    HELD_PLAIN = 1024,
    HELD_HANDSHAKE = 46 * 1024, /* measured; */
    HELD_TLS = 20 * 1024,       /* after it */
    HELD_RECORD = 17 * 1024,    /* and for a part of a record */
    HELD_OUTPUT = 16 * 1024, /* at the limit, who holds more and does not read has to go */
};

struct crowd {
    pthread_mutex_t lock;
    struct conn *oldest, *newest;
    struct idmap sessions; /* of numbers, by account */
};

struct crowd *crowd_create(void)
{
    struct crowd *w = xcalloc(1, sizeof(*w));

    (void)pthread_mutex_init(&w->lock, NULL);
    idmap_init(&w->sessions);
    return w;
}

void crowd_destroy(struct crowd **w_)
{
    struct crowd *w = *w_;

    if (w == NULL)
        return;
    idmap_finish(&w->sessions);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
    *w_ = NULL;
}

/* ---- strangers ---- */

void crowd_enter(struct conn *c)
{
    const struct sockaddr_storage peer = conn_peer(c);
    struct crowd *w = c->net->crowd;

    if (c->is_stranger || address_is_local(&peer))
        return;
    (void)pthread_mutex_lock(&w->lock);
    c->is_stranger = true;
    c->older = w->newest;
    c->newer = NULL;
    *(w->newest != NULL ? &w->newest->newer : &w->oldest) = c;
    w->newest = c;
    (void)pthread_mutex_unlock(&w->lock);
}

void crowd_leave(struct conn *c)
{
    struct crowd *w = c->net->crowd;

    if (!c->is_stranger)
        return;
    (void)pthread_mutex_lock(&w->lock);
    *(c->older != NULL ? &c->older->newer : &w->oldest) = c->newer;
    *(c->newer != NULL ? &c->newer->older : &w->newest) = c->older;
    c->is_stranger = false;
    (void)pthread_mutex_unlock(&w->lock);
}

/* Under the lock nobody in the list can go, so it may be marked; it stays in until it has gone, so behind the others. */
static void send_oldest_away(struct crowd *w)
{
    (void)pthread_mutex_lock(&w->lock);
    struct conn *c = w->oldest;
    if (c != NULL && c->newer != NULL) {
        w->oldest = c->newer;
        w->oldest->older = NULL;
        c->older = w->newest;
        c->newer = NULL;
        w->newest->newer = c;
        w->newest = c;
        conn_mark(c, MARK_CROWDED);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

bool crowd_has_room(struct net *n)
{
    if (budget_is_above(&n->memory, 7) || n->open >= n->limits.connections_max - n->limits.connections_max / 8)
        send_oldest_away(n->crowd);
    return !budget_is_above(&n->memory, 8);
}

/* ---- accounts ---- */

static void count_session(struct crowd *w, uint64_t account, int by)
{
    uintptr_t n = (uintptr_t)idmap_get(&w->sessions, account) + (uintptr_t)(intptr_t)by;

    if (n > 0)
        (void)idmap_put(&w->sessions, account, (void *)n); /* NOLINT(performance-no-int-to-ptr): a number, not a place */
    else
        (void)idmap_remove(&w->sessions, account);
}

void crowd_sign(struct conn *c, uint64_t before, uint64_t now)
{
    struct crowd *w = c->net->crowd;

    if (before == now)
        return;
    (void)pthread_mutex_lock(&w->lock);
    if (before != 0)
        count_session(w, before, -1);
    if (now != 0)
        count_session(w, now, 1);
    (void)pthread_mutex_unlock(&w->lock);
    if (now != 0)
        crowd_leave(c);
    else if (c->stage != STAGE_GONE)
        crowd_enter(c);
}

bool conn_account_is_full(const struct conn *c)
{
    struct crowd *w = c->net->crowd;

    (void)pthread_mutex_lock(&w->lock);
    uintptr_t n = (uintptr_t)idmap_get(&w->sessions, c->account_id);
    (void)pthread_mutex_unlock(&w->lock);
    return n > c->net->limits.sessions_per_account;
}

/* ---- memory ---- */

uint64_t crowd_memory_default(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t all = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;

    return all / 3 > (uint64_t)64 << 20 ? all / 3 : (uint64_t)64 << 20;
}

struct budget *conn_budget(struct conn *c)
{
    return &c->net->memory;
}

static size_t holds(const struct conn *c)
{
    size_t n = HELD_PLAIN + c->in_cap + c->out.cap;

    if (c->ssl != NULL)
        n += !conn_has_tls(c) ? HELD_HANDSHAKE : c->tls_partial ? HELD_TLS + HELD_RECORD : HELD_TLS;
    for (const struct out_piece *p = c->pieces; p != NULL; p = p->next)
        n += sizeof(*p) + (p->data != NULL ? p->end : 0);
    return n + compress_pending(c);
}

/* At the end of a turn.  false: there is no more, and this one holds output that its client does not read. */
bool crowd_charge(struct conn *c)
{
    size_t now = holds(c);

    if (now >= c->held)
        budget_add(&c->net->memory, now - c->held);
    else
        budget_give_back(&c->net->memory, c->held - now);
    c->held = (uint32_t)now;
    return !budget_is_above(&c->net->memory, 8) || out_pending(c) < HELD_OUTPUT;
}

void crowd_uncharge(struct conn *c)
{
    budget_give_back(&c->net->memory, c->held);
    c->held = 0;
}
