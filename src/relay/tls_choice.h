/*
 * relay/tls_choice.h - what must hold of the TLS to a host: decided before it is connected to.
 *
 * Layer: relay, private (and for its tests).  The route says, else DANE (RFC 7672), else MTA-STS (RFC 8461), else nothing
 * does and TLS is opportunistic (RFC 7435).  REQUIRETLS (RFC 8689) adds to what would hold otherwise.
 */
#ifndef RELAY_TLS_CHOICE_H
#define RELAY_TLS_CHOICE_H

#include "net/tls_client.h"
#include "relay/way.h"
#include "trust/dane.h"
#include "trust/mta_sts.h"
#include "trust/tls_report.h"

struct tls_question {
    const struct way          *way;
    const struct way_host     *host;
    const struct dane_answer  *dane; /* NULL: not asked */
    const struct sts_policy   *sts;  /* NULL: none */
    bool                       requiretls;
};

struct tls_choice {
    bool                    use;       /* else this host must not be used: `why` */
    bool                    for_good;  /* ... and trying again will not help */
    const char             *status, *why;
    enum smtp_client_tls    tls;
    bool                    has_rule;
    struct tls_client_rule  rule;
    const char             *names[4];  /* of the rule; NULL-ended */
    bool                    strict;    /* what REQUIRETLS asks for is met once this is */
    enum tls_report_policy  policy;    /* for the report */
    const char             *note;      /* "DANE", "MTA-STS", "route", "": for the log */
};

/* Does its answer matter?  A look-up costs time. */
bool tls_choice_asks_dane(const struct way *w, const struct way_host *h);
bool tls_choice_asks_sts(const struct way *w);
/* What the rule points to lies in *out, the question and the arena. */
void tls_choose(const struct tls_question *q, struct arena *a, struct tls_choice *out);

#endif
