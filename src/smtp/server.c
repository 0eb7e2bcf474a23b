/*
 * smtp/server.c - a session from its greeting to its end.
 *
 * Layer: smtp.  The loop over what has come; each kind of input is another file's.
 */
#include <stdlib.h>

#include "net/foreign.h"
#include "smtp/session.h"

enum {
    AUTH_LINE_MAX = 12288,   /* RFC 4954 section 4 */
    INPUT_MAX = 1025 * 1024, /* held for one session; what bounds it is line_bytes, at most 1 MB */
};

void smtp_limits_default(struct smtp_limits *l)
{
    *l = (struct smtp_limits){.message_bytes = 50u << 20,
                              .recipients = 1000,
                              .transactions = 100000,
                              .errors = 20,
                              .line_bytes = 2000,
                              .header_bytes = 256u << 10,
                              .received_fields = 50,
                              .login_attempts = 3,
                              .check_from = true};
}

/* RFC 5321 section 3.1: who is refused with 554 may still say QUIT. */
static void greet(struct smtp_session *s, const struct policy_verdict *verdict)
{
    const struct smtp_service *service = s->service;
    struct fail why;

    if (verdict == NULL || verdict->action == POLICY_ACCEPT) {
        conn_printf(s->conn, "220 %s %s Posthorn\r\n", service->hostname,
                    service->kind == SMTP_LMTP ? "LMTP" : "ESMTP");
    } else {
        unsigned code = smtp_verdict_fail(verdict, &why);
        smtp_log_by(s, "connect", SLICE(""), &why, verdict->by);
        if (why.kind == FAIL_TEMP)
            smtp_close(s, why.code, why.text);
        else
            smtp_reply(s, code == 550 ? 554 : code, why.code, "%s", why.text);
        s->refused = !s->closing;
    }
    smtp_check_over(s);
}

void smtp_begin(struct smtp_session *s)
{
    smtp_check(s, POLICY_CONNECT, SLICE(""), greet);
}

static void *session_open(void *ctx, struct conn *c)
{
    const struct smtp_service *service = ctx;
    _Static_assert(sizeof(struct smtp_session) <= CONN_ROOM, "a session lies in its connection's room");
    struct smtp_session *s = conn_room(c);

    s->service = service;
    s->conn = c;
    conn_set_phase(c, CONN_BEFORE_LOGIN, 0);
    smtp_begin(s);
    if (s->reading == READING_POLICY)
        waker_wake(conn_waker(c)); /* the client may be silent until it is greeted */
    return s;
}

static bool may_be_long(const struct smtp_session *s, struct slice line)
{
    return s->reading == READING_SASL || slice_starts_nocase(line, SLICE("AUTH "));
}

/* A line is a command or an answer to AUTH's challenge; it ends in CRLF and in nothing else. */
static bool take_line(struct smtp_session *s)
{
    const unsigned limit = s->service->limits.line_bytes;
    struct slice line;
    bool crlf = false, too_long = false;

    if (!conn_take_line(s->conn, limit > AUTH_LINE_MAX ? limit : AUTH_LINE_MAX, &line, &crlf, &too_long)) {
        if (too_long) {
            smtp_reply(s, 500, "5.5.2", "line too long");
            s->closing = true;
        }
        return too_long;
    }
    if (!crlf && foreign_line(line))
        smtp_hang_up(s);
    else if (!crlf)
        smtp_refuse_line(s, line, "lines must end in CRLF");
    else if (line.len > limit && !may_be_long(s, line))
        smtp_refuse_line(s, line, "line too long");
    else if (s->reading == READING_SASL)
        smtp_sasl_line(s, line);
    else
        smtp_dispatch(s, line);
    return true;
}

/* False: nothing there to be done. */
static bool take_some(struct smtp_session *s)
{
    switch (s->reading) {
    case READING_COMMANDS:
    case READING_SASL: return take_line(s);
    case READING_LOGIN: return smtp_login_continue(s);
    case READING_POLICY: return smtp_check_continue(s);
    case READING_KEPT: return smtp_keep_continue(s);
    case READING_DATA:
    case READING_CHUNK: return smtp_take_body(s);
    }
    return false;
}

/* Nothing that the client does now matters: somebody else is asked. */
static bool waits(const struct smtp_session *s)
{
    return s->reading == READING_LOGIN || s->reading == READING_POLICY || s->reading == READING_KEPT;
}

static enum turn session_input(void *ctx)
{
    struct smtp_session *s = ctx;

    s->starting_tls = false;
    while (!s->closing && !s->starting_tls) {
        if (conn_is_full(s->conn))
            return TURN_MORE; /* a client that does not read its replies */
        if (!take_some(s)) {
            if (conn_at_eof(s->conn) && s->reading != READING_KEPT)
                return TURN_CLOSE; /* but whoever has sent a message and all else may have its answer */
            return waits(s) ? TURN_WAIT : TURN_PARK;
        }
        if (!s->closing && s->errors >= s->service->limits.errors)
            smtp_close(s, "4.7.0", "too many errors");
        if (!s->closing && !s->starting_tls && conn_turn_over(s->conn))
            return TURN_AGAIN;
    }
    return s->closing ? TURN_CLOSE : TURN_PARK;
}

static void session_last_words(void *ctx, enum conn_close why)
{
    struct smtp_session *s = ctx;

    smtp_keep_now(s);
    switch (why) {
    case CONN_CLOSE_DEADLINE: smtp_close(s, "4.4.2", "took too long"); break;
    case CONN_CLOSE_SHUTDOWN: smtp_close(s, "4.3.2", "is stopping"); break;
    case CONN_CLOSE_CROWDED: smtp_close(s, "4.3.2", "too many are here; try again later"); break;
    case CONN_CLOSE_KICKED: smtp_close(s, "4.7.0", "session ended by the administrator"); break;
    case CONN_CLOSE_QUIT:
    case CONN_CLOSE_EOF:
    case CONN_CLOSE_ERROR:
    case CONN_CLOSE_TLS: break;
    }
}

static void session_close(void *ctx, enum conn_close why)
{
    struct smtp_session *s = ctx;

    smtp_keep_now(s);
    if (s->tx != NULL && s->tx->begun) {
        struct log_id id = conn_session_id(s->conn);
        log_event(LOG_INFO, "smtp.unfinished", LOG_CSTR("session", id.text),
                  LOG_CSTR("trace", s->tx->trace.text), LOG_TEXT("from", s->tx->sender.address),
                  LOG_CSTR("reason", conn_close_text(why)));
    }
    policy_check_end(&s->check);
    smtp_transaction_end(s);
    policy_session_end(&s->policy);
    if (s->login != NULL)
        login_destroy(&s->login);
    free(s->client_name);
    free(s->user);
    free(s->told);
}

const struct conn_protocol smtp_protocol = {.name = "smtp",
                                            .open = session_open,
                                            .input = session_input,
                                            .last_words = session_last_words,
                                            .close = session_close,
                                            .refusal = "421 4.7.0 too many connections from there\r\n",
                                            .input_max = INPUT_MAX,
                                            /* Not in IANA's registry; what Exim knows. */
                                            .alpn = "\4smtp\5esmtp\4lmtp"};
