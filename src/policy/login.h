/*
 * policy/login.h - a session signs in, the same way for every protocol.
 *
 * Layer: policy.  Joins auth (who is it?) with the directory (is that account
 * there and enabled?), the delay after failures, and the log.
 */
#ifndef POLICY_LOGIN_H
#define POLICY_LOGIN_H

#include "auth/client.h"
#include "directory/directory.h"
#include "net/conn.h"

struct login_service {
    struct auth_client *auth;
    struct directory *directory;
    bool allow_plaintext; /* without TLS, also from outside loopback; off by default */
};

/* Who wants to sign in, for auth_context: what its slices point into. */
struct login_client {
    struct log_id session;
    struct conn_address peer;
    struct conn_binding binding;
};
/* `out` must live as long as what is returned. */
struct auth_context login_context(const struct conn *c, struct slice service, struct login_client *out);

struct login; /* one attempt */

struct login *login_start(const struct login_service *s, const struct auth_context *about,
                          struct slice mechanism, bool has_initial, struct slice initial, struct waker waker);
struct login *login_password(const struct login_service *s, const struct auth_context *about,
                             struct slice user, struct slice password, struct waker waker);

enum login_state { LOGIN_PENDING, LOGIN_CONTINUE, LOGIN_DELAY, LOGIN_OK, LOGIN_FAILED };
struct login_answer {
    struct slice challenge;           /* LOGIN_CONTINUE: not encoded */
    unsigned delay_ms;                /* LOGIN_DELAY: conn_wake_after, then poll again */
    struct directory_account account; /* LOGIN_OK */
    struct fail why;                  /* LOGIN_FAILED */
};
enum login_state login_poll(struct login *l, struct login_answer *out);
/*
 * After LOGIN_OK, and after conn_set_account: is it still so?  A password that is changed, or an account
 * that is disabled or removed, between auth's word and conn_set_account would not end the session.  And: has
 * the account no more sessions than it may?
 */
bool login_stands(const struct login *l, const struct conn *c, struct fail *why);
void login_respond(struct login *l, struct slice response);
void login_destroy(struct login **l);

/* May a client sign in here and now (TLS or loopback or allowed)? */
bool login_allowed(const struct login_service *s, bool tls, bool loopback);

#endif
