/*
 * store/grams.h - the short strings that a text is made of.
 *
 * Layer: store; private to the search index.  A gram is three characters that
 * stand side by side, or two where both are wide (Han, Kana ...: there a
 * word is often no longer).  A text that contains a needle contains all of the
 * needle's grams; the reverse is for the true search to say.  Grams with control
 * characters (line ends above all) are left out on both sides.
 */
#ifndef STORE_GRAMS_H
#define STORE_GRAMS_H

#include "base/buf.h"

/* Different grams of one message, each once, packed for storage/db_packed.c. */
struct grams;
struct grams *grams_create(void);
void grams_destroy(struct grams **g);
void grams_reset(struct grams *g);
/* In search form (base/search_form.h).  Texts added one after the other make no gram together. */
void grams_add(struct grams *g, struct slice text);
/* How many bytes at the end of `text` may be part of a gram with what follows it. */
size_t grams_tail(struct slice text);
size_t grams_count(const struct grams *g);
/* More of them than are worth indexing (100,000): some were left out. */
bool grams_overflowed(const struct grams *g);
/* A length in one byte and the gram's UTF-8, over and over. */
struct slice grams_packed(const struct grams *g);

/*
 * A needle's grams as an FTS5 query that all of them must match; false if it has none
 * (it is too short).  Of a long needle the six that look rarest are enough.
 */
bool grams_query(struct slice needle, struct buf *out);

#endif
