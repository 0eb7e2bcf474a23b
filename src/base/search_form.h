/*
 * base/search_form.h - text in the form in which a search compares it.
 *
 * Layer: base.  Two texts that i;unicode-casemap (RFC 5051) takes for the same have the same form, and where it
 * finds one inside another, the form of the one stands in the form of the other.  The form is RFC 5051's (each
 * character in titlecase, then decomposed: NFKD) with full case folding on top of it, which finds more: "STRASSE"
 * is found in "Straße".  It is made of letters and marks apart, so that "cafe" is found in "café".
 */
#ifndef BASE_SEARCH_FORM_H
#define BASE_SEARCH_FORM_H

#include "base/buf.h"

/* Appends the form of `text`, UTF-8; bytes that are not become U+FFFD.  The form of a form is itself. */
void search_form_add(struct buf *out, struct slice text);

/*
 * How much of `text` has the same form whatever follows it: its form, and then that of the rest with what follows,
 * is the form of all.
 */
size_t search_form_cut(struct slice text);

#endif
