/*
 * message/header.h - fields of a header block.
 *
 * Layer: message.  Zero-copy: slices point into the block.
 */
#ifndef MESSAGE_HEADER_H
#define MESSAGE_HEADER_H

#include "base/arena.h"
#include "base/buf.h"

struct header_field {
    struct slice name; /* as written, without blanks before the colon */
    struct slice body; /* raw: after the colon, folded lines included, without the last line end */
    struct slice raw;  /* the whole field with its line ends */
};

/*
 * The next field of `block` from *at; false at the end.  Lines that are no field
 * ("From " of mbox, garbage) are skipped.  The empty line ends the block.
 */
bool header_next(struct slice block, size_t *at, struct header_field *out);
/* First field of that name (ASCII case folded); false if there is none. */
bool header_find(struct slice block, struct slice name, struct header_field *out);

/* The block without its Bcc and Resent-Bcc fields (RFC 5322 section 3.6.3); every other byte as it is, malformed lines too. */
void header_add_without_bcc(struct buf *out, struct slice block);

/* Unfolded (RFC 5322 section 2.2.3): line ends that stand before white space removed; trimmed. */
struct slice header_unfold(struct arena *a, struct slice body);

/*
 * Unstructured text decoded for people and for search: unfolded, RFC 2047
 * encoded words decoded, to UTF-8 whatever came (unknown charsets and raw bytes
 * never fail; what cannot be read becomes U+FFFD).  Appends to `out`.
 */
void header_decode_text(struct buf *out, struct slice body);

/*
 * date-time (RFC 5322 section 3.3), obsolete forms included: seconds since 1970
 * and the zone's minutes east of UTC; false if no date can be read.
 */
bool header_parse_date(struct slice body, int64_t *seconds, int *zone_minutes);

/* The first msg-id, with its angle brackets, as written; empty if none. */
struct slice header_message_id(struct slice body);
/* All msg-ids of a References or In-Reply-To field, blanks inside them left out. */
size_t header_message_ids(struct arena *a, struct slice body, struct slice **out);

/*
 * Base subject of RFC 5256 section 2.1, for threads; appends UTF-8.  true: the subject is that of a
 * reply or a forwarded message (section 3), by "re:", "fwd:", "(fwd)" or "[fwd: ...]" in it.
 */
bool header_base_subject(struct buf *out, struct slice subject_body);

#endif
