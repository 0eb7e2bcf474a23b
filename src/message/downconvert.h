/*
 * message/downconvert.h - a message with 8-bit or binary parts, written in a way that others can take.
 *
 * Layer: message.  RFC 6152 section 3 and RFC 3030 section 3: before a message goes to a server without 8BITMIME (or
 * BINARYMIME) its parts are encoded as quoted-printable or base64, each by itself; signed parts too.  The message is read
 * twice, in pieces; only the tree of its parts and one header at a time are in memory.
 *
 * Header fields are never changed: what they hold outside of ASCII is reported, and the caller says no.
 */
#ifndef MESSAGE_DOWNCONVERT_H
#define MESSAGE_DOWNCONVERT_H

#include "base/fail.h"

/* Bytes [offset, offset + n) of a message of `size` bytes. */
struct downconvert_source {
    bool (*read)(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why);
    void *ctx;
    uint64_t size;
};

enum downconvert_to {
    DOWNCONVERT_7BIT, /* ASCII, lines of at most 998 octets where it was binary */
    DOWNCONVERT_8BIT, /* any octets but NUL, in lines: from BINARYMIME */
};

struct downconvert;
/*
 * Looks at all of it.  FAIL_PERM 5.6.3: a part cannot be encoded (RFC 2046 section 5.2: parts of type message, unknown
 * encodings); else what reading failed with.
 */
bool downconvert_plan(const struct downconvert_source *source, enum downconvert_to to, struct downconvert **out, struct fail *why);
/* Fine on NULL; leaves *d NULL. */
void downconvert_destroy(struct downconvert **d);
/* Does any header, a part's or an attached message's too, hold octets outside of ASCII? */
bool downconvert_header_is_8bit(const struct downconvert *d);
/* Is there anything to be changed? */
bool downconvert_is_needed(const struct downconvert *d);
/* The message as it is to be sent, in pieces. */
bool downconvert_write(const struct downconvert *d, bool (*write)(void *ctx, struct slice piece, struct fail *why), void *ctx,
                       struct fail *why);

#endif
