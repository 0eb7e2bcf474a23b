/*
 * net/tls_client.h - TLS as a client: what must hold of the other side, and sessions kept for resumption.
 *
 * Layer: net.  OpenSSL underneath.  Blocking sockets with deadlines.
 */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include <sys/types.h>

#include "base/fail.h"
#include "net/dns.h"

struct tls_client_rule {
    enum tls_client_check {
        TLS_CHECK_NOTHING, /* any certificate: opportunistic */
        TLS_CHECK_PKIX,    /* the system's authorities and one of `names` (RFC 6125) */
        TLS_CHECK_DANE,    /* `tlsa` (RFC 7671, 7672) */
    } check;
    const char *const       *names; /* NULL-ended; DANE-TA(2) uses them too */
    const struct dns_record *tlsa;
    size_t                   tlsa_count;
};

struct tls_client;
/* `authorities`: a PEM file or NULL for the system's. */
bool tls_client_create(const char *authorities, struct tls_client **out, struct fail *why);
void tls_client_destroy(struct tls_client **c);

struct tls_link; /* one connection */
/*
 * Handshake on a connected socket, which stays the caller's.  `key` names the session that may be resumed (host and rule).
 * FAIL_TEMP with what went wrong: the name does not match, expired, not trusted, no TLSA record matches, no common protocol.
 */
bool tls_link_open(struct tls_client *c, int fd, const char *sni, const char *key, const struct tls_client_rule *rule, int64_t deadline_ms,
                   struct tls_link **out, struct fail *why);
void tls_link_close(struct tls_link **l);
/* Bytes, 0 at the end, -1 with *why; wait until the deadline (clock_mono_ms). */
ssize_t tls_link_read(struct tls_link *l, void *out, size_t n, int64_t deadline_ms, struct fail *why);
bool tls_link_write(struct tls_link *l, struct slice bytes, int64_t deadline_ms, struct fail *why);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", and which check it passed: for logs and the Received field. */
const char *tls_link_text(const struct tls_link *l);
/* Of the last failure to open: which of RFC 8460's results it was, as text ("certificate-expired"); "" if none fits. */
const char *tls_client_failure(const struct fail *why);

#endif
