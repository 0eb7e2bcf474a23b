/*
 * relay/tls_choice.c - what must hold of the TLS to a host.
 *
 * Layer: relay.
 */
#include "relay/tls_choice.h"

#include <string.h>

static enum route_tls wanted(const struct way *w)
{
    enum route_tls tls = w->row != NULL ? w->row->tls : ROUTE_TLS_POLICY;

    /* A password is for the host of that name and for nobody who says to be it. */
    if (tls == ROUTE_TLS_POLICY && w->row != NULL && w->row->user != NULL)
        return ROUTE_TLS_VERIFY;
    return tls;
}

bool tls_choice_asks_dane(const struct way *w, const struct way_host *h)
{
    enum route_tls tls = wanted(w);

    return h->is_name && w->mx_secure && (tls == ROUTE_TLS_POLICY || tls == ROUTE_TLS_DANE);
}

/* Policies are of domains whose MX are looked up (RFC 8461 section 1.1); an address literal has none. */
bool tls_choice_asks_sts(const struct way *w)
{
    return wanted(w) == ROUTE_TLS_POLICY && w->by_mx;
}

static void refuse(struct tls_choice *c, bool for_good, const char *status, struct slice why)
{
    c->use = false;
    c->for_good = for_good;
    c->status = status;
    c->why = why.ptr != NULL ? why.ptr : "its TLS cannot be trusted";
}

static void demand(struct tls_choice *c, const struct way *w, enum tls_client_check check)
{
    c->tls = w->row != NULL && w->row->wrapped ? CLIENT_TLS_WRAPPED : CLIENT_TLS_MUST;
    c->has_rule = check != TLS_CHECK_NOTHING;
    c->rule = (struct tls_client_rule){.check = check, .names = c->names};
    c->strict = check != TLS_CHECK_NOTHING;
}

static void use_dane(struct tls_choice *c, const struct tls_question *q)
{
    demand(c, q->way, TLS_CHECK_DANE);
    /* RFC 7672 section 3.2.2: beside the TLSA base domain the domain whose signed MX led here. */
    size_t n = 0;
    c->names[n++] = q->dane->base;
    if (q->way->by_mx)
        c->names[n++] = q->way->domain;
    if (strcmp(q->dane->base, q->host->name) != 0)
        c->names[n++] = q->host->name;
    c->rule.tlsa = q->dane->records;
    c->rule.tlsa_count = q->dane->count;
    c->policy = REPORT_TLSA;
    c->note = "DANE";
}

/*
 * The name that the certificate must have.  That of an MX host says nothing where the MX record may have been forged, so
 * then only the domain itself counts, or a host below it.
 */
static bool use_verify(struct tls_choice *c, const struct tls_question *q)
{
    struct slice host = slice_of(q->host->name), domain = slice_of(q->way->domain);
    size_t n = 0;

    if (!q->host->is_name)
        return false;
    demand(c, q->way, TLS_CHECK_PKIX);
    bool below = domain.len > 0 && host.len > domain.len + 1 && slice_ends(host, domain) && host.ptr[host.len - domain.len - 1] == '.';
    if (!q->way->by_mx || q->way->mx_secure || below)
        c->names[n++] = q->host->name;
    if (q->way->by_mx)
        c->names[n++] = q->way->domain;
    return true;
}

/* DANE first: a policy fetched by HTTPS must not override it (RFC 8461 section 2). */
static void by_policy(struct tls_choice *c, const struct tls_question *q, struct arena *a)
{
    enum dane_status dane = q->dane != NULL ? q->dane->status : DANE_NONE;

    if (dane == DANE_FAILED) {
        c->policy = REPORT_TLSA;
        refuse(c, false, "4.7.5", arena_printf(a, "the TLSA records of %s could not be looked up: %s", q->host->name, q->dane->why));
    } else if (dane == DANE_USABLE) {
        use_dane(c, q);
    } else if (dane == DANE_UNUSABLE) {
        demand(c, q->way, TLS_CHECK_NOTHING); /* RFC 7672 section 2.2: encrypted, by whoever */
        c->policy = REPORT_TLSA;
        c->note = "DANE";
    } else if (q->sts != NULL && q->sts->mode != STS_NONE) {
        bool named = sts_policy_allows(q->sts, slice_of(q->host->name));
        c->policy = REPORT_STS;
        c->note = "MTA-STS";
        if (q->sts->mode == STS_ENFORCE && !named) {
            refuse(c, false, "4.7.5", arena_printf(a, "%s is not among the hosts of the domain's MTA-STS policy", q->host->name));
            return;
        }
        demand(c, q->way, TLS_CHECK_PKIX);
        c->names[0] = q->host->name;
        if (q->sts->mode == STS_TESTING) { /* it is told what would have been (RFC 8461 section 5) */
            c->tls = CLIENT_TLS_MAY;
            c->rule.testing = true;
            c->strict = false;
            if (!named)
                c->why = arena_cstr(a, arena_printf(a, "%s is not among the hosts of the domain's MTA-STS policy", q->host->name));
        }
    }
}

/*
 * RFC 8689 section 4.2.1: the MX host is found by DNSSEC or allowed by an MTA-STS policy, and its certificate is verified;
 * whether it offers REQUIRETLS itself is the client's to see.
 */
static void add_requiretls(struct tls_choice *c, const struct tls_question *q, struct arena *a)
{
    bool trusted = q->way->mx_secure || (q->sts != NULL && q->sts->mode == STS_ENFORCE);

    if (!c->use || c->strict)
        return;
    if (!q->host->is_name || !trusted) {
        refuse(c, true, "5.7.30",
               arena_printf(a, "its sender demands TLS all the way (REQUIRETLS), and nothing proves that %s is the right host for it",
                            q->host->name));
        return;
    }
    demand(c, q->way, TLS_CHECK_PKIX);
    c->names[0] = q->host->name;
    c->names[1] = NULL;
}

void tls_choose(const struct tls_question *q, struct arena *a, struct tls_choice *out)
{
    struct tls_choice *c = out;
    const struct route_row *row = q->way->row;

    *c = (struct tls_choice){.use = true, .tls = CLIENT_TLS_MAY, .policy = REPORT_NO_POLICY, .status = "", .why = "", .note = ""};
    if (row != NULL && row->wrapped)
        c->tls = CLIENT_TLS_WRAPPED;
    if (q->host->count > 0 && q->host->addresses[0].at.ss_family == AF_UNIX)
        c->tls = CLIENT_TLS_NONE; /* nobody listens in there */
    if (row != NULL && wanted(q->way) != ROUTE_TLS_POLICY)
        c->note = "route";
    switch (wanted(q->way)) {
    case ROUTE_TLS_POLICY: by_policy(c, q, a); break;
    case ROUTE_TLS_NONE: c->tls = CLIENT_TLS_NONE; break;
    case ROUTE_TLS_MAY: break;
    case ROUTE_TLS_MUST: demand(c, q->way, TLS_CHECK_NOTHING); break;
    case ROUTE_TLS_VERIFY:
        if (!use_verify(c, q))
            refuse(c, false, "4.7.5", arena_printf(a, "%s has no name that its certificate could be checked against", q->host->name));
        break;
    case ROUTE_TLS_DANE:
        if (q->dane != NULL && q->dane->status == DANE_USABLE)
            use_dane(c, q);
        else
            refuse(c, false, "4.7.5", arena_printf(a, "%s has no TLSA records that can be used, and the route demands DANE", q->host->name));
        break;
    }
    if (q->requiretls)
        add_requiretls(c, q, a);
}
