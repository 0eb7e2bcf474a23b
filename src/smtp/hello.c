/*
 * smtp/hello.c - EHLO, HELO, LHLO: who is there, and what can we do?
 *
 * Layer: smtp.
 */
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "smtp/session.h"

/* A new name, and whatever was under way is forgotten: RFC 5321 section 4.1.4. */
static bool take_name(struct smtp_session *s, struct slice name)
{
    if (!smtp_is_client_name(name)) {
        smtp_reply(s, 501, "5.5.4", "that is neither a host name nor an address literal");
        return false;
    }
    smtp_transaction_end(s);
    free(s->client_name);
    s->client_name = xslicedup(name);
    return true;
}

/* Was it a yes?  Who is refused has no name and may try another. */
static bool may_enter(struct smtp_session *s, const struct policy_verdict *verdict)
{
    if (!smtp_verdict_ok(s, verdict, SLICE(""))) {
        free(s->client_name);
        s->client_name = NULL;
        return false;
    }
    if (s->service->kind != SMTP_SUBMISSION)
        conn_set_phase(s->conn, CONN_READY, 0); /* there, AUTH does */
    return true;
}

static void answer_helo(struct smtp_session *s, const struct policy_verdict *verdict)
{
    if (may_enter(s, verdict))
        conn_printf(s->conn, "250 %s\r\n", s->service->hostname);
    smtp_check_over(s);
}

/* helo = "HELO" SP Domain                                     RFC 5321 section 4.1.1.1 */
void smtp_helo(struct smtp_session *s, struct slice args)
{
    if (!take_name(s, args))
        return;
    s->extended = false;
    smtp_check(s, POLICY_HELO, SLICE(""), answer_helo);
}

/* futurerelease-keyword = "FUTURERELEASE" SP max-interval SP max-date-time     RFC 4865 section 3 */
static void write_future_release(struct smtp_session *s)
{
    const unsigned seconds = s->service->future_release_seconds;
    const time_t until = (time_t)clock_now() + (time_t)seconds;
    struct tm tm;
    char text[32];

    if (gmtime_r(&until, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        conn_printf(s->conn, "250-FUTURERELEASE %u %s\r\n", seconds, text);
}

static void say_what_there_is(struct smtp_session *s)
{
    const struct smtp_limits *limits = &s->service->limits;

    conn_printf(s->conn,
                "250-%s\r\n"
                "250-PIPELINING\r\n"
                "250-SIZE %llu\r\n"
                "250-8BITMIME\r\n"
                "250-ENHANCEDSTATUSCODES\r\n"
                "250-SMTPUTF8\r\n"
                "250-CHUNKING\r\n"
                "250-BINARYMIME\r\n",
                s->service->hostname, (unsigned long long)limits->message_bytes);
    if (conn_can_start_tls(s->conn))
        conn_write(s->conn, SLICE("250-STARTTLS\r\n"));
    if (smtp_offers_auth(s) && s->user == NULL) {
        struct slice mechanisms = auth_mechanisms(s->service->login->auth, conn_has_binding(s->conn));
        conn_printf(s->conn, "250-AUTH " PRIslice "\r\n", SLICE_ARG(mechanisms));
    }
    if (smtp_offers_dsn(s))
        conn_write(s->conn, SLICE("250-DSN\r\n250-DELIVERBY\r\n250-MT-PRIORITY\r\n"));
    if (smtp_offers_requiretls(s))
        conn_write(s->conn, SLICE("250-REQUIRETLS\r\n"));
    if (smtp_offers_xclient(s))
        conn_write(s->conn, SLICE("250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"));
    if (smtp_offers_holding(s))
        write_future_release(s);
    conn_printf(s->conn, "250 LIMITS MAILMAX=%u RCPTMAX=%u\r\n", limits->transactions, limits->recipients);
}

static void answer_ehlo(struct smtp_session *s, const struct policy_verdict *verdict)
{
    if (may_enter(s, verdict))
        say_what_there_is(s);
    smtp_check_over(s);
}

/* ehlo = "EHLO" SP ( Domain / address-literal )     RFC 5321 section 4.1.1.1, RFC 2033 section 4.1 */
void smtp_ehlo(struct smtp_session *s, struct slice args)
{
    if (!take_name(s, args))
        return;
    s->extended = true;
    smtp_check(s, POLICY_HELO, SLICE(""), answer_ehlo);
}
