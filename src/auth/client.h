/*
 * auth/client.h - the side that asks.
 *
 * Layer: auth.  A session never sees a password hash: it hands SASL messages to
 * the `auth` process and hears who it was.  Asking never waits: the session
 * returns TURN_WAIT and is woken.
 */
#ifndef AUTH_CLIENT_H
#define AUTH_CLIENT_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/waker.h"

struct auth_client;
struct auth_limits; /* auth/server.h */
struct ipc_limits;  /* net/ipc.h */

/* Without a socket so far: every exchange fails with FAIL_TEMP until auth_client_attach. */
struct auth_client *auth_client_create(const struct ipc_limits *l, struct fail *why);
/* All exchanges must have been destroyed.  Fine on NULL. */
void auth_client_destroy(struct auth_client **c);
/* The socket to `auth` or its successor, the client's own now.  What is pending fails with FAIL_TEMP. */
void auth_client_attach(struct auth_client *c, int fd);

/* For what and from where, for limits and the log. */
struct auth_context {
    struct slice service; /* "imap", "smtp", "pop3" */
    struct slice peer;    /* address text */
    struct slice session; /* log id */
    struct slice domain;  /* of login names that have none; policy/login fills it in */
    struct slice binding; /* the channel's, tls-exporter (RFC 9266); empty if there is none */
    bool tls;
};

struct auth_exchange;

/*
 * Begins an exchange.  `mechanism` as the client named it; `initial` is its decoded initial
 * response, has_initial false if it gave none.  Never NULL: failures come by auth_poll.
 */
struct auth_exchange *auth_start(struct auth_client *c, const struct auth_context *about,
                                 struct slice mechanism, bool has_initial, struct slice initial,
                                 struct waker waker);
/* LOGIN of IMAP, USER and PASS of POP3. */
struct auth_exchange *auth_password(struct auth_client *c, const struct auth_context *about,
                                    struct slice user, struct slice password, struct waker waker);

enum auth_state {
    AUTH_PENDING,  /* no answer yet: TURN_WAIT */
    AUTH_CONTINUE, /* send `challenge` (decoded) to the client, then auth_respond */
    AUTH_OK,       /* `account` and `login` */
    AUTH_FAILED,   /* `why`: FAIL_AUTH (wrong), FAIL_INVALID (no such mechanism), FAIL_TEMP (auth is away) */
};
struct auth_answer {
    struct slice challenge; /* these live as long as the exchange */
    uint64_t account;
    struct slice login; /* canonical; AUTH_FAILED: the name that was tried, if it is known, for the log */
    struct fail why;
    unsigned delay_ms; /* AUTH_FAILED: wait that long before answering */
};
enum auth_state auth_poll(struct auth_exchange *x, struct auth_answer *out);
/*
 * Has nothing been heard of a change of the account's credentials since the exchange began?  Ask once
 * auth_client_on_change's callback would find the session.
 */
bool auth_stands(const struct auth_exchange *x, uint64_t account);
void auth_respond(struct auth_exchange *x, struct slice response);
/* Also while pending (the session died).  Fine on NULL. */
void auth_exchange_destroy(struct auth_exchange **x);

/* For net/tls_signer.h: `client` is an auth_client.  Waits for the answer. */
struct buf;
struct tls_signing;
bool auth_sign(void *client, const struct tls_signing *what, struct buf *out, struct fail *why);

/*
 * Mechanisms for EHLO and CAPABILITY, the strongest first, separated by spaces: "SCRAM-SHA-256 PLAIN LOGIN".
 * `binding`: the channel has one.
 */
struct slice auth_mechanisms(const struct auth_client *c, bool binding);
/* By the config that `auth` has too; before that, the defaults.  Call it before sessions are there. */
void auth_client_offer(struct auth_client *c, const struct auth_limits *l);

/* For the administrator, through `auth`'s own control socket, never through `mail`: see auth/control.h. */

/*
 * Called, on a thread of the client's own, when an account's credentials changed: end its
 * sessions.  It must not wait.  Set it before auth_client_attach.
 */
void auth_client_on_change(struct auth_client *c, void (*changed)(void *ctx, uint64_t account), void *ctx);

#endif
