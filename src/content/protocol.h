/*
 * content/protocol.h - what `mail` asks of `content`, over net/ipc.h.
 *
 * Layer: content, private to it.  Fields in order; <x> is one field.
 *
 *   HTML  <charset> <document>      answered by <made> <text>
 *
 * A document or text is as net/ipc_text.h has it.
 */
#ifndef CONTENT_PROTOCOL_H
#define CONTENT_PROTOCOL_H

#include "net/ipc_text.h"

enum content_message { CONTENT_MSG_HTML = 1 };

#endif
