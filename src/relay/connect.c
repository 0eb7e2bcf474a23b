/*
 * relay/connect.c - one host after the other, until one of them listens.
 *
 * Layer: relay.  RFC 5321 section 5.1; TLS by relay/tls_choice.h; results are counted for RFC 8460's reports.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "relay/attempt.h"

enum { NO_TLS_SECONDS = 3600, BUSY = 421 };

struct hosts {
    struct attempt *attempt;
    struct way      way;
    size_t          at, resolved;  /* the next host; those before this one have addresses */
    size_t          tried;         /* hosts */
    struct tls_choice choice;      /* for the present host */
    size_t          address;       /* the next one of the present host */
    bool            opened;        /* the present host: something was tried or said about it */
};

static void trouble_of_host(struct hosts *h, const struct way_host *host, bool for_good, const char *status, const char *text)
{
    attempt_trouble(h->attempt, for_good, status, text, host->name, NULL);
}

/* ---- TLS reports ---- */

static enum tls_report_result result_of(const char *failure)
{
    static const struct { const char *name; enum tls_report_result result; } names[] = {
        {"starttls-not-supported", REPORT_STARTTLS_NOT_SUPPORTED},
        {"certificate-host-mismatch", REPORT_CERTIFICATE_HOST_MISMATCH},
        {"certificate-expired", REPORT_CERTIFICATE_EXPIRED},
        {"certificate-not-trusted", REPORT_CERTIFICATE_NOT_TRUSTED},
        {"tlsa-invalid", REPORT_TLSA_INVALID},
        {"dnssec-invalid", REPORT_DNSSEC_INVALID},
        {"sts-webpki-invalid", REPORT_STS_WEBPKI_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i].name, failure) == 0)
            return names[i].result;
    }
    return REPORT_VALIDATION_FAILURE;
}

static struct slice tlsa_text(const struct tls_choice *c, struct arena *a)
{
    struct buf out;

    buf_init(&out, 16 * 1024);
    for (size_t i = 0; i < c->rule.tlsa_count; i++) {
        const struct dns_record *r = &c->rule.tlsa[i];
        buf_addf(&out, "%s%u %u %u ", i > 0 ? "\n" : "", r->tlsa.usage, r->tlsa.selector, r->tlsa.matching);
        for (size_t k = 0; k < r->tlsa.data.len; k++)
            buf_addf(&out, "%02x", (unsigned)(unsigned char)r->tlsa.data.ptr[k]);
    }
    struct slice text = arena_keep(a, buf_slice(&out));
    buf_finish(&out);
    return text;
}

/* `failure`: in the words of tls_client_failure_text(); "": it went well. */
static void report(const struct hosts *h, const struct way_host *host, const char *address, const char *failure, const char *reason)
{
    const struct attempt *a = h->attempt;
    struct tls_report_event e = {
        .domain = slice_of(a->domain),
        .policy = h->choice.policy,
        .result = failure[0] == '\0' ? REPORT_SUCCESS : result_of(failure),
        .mx_host = slice_of(host->name),
        .mx_address = slice_of(address),
        .reason = slice_of(reason),
    };

    if (a->relay->setting.report == NULL || !h->way.by_mx)
        return;
    if (h->choice.policy == REPORT_STS)
        e.policy_text = a->sts.text;
    else if (h->choice.policy == REPORT_TLSA)
        e.policy_text = tlsa_text(&h->choice, a->arena);
    tls_report_note(a->relay->setting.report, &e);
}

/* ---- a host ---- */

/* What must hold there; false: it cannot be used, which is noted. */
static bool choose_tls(struct hosts *h, struct way_host *host)
{
    struct attempt *a = h->attempt;
    struct dane_answer *dane = NULL;
    struct tls_question q = {.way = &h->way, .host = host, .requiretls = a->claim->options.requiretls};

    if (tls_choice_asks_dane(&h->way, host)) {
        dane = arena_new(a->arena, struct dane_answer);
        if (dane != NULL)
            dane_find(a->relay->setting.dns, host->name, host->port, h->way.mx_secure, &host->answer, a->arena, dane);
    }
    q.dane = dane;
    q.sts = a->has_sts ? &a->sts : NULL;
    tls_choose(&q, a->arena, &h->choice);
    if (h->choice.use)
        return true;
    if (h->choice.policy == REPORT_STS)
        report(h, host, "", "validation-failure", h->choice.why);
    else if (h->choice.policy == REPORT_TLSA)
        report(h, host, "", "dnssec-invalid", h->choice.why);
    trouble_of_host(h, host, h->choice.for_good, h->choice.status, h->choice.why);
    return false;
}

