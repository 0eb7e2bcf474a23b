/*
 * store/fuzzy.h - does a text say about what was looked for? (RFC 6203)
 *
 * Layer: store; private to search*.c.  What is looked for is taken as words, without case and accents.  A text
 * says it when it has all of them, in whatever order, each as it is or
 *
 *   - as the beginning of a longer word ("meet" in "meeting"), from three letters on,
 *   - inside one, from four on, or for letters beyond ASCII, whose scripts may write no blanks,
 *   - with small slips: one letter left out, put in, changed, or two swapped, in words of four to seven letters;
 *     two such in longer ones ("helo" in "hello", "help").
 *
 * or when it stands in the text letter for letter, as a search that is not fuzzy finds it.
 *
 * The score is the mean of how near its words came, from 1 to 100; all of it word for word is 100.
 */
#ifndef STORE_FUZZY_H
#define STORE_FUZZY_H

#include "base/arena.h"

struct fuzzy;

/* `wanted` is casefolded.  NULL: it has no words (all texts say it), or the arena is full. */
struct fuzzy *fuzzy_make(struct arena *a, struct slice wanted);

/* A new text begins. */
void fuzzy_begin(struct fuzzy *f);
/* Some of the text, casefolded, cut between words; *f remembers.  true: it cannot get better. */
bool fuzzy_add(struct fuzzy *f, struct slice text);
/* How many bytes at the end of a piece may belong to a word that goes on in the next. */
size_t fuzzy_tail(struct slice text);
/* 0: the text so far does not say it. */
unsigned fuzzy_score(const struct fuzzy *f);

#endif
