/*
 * imap/context.h - searches whose results are kept up to date: RETURN (UPDATE).
 *
 * Layer: imap; inside the room only.  RFC 5267 section 4.3.  A context is a search program and what it found,
 * as UIDs; it is told of (ADDTO, REMOVEFROM) with the news that change it, and goes with the selected mailbox.
 * Message numbers and "$" in the program mean what they meant when the command came; the time that OLDER and
 * YOUNGER count from does not move either, and a message is asked again only when it changes.
 *
 * A context of SORT has an order of its own: positions are told.  A session without contexts pays nothing.
 */
#ifndef IMAP_CONTEXT_H
#define IMAP_CONTEXT_H

#include "imap/search_args.h"

struct imap_context;
struct imap_contexts;

/* Puts positions of the session's view into the order of `criteria`. */
typedef bool imap_context_sort(struct imap_session *s, const void *criteria, uint32_t *positions, size_t count,
                               struct fail *why);

/*
 * For RETURN (UPDATE), before the search is run: *out is the caller's, to be begun or dropped.  false: the tag
 * has a context already and the command is answered BAD (section 4.3).
 */
bool imap_context_prepare(struct imap_session *s, const struct search_args *args, struct imap_context **out);
/* SORT's; `criteria` is copied. */
void imap_context_order(struct imap_context *c, imap_context_sort *sort, const void *criteria, size_t size);
/*
 * With what was found, before its answer is complete: from now on it is told.  "* NO [NOUPDATE]" where it is one
 * too many or too large (section 4.3.1).  *c is the session's, NULL then.
 */
void imap_context_begin(struct imap_session *s, struct imap_context **c, const struct esearch *found);
/* Fine on NULL. */
void imap_context_drop(struct imap_context **c);

/* ---- with the news (news.c) ---- */

/* Notes of all contexts which of their messages are gone; `then` is the view in which they were. */
void imap_contexts_gather(struct imap_session *s, struct imap_news *n, const struct view *then);
/* REMOVEFROM, before the EXPUNGE that they are about. */
void imap_contexts_tell_gone(struct imap_session *s, struct imap_news *n);
/* ADDTO and REMOVEFROM, after EXISTS and FETCH.  false: call again when the connection has drained, or soon. */
bool imap_contexts_tell(struct imap_session *s, struct imap_news *n);

/* The mailbox is no longer selected. */
void imap_contexts_finish(struct imap_contexts **all);

#endif
