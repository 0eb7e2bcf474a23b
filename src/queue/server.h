/*
 * queue/server.h - the queue role's side of taking over: answers the mail role.
 *
 * Layer: queue.
 */
#ifndef QUEUE_SERVER_H
#define QUEUE_SERVER_H

#include "net/ipc.h"
#include "queue/queue.h"

struct queue_server;
/* `spool_dir`: for bodies too large for memory; `most`: bytes of what comes at once.  Both arguments outlive it. */
struct queue_server *queue_server_create(struct queue *q, const char *spool_dir, uint64_t most);
/* After its ipc_server is gone.  Fine on NULL; leaves *s NULL. */
void queue_server_destroy(struct queue_server **s);
/* For ipc_server_create(). */
struct ipc_service queue_server_service(struct queue_server *s);

#endif
