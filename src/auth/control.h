/*
 * auth/control.h - what the administrator asks of `auth`, over its control socket.
 *
 * Layer: auth.  Each call waits for the answer.  `c` is a client that is attached
 * to the control socket (ipc_socket_connect), which admits root and the
 * administrator's user only: setting a password never passes through `mail`.
 */
#ifndef AUTH_CONTROL_H
#define AUTH_CONTROL_H

#include "base/buf.h"
#include "base/fail.h"

struct ipc_client;

/*
 * Sets or changes it; cached logins are dropped and `mail` is told to end the account's
 * sessions.  `login` is the account's address.  FAIL_INVALID: empty, too long, a control
 * character in it; FAIL_EXISTS: the login is a later account's.
 */
bool auth_control_set_password(struct ipc_client *c, uint64_t account, struct slice login,
                               struct slice password, struct fail *why);
/*
 * The same with a hash that another server made, "{SCHEME}..." as Dovecot writes it: it is good for a
 * login, and gives way to one of ours at the first.  FAIL_INVALID: not known, damaged, beyond what a login may cost.
 */
bool auth_control_set_hash(struct ipc_client *c, uint64_t account, struct slice login, struct slice hash,
                           struct fail *why);
/* Nobody can sign in to it any more.  FAIL_NOT_FOUND if it had none. */
bool auth_control_remove(struct ipc_client *c, uint64_t account, struct fail *why);

struct auth_credential {
    uint64_t account;
    struct slice login;
    int64_t changed;                      /* when the password was set; seconds since 1970 */
    int64_t last_used;                    /* 0: never */
    struct slice last_service, last_peer; /* "imap", "192.0.2.1" */
};
/* All of them by account id; slices are valid during the call.  Stops when `each` says false. */
bool auth_control_list(struct ipc_client *c, bool (*each)(void *ctx, const struct auth_credential *k),
                       void *ctx, struct fail *why);

struct auth_app_password {
    struct slice name;
    struct slice services;                /* "imap smtp"; empty: all */
    int64_t created, last_used;           /* last_used 0: never */
    struct slice last_service, last_peer;
};
/*
 * Makes a new one, for an account that has a password; it is shown here and never again.  It is
 * taken wherever the password is (not by SCRAM, which knows one password a name).  FAIL_INVALID,
 * FAIL_EXISTS, FAIL_LIMIT, FAIL_NOT_FOUND.
 */
bool auth_control_app_add(struct ipc_client *c, uint64_t account, struct slice name, struct slice services,
                          struct buf *password, struct fail *why);
/* The account's sessions end: those that signed in with it, and the others come back.  FAIL_NOT_FOUND. */
bool auth_control_app_remove(struct ipc_client *c, uint64_t account, struct slice name, struct fail *why);
bool auth_control_app_list(struct ipc_client *c, uint64_t account,
                           bool (*each)(void *ctx, const struct auth_app_password *p), void *ctx,
                           struct fail *why);

/*
 * For a backup: makes a copy of the database beside it, in a folder that only `auth` and root can enter, and says where.
 * The caller removes it; one that is left over is replaced.
 */
bool auth_control_copy(struct ipc_client *c, struct buf *path, struct fail *why);

#endif
