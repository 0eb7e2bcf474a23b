/*
 * queue/protocol.h - what the mail role asks of the queue role, over net/ipc.h.
 *
 * Layer: queue, private to it.  Fields in order; <x> is one field.
 *
 *   TAKE  <count> <details' length> <pack>      answered by <a byte for each message: 1 taken, 0 not>
 *   TRY   as TAKE, for what comes for the first time   <a byte for each message: 0 not, 1 taken, 2 tried from memory>
 *   OVER  waits a second at most                <of each that is over: its id, 8 bytes little-endian, and 1 taken, 0 not>
 *   UNDO  <account> <trace>                     answered by nothing, or refused
 *
 * A pack is a text (net/ipc_text.h): first the details of all messages, then their bodies one after the other.  Details
 * of a message, little-endian; a text is its length in 4 bytes and its bytes:
 *
 *     id 8, received 8, body's size 8, sender, trace, options, number of recipients 4,
 *     and of each recipient: address, prefix, options
 *
 * Options are as queue/envelope.h writes them.
 */
#ifndef QUEUE_PROTOCOL_H
#define QUEUE_PROTOCOL_H

#include "net/ipc_text.h"
#include "queue/queue.h"

enum queue_request { QUEUE_MSG_TAKE = 1, QUEUE_MSG_UNDO = 2, QUEUE_MSG_TRY = 3, QUEUE_MSG_OVER = 4 };

enum {
    PACK_MESSAGES_MAX = 8192,
    PACK_DETAILS_MAX = 64 << 20,
    OVER_MOST = 4096, /* in one answer */
    OVER_BYTES = 9,
    PACK_ADDRESS_MAX = 2048, /* longer than any that comes by SMTP; without control characters, which would be commands elsewhere */
    PACK_TRACE_MAX = 64,
};

/* What is over; false: that is none. */
void over_write(struct buf *out, const struct queue_over *list, size_t count);
bool over_read(struct slice text, struct queue_over *list, size_t most, size_t *count);

/* Appends one message's details. */
void pack_write(struct buf *out, const struct queue_message *m);

/*
 * Reads `count` messages' details, whatever they are; bodies are NULL, sizes[i] their bytes.  In the arena, but texts
 * point into `details`.  FAIL_INVALID if they do not keep to the form, or something is left over.
 */
bool pack_read(struct slice details, size_t count, struct arena *a, struct queue_message **messages, uint64_t **sizes,
               struct fail *why);

#endif
