/*
 * content/client.h - the side that wants text and does not parse.
 *
 * Layer: content.  Whatever the role does, answers garbage, hangs or dies, the caller
 * hears that there is no text, after `answer_seconds` at the latest.  While the role
 * is silent it is not asked again for a few seconds, and a document that was with it
 * twice when it failed is not sent a third time for ten minutes.
 */
#ifndef CONTENT_CLIENT_H
#define CONTENT_CLIENT_H

#include "base/buf.h"
#include "content/server.h"

struct content_client;

/* Starts ipc's one thread. */
struct content_client *content_client_create(const struct content_limits *limits, const struct ipc_limits *ipc,
                                             struct fail *why);
/* Nobody may be asking any more.  Fine on NULL; leaves *c NULL. */
void content_client_destroy(struct content_client **c);
/* The socket to the role; owned by the client from now on. */
void content_client_attach(struct content_client *c, int fd);

enum content_result {
    CONTENT_MADE,
    CONTENT_REFUSED, /* this document will not become text */
    CONTENT_AWAY,    /* not now */
};
/* HTML into UTF-8 text appended to `out`; waits (between block_begin and block_end). */
enum content_result content_html(struct content_client *c, struct slice document, struct slice charset,
                                 struct buf *out);

#endif
