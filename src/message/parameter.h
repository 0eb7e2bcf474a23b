/*
 * message/parameter.h - "type; name=value; ..." fields (RFC 2045, 2183, 2231).
 *
 * Layer: message; private to the room.
 */
#ifndef MESSAGE_PARAMETER_H
#define MESSAGE_PARAMETER_H

#include "message/message.h"

/*
 * The parameters of an unfolded field, from behind its first word on, at most `max`.
 * Continuations are put together; values that name a charset become UTF-8 and
 * their names keep one "*" at the end, as RFC 9051 section 7.5.2 wants them.
 */
size_t parameters_parse(struct arena *a, struct slice text, size_t max, struct mime_parameter **out);

#endif