/* The next host that has addresses and may be used; NULL: there is none. */
static struct way_host *next_host(struct hosts *h)
{
    const struct relay_limits *limits = &h->attempt->relay->setting.limits;

    for (; h->at < h->way.count && h->tried < limits->hosts; h->at++) {
        if (h->at >= h->resolved) {
            h->resolved = way_resolve(&h->attempt->relay->setting, &h->way, h->at, limits->hosts, h->attempt->arena);
            if (h->at >= h->way.count)
                break; /* we are among them */
        }
        struct way_host *host = &h->way.hosts[h->at];
        h->tried++;
        if (h->attempt->heard != NULL && strcmp(h->attempt->heard, host->name) == 0)
            continue;
        if (host->state == WAY_READY && choose_tls(h, host))
            return host;
        if (host->state != WAY_READY)
            trouble_of_host(h, host, host->state == WAY_NO_ADDRESS, host->state == WAY_NO_ADDRESS ? "5.4.4" : "4.4.3",
                            arena_printf(h->attempt->arena, "%s: %s", host->name, host->why).ptr);
    }
    return NULL;
}

static void set_source(const struct route_row *row, struct smtp_peer *peer)
{
    struct route_host from;

    for (size_t i = 0; row != NULL && row->sources != NULL && row->sources[i] != NULL; i++) {
        if (!route_host_parse(row->sources[i], ROUTE_SMTP, false, &from, NULL) || from.kind != ROUTE_HOST_ADDRESS ||
            from.address.ss_family != peer->address.ss_family)
            continue;
        if (from.address.ss_family == AF_INET)
            ((struct sockaddr_in *)&from.address)->sin_port = 0;
        else
            ((struct sockaddr_in6 *)&from.address)->sin6_port = 0;
        peer->from = from.address;
        peer->from_len = from.address_len;
        return;
    }
}

static bool on_loopback(const struct sockaddr_storage *at)
{
    if (at->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)at)->sin_addr.s_addr) >> 24 == 127;
    return at->ss_family == AF_UNIX || IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)at)->sin6_addr);
}

static struct smtp_peer peer_of(const struct hosts *h, const struct way_host *host, const struct way_address *at)
{
    const struct attempt   *a = h->attempt;
    const struct route_row *row = h->way.row;
    struct smtp_peer        peer = {
               .address = at->at,
               .address_len = at->len,
               .host = host->is_name ? host->name : NULL,
               .lmtp = row != NULL && row->protocol == ROUTE_LMTP,
               .tls = h->choice.tls,
               .rule = h->choice.has_rule ? &h->choice.rule : NULL,
               .user = row != NULL ? row->user : NULL,
               .password = row != NULL ? row->password : NULL,
               .auth_in_clear = on_loopback(&at->at),
               .helo = row != NULL && row->helo != NULL ? row->helo : a->relay->setting.hostname,
               .xclient = row != NULL && row->xclient,
               .stop = &a->relay->stopping,
    };

    set_source(row, &peer);
    return peer;
}

/* ---- a connection ---- */

/* "mx.example.org [192.0.2.1]" */
static const char *host_text(const struct attempt *a, const struct way_host *host, const struct way_address *at)
{
    const char *text = host->is_name ? arena_printf(a->arena, "%s [%s]", host->name, at->text).ptr : host->name;

    return text != NULL ? text : "";
}

/* Refused, silent, wrong TLS: which of them, for whom, and what is remembered. */
static void note_failure(struct hosts *h, const struct way_host *host, const struct way_address *at, struct slice where,
                         const struct smtp_reply_text *reply, const struct fail *why)
{
    struct attempt *a = h->attempt;
    const char *failure = tls_client_failure(why);
    /* What a route's host says of us is a mistake in the config, which can be mended. */
    bool route = h->way.row != NULL && h->way.row->hosts != NULL;
    bool for_good = !route && why->kind == FAIL_PERM && reply->code >= 500;
    const char *status = why->code[0] != '\0' ? arena_cstr(a->arena, slice_of(why->code)) : for_good ? "5.5.0" : "4.4.1";

    if (atomic_load(&a->relay->stopping))
        return;
    if (failure[0] != '\0')
        report(h, host, at->text, failure, why->text);
    else if (reply->code == 0)
        host_memory_dead(a->relay->memory, where, a->relay->setting.limits.dead_seconds, why->text);
    if (failure[0] != '\0' && a->claim->options.requiretls) {
        for_good = true; /* RFC 8689 section 4.2.1: it is returned, not kept */
        status = "5.7.10";
    }
    a->busy = a->busy || reply->code / 100 == 4;
    a->talked = a->talked || reply->code != 0;
    attempt_trouble(a, for_good, status, arena_printf(a->arena, "%s: %s", host_text(a, host, at), why->text).ptr, host->name, reply);
    log_event(LOG_INFO, "relay.no_session", LOG_TEXT("trace", a->claim->trace), LOG_CSTR("host", host->name), LOG_CSTR("address", at->text),
              LOG_FAIL(why));
}

