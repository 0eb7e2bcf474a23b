/*
 * pop3/login.c - STLS, USER and PASS, AUTH.
 *
 * Layer: pop3.  RFC 1939 section 7, RFC 2595, RFC 5034.  Who it is, policy/login.h says;
 * meanwhile the session is parked.
 */
#include <stdlib.h>

#include "base/encode.h"
#include "base/unicode.h"
#include "pop3/session.h"

enum { SASL_LINE_MAX = 16 * 1024 };

bool pop3_offers_login(const struct pop3_session *s)
{
    return login_allowed(s->service->login, conn_has_tls(s->conn), conn_peer_is_loopback(s->conn));
}

bool pop3_waits_for_login(const struct pop3_session *s)
{
    return s->login != NULL && !s->challenged;
}

static void forget_user(struct pop3_session *s)
{
    free(s->user);
    s->user = NULL;
}

/* RFC 2595 section 4: the session begins anew; what came behind the command is dropped by net. */
void pop3_stls(struct pop3_session *s, struct slice args)
{
    (void)args;
    if (conn_has_tls(s->conn)) {
        pop3_err(s, "TLS is on already");
    } else if (!conn_can_start_tls(s->conn)) {
        pop3_err(s, "TLS is not offered here");
    } else if (s->utf8) {
        pop3_bad(s, "STLS has its place before UTF8"); /* RFC 6856 section 2.1 */
    } else {
        pop3_ok(s, "begin TLS now");
        forget_user(s);
        s->starting_tls = true;
    }
}

/* false: answered. */
static bool may_sign_in(struct pop3_session *s)
{
    if (pop3_offers_login(s))
        return true;
    pop3_err(s, conn_can_start_tls(s->conn) ? "logging in needs TLS here: send STLS first" : "logging in needs TLS here");
    return false;
}

/* RFC 1939 section 7.  Whether there is such a user, nobody is told. */
void pop3_user(struct pop3_session *s, struct slice args)
{
    forget_user(s);
    if (!may_sign_in(s))
        return;
    if (args.len == 0) {
        pop3_bad(s, "USER needs a name");
    } else if (!utf8_valid(args)) {
        pop3_err(s, "[AUTH] the name is not UTF-8"); /* RFC 6856 section 2.2 */
    } else {
        s->user = xslicedup(args);
        pop3_ok(s, "now the password");
    }
}

static enum turn signing_in(struct pop3_session *s);

static void begin(struct pop3_session *s, struct login *login)
{
    s->login = login;
    s->challenged = false;
    s->step = signing_in;
}

/* The password is all that follows the blank, blanks included. */
void pop3_pass(struct pop3_session *s, struct slice args)
{
    struct login_client client;

    if (!may_sign_in(s))
        return;
    if (s->user == NULL) {
        pop3_bad(s, "send USER first");
        return;
    }
    if (!utf8_valid(args)) {
        pop3_err(s, "[AUTH] the password is not UTF-8");
    } else {
        struct auth_context about = login_context(s->conn, SLICE("pop3"), &client);
        begin(s, login_password(s->service->login, &about, slice_of(s->user), args, s->waker));
    }
    forget_user(s);
}

/* RFC 1939 section 7: it needs passwords that are kept readable, and MD5. */
void pop3_apop(struct pop3_session *s, struct slice args)
{
    (void)args;
    pop3_err(s, "APOP is not offered here: log in with AUTH, or with USER and PASS");
}

/* What clients from before CAPA ask: the mechanisms, one a line. */
static void list_mechanisms(struct pop3_session *s)
{
    struct slice left = pop3_mechanisms(s);

    pop3_ok(s, "these are offered");
    while (left.len > 0) {
        struct slice name = slice_cut(&left, ' ');
        conn_printf(s->conn, PRIslice "\r\n", SLICE_ARG(name));
    }
    conn_write(s->conn, SLICE(".\r\n"));
}

