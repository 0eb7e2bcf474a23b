/*
 * deliver/home.h - messages of the server's own making, from the queue role into the mail role.
 *
 * Layer: deliver.  Notifications for senders who have an account here, and reports that go to anybody: the mail role
 * delivers them as it does what comes by SMTP, so they are kept the moment it says so.
 *
 *   DELIVER  <sender> <recipient> <anywhere> <message>      answered by nothing, or refused
 *
 * A message is a text (net/ipc_text.h).
 */
#ifndef DELIVER_HOME_H
#define DELIVER_HOME_H

#include "net/ipc.h"

struct body;
struct deliver;

/* ---- the side that asks ---- */

struct home_client;
struct home_client *home_client_create(const struct ipc_limits *ipc, struct fail *why);
/* Nobody may be asking any more.  Fine on NULL; leaves *c NULL. */
void home_client_destroy(struct home_client **c);
/* The socket to the mail role; owned by the client from now on. */
void home_client_attach(struct home_client *c, int fd);
/*
 * True: on stable storage.  FAIL_NOT_FOUND: no such recipient here (with `anywhere`: of ours).  FAIL_TEMP: later.
 * Waits (between block_begin and block_end).
 */
bool home_deliver(struct home_client *c, struct slice sender, struct slice recipient, const struct body *message,
                  bool anywhere, struct fail *why);

/* ---- the side that answers ---- */

struct home_server;
/* `spool_dir`: for messages too large for memory; outlives it.  `most`: bytes of one message. */
struct home_server *home_server_create(struct deliver *d, const char *spool_dir, uint64_t most);
/* After its ipc_server is gone.  Fine on NULL; leaves *s NULL. */
void home_server_destroy(struct home_server **s);
struct ipc_service home_server_service(struct home_server *s);

#endif
