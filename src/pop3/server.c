/*
 * pop3/server.c - a session from its greeting to its end.
 *
 * Layer: pop3.  The loop over what has come.
 */
#include "pop3/server.h"

#include <stdlib.h>

#include "base/fail.h"
#include "pop3/session.h"

enum {
    AUTH_LINE_MAX = 16 * 1024, /* an initial response may be a token */
    INPUT_MAX = 1025 * 1024,   /* held for one session; what bounds it is line_bytes, at most 1 MB */
};

void pop3_limits_default(struct pop3_limits *l)
{
    *l = (struct pop3_limits){
        .line_bytes = 1000,
        .bad_commands = 20,
        .login_attempts = 3,
        .mark_seen = true,
    };
}

static void *session_open(void *service, struct conn *c)
{
    _Static_assert(sizeof(struct pop3_session) <= CONN_ROOM, "a session lies in its connection's room");
    struct pop3_session *s = conn_room(c);

    s->conn = c;
    s->service = service;
    s->waker = conn_waker(c);
    s->state = POP3_AUTHORIZATION;
    conn_set_phase(c, CONN_BEFORE_LOGIN, 0);
    /* No timestamp in angle brackets: that would offer APOP (RFC 1939 section 7). */
    pop3_ok(s, "%s Posthorn ready", s->service->hostname);
    return s;
}

static bool may_be_long(struct slice line)
{
    return slice_starts_nocase(line, SLICE("AUTH "));
}

/* Begins the next command; false: there is none yet. */
static bool take_command(struct pop3_session *s)
{
    const size_t limit = s->service->limits.line_bytes;
    struct slice line;
    bool too_long = false;

    if (!conn_take_line(s->conn, limit > AUTH_LINE_MAX ? limit : AUTH_LINE_MAX, &line, NULL, &too_long)) {
        if (too_long) {
            pop3_err(s, "the line is too long");
            pop3_close(s);
        }
        return too_long;
    }
    if (line.len > limit && !may_be_long(line))
        pop3_bad(s, "the line is too long: at most %zu octets", limit);
    else
        pop3_dispatch(s, line);
    return true;
}

static enum turn run(struct pop3_session *s)
{
    const struct account *entered = s->account;

    while (!s->closing) {
        if (s->step != NULL) {
            enum turn t = s->step(s);
            if (t == TURN_ABORT || s->step != NULL)
                return s->closing ? TURN_CLOSE : t;
        } else if (conn_is_full(s->conn)) {
            return TURN_MORE;
        } else if (!take_command(s)) {
            return TURN_PARK;
        }
        if (s->starting_tls) {
            s->starting_tls = false;
            conn_start_tls(s->conn);
            return TURN_PARK;
        }
        if (!s->closing && s->step == NULL && (conn_turn_over(s->conn) || s->account != entered))
            return TURN_AGAIN;
    }
    return TURN_CLOSE;
}

/* Once somebody is logged in, a turn may wait for the account: its gate comes first. */
static enum turn session_input(void *session)
{
    struct pop3_session *s = session;
    enum turn t = TURN_WAIT;

    if (s->account == NULL) {
        t = run(s);
    } else if (account_enter(s->account, s->waker)) {
        t = run(s);
        account_leave(s->account);
    }
    if (t == TURN_PARK)
        pop3_park_view(s);
    return t;
}

static void session_last_words(void *session, enum conn_close why)
{
    struct pop3_session *s = session;

    if (!conn_in_line(s->conn) && s->step == NULL) /* nothing stands in the midst of a list or a message */
        conn_printf(s->conn, "-ERR %s%s\r\n", why == CONN_CLOSE_SHUTDOWN || why == CONN_CLOSE_CROWDED ? "[SYS/TEMP] " : "", conn_close_text(why));
}

/* RFC 1939 section 6: who does not say QUIT has deleted nothing. */
static void session_close(void *session, enum conn_close why)
{
    struct pop3_session *s = session;

    (void)why;
    pop3_end_step(s);
    login_destroy(&s->login);
    pop3_close_drop(s);
    if (s->account != NULL) {
        account_forget(s->account, s->waker);
        account_release(&s->account);
    }
    free(s->user);
}

const struct conn_protocol pop3_protocol = {
    .name = "pop3",
    .open = session_open,
    .input = session_input,
    .last_words = session_last_words,
    .close = session_close,
    .refusal = "-ERR [SYS/TEMP] too many connections from there\r\n",
    .input_max = INPUT_MAX,
    .alpn = "\4pop3",
};
