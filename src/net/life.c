/*
 * net/life.c - a connection begins, and ends.
 *
 * Layer: net.
 */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"

static bool in_blocks(const struct net_block *blocks, size_t count, const struct sockaddr_storage *address)
{
    for (size_t i = 0; i < count; i++) {
        if (net_block_contains(&blocks[i], address))
            return true;
    }
    return false;
}

bool conn_may_log(const struct conn *c, enum hush_kind kind)
{
    const struct sockaddr_storage address = conn_peer(c);
    struct conn_address peer = conn_peer_text(c);

    return hush_speak(c->net->hush, kind, peers_key(&address), &peer, clock_mono_ms());
}

void life_tell_hushed(struct net *n)
{
    static const char *const events[] = {[HUSH_REFUSED] = "net.refused", [HUSH_TLS_FAILED] = "tls.failed"};
    int64_t now = clock_mono_ms();
    struct hush_count c;

    while (hush_next(n->hush, now, &c))
        log_event(LOG_INFO, events[c.kind], LOG_CSTR("peer", c.peer.text[0] != '\0' ? c.peer.text : "others"),
                  LOG_CSTR("reason", "the same again within a minute"), LOG_U64("times", c.count));
}

/* "Too many from you" in the protocol's own words, where they can be understood. */
static void refuse(const struct conn *c, const char *why)
{
    struct conn_address peer = conn_peer_text(c);
    const char *text = c->row->protocol->refusal;

    if (conn_may_log(c, HUSH_REFUSED))
        log_event(LOG_INFO, "net.refused", LOG_CSTR("listener", c->row->name), LOG_CSTR("peer", peer.text),
                  LOG_CSTR("reason", why));
    if (text != NULL && c->row->tls != NET_TLS_IMPLICIT)
        (void)send(c->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool conn_count_peer(struct conn *c)
{
    const struct sockaddr_storage peer = conn_peer(c);

    switch (peers_enter(c->net->peers, &peer, clock_mono_ms())) {
    case PEERS_OK: c->counted = true; return true;
    case PEERS_TOO_MANY: refuse(c, "too many connections from this address"); return false;
    case PEERS_NETWORK_FULL: refuse(c, "too many connections from this network"); return false;
    case PEERS_TOO_FAST: refuse(c, "connections from this address come too fast"); return false;
    }
    bug("no such verdict");
}

/* What the administrator sees of it begins here and ends in unlist(). */
static void list(struct conn *c)
{
    (void)pthread_mutex_lock(&c->net->lock);
    c->id = log_new_id();
    c->since = clock_now();
    c->account_id = 0;
    c->listed = true;
    (void)pthread_mutex_unlock(&c->net->lock);
}

struct conn *conn_create(struct conn *c, int fd, const struct net_listener *row,
                         const struct sockaddr_storage *peer)
{
    struct net *n = c->net;

    c->fd = fd;
    c->row = row;
    conn_set_peer(c, peer);
    struct sockaddr_storage plain = conn_peer(c);
    bool proxied = row->proxy && in_blocks(row->proxy_sources, row->proxy_source_count, &plain);
    bool room = crowd_has_room(n);
    if (!room)
        refuse(c, "no memory for more");
    if (!room || (!proxied && !conn_count_peer(c))) {
        (void)close(fd);
        slot_give_back(c);
        return NULL;
    }
    c->stage = proxied ? STAGE_PROXY : row->tls == NET_TLS_IMPLICIT ? STAGE_HANDSHAKE : STAGE_OPEN;
    c->waits_for = TURN_PARK;
    c->why = CONN_CLOSE_ERROR;
    deadline_start(c);
    list(c);
    slow_set_bucket(c);
    (void)crowd_charge(c);
    if (!proxied)
        crowd_enter(c);
    return c;
}

static void unlist(struct conn *c)
{
    (void)pthread_mutex_lock(&c->net->lock);
    c->listed = false;
    c->label[0] = '\0';
    (void)pthread_mutex_unlock(&c->net->lock);
}

static void log_end(const struct conn *c)
{
    struct conn_address peer = conn_peer_text(c);

    log_event(LOG_INFO, "session.end", LOG_CSTR("session", c->id.text), LOG_CSTR("listener", c->row->name),
              LOG_CSTR("peer", peer.text), LOG_CSTR("reason", conn_close_text(c->why)),
              LOG_U64("seconds", clock_now() - c->since), LOG_U64("in", c->bytes_in),
              LOG_U64("out", c->bytes_out));
}

/* Everything goes, the slot last. */
void conn_finish(struct conn *c)
{
    struct net *n = c->net;

    if (c->session != NULL)
        c->row->protocol->close(c->session, c->why);
    c->session = NULL;
    crowd_sign(c, c->account_id, 0);
    crowd_leave(c);
    log_end(c);
    unlist(c);
    timer_remove(n->timers, &c->timer);
    if (c->counted) {
        const struct sockaddr_storage peer = conn_peer(c);
        peers_leave(n->peers, &peer, clock_mono_ms());
    }
    out_drop(c);
    c->in_at = c->in_len;
    buffers_give_back(c);
    compress_finish(c);
    SSL_free(c->ssl);
    crowd_uncharge(c);
    (void)close(c->fd); /* takes it out of the epoll as well */
    if (c->row_is_ours)
        free((void *)(uintptr_t)c->row);
    slot_give_back(c);
}
