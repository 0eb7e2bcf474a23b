/*
 * net/tls_client.h - TLS as a client: what must hold of the other side, and sessions kept for resumption.
 *
 * Layer: net.  OpenSSL underneath.  Any thread may use one tls_client; a link belongs to one thread at a time.
 *
 * A session is only resumed under the same rule as it was made under: names and TLSA records are part of its
 * key, so a domain whose records change is looked at anew.  TLS 1.3 tickets are used once (RFC 8446 appendix C.4).
 */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include <sys/types.h>

#include "base/fail.h"
#include "net/dns.h"

struct tls_client_rule {
    enum tls_client_check {
        TLS_CHECK_NOTHING, /* any certificate: opportunistic (RFC 7435) */
        TLS_CHECK_PKIX,    /* the authorities and one of `names` (RFC 6125: DNS-ID only); TLS 1.2 at least */
        TLS_CHECK_DANE,    /* `tlsa` (RFC 7671, 7672 section 3); TLS 1.2 at least */
    } check;
    const char *const       *names; /* NULL-ended; DANE-TA(2) uses them too, the first is the TLSA base domain */
    const struct dns_record *tlsa;
    size_t                   tlsa_count;
    bool                     testing; /* a certificate that fails is taken, tls_link_complaint says why (RFC 8461 section 5) */
};

struct tls_client;
/* `authorities`: a PEM file or NULL for the system's. */
bool tls_client_create(const char *authorities, struct tls_client **out, struct fail *why);
/* No link may be open any more.  Fine on NULL; leaves *c NULL. */
void tls_client_destroy(struct tls_client **c);

struct tls_link; /* one connection */
/*
 * Handshake on a connected socket, which stays the caller's and is made non-blocking.  `sni`: NULL or an
 * address: none is said.  `key` names the host whose sessions may be resumed (host and port); NULL: none.
 * FAIL_TEMP with what went wrong: the name does not match, expired, not trusted, no TLSA record matches, no
 * common protocol.  Records none of which can be used (RFC 7672 section 2.2) are no check: any certificate will do.
 */
bool tls_link_open(struct tls_client *c, int fd, const char *sni, const char *key, const struct tls_client_rule *rule, int64_t deadline_ms,
                   struct tls_link **out, struct fail *why);
/* Says goodbye (close_notify) without waiting for an answer.  Fine on NULL; leaves *l NULL. */
void tls_link_close(struct tls_link **l);
/* Bytes, 0 at the end, -1 with *why; wait until the deadline (clock_mono_ms). */
ssize_t tls_link_read(struct tls_link *l, void *out, size_t n, int64_t deadline_ms, struct fail *why);
bool tls_link_write(struct tls_link *l, struct slice bytes, int64_t deadline_ms, struct fail *why);
/*
 * The same without waiting: TLS_LINK_WAIT: nothing could be done now; *events (POLLIN, POLLOUT) says what
 * poll() is to wait for.  What one of them wants does not hinder the other.
 */
enum { TLS_LINK_WAIT = -2 };
ssize_t tls_link_try_read(struct tls_link *l, void *out, size_t n, short *events, struct fail *why);
ssize_t tls_link_try_write(struct tls_link *l, struct slice bytes, short *events, struct fail *why);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384, DANE": version, cipher and the check it passed: for logs and the Received field. */
const char *tls_link_text(const struct tls_link *l);
bool tls_link_resumed(const struct tls_link *l);
/* rule.testing: why the certificate would have been refused; "" if it would not. */
const char *tls_link_complaint(const struct tls_link *l);
/* The certificates that the peer showed, line by line, for people. */
void tls_link_describe(const struct tls_link *l, struct buf *out);

/*
 * Which of RFC 8460's results (section 4.3) a failure was, as text ("certificate-expired"); "" if none fits.
 * Knows the texts of tls_link_open and of smtp_client_open, also with more in front of them.
 */
const char *tls_client_failure(const struct fail *why);
const char *tls_client_failure_text(const char *text);

#endif
