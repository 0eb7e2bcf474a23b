/*
 * net/fetch_wire.h - what is asked of the fetch role, over net/ipc.h.
 *
 * Layer: net, private to net/fetch.c and fetch/server.c.  Fields in order; <x> is one field.
 *
 *   REQUEST  <url> <content type> <authorization> <fields> <post> <redirects> <most> <seconds> <body>
 *            answered by <status> <content type> <fresh> <body>
 *   CONNECT  <where> <seconds>
 *            answered by nothing, with the socket beside the message
 *
 * A body is as net/ipc_text.h has it.
 */
#ifndef NET_FETCH_WIRE_H
#define NET_FETCH_WIRE_H

#include "net/ipc_text.h"

enum fetch_message { FETCH_MSG_REQUEST = 1, FETCH_MSG_CONNECT };

/* Of what goes with a request, at most; together they fit into one message. */
enum { FETCH_URL_MAX = 8192, FETCH_TYPE_MAX = 255, FETCH_AUTHORIZATION_MAX = 16384, FETCH_FIELDS_MAX = 32768 };

#endif
