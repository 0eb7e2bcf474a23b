/*
 * base/collation.h - which text comes before which (RFC 4790).
 *
 * Layer: base.  A text is turned into a key once; two keys compare as bytes do
 * (slice_cmp), whatever the collation.
 */
#ifndef BASE_COLLATION_H
#define BASE_COLLATION_H

#include "base/buf.h"

enum collation {
    COLLATION_UNICODE_CASEMAP, /* RFC 5051; the default */
    COLLATION_ASCII_CASEMAP,   /* RFC 4790 section 9.2 */
    COLLATION_OCTET,           /* RFC 4790 section 9.3 */
    COLLATION_COUNT,
};

/* "i;unicode-casemap" */
struct slice collation_name(enum collation c);
/*
 * Does a pattern name it?  Letters as written, "*" stands for anything (RFC 4790 section 3.1,
 * collation-wild: at most one "*"; here any number).
 */
bool collation_matches(enum collation c, struct slice pattern);

/*
 * The key of a text, appended.  i;unicode-casemap: every character in titlecase, then decomposed; text
 * that is not UTF-8 stays as it is (RFC 5051 section 2).
 */
void collation_key(enum collation c, struct buf *out, struct slice text);
/*
 * The form of a text in which another is looked for, in its form, byte by byte; appended.  For i;unicode-casemap more
 * is found than RFC 5051 asks (base/search_form.h).
 */
void collation_form(enum collation c, struct buf *out, struct slice text);

#endif
