/*
 * relay/attempt.h - one claim, from taking it up to reporting it.
 *
 * Layer: relay, private: attempt.c (the recipients), connect.c (the hosts).
 */
#ifndef RELAY_ATTEMPT_H
#define RELAY_ATTEMPT_H

#include "relay/internal.h"
#include "relay/tls_choice.h"

/* What is known of one recipient so far. */
enum fate_is { FATE_OPEN, FATE_SENT, FATE_RELAYED, FATE_NEVER, FATE_OTHERS /* of another way: not now */ };
struct fate {
    enum fate_is           is;
    unsigned               tried;     /* on the host of this number */
    struct smtp_reply_text reply;     /* open: the first host's "not now", or what we found that cannot work */
    const char            *broke;     /* open: how the connection broke; NULL: it did not */
    const char            *host, *address, *tls; /* of the last that had it */
};

/* Why no connection came about: the first reason counts, since it is the best host's. */
struct trouble {
    unsigned               now, for_good; /* so many hosts */
    struct smtp_reply_text reply;
    const char            *status, *text, *host;
};

struct attempt {
    struct relay           *relay;
    struct queue_claim     *claim;
    struct arena           *arena;
    const struct route_row *row;     /* of this way */
    const char             *domain;  /* of the recipients */
    const char             *way;     /* both, as the name of a way */
    struct fate            *fates;   /* one for each recipient */
    size_t                  open;    /* so many recipients */
    unsigned                host;    /* number of the host that is being tried */
    const char             *heard;   /* a host that has said "not now" already, over a connection that was kept; NULL: none */
    struct trouble          trouble;
    bool                    talked;  /* some host listened to us */
    bool                    busy;    /* some host has too much to do */
    struct sts_policy       sts;
    bool                    has_sts;
};

/* The next connection along the way, or NULL when there is no host left.  What went wrong is in trouble. */
struct hosts;
struct hosts *hosts_find(struct attempt *a);
struct link *hosts_next(struct hosts *h);
/* A host, or all of them, cannot be used: remembered if it is the first such. */
void attempt_trouble(struct attempt *a, bool for_good, const char *status, const char *text, const char *host,
                     const struct smtp_reply_text *reply);

#endif
