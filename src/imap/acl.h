/*
 * imap/acl.h - rights as they are written.
 *
 * Layer: imap; inside the room only.  RFC 4314 section 2.1.
 */
#ifndef IMAP_ACL_H
#define IMAP_ACL_H

#include "base/buf.h"

/* "lrswipkxtea", with the c and d of RFC 2086 where they belong. */
void imap_write_rights(struct buf *out, unsigned rights);
/* false: there is a letter that is no right. */
bool imap_parse_rights(struct slice text, unsigned *out);

#endif
