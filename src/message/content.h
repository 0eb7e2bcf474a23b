/*
 * message/content.h - the Content-* fields of one part.
 *
 * Layer: message; private to the room.
 */
#ifndef MESSAGE_CONTENT_H
#define MESSAGE_CONTENT_H

#include "message/message.h"

/*
 * Fills in type, parameters, encoding and the other descriptions of `part` from
 * its header block; what is absent or unreadable gets its default.  `in_digest`:
 * the parent is multipart/digest, so the default type is message/rfc822 (RFC
 * 2046 section 5.1.5).  Everything is copied into the arena.
 */
void content_read(struct arena *a, const struct message_limits *limits, struct slice header, bool in_digest,
                  struct mime_part *part);

#endif
