/*
 * relay/route.h - the routing table: which mail goes which way.
 *
 * Layer: relay.  Rows in the order of the config file; the first that fits counts; none: the MX of the domain.
 *
 *     route "office" { recipient_domain = {"example.net"}  hosts = {"relay.example.com:587"}
 *                      user = "..." password_file = "..." }
 *
 * A row without hosts leaves the way to the MX and only says how: TLS, source address, helo.  Each attempt asks the
 * table anew, so a changed config also counts for what is queued already.
 */
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "queue/queue.h"

enum route_tls { ROUTE_TLS_POLICY, /* DANE, MTA-STS, else opportunistic; for a host that gets a password: VERIFY */
                 ROUTE_TLS_NONE, ROUTE_TLS_MAY, ROUTE_TLS_MUST /* encrypted */, ROUTE_TLS_VERIFY /* PKIX */, ROUTE_TLS_DANE /* only */ };
enum route_protocol { ROUTE_SMTP, ROUTE_LMTP };

/*
 * Patterns: "example.org"; ".example.org": its subdomains; "*": any; "ann@example.org": that address; for senders also
 * "<>": the null reverse-path.  Domains in any case, U-labels too.
 */
struct route_row {
    const char         *name;
    const char *const  *sender_domains;    /* NULL-ended; NULL: any */
    const char *const  *recipient_domains;
    const char *const  *accounts;          /* addresses of accounts that submitted it */
    const char *const  *hosts;             /* "host[:port]", "[1.2.3.4]:25", "/path" (LMTP); tried in order.  NULL: MX */
    enum route_protocol protocol;
    enum route_tls      tls;
    bool                wrapped;           /* TLS from the first byte (port 465) */
    const char         *user, *password;   /* AUTH; NULL: none */
    const char *const  *sources;           /* source addresses, one of each family; NULL: the system's choice */
    const char         *helo;              /* NULL: hostname */
    bool                xclient;
    const char         *defer;             /* it goes nowhere for now: the reason; NULL: it goes */
    const char         *reject;            /* it never goes: "5.7.1 the reason" or the reason; NULL: it goes */
};
struct route_table { const struct route_row *rows; size_t count; };

/* `sender` "": the null reverse-path; `account` "": it came from another server.  NULL: no row fits. */
const struct route_row *route_find(const struct route_table *t, struct slice sender, struct slice account, struct slice recipient);

/* The recipient's domain as names compare ("[192.0.2.1]" for an address literal); false: none can be. */
bool route_domain(struct slice recipient, struct buf *out);

/* A host as a row names it. */
struct route_host {
    enum { ROUTE_HOST_NAME, ROUTE_HOST_ADDRESS, ROUTE_HOST_PATH } kind;
    char                    name[256];   /* without port and brackets; a path */
    unsigned                port;        /* 0 for a path */
    struct sockaddr_storage address;     /* but for names */
    socklen_t               address_len;
};
bool route_host_parse(const char *text, enum route_protocol protocol, bool wrapped, struct route_host *out, struct fail *why);

/* For queue_open: the domain, or "route:NAME" for mail that goes to a row's hosts. */
struct queue_router route_router(const struct route_table *t);

#endif