/* auth-command = "AUTH" SP sasl-mech [SP initial-response] *(CRLF [base64]) CRLF     RFC 5034 section 5 */
void pop3_auth(struct pop3_session *s, struct slice args)
{
    struct slice mechanism = slice_cut(&args, ' ');
    const bool has_initial = args.len > 0;
    struct buf initial;

    forget_user(s);
    if (mechanism.len == 0) {
        list_mechanisms(s);
        return;
    }
    if (!may_sign_in(s))
        return;
    buf_init(&initial, args.len);
    if (has_initial && !slice_eq(args, SLICE("=")) && !base64_decode(&initial, args)) {
        pop3_bad(s, "the initial response is not base64");
    } else {
        struct login_client client;
        struct auth_context about = login_context(s->conn, SLICE("pop3"), &client);
        begin(s, login_start(s->service->login, &about, mechanism, has_initial, buf_slice(&initial), s->waker));
    }
    buf_wipe(&initial);
}

static void end_login(struct pop3_session *s)
{
    login_destroy(&s->login);
    s->challenged = false;
    s->step = NULL;
}

/* continue-req = "+" SP [base64] CRLF */
static void challenge(struct pop3_session *s, struct slice text)
{
    struct buf *out = conn_out(s->conn);

    buf_add(out, SLICE("+ "));
    base64_encode(out, text);
    buf_add(out, SLICE("\r\n"));
    s->challenged = true;
}

/* The client's answer to a challenge: base64, or "*" to give up.  false: it has not come yet. */
static bool take_response(struct pop3_session *s)
{
    struct slice line;
    struct buf decoded;
    bool too_long = false;

    if (!conn_take_line(s->conn, SASL_LINE_MAX, &line, NULL, &too_long)) {
        if (too_long) {
            pop3_bad(s, "the response is too long");
            pop3_close(s);
            end_login(s);
        }
        return too_long;
    }
    s->challenged = false;
    buf_init(&decoded, SASL_LINE_MAX);
    if (slice_eq(line, SLICE("*"))) {
        pop3_err(s, "given up");
        end_login(s);
    } else if (!base64_decode(&decoded, line)) {
        pop3_bad(s, "the response is not base64");
        end_login(s);
    } else {
        login_respond(s->login, buf_slice(&decoded));
    }
    buf_wipe(&decoded);
    return true;
}

static void refused(struct pop3_session *s, const struct fail *why)
{
    if (why->reason == FAIL_INVALID && !why->internal)
        pop3_err(s, "%s", why->text); /* an unknown mechanism */
    else
        pop3_err_because(s, "login", why);
    if (why->reason == FAIL_AUTH && ++s->failed_logins >= s->service->limits.login_attempts)
        pop3_close(s);
}

static void signed_in(struct pop3_session *s, const struct directory_account *account)
{
    struct fail why;

    conn_set_account(s->conn, account->id); /* from here on a change ends the session */
    if (!login_stands(s->login, s->conn, &why) || !store_account(s->service->store, account->id, &s->account, &why)) {
        conn_set_account(s->conn, 0);
        end_login(s);
        refused(s, &why);
        return;
    }
    conn_set_label(s->conn, account->address);
    conn_set_phase(s->conn, CONN_READY, 0);
    s->failed_logins = 0;
    end_login(s);
    s->step = pop3_open_drop;
}

static enum turn signing_in(struct pop3_session *s)
{
    struct login_answer answer;

    while (s->login != NULL) {
        if (s->challenged && !take_response(s))
            return TURN_PARK;
        if (s->login == NULL)
            break;
        switch (login_poll(s->login, &answer)) {
        case LOGIN_PENDING: return TURN_WAIT;
        case LOGIN_CONTINUE: challenge(s, answer.challenge); break;
        case LOGIN_DELAY: conn_wake_after(s->conn, answer.delay_ms); return TURN_WAIT;
        case LOGIN_OK: signed_in(s, &answer.account); return TURN_AGAIN; /* the account's gate comes first */
        case LOGIN_FAILED:
            refused(s, &answer.why);
            end_login(s);
            break;
        }
    }
    return TURN_PARK;
}
