/*
 * content/server.h - the side that parses what strangers wrote.
 *
 * Layer: content.  Holds nothing, keeps nothing, asks nobody.
 */
#ifndef CONTENT_SERVER_H
#define CONTENT_SERVER_H

#include "net/ipc.h"

struct content_limits {
    uint64_t html_bytes;     /* longer documents are not turned into text; default 4 MB */
    unsigned html_depth;     /* of elements in each other; default 2000 */
    unsigned html_ms;        /* of processor time for one document; default 2000 */
    unsigned answer_seconds; /* mail waits so long; a parser that works longer ends its process; default 10 */
};
void content_limits_default(struct content_limits *l);

struct content_server;
/* Starts the thread that watches the parsers. */
bool content_server_create(const struct content_limits *limits, struct content_server **out, struct fail *why);
/* After its ipc_server is gone.  Fine on NULL; leaves *s NULL. */
void content_server_destroy(struct content_server **s);
/* For ipc_server_create(). */
struct ipc_service content_server_service(struct content_server *s);

#endif
