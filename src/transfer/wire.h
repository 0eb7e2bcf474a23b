/*
 * transfer/wire.h - the calls of a transfer as a stream of bytes, between two processes.
 *
 * Layer: transfer.  One side has a sender: a transfer_into that writes what it is told
 * into the stream.  The other has a receiver, which reads it and tells it on to the
 * transfer_into that keeps it.  The stream carries frames: a type (one byte), a length
 * (four, little-endian), so many bytes; numbers little-endian, texts with their length in
 * front.  Bodies come in pieces; no side holds more than one message, and that in a
 * struct body.
 *
 *     sender  -> mailbox, message (+ pieces), mailbox_end, ... , end
 *     receiver-> after each mailbox the digests of what it has; when it likes: so many
 *                are durable, a note; at the very end: done, or what went wrong
 *
 * Each side trusts the other with nothing: a frame that is wrong ends the transfer with
 * FAIL_INVALID.  A receiver that failed reads on to the sender's end (and throws it away), so
 * that afterwards the stream stands at a known place; a sender sees the failure with its
 * next call.  The sender has a thread of its own that reads what comes back, so neither
 * side waits for the other to listen.
 */
#ifndef TRANSFER_WIRE_H
#define TRANSFER_WIRE_H

#include "transfer/transfer.h"

/* The two directions of a connection (as struct admin_stream; its socket, or a FILE of a client). */
struct wire_io {
    /* Up to `n` bytes; *got 0: the other side is gone.  Waits. */
    bool (*read)(void *ctx, void *out, size_t n, size_t *got, struct fail *why);
    bool (*write)(void *ctx, struct slice bytes, struct fail *why);
    /* Breaks the connection: whoever waits in `read` comes back.  May be NULL. */
    void (*stop)(void *ctx);
    /* What was read beyond the stream's end, given back once; whoever reads the connection next needs it.  May be NULL. */
    void (*unread)(void *ctx, struct slice bytes);
    void *ctx;
};

/* ---- the side that tells ---- */

struct wire_sender;

/* What the other side says meanwhile; called from a thread of the sender's.  Both may be NULL. */
struct wire_events {
    void (*durable)(void *ctx, uint64_t messages);
    /* As transfer_into.left_out; `left_out` false: only worth knowing (a mailbox got another name). */
    void (*note)(void *ctx, bool left_out, struct slice what, struct slice reason);
    void *ctx;
};

/* `io` and *events outlive it. */
struct wire_sender *wire_sender_create(const struct wire_io *io, const struct wire_events *events, struct fail *why);
/* Its calls return false, with the other side's story, once that has failed. */
struct transfer_into wire_sender_into(struct wire_sender *s);
/*
 * The end: with `failed` NULL all was told, else why it was not.  Waits until the other side is done.
 * True: everything told is kept and durable.
 */
bool wire_sender_end(struct wire_sender *s, const struct fail *failed, struct fail *why);
/* After wire_sender_end only (which says the end, if nobody did).  Fine on NULL; leaves *s NULL. */
void wire_sender_destroy(struct wire_sender **s);

/* ---- the side that is told ---- */

struct wire_receiver;

/* Bodies are made with *bodies.  `io` and *bodies outlive it. */
struct wire_receiver *wire_receiver_create(const struct wire_io *io, const struct body_limits *bodies);
void wire_receiver_destroy(struct wire_receiver **r);
/* For who keeps: a word for the person at the other end.  Only on the thread that runs wire_receive(). */
void wire_note(struct wire_receiver *r, bool left_out, struct slice what, const char *reason);
/*
 * Reads the stream to its end and tells it to *into.  False: *why is what went wrong on either side; what was
 * kept so far stays.  `finish` (may be NULL) is called once all is told, before the other side hears that it is
 * done: what it says false to is a failure like any other.
 */
bool wire_receive(struct wire_receiver *r, const struct transfer_into *into,
                  bool (*finish)(void *ctx, struct fail *why), struct fail *why);

#endif
