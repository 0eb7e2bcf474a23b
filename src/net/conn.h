/*
 * net/conn.h - one connection, as a protocol sees it.
 *
 * Layer: net.  A connection that waits for its client is parked: it owns no
 * thread and no buffer.  When input has come, one worker calls the protocol's
 * `input`, which runs every complete command in plain blocking C and says what
 * it waits for next.  Only that one worker touches the connection meanwhile, so
 * nothing in here is locked by its user.
 *
 * Bytes in:  conn_input() shows what has arrived; conn_consume() takes it away.
 * Bytes out: conn_out() and friends queue; the loop sends after the turn.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/waker.h"

struct conn;

/* What a handler returns: what the session waits for. */
enum turn {
    TURN_PARK,  /* for more input than there is now */
    TURN_MORE,  /* for the queued output to drain below the mark; call again then, input or not */
    TURN_WAIT,  /* for conn_waker(): an answer from another role, a place at a gate, a delay */
    TURN_AGAIN, /* for the others' turn: it has had its share (conn_turn_over), go to the back */
    TURN_CLOSE, /* for nothing: send what is queued, then close */
    TURN_ABORT, /* close at once, dropping what is queued (to answer a broken stream is harmful) */
};

#define CONN_CLOSE_REASONS(X)                                   \
    X(CONN_CLOSE_QUIT, "closed by us")                          \
    X(CONN_CLOSE_EOF, "closed by the client")                   \
    X(CONN_CLOSE_ERROR, "connection lost")                      \
    X(CONN_CLOSE_DEADLINE, "took too long")                     \
    X(CONN_CLOSE_TLS, "TLS failed")                             \
    X(CONN_CLOSE_SHUTDOWN, "server is stopping")                \
    X(CONN_CLOSE_KICKED, "ended by the administrator")          \
    X(CONN_CLOSE_CROWDED, "too many are here, try again later")

enum conn_close {
#define X(id, text) id,
    CONN_CLOSE_REASONS(X)
#undef X
};
const char *conn_close_text(enum conn_close why);

/*
 * A protocol, as net knows it.  `service` is whatever the listener's row was
 * given.  All calls for one session come one after the other, from any worker.
 */
struct conn_protocol {
    const char *name; /* "smtp", "imap": for logs */
    /*
     * A client is there (after the TLS handshake where TLS is implicit, after the
     * PROXY header where one is due).  Queues the greeting; returns the session,
     * or NULL to send what was queued and close.
     */
    void *(*open)(void *service, struct conn *c);
    /*
     * Input has come, or output has drained after TURN_MORE, or the waker was
     * woken, or TURN_AGAIN's time has come: run what can be run.  Must be ready
     * for a call with nothing to do.
     */
    enum turn (*input)(void *session);
    /*
     * The connection is about to end from our side (deadline, shutdown, kicked):
     * may queue a last line ("421 ...", "* BYE ...").  May be NULL.
     */
    void (*last_words)(void *session, enum conn_close why);
    /* The connection is gone; frees the session.  No conn_ call but conn_session_id() in here. */
    void (*close)(void *session, enum conn_close why);
    /*
     * A whole line for a client that has too many connections ("421 4.7.0 ...");
     * not sent where TLS is implicit.  May be NULL.
     */
    const char *refusal;
    size_t      input_max; /* bytes of unconsumed input held at most; 0: 64 KB */
    const char *alpn;      /* what a TLS client may ask for, see tls_context_session(); NULL: anything */
};

/* ---- in ---- */

/* Everything that has arrived and was not consumed.  Valid until the next conn_consume or end of turn. */
struct slice conn_input(struct conn *c);
void         conn_consume(struct conn *c, size_t n); /* n <= conn_input().len */

/*
 * The next line without its CRLF (a lone LF also ends a line; the protocol that
 * must refuse that looks at *crlf, which may be NULL) is shown and consumed;
 * valid until the end of the turn or the next call that consumes.  false: no
 * complete line yet.  More than `max` bytes without a line end: false and
 * *too_long, the bytes stay for the caller to drop.
 */
bool conn_take_line(struct conn *c, size_t max, struct slice *line, bool *crlf, bool *too_long);

/* The client has closed its side and everything it sent has been consumed. */
bool conn_at_eof(const struct conn *c);

/* Do not call `input` for less than `n` bytes in all (an announced literal): spares wake-ups. */
void conn_want(struct conn *c, size_t n);

/* ---- out ---- */

