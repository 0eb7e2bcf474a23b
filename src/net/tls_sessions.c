/*
 * net/tls_sessions.c - TLS sessions kept for the next connection to the same host.
 *
 * Layer: net.  A session is in its host's short list and in one list by age.  Those of TLS 1.3 leave when they are
 * used (RFC 8446 appendix C.4: a ticket is used once); those of TLS 1.2 stay.
 */
#include "net/tls_sessions.h"

#include <openssl/ssl.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/map.h"

struct host {
    struct tls_session_key key;
    SSL_SESSION *held[TLS_SESSIONS_OF_KEY]; /* the newest last */
    size_t count;
    struct host *newer, *older;
};

struct tls_sessions {
    pthread_mutex_t lock;
    struct map hosts;
    struct host *newest, *oldest;
    size_t count; /* sessions in all */
};

static struct slice key_slice(const struct tls_session_key *key)
{
    return slice_make(key->bytes, sizeof(key->bytes));
}

static void unlink_host(struct tls_sessions *s, struct host *h)
{
    *(h->newer != NULL ? &h->newer->older : &s->newest) = h->older;
    *(h->older != NULL ? &h->older->newer : &s->oldest) = h->newer;
    h->newer = h->older = NULL;
}

static void link_newest(struct tls_sessions *s, struct host *h)
{
    h->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = h;
    s->newest = h;
}

static void drop_host(struct tls_sessions *s, struct host *h)
{
    for (size_t i = 0; i < h->count; i++)
        SSL_SESSION_free(h->held[i]);
    s->count -= h->count;
    unlink_host(s, h);
    (void)map_remove(&s->hosts, key_slice(&h->key));
    free(h);
}

struct tls_sessions *tls_sessions_create(void)
{
    struct tls_sessions *s = xcalloc(1, sizeof(*s));

    (void)pthread_mutex_init(&s->lock, NULL);
    map_init(&s->hosts);
    return s;
}

void tls_sessions_destroy(struct tls_sessions **s_)
{
    struct tls_sessions *s = *s_;

    if (s == NULL)
        return;
    while (s->oldest != NULL)
        drop_host(s, s->oldest);
    map_finish(&s->hosts);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    *s_ = NULL;
}

/* OpenSSL has a new session (of TLS 1.3: a ticket has come).  1: its reference is ours now. */
static int session_came(SSL *ssl, SSL_SESSION *session)
{
    struct tls_sessions *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct tls_session_key *key = SSL_get_app_data(ssl);

    if (key == NULL || !SSL_SESSION_is_resumable(session))
        return 0;
    (void)pthread_mutex_lock(&s->lock);
    struct host *h = map_get(&s->hosts, key_slice(key));
    if (h == NULL) {
        h = xcalloc(1, sizeof(*h));
        h->key = *key;
        (void)map_put(&s->hosts, key_slice(key), h);
        link_newest(s, h);
    }
    if (h->count == TLS_SESSIONS_OF_KEY) {
        SSL_SESSION_free(h->held[0]);
        for (size_t i = 1; i < h->count; i++)
            h->held[i - 1] = h->held[i];
        h->count--;
        s->count--;
    }
    h->held[h->count++] = session;
    s->count++;
    while (s->count > TLS_SESSIONS_MAX && s->oldest != h)
        drop_host(s, s->oldest);
    (void)pthread_mutex_unlock(&s->lock);
    return 1;
}

void tls_sessions_watch(struct tls_sessions *s, struct ssl_ctx_st *ctx)
{
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    (void)SSL_CTX_set_timeout(ctx, TLS_SESSION_SECONDS);
    SSL_CTX_set_app_data(ctx, s);
    SSL_CTX_sess_set_new_cb(ctx, session_came);
}

/* A reference of the caller's, or NULL. */
static SSL_SESSION *take(struct tls_sessions *s, const struct tls_session_key *key)
{
    SSL_SESSION *session = NULL;

    (void)pthread_mutex_lock(&s->lock);
    struct host *h = map_get(&s->hosts, key_slice(key));
    if (h != NULL) {
        unlink_host(s, h);
        link_newest(s, h);
    }
    while (h != NULL && h->count > 0 && session == NULL) {
        SSL_SESSION *last = h->held[h->count - 1];
        bool fresh = clock_now() - (int64_t)SSL_SESSION_get_time(last) < TLS_SESSION_SECONDS;

        if (fresh && SSL_SESSION_get_protocol_version(last) < TLS1_3_VERSION) {
            (void)SSL_SESSION_up_ref(last);
            session = last;
        } else {
            h->count--;
            s->count--;
            if (fresh)
                session = last;
            else
                SSL_SESSION_free(last);
        }
    }
    if (h != NULL && h->count == 0)
        drop_host(s, h);
    (void)pthread_mutex_unlock(&s->lock);
    return session;
}

void tls_sessions_use(struct tls_sessions *s, const struct tls_session_key *key, struct ssl_st *ssl)
{
    SSL_SESSION *session = take(s, key);

    SSL_set_app_data(ssl, (void *)(uintptr_t)key);
    if (session != NULL) {
        (void)SSL_set_session(ssl, session);
        SSL_SESSION_free(session);
    }
}
