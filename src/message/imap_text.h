/*
 * message/imap_text.h - strings as IMAP writes them (RFC 9051 section 4.3).
 *
 * Layer: message; private to the room.
 */
#ifndef MESSAGE_IMAP_TEXT_H
#define MESSAGE_IMAP_TEXT_H

#include "base/buf.h"

/*
 * Quoted where that is allowed in IMAP4rev1, else a literal (8-bit bytes, CR or
 * LF in it).  NUL, which neither may hold, becomes "?".
 */
void imap_text_string(struct buf *out, struct slice s);
/* With UTF-8 in quotes, as IMAP4rev2 and UTF8=ACCEPT allow (RFC 9051 section 4.3). */
void imap_text_utf8(struct buf *out, struct slice s);
/* NIL for an empty one. */
void imap_text_nstring(struct buf *out, struct slice s);

#endif