/* The buffer to append to.  Never fails for what a command sensibly writes; see conn_pending(). */
struct buf *conn_out(struct conn *c);
void        conn_write(struct conn *c, struct slice s);
void        conn_printf(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Bytes that net reads and sends by itself, as the socket drains: a message in
 * the store, say.  Calls may come from any worker, one at a time; read() gives
 * exactly what was asked or false, which ends the connection (the announced
 * length can no longer be kept).
 */
struct conn_source {
    bool (*read)(void *ctx, uint64_t offset, void *out, size_t n);
    void (*release)(void *ctx); /* called once, also when the connection ends first; may be NULL */
    void *ctx;
};
void conn_send_source(struct conn *c, struct conn_source source, uint64_t offset, uint64_t len);

/* Bytes queued and not yet sent.  A command that loops over messages returns TURN_MORE above the mark. */
size_t conn_pending(const struct conn *c);
#define CONN_PENDING_MARK ((size_t)64 * 1024)
static inline bool conn_is_full(const struct conn *c)
{
    return conn_pending(c) >= CONN_PENDING_MARK;
}
/* Does what was queued so far, sent or not, end within a line?  Then nothing can be said in between. */
bool conn_in_line(const struct conn *c);
/* Sends now what can be sent without waiting ("+ idling", "* OK Still here"): rarely needed. */
void conn_flush(struct conn *c);

/* ---- time ---- */

/* What the session is doing, so that net can set the deadline (architecture section 4). */
enum conn_phase {
    CONN_BEFORE_LOGIN, /* 1 minute in all until logged in (or the first command of SMTP) */
    CONN_READY,        /* logged in or greeted and silent: the listener's idle time (IMAP 30 min, SMTP 5, POP3 10) */
    CONN_BODY,         /* a body of `expected` bytes: 5 minutes plus 1 s for each KB */
};
void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t expected);
/* A command line that began and did not end within a minute ends the session: net sees to it. */

/* This session is in IMAP IDLE: no deadline but `input` is called every `seconds` so it may say something. */
void conn_set_ticks(struct conn *c, unsigned seconds); /* 0: no more */
/* True once, if the call of `input` was caused by the tick. */
bool conn_take_tick(struct conn *c);

/* Wakes this session in `ms` from now (delay after a failed login): then return TURN_WAIT. */
void conn_wake_after(struct conn *c, unsigned ms);

/* The session has had its 64 commands or 10 ms; ask after each command, return TURN_AGAIN. */
bool conn_turn_over(struct conn *c);

/* ---- who and how ---- */

/*
 * Wakes the session from anywhere.  Valid until the protocol's close() has
 * returned: in it the session must take back every waker it gave out.
 */
struct waker conn_waker(struct conn *c);

/* Client's address, after the PROXY header if one was believed. */
struct sockaddr_storage conn_peer(const struct conn *c);
/* The address at which it reached us; AF_UNSPEC where there is none, AF_UNIX for Unix sockets. */
struct sockaddr_storage conn_local(const struct conn *c);
/* As text without port: "192.0.2.1", "2001:db8::1", "local" for Unix sockets. */
struct conn_address { char text[INET6_ADDRSTRLEN + 1]; };
struct conn_address conn_peer_text(const struct conn *c);
bool   conn_peer_is_loopback(const struct conn *c); /* loopback or Unix socket */
struct log_id conn_session_id(const struct conn *c);

bool conn_has_tls(const struct conn *c);
bool conn_can_start_tls(const struct conn *c); /* the listener has a certificate and TLS is off now */
/*
 * Drops whatever input is buffered (conn_input() is empty from here on) and,
 * after this turn's output has drained, shakes hands and goes on.  The session resets its own state (RFC 3207 section 4.2); its
 * `input` is next called with TLS on.
 */
void conn_start_tls(struct conn *c);
/*
 * COMPRESS=DEFLATE (RFC 4978): once this turn's output has drained, everything is compressed, both ways.
 * conn_input() is empty from here on: what came behind the command is compressed already.  Once only,
 * and TLS cannot be started afterwards.
 */
void conn_start_compress(struct conn *c);
bool conn_compresses(const struct conn *c);
/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; empty without TLS. */
struct slice conn_tls_version(const struct conn *c);
struct slice conn_tls_cipher(const struct conn *c);

/*
 * What a SASL mechanism binds to, so that nobody in between can pass its proof on: "tls-exporter"
 * (RFC 9266).  Only with TLS 1.3: in 1.2 it needs the extended master secret, and libraries there
 * do not agree what the RFC's "zero-length context" is, so that who binds rightly could not sign in.
 */
enum { CONN_BINDING_BYTES = 32 };
struct conn_binding { unsigned char bytes[CONN_BINDING_BYTES]; };
bool conn_has_binding(const struct conn *c);
bool conn_binding(const struct conn *c, struct conn_binding *out); /* false: there is none */

/*
 * CONN_ROOM zeroed bytes that belong to the connection until its close() has
 * returned: a place for the session that lies among those of other connections.
 * Memory from malloc that outlives a login would keep a page each from being given back.
 */
#define CONN_ROOM ((size_t)384)
void *conn_room(struct conn *c);

/* Once conn_set_account has named one: has it more sessions than it may, this one among them? */
bool conn_account_is_full(const struct conn *c);
/* What commands need counts there, with all else that sessions hold (base/budget.h). */
struct budget;
struct budget *conn_budget(struct conn *c);

/* Bytes in and out so far. */
void conn_counts(const struct conn *c, uint64_t *in, uint64_t *out);

/*
 * What `posthorn session list` shows: a short text such as "u0@example.test".
 * Copied; cut at 120 bytes.  Changing it is safe while others list.
 */
void conn_set_label(struct conn *c, struct slice who);
/* For "a password change ends sessions": which account this session is logged in to; 0 for none. */
void conn_set_account(struct conn *c, uint64_t account_id);

#endif
