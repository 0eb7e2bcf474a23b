/*
 * message/envelope.h - what is computed once at delivery and kept beside the message.
 *
 * Layer: message.  The envelope is kept in the text form of RFC 9051 section
 * 7.5.2 (a parenthesised list): the one form that is standard, readable, and
 * needs no work to be sent.  Strings with 8-bit bytes or CR/LF are literals there.
 */
#ifndef MESSAGE_ENVELOPE_H
#define MESSAGE_ENVELOPE_H

#include "message/address.h"
#include "message/message.h"

/* ENVELOPE of a header block, "(...)": raw values, encoded words left as they are. */
void envelope_write(struct buf *out, struct slice header_block, const struct message_limits *limits);

/* One field of a kept envelope, for searching and sorting without parsing the message again. */
enum envelope_field {
    ENVELOPE_DATE,
    ENVELOPE_SUBJECT,
    ENVELOPE_FROM,
    ENVELOPE_SENDER,
    ENVELOPE_REPLY_TO,
    ENVELOPE_TO,
    ENVELOPE_CC,
    ENVELOPE_BCC,
    ENVELOPE_IN_REPLY_TO,
    ENVELOPE_MESSAGE_ID,
};
/*
 * Of the fields kept as strings, those of which the header has more than the envelope says, as bits
 * 1 << envelope_field: they stand there more than once.
 */
unsigned envelope_repeats(struct slice header_block);
/* The string field of that name, whatever its case; false: there is none. */
bool envelope_field_named(struct slice name, enum envelope_field *out);
/* nstring fields: the string itself (unescaped into the arena when needed); false for NIL or damage. */
bool envelope_string(struct arena *a, struct slice envelope, enum envelope_field field, struct slice *out);
/* A field's text as it stands there, brackets or quotes included; empty for NIL. */
struct slice envelope_text(struct slice envelope, enum envelope_field field);
/* The texts of all fields up to `last` at once, in one pass; those behind damage are empty. */
void envelope_texts(struct slice envelope, enum envelope_field last, struct slice out[ENVELOPE_MESSAGE_ID + 1]);
/* What such a text says: the string, or the first address of the list.  false for NIL or damage. */
bool envelope_text_string(struct arena *a, struct slice text, struct slice *out);
bool envelope_text_address(struct arena *a, struct slice text, struct address *out);
/* Address fields; 0 for NIL or damage. */
size_t envelope_addresses(struct arena *a, struct slice envelope, enum envelope_field field,
                          struct address **out);

/*
 * BODYSTRUCTURE (BODY_EXTENDED) or BODY of a tree (RFC 9051 section 7.5.2), fresh
 * or unpacked.  A prefix of header lines does not change any body's size.
 * BODY_UTF8: the values of parameters that RFC 2231 encoded are UTF-8, as IMAP4rev2
 * has them, and not as they stand in the message.
 */
enum { BODY_EXTENDED = 1, BODY_UTF8 = 2 };
void bodystructure_write(struct buf *out, const struct mime_part *root, unsigned form);

/*
 * A preview (RFC 8970): up to 200 characters of plain text of the first text
 * part, white space folded, UTF-8.  `text` is that part's encoded bytes (a first
 * piece of some 4 KB is enough); HTML is stripped of tags in the simplest safe way.
 */
const struct mime_part *preview_part(const struct mime_part *root); /* NULL if there is no text */
void preview_write(struct buf *out, const struct mime_part *part, struct slice text);

#endif
