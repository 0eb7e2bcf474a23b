/*
 * imap/arrange.h - what SORT and THREAD have in common: a search comes first.
 *
 * Layer: imap; inside the room only.  RFC 5256 section 5, search-criteria.
 */
#ifndef IMAP_ARRANGE_H
#define IMAP_ARRANGE_H

#include "imap/search_args.h"
#include "store/sort.h"

enum { ARRANGE_BUDGET_MS = 8 }; /* of a turn of ten */

struct arrange {
    struct search_args args;
    struct view       *view;
    struct search_run *search;
    const uint32_t    *found; /* positions, ascending; in the search */
    size_t             count;
    bool               searched;
};

/* search-criteria = charset 1*(SP search-key), to the end of the command; a space stands before it. */
void arrange_read(struct imap_session *s, struct imap_reader *r, struct arrange *a);
/* After reading.  false: the command has been answered. */
bool arrange_begin(struct imap_session *s, struct imap_reader *r, struct arrange *a);
void arrange_end(struct arrange *a);

/* 1: what was found is there.  0: another turn.  -1: the command has been answered. */
int  arrange_search(struct imap_session *s, struct arrange *a);
/* sort-criteria, each key once; how many (sort.c). */
size_t imap_read_sort_criteria(struct imap_reader *r, struct sort_criterion out[SORT_RELEVANCY + 1]);
enum thread_algorithm imap_read_thread_algorithm(struct imap_reader *r); /* thread.c */
/* Another turn is needed: the client may be told how far it is (RFC 9585). */
void arrange_progress(struct imap_session *s, const struct arrange *a);
/* What is to be put in order, by the session's comparator (RFC 5255 section 4.2). */
struct sort_request arrange_request(const struct imap_session *s, const struct arrange *a);

#endif
