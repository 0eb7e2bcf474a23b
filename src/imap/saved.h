/*
 * imap/saved.h - "$", the result of the last SEARCH that was saved.
 *
 * Layer: imap; inside the room only.  RFC 5182.  Kept as UIDs, so that what is expunged leaves it by
 * itself and numbers need no care; neighbours in the mailbox are one range, so that a search for almost
 * everything costs little.  It goes with the selected mailbox.
 */
#ifndef IMAP_SAVED_H
#define IMAP_SAVED_H

#include "imap/esearch.h"

/*
 * "$" becomes these messages of the selected mailbox; none: empty.  false: they are too many to be kept,
 * it is empty now, and the command must be answered NO [NOTSAVED] (section 2.5).
 */
bool imap_saved_set(struct imap_session *s, const struct imap_spans *spans);
void imap_saved_clear(struct imap_session *s);

/*
 * RETURN (SAVE) of what was found, before anything is answered: a NO [NOTSAVED] is then all that the
 * client hears.  false: that was said, the command is over.
 */
bool imap_saved_found(struct imap_session *s, const struct esearch *e);

/* What of it the client's view has; in the command's arena. */
struct imap_spans imap_saved_spans(struct imap_session *s);
/* As UIDs; the session's, until the next change. */
struct imap_set imap_saved_uids(const struct imap_session *s);

#endif
