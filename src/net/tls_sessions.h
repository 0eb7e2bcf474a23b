/*
 * net/tls_sessions.h - TLS sessions kept for the next connection to the same host.
 *
 * Layer: net, private to tls_client.c.  Bounded; the ones used longest ago go first.  Any thread.
 */
#ifndef NET_TLS_SESSIONS_H
#define NET_TLS_SESSIONS_H

#include <stdbool.h>

struct ssl_st;
struct ssl_ctx_st;

enum {
    TLS_SESSIONS_MAX = 1000,   /* in all: some kilobytes each */
    TLS_SESSIONS_OF_KEY = 4,   /* of one key: as many connections at once can be resumed */
    TLS_SESSION_SECONDS = 3600 /* a certificate that has changed is seen after this at the latest */
};

struct tls_session_key {
    unsigned char bytes[32];
};

struct tls_sessions;
struct tls_sessions *tls_sessions_create(void);
/* No SSL of a watched context may be left.  Fine on NULL; leaves *s NULL. */
void tls_sessions_destroy(struct tls_sessions **s);
/* Sessions that peers of this context give are kept, if tls_sessions_use() was called for their SSL. */
void tls_sessions_watch(struct tls_sessions *s, struct ssl_ctx_st *ctx);
/*
 * Before the handshake: one that was kept under `key` is tried, and new ones will be kept under it.  `key` must
 * live as long as the SSL.
 */
void tls_sessions_use(struct tls_sessions *s, const struct tls_session_key *key, struct ssl_st *ssl);

#endif
