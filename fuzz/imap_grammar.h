/*
 * fuzz/imap_grammar.h - is this what an IMAP server may say?
 *
 * Written from the formal syntax of RFC 9051 section 9 and RFC 3501 section 9, and that of the extensions the server
 * offers, not from the server's code.  Beside the syntax: no message number above what was told to exist, UTF-8 in strings
 * only for who has enabled it, no response code without what it needs.
 */
#ifndef FUZZ_IMAP_GRAMMAR_H
#define FUZZ_IMAP_GRAMMAR_H

#include "base/slice.h"

struct imap_grammar {
    struct slice rest;   /* not read yet */
    const char *broken;  /* the production that does not hold; NULL: all is well */
    const char *at;      /* where */
    bool utf8;           /* ENABLED has said so */
    bool knows_exists;
    uint32_t exists;
    unsigned tagged, ok, no, bad, continues;
    uint64_t digest;     /* of the tags and conditions of the tagged responses, in their order */
};

/* All of `said`: responses, each to its end, the first of them a greeting. */
void imap_grammar_check(struct imap_grammar *g, struct slice said);

#endif
