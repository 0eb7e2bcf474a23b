/*
 * main/listen.h - sockets that wait for clients.
 *
 * Layer: main.  All of them are made by the supervisor, before anything is parsed:
 * a role that is started again finds them as they were, with whoever waits in them.
 */
#ifndef MAIN_LISTEN_H
#define MAIN_LISTEN_H

#include "main/role.h"

struct config;
struct config_listener;

/* -1 and *why on failure.  Non-blocking, closed on exec.  A "*" is IPv6 and IPv4, where there is IPv6. */
int listen_open(const struct config_listener *l, struct fail *why);

/*
 * A Unix socket anybody may connect to (who is served is decided by who connects).  A socket
 * file that is left over is replaced; one that somebody listens on is not.
 * `type`: SOCK_STREAM or SOCK_SEQPACKET.
 */
int listen_unix(const char *path, int type, struct fail *why);

/* -1 and *why if nobody listens there. */
int listen_connect(const char *path, int type, struct fail *why);

/* Where a role's control socket is, NULL if it has none; and of what type (auth speaks net/ipc.h, the others JSON lines). */
const char *listen_control_path(struct config *c, enum role role);
int         listen_control_type(enum role role);

#endif
