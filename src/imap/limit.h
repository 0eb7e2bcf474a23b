/*
 * imap/limit.h - how many messages one command works on (MESSAGELIMIT).
 *
 * Layer: imap; inside the room only.  RFC 9738.  With imap.message_limit set, FETCH,
 * STORE, SEARCH, MOVE and UID EXPUNGE work on the messages with the highest UIDs and
 * say how far they came; what must be whole or not at all (COPY, APPEND, SORT, THREAD) is refused.
 */
#ifndef IMAP_LIMIT_H
#define IMAP_LIMIT_H

#include "imap/session.h"
#include "store/search.h"

/* Keeps the highest of them; the answer will say so.  `only_with`: flags of those that count; 0: all. */
void imap_limit_spans(struct imap_session *s, struct imap_spans *spans, uint32_t only_with);
/* May so many be copied or appended at once?  false: answered. */
bool imap_limit_allows(struct imap_session *s, uint64_t messages);
/* A search over the view that is to be run: only the highest candidates are looked at. */
void imap_limit_search(struct imap_session *s, struct search_run *run, struct search *tree);
/* SORT and THREAD cannot be done by halves.  false: answered. */
bool imap_limit_allows_search(struct imap_session *s, struct search *tree);
/* At the end of a command: the response code, into its answer or before it. */
void imap_limit_answer(struct imap_session *s);

#endif
