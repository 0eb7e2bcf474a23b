/*
 * imap/login.c - STARTTLS, AUTHENTICATE, LOGIN.
 *
 * Layer: imap.  Who it is, policy/login.h says; meanwhile the session is parked.
 */
#include "imap/session.h"

#include "base/encode.h"
#include "base/fail.h"

enum { SASL_LINE_MAX = 16 * 1024 };

/* A login under way; s->step_data. */
struct signing_in {
    struct login *login;
    struct login_client client;
    bool challenged; /* "+ ..." was sent: a response is due */
};

/* starttls = "STARTTLS"                                RFC 3501 section 6.2.1 */
void imap_starttls(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
    } else if (!conn_can_start_tls(s->conn)) {
        imap_bad(s, conn_has_tls(s->conn) ? "TLS is on already" : "TLS is not offered here");
    } else {
        s->starting_tls = true;
        imap_ok(s, "Begin TLS now");
    }
}

static void end_signing_in(struct imap_session *s)
{
    struct signing_in *in = s->step_data;

    login_destroy(&in->login);
}

static void logged_in(struct imap_session *s, const struct login *login, const struct directory_account *account)
{
    struct fail why;
    struct buf caps;

    conn_set_account(s->conn, account->id); /* from here on a change ends the session */
    if (!login_stands(login, s->conn, &why) || !store_account(s->service->store, account->id, &s->account, &why)) {
        conn_set_account(s->conn, 0);
        imap_no_because(s, &why);
        return;
    }
    s->state = IMAP_AUTHED;
    s->failed_logins = 0;
    conn_set_label(s->conn, account->address);
    conn_set_phase(s->conn, CONN_READY, 0);

    buf_init(&caps, 4096);
    imap_write_capabilities(s, &caps);
    imap_ok(s, "[CAPABILITY " PRIslice "] Welcome", SLICE_ARG(buf_slice(&caps)));
    buf_finish(&caps);
}

static void login_failed(struct imap_session *s, const struct fail *why)
{
    if (why->reason == FAIL_INVALID && !why->internal) {
        imap_no(s, "[CANNOT] %s", why->text); /* an unknown mechanism */
        return;
    }
    if (why->reason == FAIL_NO_PERMISSION) {
        imap_no(s, "[AUTHORIZATIONFAILED] %s", why->text); /* RFC 5530 section 3 */
        return;
    }
    if (why->reason == FAIL_AUTH && ++s->failed_logins >= s->service->limits.login_attempts)
        imap_bye(s, "Too many failed logins");
    imap_no_because(s, why);
}

/* continue-req = "+" SP base64 CRLF */
static void challenge(struct imap_session *s, struct slice text)
{
    struct buf *out = conn_out(s->conn);

    buf_add(out, SLICE("+ "));
    base64_encode(out, text);
    buf_add(out, SLICE("\r\n"));
}

/* The client's answer to a challenge: base64, or "*" to give up. */
static enum turn take_response(struct imap_session *s, struct signing_in *in)
{
    struct slice line;
    struct buf decoded;
    bool too_long = false;

    if (!conn_take_line(s->conn, SASL_LINE_MAX, &line, NULL, &too_long)) {
        if (!too_long)
            return TURN_PARK;
        imap_bye(s, "The response is too long");
        imap_bad(s, "The response is too long");
        return TURN_CLOSE;
    }
    buf_init(&decoded, SASL_LINE_MAX);
    if (slice_eq(line, SLICE("*")))
        imap_bad(s, "Given up");
    else if (!base64_decode(&decoded, line))
        imap_bad(s, "Expected base64");
    else
        login_respond(in->login, buf_slice(&decoded));
    buf_wipe(&decoded);
    in->challenged = false;
    return TURN_WAIT;
}

static enum turn signing_in_step(struct imap_session *s)
{
    struct signing_in *in = s->step_data;
    struct login_answer answer;

    if (in->challenged) {
        enum turn t = take_response(s, in);
        if (s->answer.len > 0 || in->challenged)
            return t;
    }
    switch (login_poll(in->login, &answer)) {
    case LOGIN_PENDING: return TURN_WAIT;
    case LOGIN_CONTINUE:
        challenge(s, answer.challenge);
        in->challenged = true;
        return signing_in_step(s); /* the response may be here already */
    case LOGIN_DELAY: conn_wake_after(s->conn, answer.delay_ms); return TURN_WAIT;
    case LOGIN_OK: logged_in(s, in->login, &answer.account); return TURN_PARK;
    case LOGIN_FAILED: login_failed(s, &answer.why); return TURN_PARK;
    }
    bug("login state");
}

/* false: answered, or no memory. */
static struct signing_in *prepare(struct imap_session *s, struct auth_context *about)
{
    if (!login_allowed(s->service->login, conn_has_tls(s->conn), conn_peer_is_loopback(s->conn))) {
        imap_no(s, "[PRIVACYREQUIRED] Logging in needs TLS here");
        return NULL;
    }
    struct signing_in *in = arena_new(&s->arena, struct signing_in);
    if (in == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return NULL;
    }
    *about = login_context(s->conn, SLICE("imap"), &in->client);
    s->step_data = in;
    return in;
}

static void begin(struct imap_session *s, struct signing_in *in, struct login *login)
{
    in->login = login;
    s->cleanup = end_signing_in;
    s->step = signing_in_step;
}

/* login = "LOGIN" SP userid SP password                RFC 3501 section 6.2.3 */
void imap_login(struct imap_session *s, struct imap_reader *args)
{
    struct auth_context about;

    imap_expect_space(args);
    struct slice user = imap_read_astring(args);
    imap_expect_space(args);
    struct slice password = imap_read_astring(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    struct signing_in *in = prepare(s, &about);
    if (in != NULL)
        begin(s, in, login_password(s->service->login, &about, user, password, s->waker));
}

/*
 * authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")] *(CRLF base64)
 *                                      RFC 3501 section 6.2.2, RFC 4959 section 7
 */
void imap_authenticate(struct imap_session *s, struct imap_reader *args)
{
    struct auth_context about;
    struct slice initial = {0};

    imap_expect_space(args);
    struct slice mechanism = imap_read_atom(args);
    bool has_initial = imap_accept(args, ' ');
    if (has_initial) {
        initial = slice_from(args->text, args->at);
        args->at = args->text.len;
    }
    if (args->failed || (has_initial && initial.len == 0))
        imap_fail(args, "an initial response");
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    struct buf decoded;
    buf_init(&decoded, args->text.len);
    if (has_initial && !slice_eq(initial, SLICE("=")) && !base64_decode(&decoded, initial)) {
        imap_bad(s, "Expected base64");
    } else {
        struct signing_in *in = prepare(s, &about);
        if (in != NULL)
            begin(s, in,
                  login_start(s->service->login, &about, mechanism, has_initial, buf_slice(&decoded),
                              s->waker));
    }
    buf_wipe(&decoded);
}
