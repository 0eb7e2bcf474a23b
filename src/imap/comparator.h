/*
 * imap/comparator.h - by which collation this session compares text.
 *
 * Layer: imap; inside the room only.  RFC 5255 section 4: SEARCH, SORT and THREAD use it.
 */
#ifndef IMAP_COMPARATOR_H
#define IMAP_COMPARATOR_H

#include "base/collation.h"
#include "imap/session.h"

/* The active comparator; COLLATION_UNICODE_CASEMAP unless COMPARATOR changed it. */
enum collation imap_collation(const struct imap_session *s);

#endif
