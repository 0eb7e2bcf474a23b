/*
 * trust/dane.h - TLSA records for SMTP (RFC 7672): which there are, and whether they can be used.
 *
 * Layer: trust.  The matching itself is OpenSSL's (SSL_dane_enable, in net/tls_client.h).
 */
#ifndef TRUST_DANE_H
#define TRUST_DANE_H

#include "base/arena.h"
#include "net/dns.h"

enum dane_status {
    DANE_NONE,     /* no TLSA records, or not from a signed zone: opportunistic TLS */
    DANE_USABLE,   /* at least one that can be used (DANE-TA(2), DANE-EE(3)): the certificate must match one */
    DANE_UNUSABLE, /* there are some, none usable: TLS is mandatory, unauthenticated (section 2.2) */
    DANE_FAILED,   /* the look-up failed: this host must not be used now (section 2.1.1) */
};
struct dane_answer {
    enum dane_status   status;
    struct dns_record *records; /* the usable ones, in the arena */
    size_t             count;
    const char        *base;    /* TLSA base domain: a name that the certificate may carry (section 3.2.2) */
    const char        *why;     /* DANE_FAILED */
};
/*
 * For an MX host whose own name was found securely (`mx_secure`; a name that the config or the recipient itself gave is).
 * Follows section 2.2.2: the CNAME-expanded name first, then the name itself.  `addresses`: the host's A or AAAA answer, which
 * was found; if it is not secure no TLSA look-up is made, but for an alias in a signed zone.  Waits, as dns_ask does.
 */
void dane_find(struct dns_client *dns, const char *host, unsigned port, bool mx_secure, const struct dns_answer *addresses,
               struct arena *a, struct dane_answer *out);

#endif
