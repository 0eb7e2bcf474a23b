/*
 * base/unicode.h - UTF-8, normal forms, case folding and modified UTF-7.
 *
 * Layer: base.  Unicode's tables come from libunistring.
 */
#ifndef BASE_UNICODE_H
#define BASE_UNICODE_H

#include "base/arena.h"
#include "base/buf.h"

bool utf8_valid(struct slice s); /* no overlong forms, no surrogates, at most U+10FFFF (RFC 3629) */
bool slice_is_ascii(struct slice s); /* no byte above 0x7f */

/*
 * Decodes one code point at *at (< s.len) and moves *at on.  A byte that begins
 * no valid sequence gives U+FFFD and moves on by one.
 */
uint32_t utf8_next(struct slice s, size_t *at);
void     utf8_add(struct buf *out, uint32_t code_point);
/* A copy with every invalid byte replaced by U+FFFD. */
void     utf8_add_clean(struct buf *out, struct slice s);

/* NFC; false if `s` is not valid UTF-8.  Result in the arena. */
bool unicode_nfc(struct arena *a, struct slice s, struct slice *out);
/*
 * For caseless search: full case folding of valid UTF-8 (invalid bytes become
 * U+FFFD), then NFC.  ASCII input takes a fast path.  Appends to `out`.
 */
void unicode_casefold(struct buf *out, struct slice s);
/*
 * For a search that takes "cafe" for "café": without accents and other marks that are put on letters (canonical
 * decomposition, less its nonspacing marks).  Invalid bytes become U+FFFD.  Appends to `out`.
 */
void unicode_without_marks(struct buf *out, struct slice s);

/*
 * Modified UTF-7 of IMAP4rev1 mailbox names (RFC 3501 section 5.1.3).  Decoding
 * is strict: what is not the one proper encoding is refused.
 */
bool utf7_decode(struct arena *a, struct slice encoded, struct slice *utf8);
void utf7_encode(struct buf *out, struct slice utf8);

#endif
