/*
 * message/binary.h - binary parts as something that every protocol can carry.
 *
 * Layer: message.  RFC 3516 section 4.4 and RFC 3030 let messages in that hold
 * any bytes; IMAP's FETCH BODY, POP3 and other mail servers cannot be given them.
 */
#ifndef MESSAGE_BINARY_H
#define MESSAGE_BINARY_H

#include "base/body.h"

/*
 * A copy of `in` whose leaf parts that hold NUL (with `lines`: or CR or LF by
 * itself) are base64, and say so; all other bytes stay as they are.  What is
 * around such a part and says "binary" says "8bit" then.  *out is the caller's.
 *
 * FAIL_INVALID: such bytes stand in a header or between parts, or in a part that
 * says it is base64 or quoted-printable: they cannot be kept.
 */
bool binary_encode(const struct body *in, const struct body_limits *limits, bool lines, struct body **out,
                   struct fail *why);

#endif
