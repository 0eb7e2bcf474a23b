/*
 * relay/relay.h - the outbound runner: takes from the queue, finds the way, speaks SMTP, reports back.
 *
 * Layer: relay.  Threads that block; as many as there is to do, up to the queue's `sessions`.
 *
 *     queue_claim -> route (table, MX, addresses) -> TLS policy (DANE, MTA-STS) -> smtp_client -> queue_report
 *
 * A connection is used for what else waits for its destination, and kept for a while when nothing does.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "queue/queue.h"
#include "relay/route.h"
#include "smtp/client.h"

struct dns_client;
struct mta_sts;
struct tls_client;
struct tls_report;

struct relay_limits {
    unsigned hosts;           /* tried for one attempt; default 5 */
    unsigned addresses;       /* of one host; default 5 */
    unsigned recipients;      /* in one transaction; default 100, which every server takes (RFC 5321 section 4.5.3.1.8) */
    unsigned reuse_messages;  /* over one connection; default 100 */
    unsigned reuse_seconds;   /* a connection that waits for more mail is kept so long; 0: not at all; default 5 */
    unsigned dead_seconds;    /* an address that did not answer is left alone so long; default 60 */
    unsigned port;            /* of MX hosts; default 25 */
    bool     ipv6;            /* hosts are reached by IPv6 too; default on */
};
void relay_limits_default(struct relay_limits *l);

/* Where we take in mail ourselves: an MX that leads there is a loop. */
struct relay_own {
    struct sockaddr_storage address; /* ss_family 0: every address of this machine */
    unsigned                port;
};

struct relay_setting {
    const char *hostname; /* for EHLO, and to notice a loop to ourselves */
    const struct relay_own *own; /* outlives the relay, as all that is pointed to here */
    size_t own_count;
    struct relay_limits limits;
    struct smtp_client_limits client;
    const struct route_table *routes;
    struct queue *queue;
    struct dns_client *dns;
    struct mta_sts *sts;       /* NULL: not asked */
    struct tls_report *report; /* NULL: not counted */
    struct tls_client *tls;
};
struct relay;
bool relay_start(const struct relay_setting *s, struct relay **out, struct fail *why);
/* What relay_stop begins with, without waiting: nothing new is sent, and attempts that wait for an answer of DNS end when they have it. */
void relay_stop_begin(struct relay *r);
/*
 * Lets attempts that are past their last dot finish, for `seconds` at most, and breaks off the others; all claims are
 * reported when it returns.  Fine on NULL; leaves *r NULL.
 */
void relay_stop(struct relay **r, unsigned seconds);

#endif
