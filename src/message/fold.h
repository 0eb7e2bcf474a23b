/*
 * message/fold.h - casefolding of much text.
 *
 * Layer: message; private to the room.
 */
#ifndef MESSAGE_FOLD_H
#define MESSAGE_FOLD_H

#include "base/buf.h"

/*
 * Appends what unicode_casefold() would, but tens of times as fast where the
 * text is ASCII or in the common letters of the world's scripts.
 */
void fold_text(struct buf *out, struct slice text);

/*
 * How much of `text` can be folded before the rest is known: up to its last
 * ASCII character, which a combining mark behind it may still change.
 */
size_t fold_cut(struct slice text);

#endif
