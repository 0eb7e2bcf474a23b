/*
 * imap/frame.h - where does a command end?
 *
 * Layer: imap.  Pure: looks at buffered bytes and at nothing else.  A command is
 * lines joined by literals (RFC 3501 section 2.2.1, RFC 7888); this decides when
 * all of it is there, when the client waits for "+ ...", and when a message of
 * APPEND or REPLACE begins, or a TEXT of their CATENATE, which are not buffered
 * but streamed.  However the bytes are split, the same frames come out.
 */
#ifndef IMAP_FRAME_H
#define IMAP_FRAME_H

#include "base/slice.h"

/* Between calls for one command; all zero before its first byte. */
struct frame {
    size_t line;    /* where the command's present line begins */
    size_t scanned; /* no line end before this */
};

enum frame_kind {
    FRAME_PARTIAL,   /* more bytes are needed */
    FRAME_COMMAND,   /* the first `length` bytes are one whole command with its line end */
    FRAME_INVITE,    /* the client waits for "+ ...": send it and call again */
    FRAME_MESSAGE,   /* the first `length` bytes announce a message of `octets` bytes, which follow */
    FRAME_TOO_LARGE, /* an uninvited literal is too large: drop `length` bytes, answer NO, go on */
    FRAME_OVERRUN,   /* what follows cannot be told from commands: answer BAD and close */
};

struct frame_found {
    size_t   length;
    size_t   announced;     /* FRAME_MESSAGE: where "{" or "~{" stands */
    uint64_t octets;        /* UINT64_MAX: more than can be counted */
    bool     synchronising; /* FRAME_MESSAGE: the client waits for "+ ..." */
    bool     binary;        /* "~{": NUL may be in it (RFC 3516) */
};

/*
 * Looks at `input`, which begins with the command and may go on after it.
 * `limit` bounds the command with its literals but without messages.
 * *f starts anew after every kind but FRAME_PARTIAL and FRAME_INVITE.
 */
enum frame_kind frame_next(struct frame *f, struct slice input, size_t limit, struct frame_found *out);
/* The same for what follows a message: the rest of the command, or all up to its next message. */
enum frame_kind frame_go_on(struct frame *f, struct slice input, size_t limit, struct frame_found *out);

#endif
