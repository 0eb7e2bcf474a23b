/*
 * content/protocol.h - what `mail` asks of `content`, over net/ipc.h.
 *
 * Layer: content, private to it.  Fields in order; <x> is one field.
 *
 *   HTML  <charset> <document>      answered by <made> <text>
 *
 * A document or text is <length> <bytes>, or, where it is longer than
 * CONTENT_INLINE_MAX, <length> <nothing> with a descriptor of a file in memory
 * beside the message: it is read, never mapped.
 */
#ifndef CONTENT_PROTOCOL_H
#define CONTENT_PROTOCOL_H

#include "net/ipc.h"

enum content_message { CONTENT_MSG_HTML = 1 };

enum { CONTENT_INLINE_MAX = 60 * 1024 };

/*
 * Adds a document.  *fd is the descriptor made for it, or -1; it is closed by whoever
 * sends (net/ipc.h: an answer's by the server, a request's by the caller).
 */
bool content_add_text(struct ipc_message *m, struct slice text, int *fd, struct fail *why);
/* Reads one of at most out->max bytes into `out`, whatever the other side says. */
bool content_get_text(struct ipc_reader *r, struct buf *out, struct fail *why);

#endif
