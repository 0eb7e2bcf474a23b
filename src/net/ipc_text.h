/*
 * net/ipc_text.h - texts of any length in messages between the roles.
 *
 * Layer: net.  A text is <length> <bytes>, the last fields of its message; where the bytes do not fit
 * beside what is there already, <length> <nothing> with the descriptor of a file in memory
 * beside the message.  It is read, never mapped.
 */
#ifndef NET_IPC_TEXT_H
#define NET_IPC_TEXT_H

#include "net/ipc.h"

/*
 * Adds a text.  *fd is the descriptor made for it, or -1; it is closed by whoever
 * sends (net/ipc.h: an answer's by the server, a request's by the caller).
 */
bool ipc_add_text(struct ipc_message *m, struct slice text, int *fd, struct fail *why);

/* A text that has come. */
struct ipc_text {
    uint64_t     len;
    struct slice inside; /* all of it if `fd` is -1; lives as long as the message */
    int          fd;     /* a regular file: the caller's from now on */
};
/* FAIL_INVALID if the other side does not keep to this, or says more than `most`. */
bool ipc_take_text(struct ipc_reader *r, uint64_t most, struct ipc_text *out, struct fail *why);
/* Reads one of at most out->max bytes into `out`, whatever the other side says. */
bool ipc_get_text(struct ipc_reader *r, struct buf *out, struct fail *why);

#endif
