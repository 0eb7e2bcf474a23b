/*
 * smtp/auth.c - AUTH: who is submitting?
 *
 * Layer: smtp.  RFC 4954.  The exchange itself is policy/login's; here are its
 * lines.  Between a question and its answer the session is parked.
 */
#include <stdlib.h>

#include "base/encode.h"
#include "smtp/session.h"

bool smtp_offers_auth(const struct smtp_session *s)
{
    return s->service->login != NULL &&
           login_allowed(s->service->login, conn_has_tls(s->conn), conn_peer_is_loopback(s->conn));
}

/* initial-response = base64 / "="                             RFC 4954 section 4 */
static bool decode_response(struct buf *out, struct slice text)
{
    return slice_eq(text, SLICE("=")) || base64_decode(out, text);
}

/* auth-command = "AUTH" SP sasl-mech [SP initial-response]    RFC 4954 section 8 */
void smtp_auth(struct smtp_session *s, struct slice args)
{
    struct slice mechanism = slice_cut(&args, ' ');
    bool has_initial = args.len > 0;
    struct buf initial;

    if (s->service->login == NULL) {
        smtp_reply(s, 502, "5.5.1", "AUTH is not offered here");
        return;
    }
    if (s->user != NULL) {
        smtp_reply(s, 503, "5.5.1", "you are signed in already");
        return;
    }
    if (!smtp_offers_auth(s)) {
        smtp_reply(s, 538, "5.7.11", "AUTH needs TLS: send STARTTLS first");
        return;
    }
    if (mechanism.len == 0) {
        smtp_reply(s, 501, "5.5.4", "AUTH needs a mechanism");
        return;
    }
    buf_init(&initial, args.len);
    if (has_initial && !decode_response(&initial, args)) {
        smtp_reply(s, 501, "5.5.2", "the initial response is not base64");
    } else {
        struct login_client client;
        struct auth_context about = login_context(s->conn, SLICE("smtp"), &client);

        s->login = login_start(s->service->login, &about, mechanism, has_initial, buf_slice(&initial),
                               conn_waker(s->conn));
        s->reading = READING_LOGIN;
    }
    buf_wipe(&initial);
}

/* The client's answer to a challenge; "*" gives up (RFC 4954 section 4). */
void smtp_sasl_line(struct smtp_session *s, struct slice line)
{
    struct buf response;

    if (slice_eq(line, SLICE("*"))) {
        smtp_reply(s, 501, "5.7.0", "authentication cancelled");
        login_destroy(&s->login);
        s->reading = READING_COMMANDS;
        return;
    }
    buf_init(&response, line.len);
    if (!base64_decode(&response, line)) {
        smtp_reply(s, 501, "5.5.2", "the response is not base64");
        login_destroy(&s->login);
        s->reading = READING_COMMANDS;
    } else {
        login_respond(s->login, buf_slice(&response));
        s->reading = READING_LOGIN;
    }
    buf_wipe(&response);
}

static void send_challenge(struct smtp_session *s, struct slice challenge)
{
    struct buf encoded;

    buf_init(&encoded, challenge.len * 2 + 4);
    base64_encode(&encoded, challenge);
    conn_printf(s->conn, "334 " PRIslice "\r\n", SLICE_ARG(buf_slice(&encoded)));
    buf_finish(&encoded);
}

/* RFC 4954 section 6 */
static void refused(struct smtp_session *s, const struct fail *why)
{
    if (why->kind == FAIL_TEMP || why->internal)
        smtp_reply(s, 454, "4.7.0", "%s", fail_said(why));
    else if (why->reason == FAIL_INVALID)
        smtp_reply(s, 504, "5.5.4", "%s", why->text);
    else
        smtp_reply(s, 535, "5.7.8", "authentication failed");
    if (++s->failed_logins >= s->service->limits.login_attempts)
        smtp_close(s, "4.7.0", "too many failed logins");
}

static void signed_in(struct smtp_session *s, const struct directory_account *account)
{
    struct fail why;

    conn_set_account(s->conn, account->id); /* from here on a change ends the session */
    if (!login_stands(s->login, s->conn, &why)) {
        conn_set_account(s->conn, 0);
        refused(s, &why);
        return;
    }
    s->user = xslicedup(account->address);
    s->account = account->id;
    conn_set_label(s->conn, account->address);
    conn_set_phase(s->conn, CONN_READY, 0);
    smtp_reply(s, 235, "2.7.0", "welcome");
}

bool smtp_login_continue(struct smtp_session *s)
{
    struct login_answer answer;

    switch (login_poll(s->login, &answer)) {
    case LOGIN_PENDING: return false;
    case LOGIN_DELAY: conn_wake_after(s->conn, answer.delay_ms); return false;
    case LOGIN_CONTINUE:
        send_challenge(s, answer.challenge);
        s->reading = READING_SASL;
        return true;
    case LOGIN_OK: signed_in(s, &answer.account); break;
    case LOGIN_FAILED: refused(s, &answer.why); break;
    }
    login_destroy(&s->login);
    s->reading = READING_COMMANDS;
    return true;
}
