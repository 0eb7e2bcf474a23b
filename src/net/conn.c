/*
 * net/conn.c - one connection, as a protocol sees it.
 *
 * Layer: net.  What is called during a turn, by the worker that owns the
 * connection; only wakers are called from elsewhere.
 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "base/clock.h"
#include "net/loop.h"

const char *conn_close_text(enum conn_close why)
{
    static const char *const text[] = {
#define X(id, words) [id] = words,
        CONN_CLOSE_REASONS(X)
#undef X
    };

    return text[why];
}

/* ---- in ---- */

struct slice conn_input(struct conn *c)
{
    return c->in != NULL ? slice_make(c->in + c->in_at, c->in_len - c->in_at) : SLICE("");
}

void conn_consume(struct conn *c, size_t n)
{
    if (n > c->in_len - c->in_at)
        bug("%zu bytes consumed of %u", n, c->in_len - c->in_at);
    c->in_at += (uint32_t)n;
    c->consumed = c->consumed || n > 0;
}

bool conn_take_line(struct conn *c, size_t max, struct slice *line, bool *crlf, bool *too_long)
{
    struct slice input = conn_input(c);
    struct slice window = slice_sub(input, 0, max < SIZE_MAX - 2 ? max + 2 : max); /* the line and its CRLF */
    size_t end = window.len > 0 ? slice_find_char(window, '\n') : 0;

    *too_long = false;
    if (end == window.len) {
        *too_long = input.len > max && !(input.len == max + 1 && input.ptr[max] == '\r');
        return false;
    }
    bool cr = end > 0 && input.ptr[end - 1] == '\r';
    if (end - (cr ? 1 : 0) > max) {
        *too_long = true;
        return false;
    }
    if (crlf != NULL)
        *crlf = cr;
    *line = slice_sub(input, 0, end - (cr ? 1 : 0));
    conn_consume(c, end + 1);
    return true;
}

bool conn_at_eof(const struct conn *c)
{
    return c->eof && c->in_at == c->in_len;
}

void conn_want(struct conn *c, size_t n)
{
    size_t max = c->row->protocol->input_max;

    max = max > 0 ? max : IN_BUFFER;
    c->want = (uint32_t)(n < max ? n : max);
}

/* ---- time ---- */

bool conn_turn_over(struct conn *c)
{
    const struct net_limits *l = &c->net->limits;

    return ++c->turn_commands >= l->turn_commands || clock_mono_ms() - c->turn_began >= l->turn_ms;
}

/* ---- who and how ---- */

static void wake_conn(void *ctx)
{
    conn_mark(ctx, MARK_WOKEN);
}

struct waker conn_waker(struct conn *c)
{
    return (struct waker){.wake = wake_conn, .ctx = c};
}

struct sockaddr_storage conn_peer(const struct conn *c)
{
    struct sockaddr_storage peer = {0};

    memcpy(&peer, c->peer, sizeof(c->peer));
    return peer;
}

struct sockaddr_storage conn_local(const struct conn *c)
{
    struct sockaddr_storage local = {0};
    socklen_t len = sizeof(local);

    if (getsockname(c->fd, (struct sockaddr *)&local, &len) != 0)
        return (struct sockaddr_storage){0};
    address_unmap(&local);
    return local;
}

void conn_set_peer(struct conn *c, const struct sockaddr_storage *peer)
{
    struct sockaddr_storage plain = *peer;

    address_unmap(&plain);
    memcpy(c->peer, &plain, sizeof(c->peer));
}

struct conn_address conn_peer_text(const struct conn *c)
{
    struct conn_address out = {"local"};
    struct sockaddr_in four;
    struct sockaddr_in6 six;

    switch (conn_peer(c).ss_family) {
    case AF_INET:
        memcpy(&four, c->peer, sizeof(four));
        (void)inet_ntop(AF_INET, &four.sin_addr, out.text, sizeof(out.text));
        break;
    case AF_INET6:
        memcpy(&six, c->peer, sizeof(six));
        (void)inet_ntop(AF_INET6, &six.sin6_addr, out.text, sizeof(out.text));
        break;
    default: break;
    }
    return out;
}

bool conn_peer_is_loopback(const struct conn *c)
{
    struct sockaddr_storage peer = conn_peer(c);

    return address_is_local(&peer);
}

struct log_id conn_session_id(const struct conn *c)
{
    return c->id;
}

bool conn_has_tls(const struct conn *c)
{
    return atomic_load_explicit(&c->tls, memory_order_relaxed);
}

bool conn_can_start_tls(const struct conn *c)
{
    return c->row->tls == NET_TLS_STARTTLS && c->row->tls_context != NULL && !conn_has_tls(c) &&
           !c->start_tls && c->compress == NULL;
}

void conn_start_tls(struct conn *c)
{
    if (!conn_can_start_tls(c))
        bug("STARTTLS where there is none");
    c->start_tls = true;
    c->in_at = c->in_len; /* what came before the handshake is not believed (RFC 3207 section 4.2) */
}

void conn_start_compress(struct conn *c)
{
    if (c->compress != NULL || c->start_tls)
        bug("compression twice, or before TLS");
    compress_prepare(c);
}

bool conn_compresses(const struct conn *c)
{
    return c->compress != NULL;
}

struct slice conn_tls_version(const struct conn *c)
{
    return conn_has_tls(c) ? slice_of(SSL_get_version(c->ssl)) : SLICE("");
}

struct slice conn_tls_cipher(const struct conn *c)
{
    return conn_has_tls(c) ? slice_of(SSL_get_cipher_name(c->ssl)) : SLICE("");
}

bool conn_has_binding(const struct conn *c)
{
    return conn_has_tls(c) && SSL_version(c->ssl) == TLS1_3_VERSION;
}

bool conn_binding(const struct conn *c, struct conn_binding *out)
{
    static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 section 2 */

    return conn_has_binding(c) && SSL_export_keying_material(c->ssl, out->bytes, sizeof out->bytes, label,
                                                             sizeof label - 1, NULL, 0, 0) == 1;
}

void *conn_room(struct conn *c)
{
    return memset(c->room, 0, CONN_ROOM);
}

void conn_counts(const struct conn *c, uint64_t *in, uint64_t *out)
{
    *in = atomic_load_explicit(&c->bytes_in, memory_order_relaxed);
    *out = atomic_load_explicit(&c->bytes_out, memory_order_relaxed);
}

void conn_set_label(struct conn *c, struct slice who)
{
    who = slice_sub(who, 0, sizeof(c->label) - 1);
    (void)pthread_mutex_lock(&c->net->lock);
    memset(c->label, 0, sizeof(c->label));
    if (who.len > 0)
        memcpy(c->label, who.ptr, who.len);
    (void)pthread_mutex_unlock(&c->net->lock);
}

void conn_set_account(struct conn *c, uint64_t account_id)
{
    uint64_t before = c->account_id;

    (void)pthread_mutex_lock(&c->net->lock);
    c->account_id = account_id;
    (void)pthread_mutex_unlock(&c->net->lock);
    crowd_sign(c, before, account_id);
    slow_set_bucket(c);
}
