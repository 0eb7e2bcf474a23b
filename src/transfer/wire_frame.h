/*
 * transfer/wire_frame.h - frames of the stream: written into a buffer, read out of one.
 *
 * Layer: transfer; private to wire_*.c.
 */
#ifndef TRANSFER_WIRE_FRAME_H
#define TRANSFER_WIRE_FRAME_H

#include "base/buf.h"
#include "transfer/wire.h"

enum wire_type {
    /* From who tells. */
    WIRE_MAILBOX = 'M',
    WIRE_MESSAGE = 'm',
    WIRE_PIECE = 'b', /* of the body of the message, or of the script, before it */
    WIRE_MAILBOX_END = 'e',
    WIRE_SUBSCRIPTION = 's',
    WIRE_SCRIPT = 'S',
    WIRE_LEFT_OUT = 'l',
    WIRE_PROGRESS = 'p',
    WIRE_END = 'E', /* (failed or not) */
    /* From who keeps. */
    WIRE_HAVE = 'h',
    WIRE_HAVE_ALL = 'H',
    WIRE_DURABLE = 'a',
    WIRE_NOTE = 'n',
    WIRE_FAILED = 'x',
    WIRE_DONE = 'd',
};

enum {
    WIRE_HEAD = 5,
    WIRE_FRAME_MAX = 64 * 1024, /* what follows the head */
    WIRE_SCRIPT_MAX = 1 << 20,
    WIRE_BUFFER = 128 * 1024, /* that gathers before it is written, or is read at once */
};

/* ---- writing: begin, put, end; the buffer has no limit of its own ---- */

size_t wire_begin(struct buf *out, enum wire_type type);
/* False: it came to more than a frame may hold, and was taken back. */
bool wire_end(struct buf *out, size_t begun);
void wire_put(struct buf *out, uint64_t value, unsigned bytes);
void wire_put_text(struct buf *out, struct slice text);
/* A frame of a failure: kind, reason, code, text. */
void wire_put_fail(struct buf *out, const struct fail *f);

/* ---- reading ---- */

/* What is left of a frame; a read past its end sets `failed` and gives nothing. */
struct wire_cursor {
    struct slice rest;
    bool         failed;
};
uint64_t wire_get(struct wire_cursor *c, unsigned bytes);
struct slice wire_get_text(struct wire_cursor *c); /* points into the frame */
void wire_get_fail(struct wire_cursor *c, struct fail *f);
/* All of it was read, and nothing was missing. */
bool wire_got_all(const struct wire_cursor *c);

/* A direction of the stream that is read frame by frame. */
struct wire_reader {
    const struct wire_io *io;
    struct buf            in;
    size_t                used; /* of `in`, by frames that were given out */
};
void wire_reader_init(struct wire_reader *r, const struct wire_io *io);
void wire_reader_finish(struct wire_reader *r);
/* The frame lives until the next call.  False: the other side is gone, or speaks something else. */
bool wire_next(struct wire_reader *r, uint8_t *type, struct slice *frame, struct fail *why);

#endif
