/*
 * imap/url_fetch.h - what an IMAP URL names.
 *
 * Layer: imap; inside the room only.  For CATENATE and URLFETCH.
 */
#ifndef IMAP_URL_FETCH_H
#define IMAP_URL_FETCH_H

#include "imap/section.h"
#include "imap/target.h"
#include "imap/url.h"

/*
 * In the session's own eyes: its user's rights, and the selected mailbox where
 * the URL names none.  `kind`: ITEM_SECTION, or ITEM_BINARY for decoded bytes.
 * out->source, where there is one, is the caller's to release.  false: `why`.
 */
bool imap_url_open(struct imap_session *s, const struct imap_url *url, enum fetch_kind kind,
                   struct section *out, struct fail *why);
/*
 * The same in a mailbox that has been found already.  `structure` (may be NULL) becomes what BODY would
 * say of the bytes given (RFC 5524 section 3.2), in the command's arena.
 */
bool imap_url_open_in(struct imap_session *s, struct account *a, const struct mailbox_info *box,
                      const struct imap_url *url, enum fetch_kind kind, struct section *out,
                      struct slice *structure, struct fail *why);

#endif
