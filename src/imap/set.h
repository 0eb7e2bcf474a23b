/*
 * imap/set.h - which messages of a view a sequence set names.
 *
 * Layer: imap.  RFC 3501 section 9 (sequence-set).  A client's numbers become
 * spans of positions in the session's view, ascending and apart.
 */
#ifndef IMAP_SET_H
#define IMAP_SET_H

#include "imap/reader.h"
#include "store/view.h"

struct imap_span { uint32_t first, end; }; /* positions from 0; end is the first after it */

struct imap_spans {
    struct imap_span *items;
    size_t            count;
};

/* "*" becomes `star`; ascending, ranges that overlap or touch joined.  In the arena; empty past its limit. */
struct imap_set imap_set_resolve(struct arena *a, struct imap_set set, uint32_t star);

/*
 * By message sequence number.  false if one is named that the mailbox does not
 * have, "*" in an empty one included (RFC 3501 section 9, seq-number).
 */
bool imap_spans_of_numbers(struct arena *a, const struct view *v, struct imap_set set,
                           struct imap_spans *out);
/* By UID; those that are not there are left out. */
struct imap_spans imap_spans_of_uids(struct arena *a, const struct view *v, struct imap_set set);

/* From positions in ascending order (one may stand there twice).  false: the arena is full. */
bool imap_spans_of_positions(struct arena *a, const uint32_t *positions, size_t count,
                             struct imap_spans *out);

uint64_t imap_spans_size(const struct imap_spans *s);

/*
 * A window of a list of results (RFC 9394 section 4, partial-range): counted from 1, or from its end
 * backwards; in the order in which the client wrote it, which means the same as the other.
 */
struct imap_window {
    uint32_t first, last;
    bool     from_end;
};
/* The places [*first, *end) of a list of `count` that it shows; none: both are the same. */
void imap_window_of(struct imap_window w, uint64_t count, size_t *first, size_t *end);
/* The messages of the spans that it shows; in the arena, empty past its limit. */
struct imap_spans imap_spans_window(struct arena *a, const struct imap_spans *s, struct imap_window w);

/*
 * UIDs of the spans, for the store: one range a span, which names exactly its messages
 * (UIDs only grow, so nothing that this view lacks lies between two that it has).
 */
struct imap_set imap_spans_uids(struct arena *a, const struct view *v, const struct imap_spans *s);

/* Walks the positions; start with all zero. */
struct imap_spans_at { size_t span; uint32_t offset; };
bool imap_spans_next(const struct imap_spans *s, struct imap_spans_at *at, uint32_t *position);
/* Is it in there?  By bisection. */
bool imap_spans_have(const struct imap_spans *s, uint32_t position);

/* Writes "1:3,7" from numbers in ascending order; begin with all zero, end with imap_set_writer_end. */
struct imap_set_writer {
    struct buf *out;
    uint32_t    first, last;
    bool        pending, any;
};
void imap_set_writer_add(struct imap_set_writer *w, uint32_t first, uint32_t last);
void imap_set_writer_end(struct imap_set_writer *w);

#endif
