/*
 * imap/filters.h - named searches: FILTER in SEARCH, SORT and all that reads search keys.
 *
 * Layer: imap; inside the room only.  RFC 5466.  A filter is the server annotation
 * /private/filters/values/NAME or, where there is none, /shared/filters/values/NAME.
 */
#ifndef IMAP_FILTERS_H
#define IMAP_FILTERS_H

#include "imap/search_args.h"

/* The search keys of the filter of that name, in the arena; false: there is none. */
bool imap_filter_find(struct imap_session *s, struct arena *a, struct slice name, struct slice *keys);

/* Is this what a filter of that name may say?  An annotation of any other name may say anything. */
bool imap_filter_is_sound(struct imap_session *s, struct slice annotation, struct slice keys);

#endif
