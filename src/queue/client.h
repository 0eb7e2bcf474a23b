/*
 * queue/client.h - the mail role's side of handing over: asks the queue role.
 *
 * Layer: queue.  For the messages see queue/protocol.h.  Small bodies travel in the message, larger ones by
 * descriptor (a file in memory, copied with read()).
 */
#ifndef QUEUE_CLIENT_H
#define QUEUE_CLIENT_H

#include "net/ipc.h"
#include "queue/queue.h"

struct queue_client;
struct queue_client *queue_client_create(const struct ipc_limits *ipc, struct fail *why);
/* Nobody may be asking any more.  Fine on NULL; leaves *c NULL. */
void queue_client_destroy(struct queue_client **c);
/* The socket to the role; owned by the client from now on. */
void queue_client_attach(struct queue_client *c, int fd);

/* queue_take() over there; waits (between block_begin and block_end).  FAIL_TEMP while the role is away. */
bool queue_client_take(struct queue_client *c, const struct queue_message *messages, size_t count, bool *taken,
                       struct fail *why);
/* queue_try() over there, but for the bodies, which stay the caller's; and queue_outcomes(). */
bool queue_client_try(struct queue_client *c, const struct queue_message *messages, size_t count, enum queue_tried *fates,
                      struct fail *why);
bool queue_client_outcomes(struct queue_client *c, struct queue_over *out, size_t most, size_t *count, struct fail *why);
/* A sender takes a message back. */
bool queue_client_undo(struct queue_client *c, uint64_t account, struct slice trace, struct fail *why);

#endif
