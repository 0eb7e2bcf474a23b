/*
 * relay/route.h - the routing table: which mail goes which way.
 *
 * Layer: relay.  Rows in the order of the config file; the first that fits counts; none: the MX of the domain.
 *
 *     route "office" { recipient_domain = {"example.net"}  hosts = {"relay.example.com:587"}  tls = "must"
 *                      user = "..." password_file = "..." }
 */
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/queue.h"

enum route_tls { ROUTE_TLS_POLICY, /* DANE, MTA-STS, else opportunistic */
                 ROUTE_TLS_NONE, ROUTE_TLS_MAY, ROUTE_TLS_MUST /* encrypted */, ROUTE_TLS_VERIFY /* PKIX */, ROUTE_TLS_DANE /* only */ };
enum route_protocol { ROUTE_SMTP, ROUTE_LMTP };

struct route_row {
    const char         *name;
    const char *const  *sender_domains;    /* NULL-ended; NULL: any */
    const char *const  *recipient_domains; /* ".example.org": its subdomains; "*": any */
    const char *const  *accounts;          /* addresses of accounts that submitted it */
    const char *const  *hosts;             /* "host[:port]", "[1.2.3.4]:25", "/path" (LMTP); tried in order.  NULL: MX */
    enum route_protocol protocol;
    enum route_tls      tls;
    bool                wrapped;           /* TLS from the first byte (port 465) */
    const char         *user, *password;   /* AUTH; NULL: none */
    const char         *source;            /* source address; NULL: the system's choice */
    const char         *helo;              /* NULL: hostname */
    bool                xclient;
};
struct route_table { const struct route_row *rows; size_t count; };

const struct route_row *route_find(const struct route_table *t, struct slice sender, struct slice account, struct slice recipient);
/* For queue_open. */
struct queue_router route_router(const struct route_table *t);

#endif
