/*
 * relay/relay.h - the outbound runner: takes from the queue, finds the way, speaks SMTP, reports back.
 *
 * Layer: relay.  Threads that block; as many as there is to do, up to the queue's `sessions`.
 *
 *     queue_claim -> route (table, MX, addresses) -> TLS policy (DANE, MTA-STS) -> smtp_client -> queue_report
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
    unsigned hosts;           /* MX hosts tried for one attempt; default 5 */
    unsigned addresses;       /* of one host; default 5 */
    unsigned reuse_messages;  /* over one connection; default 100 */
    unsigned reuse_seconds;   /* a connection that waits for more mail is kept so long; default 5 */
};
void relay_limits_default(struct relay_limits *l);

struct relay_setting {
    const char *hostname; /* for EHLO, and to notice a loop to ourselves */
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
/* Lets attempts that are past their last dot finish, breaks off the others.  Fine on NULL. */
void relay_stop(struct relay **r, unsigned seconds);

#endif
