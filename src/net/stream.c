/*
 * net/stream.c - reading and writing a connection's socket, with TLS and without.
 *
 * Layer: net.  Nothing in here waits.  OpenSSL writes with write(), which can
 * raise SIGPIPE: workers block all signals (workers.c).
 *
 * Read-ahead stays off, so OpenSSL takes from the socket what the record needs
 * and no byte more: as long as it holds nothing, epoll tells all there is.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/log.h"
#include "net/loop.h"
#include "net/tls.h"

enum {
    RECORD = 16 * 1024,          /* plaintext of one TLS record, RFC 8446 section 5.1 */
    HANDSHAKE_BYTES = 64 * 1024, /* a client that sends more than this before it is done is up to no good */
};

static enum stream socket_failed(void)
{
    return errno == EAGAIN || errno == EINTR ? STREAM_LATER : STREAM_ERROR;
}

/* What SSL_get_error() says, for us. */
static enum stream tls_failed(struct conn *c, int result)
{
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: return STREAM_LATER;
    case SSL_ERROR_WANT_WRITE: c->tls_wants_out = true; return STREAM_LATER;
    case SSL_ERROR_ZERO_RETURN: return STREAM_EOF;
    default: return STREAM_ERROR;
    }
}

static bool tls_has_more(const struct conn *c)
{
    return c->ssl != NULL && SSL_has_pending(c->ssl) == 1 && !c->tls_partial;
}

bool stream_has_more(const struct conn *c)
{
    return tls_has_more(c) || compress_has_more(c);
}

static enum stream tls_read(struct conn *c, void *out, size_t size, size_t *got)
{
    enum stream said = STREAM_OK;

    ERR_clear_error();
    c->tls_partial = false;
    c->tls_wants_out = false;
    while (*got < size && said == STREAM_OK) {
        size_t n = 0;
        int r = SSL_read_ex(c->ssl, (char *)out + *got, size - *got, &n);
        *got += n;
        if (r != 1)
            said = tls_failed(c, r);
        else if (!tls_has_more(c))
            break;
    }
    /* Something is left that OpenSSL cannot use yet: an incomplete record. */
    c->tls_partial = said == STREAM_LATER && SSL_has_pending(c->ssl) == 1;
    return *got > 0 ? STREAM_OK : said;
}

enum stream stream_read(struct conn *c, void *out, size_t size, size_t *got)
{
    return compress_is_on(c) ? compress_read(c, out, size, got) : stream_read_raw(c, out, size, got);
}

enum stream stream_read_raw(struct conn *c, void *out, size_t size, size_t *got)
{
    *got = 0;
    if (c->ssl != NULL)
        return tls_read(c, out, size, got);
    ssize_t n = recv(c->fd, out, size, MSG_DONTWAIT);
    if (n < 0)
        return socket_failed();
    *got = (size_t)n;
    return n > 0 ? STREAM_OK : STREAM_EOF;
}

/* Copies from the front of `iov` up to one record's worth: small pieces share a record. */
static struct slice fill_record(struct worker *w, const struct iovec *iov, int count, size_t from)
{
    size_t len = 0;

    if (w->record == NULL)
        w->record = xmalloc(RECORD);
    for (int i = 0; i < count && len < RECORD; i++) {
        size_t n = iov[i].iov_len - from;
        if (n > RECORD - len)
            n = RECORD - len;
        memcpy(w->record + len, (const char *)iov[i].iov_base + from, n);
        len += n;
        from = 0;
    }
    return slice_make(w->record, len);
}

/*
 * When OpenSSL has made a record that the socket did not take, it wants to be
 * given the same bytes again, at least as many: queued output only ever grows at
 * its end, so showing it again from where it stands is just that.
 */
static enum stream tls_write(struct conn *c, const struct iovec *iov, int count, size_t *sent)
{
    size_t from = 0; /* into iov[0] */

    ERR_clear_error();
    while (count > 0) {
        struct slice data = slice_make((const char *)iov[0].iov_base + from, iov[0].iov_len - from);
        size_t n = 0;

        if (data.len < RECORD && count > 1)
            data = fill_record(c->worker, iov, count, from);
        int r = SSL_write_ex(c->ssl, data.ptr, data.len, &n);
        if (r != 1) {
            enum stream said = tls_failed(c, r);
            return said == STREAM_EOF ? STREAM_ERROR : said;
        }
        *sent += n;
        from += n;
        while (count > 0 && from >= iov[0].iov_len) {
            from -= iov[0].iov_len;
            iov++;
            count--;
        }
    }
    return STREAM_OK;
}

enum stream stream_write(struct conn *c, const struct iovec *iov, int count, size_t *sent)
{
    return compress_is_on(c) ? compress_write(c, iov, count, sent) : stream_write_raw(c, iov, count, sent);
}

enum stream stream_write_raw(struct conn *c, const struct iovec *iov, int count, size_t *sent)
{
    size_t all = 0;

    *sent = 0;
    if (c->ssl != NULL)
        return tls_write(c, iov, count, sent);
    for (int i = 0; i < count; i++)
        all += iov[i].iov_len;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return socket_failed();
    *sent = (size_t)n;
    return *sent == all ? STREAM_OK : STREAM_LATER;
}

bool stream_start_tls(struct conn *c)
{
    c->ssl = tls_context_session(c->row->tls_context, c->fd, c->row->protocol->alpn);
    return c->ssl != NULL;
}

void stream_hide(struct conn *c, bool hide)
{
    if (c->ssl != NULL && hide)
        (void)SSL_set_options(c->ssl, SSL_OP_CLEANSE_PLAINTEXT);
    else if (c->ssl != NULL)
        (void)SSL_clear_options(c->ssl, SSL_OP_CLEANSE_PLAINTEXT);
}

static void log_failed_handshake(const struct conn *c, const char *why)
{
    struct conn_address peer = conn_peer_text(c);

    if (!conn_may_log(c, HUSH_TLS_FAILED))
        return;
    log_event(LOG_INFO, "tls.failed", LOG_CSTR("session", c->id.text), LOG_CSTR("listener", c->row->name),
              LOG_CSTR("peer", peer.text), LOG_CSTR("error", why));
}

enum stream stream_handshake(struct conn *c)
{
    ERR_clear_error();
    c->tls_wants_out = false;
    int r = SSL_accept(c->ssl);
    if (r == 1) {
        atomic_store_explicit(&c->tls, true, memory_order_relaxed);
        return STREAM_OK;
    }
    enum stream said = tls_failed(c, r);
    if (said == STREAM_LATER && BIO_number_read(SSL_get_rbio(c->ssl)) > HANDSHAKE_BYTES) {
        log_failed_handshake(c, "client hello too long");
        return STREAM_ERROR;
    }
    if (said == STREAM_LATER)
        return STREAM_LATER;
    unsigned long error = ERR_peek_last_error();
    const char *text = error != 0 ? ERR_reason_error_string(error) : NULL;
    log_failed_handshake(c, text != NULL ? text : "connection closed by the client");
    return STREAM_ERROR;
}

void stream_close_notify(struct conn *c)
{
    if (c->ssl == NULL || atomic_load_explicit(&c->tls, memory_order_relaxed) == false || c->broken)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(c->ssl);
}
