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
    DNS_NO_NAME, /* NXDOMAIN, or no name that DNS could have */
    DNS_FAILED,  /* no answer, SERVFAIL, bogus, the resolver role is away */
};

/* Names are in lower case, without their last dot, and of visible ASCII. */
struct dns_record {
    uint32_t ttl;
    union {
        struct in_addr  a;
        struct in6_addr aaaa;
        struct { unsigned preference; const char *host; } mx; /* host "": null MX (RFC 7505) */
        const char     *name;                                 /* CNAME, PTR */
        struct slice    text;                                 /* TXT: its strings joined; any bytes */
        struct { unsigned usage, selector, matching; struct slice data; } tlsa;
    };
};
struct dns_answer {
    enum dns_status    status;
    bool               secure;    /* validated (RFC 4035): by a resolver on loopback, or by libunbound; also "there is none" can be */
    const char        *canonical; /* the name at the end of CNAMEs, as asked if there were none */
    struct dns_record *records;   /* of the type that was asked for, in the arena, in the answer's order */
    size_t             count;
    uint32_t           ttl;       /* seconds that the answer (also a negative one) may still be kept */
    const char        *why;       /* DNS_FAILED: in plain words; else "" */
};

struct dns_limits {
    unsigned seconds;   /* for one question, tries included; default 20 */
    unsigned answers;   /* kept at most, by each role that asks; default 20000 */
    unsigned questions; /* at once in the resolver role, a thread each; default 64 */
    bool     unbound;   /* libunbound validates itself instead of the system's resolver; default off */
};
void dns_limits_default(struct dns_limits *l);

/* ---- the side that asks ---- */

struct dns_client;
struct dns_client *dns_client_create(const struct dns_limits *limits, const struct ipc_limits *ipc, struct fail *why);
/* Nobody may be asking any more.  Fine on NULL; leaves *c NULL. */
void dns_client_destroy(struct dns_client **c);
/* The socket to the role; owned by the client from now on. */
void dns_client_attach(struct dns_client *c, int fd);

/*
 * `name` with or without its last dot; U-labels are refused (the caller has made A-labels).  Waits, for dns.seconds at
 * most, between block_begin and block_end.  Answers are kept as long as their TTL says (bounded).
 */
void dns_ask(struct dns_client *c, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out);

/*
 * The same without waiting, for sessions that park and for several questions at once.  `w` is woken once the answer is
 * there, but not if it is there already: look at dns_call_done() first.  Never NULL.
 */
struct dns_call;
struct dns_call *dns_ask_start(struct dns_client *c, const char *name, enum dns_type type, struct waker w);
bool dns_call_done(struct dns_call *call);
/*
 * The answer, waited for if need be; with a NULL `out` nobody wants it any more.  Frees the call, after which its waker
 * is not called; fine on NULL.
 */
void dns_call_end(struct dns_call **call, struct arena *a, struct dns_answer *out);

/* "1.2.0.192.in-addr.arpa" for 192.0.2.1: for DNS_PTR and, in another zone, for DNS lists. */
enum { DNS_REVERSE_MAX = 64 + 256 };
/* `zone` "": in-addr.arpa or ip6.arpa.  false: neither IPv4 nor IPv6, or too long. */
bool dns_reverse(const struct sockaddr *address, const char *zone, char out[DNS_REVERSE_MAX]);

/* ---- the side that parses: for the resolver role ---- */

struct dns_server;
/* "127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:5353": what `servers` may name. */
bool dns_server_address(const char *text, struct sockaddr_storage *out, struct fail *why);
/* `servers`: addresses to ask instead of those of resolv.conf, NULL-ended or NULL; outlive it.  At most three are asked. */
bool dns_server_create(const struct dns_limits *limits, const char *const *servers, struct dns_server **out, struct fail *why);
/* After its ipc_server is gone.  Fine on NULL; leaves *s NULL. */
void dns_server_destroy(struct dns_server **s);
struct ipc_service dns_server_service(struct dns_server *s);

#endif