static struct link *open_address(struct hosts *h, const struct way_host *host, const struct way_address *at)
{
    struct attempt *a = h->attempt;
    struct relay *r = a->relay;
    struct smtp_peer peer = peer_of(h, host, at);
    struct slice where = arena_printf(a->arena, "%s:%u", at->text, host->port);
    struct smtp_reply_text reply = {0};
    struct fail why = {0};

    const char *dead = a->claim->afresh ? NULL : host_memory_is_dead(r->memory, where, a->arena);
    if (dead != NULL) {
        attempt_trouble(a, false, "4.4.1", arena_printf(a->arena, "%s: %s (a moment ago)", host_text(a, host, at), dead).ptr, host->name, NULL);
        return NULL;
    }
    if (peer.tls == CLIENT_TLS_MAY && !h->choice.has_rule && host_memory_has_no_tls(r->memory, where))
        peer.tls = CLIENT_TLS_NONE;
    struct smtp_client *client = smtp_client_open(&peer, r->setting.tls, &r->setting.client, &reply, a->arena, &why);
    if (client == NULL) {
        note_failure(h, host, at, where, &reply, &why);
        return NULL;
    }
    a->talked = true;
    const char *complaint = tls_client_failure_text(smtp_client_tls_complaint(client));
    bool plain = smtp_client_tls_text(client)[0] == '\0';
    if (complaint[0] == '\0' && h->choice.why[0] != '\0')
        report(h, host, at->text, "validation-failure", h->choice.why);
    else if (peer.tls != CLIENT_TLS_NONE)
        report(h, host, at->text, complaint, smtp_client_tls_complaint(client));
    if (plain && complaint[0] != '\0' && (smtp_client_can(client) & SMTP_CAN_STARTTLS) != 0)
        host_memory_no_tls(r->memory, where, NO_TLS_SECONDS);
    return links_add(r->links, client, a->way, a->row, host->name, at->text, h->choice.strict && !plain);
}

/* ---- the whole way ---- */

struct hosts *hosts_find(struct attempt *a)
{
    struct hosts *h = arena_new(a->arena, struct hosts);
    struct verdict why;
    const char *why_not;

    if (h == NULL) {
        attempt_trouble(a, false, "4.3.0", "out of memory", "", NULL);
        return NULL;
    }
    h->attempt = a;
    if (!way_find(&a->relay->setting, a->row, a->domain, a->arena, &h->way, &why)) {
        attempt_trouble(a, why.permanent, why.status, why.text, "", NULL);
        return NULL;
    }
    if (a->relay->setting.sts != NULL && tls_choice_asks_sts(&h->way))
        a->has_sts = mta_sts_find(a->relay->setting.sts, slice_of(a->domain), a->arena, &a->sts, &why_not);
    return h;
}

struct link *hosts_next(struct hosts *h)
{
    const struct relay_limits *limits = &h->attempt->relay->setting.limits;
    struct verdict why;

    while (!atomic_load(&h->attempt->relay->stopping)) {
        if (!h->opened) {
            if (next_host(h) == NULL)
                break;
            h->opened = true;
            h->address = 0;
            h->attempt->host++;
        }
        struct way_host *host = &h->way.hosts[h->at];
        while (h->address < host->count && h->address < limits->addresses && !atomic_load(&h->attempt->relay->stopping)) {
            struct link *link = open_address(h, host, &host->addresses[h->address++]);
            if (link != NULL) {
                h->address = limits->addresses; /* if it does not take it, another host may: not another of its addresses */
                return link;
            }
        }
        h->opened = false;
        h->at++;
    }
    if (h->way.is_us && h->attempt->trouble.now + h->attempt->trouble.for_good == 0 && h->way.count == 0) {
        way_loop(&h->way, h->attempt->arena, &why);
        attempt_trouble(h->attempt, true, why.status, why.text, "", NULL);
    }
    return NULL;
}
