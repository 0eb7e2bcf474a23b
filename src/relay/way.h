/*
 * relay/way.h - the hosts that a message may go to, in their order.
 *
 * Layer: relay, private (and for its tests).  RFC 5321 section 5; null MX RFC 7505.
 */
#ifndef RELAY_WAY_H
#define RELAY_WAY_H

#include <netinet/in.h>

#include "net/dns.h"
#include "relay/relay.h"

/* Why nothing can be sent, for all recipients of an attempt. */
struct verdict {
    bool         permanent;
    const char  *status; /* enhanced status code */
    const char  *text;   /* for the sender, in plain words */
};

struct way_address {
    struct sockaddr_storage at;
    socklen_t               len;
    char                    text[sizeof(((struct route_host *)NULL)->name)]; /* "192.0.2.1", or a path */
};

enum way_state {
    WAY_UNRESOLVED,
    WAY_READY,
    WAY_NO_ADDRESS, /* it has none: for good */
    WAY_LATER,      /* DNS failed */
};

struct way_host {
    const char         *name;  /* as it is checked and logged */
    unsigned            preference, port;
    bool                is_name; /* else an address or a path: nothing a certificate could name */
    enum way_state      state;
    const char         *why;
    struct way_address *addresses;
    size_t              count;
    struct dns_answer   answer; /* of its addresses: for DANE */
};

struct way {
    const struct route_row *row;    /* NULL: none fits */
    const char             *domain; /* the recipients', as names compare */
    bool                    by_mx;     /* the hosts are what DNS says of the domain */
    bool                    mx_secure; /* and that was validated; or the config says them */
    bool                    is_us;     /* hosts were left out because we are among them */
    struct way_host        *hosts;
    size_t                  count;
};

/* The hosts in their order, addresses not looked up yet.  false: it cannot go, *why says how that is. */
bool way_find(const struct relay_setting *s, const struct route_row *row, const char *domain, struct arena *a, struct way *out,
              struct verdict *why);
/*
 * Looks up the addresses of the hosts from `from` on that have the same preference, at most `most`; returns the place behind
 * them.  If one of them is us, it and all from `from` on are taken out of the way (RFC 5321 section 5.1).
 */
size_t way_resolve(const struct relay_setting *s, struct way *w, size_t from, size_t most, struct arena *a);

/* What is said when nothing is left of the way because we are in it. */
void way_loop(const struct way *w, struct arena *a, struct verdict *why);

/* For its tests: RFC 5321's order, hosts of equal preference in any. */
void way_sort(struct way_host *hosts, size_t count);

#endif
