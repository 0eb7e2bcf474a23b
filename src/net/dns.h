/*
 * net/dns.h - DNS for everybody: asked of the resolver role, which alone parses what comes from outside.
 *
 * Layer: net.  A broken resolver, a time-out or a bogus signature is DNS_FAILED ("later"), never "there is none".
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <netinet/in.h>

#include "base/arena.h"
#include "net/ipc.h"

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };

enum dns_status {
    DNS_FOUND,
    DNS_NO_DATA, /* the name is there, such records are not */
    DNS_NO_NAME, /* NXDOMAIN */
    DNS_FAILED,  /* no answer, SERVFAIL, bogus, the resolver role is away */
};

struct dns_record {
    uint32_t ttl;
    union {
        struct in_addr  a;
        struct in6_addr aaaa;
        struct { unsigned preference; const char *host; } mx; /* host "": null MX (RFC 7505) */
        const char     *name;                                 /* CNAME, PTR: without the last dot */
        struct slice    text;                                 /* TXT: its strings joined */
        struct { unsigned usage, selector, matching; struct slice data; } tlsa;
    };
};
struct dns_answer {
    enum dns_status    status;
    bool               secure;    /* validated (RFC 4035): by a resolver on loopback, or by libunbound */
    const char        *canonical; /* the name at the end of CNAMEs, as asked if there were none */
    struct dns_record *records;   /* of the type that was asked for, in the arena */
    size_t             count;
    uint32_t           ttl;       /* seconds that the answer (also a negative one) may be kept; 0: unknown */
    const char        *why;       /* DNS_FAILED: in plain words */
};

struct dns_client;
struct dns_client *dns_client_create(const struct ipc_limits *ipc, struct fail *why);
/* Nobody may be asking any more.  Fine on NULL; leaves *c NULL. */
void dns_client_destroy(struct dns_client **c);
/* The socket to the role; owned by the client from now on. */
void dns_client_attach(struct dns_client *c, int fd);

/*
 * `name` without its last dot; U-labels are refused (the caller has made A-labels).  Waits, for some seconds at most,
 * between block_begin and block_end.  Answers are kept as long as their TTL says (bounded).
 */
void dns_ask(struct dns_client *c, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out);

/* ---- the side that parses: for the resolver role ---- */

struct dns_limits {
    unsigned seconds;   /* for one question, tries included; default 20 */
    unsigned answers;   /* kept at most; default 20000 */
    bool     unbound;   /* libunbound validates itself instead of the system's resolver; default off */
};
void dns_limits_default(struct dns_limits *l);

struct dns_server;
/* `servers`: addresses to ask instead of those of resolv.conf ("127.0.0.1", "[::1]:5353"), NULL-ended or NULL. */
bool dns_server_create(const struct dns_limits *limits, const char *const *servers, struct dns_server **out, struct fail *why);
void dns_server_destroy(struct dns_server **s);
struct ipc_service dns_server_service(struct dns_server *s);

#endif
