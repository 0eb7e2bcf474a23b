/*
 * message/decode.h - transfer encodings and charsets, piece by piece.
 *
 * Layer: message.  Forgiving: whatever comes, something readable comes out.
 */
#ifndef MESSAGE_DECODE_H
#define MESSAGE_DECODE_H

#include "base/buf.h"
#include "base/collation.h"

enum transfer_encoding {
    ENCODING_7BIT,
    ENCODING_8BIT,
    ENCODING_BINARY,
    ENCODING_BASE64,
    ENCODING_QUOTED_PRINTABLE,
    ENCODING_UNKNOWN
};
enum transfer_encoding transfer_encoding_of(struct slice name);

/* Streaming: state is a few bytes; the split of the input never changes the output. */
struct transfer_decoder {
    enum transfer_encoding encoding;
    unsigned state;
    uint32_t bits;
    char held[80];
    unsigned held_len;
};
void transfer_decoder_init(struct transfer_decoder *d, enum transfer_encoding e);
void transfer_decoder_feed(struct transfer_decoder *d, struct slice in, struct buf *out);
void transfer_decoder_finish(struct transfer_decoder *d, struct buf *out);

/*
 * To UTF-8 by iconv from an allow-list of charset names (WHATWG labels and the
 * MIME names).  Unknown charset: ASCII stays, other bytes that are not valid
 * UTF-8 become U+FFFD.  Streaming like the above.
 */
struct charset_decoder;
struct charset_decoder *charset_decoder_create(struct slice charset); /* never NULL */
void charset_decoder_feed(struct charset_decoder *d, struct slice in, struct buf *out);
void charset_decoder_finish(struct charset_decoder *d, struct buf *out);
void charset_decoder_destroy(struct charset_decoder **d);
bool charset_is_known(struct slice charset);      /* for SEARCH CHARSET: BADCHARSET */
bool charset_reads_as_utf8(struct slice charset); /* UTF-8, ASCII and unknown ones: decoding only cleans */

/*
 * A part's text as search compares it: decoded and in the collation's form (collation_form).
 * Feed the part's encoded bytes; decoding, charset and form are its business.
 * Each call appends what is ready to `out`; however the input is cut, all of it
 * together is the same.
 */
struct text_folder;
struct text_folder *text_folder_create(enum transfer_encoding e, struct slice charset, enum collation c);
void text_folder_feed(struct text_folder *f, struct slice in, struct buf *out);
void text_folder_finish(struct text_folder *f, struct buf *out);
void text_folder_destroy(struct text_folder **f);

#endif
