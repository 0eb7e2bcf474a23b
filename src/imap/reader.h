/*
 * imap/reader.h - reads the words of one command.
 *
 * Layer: imap.  A reader that has failed once stays failed and remembers what it
 * expected and where, so that a command's grammar reads from top to bottom and
 * is asked once.  All results live in the arena given, or point into the text.
 */
#ifndef IMAP_READER_H
#define IMAP_READER_H

#include "base/arena.h"
#include "imap/server.h"

struct imap_reader {
    struct slice              text; /* a whole command, without its last line end, literals inside */
    size_t                    at;
    struct arena             *arena;
    const struct imap_limits *limits;
    unsigned                  depth;
    bool                      utf8; /* mailbox names are UTF-8 (RFC 9051 section 5.1, RFC 6855 section 3) */
    bool                      rev2; /* IMAP4rev2 is enabled: its grammar where it leaves out rev1's */
    bool                      failed;
    const char               *expected; /* static text */
};

void imap_reader_init(struct imap_reader *r, struct slice text, struct arena *a,
                      const struct imap_limits *limits);

/* Fails with "expected ..."; the first failure is kept.  Returns false. */
bool imap_fail(struct imap_reader *r, const char *expected);

bool imap_is_atom_char(char c);
/* The next byte, NUL at the end or after a failure. */
char imap_peek(const struct imap_reader *r);
bool imap_at_end(const struct imap_reader *r);
bool imap_accept(struct imap_reader *r, char c);
void imap_expect(struct imap_reader *r, char c);
void imap_expect_space(struct imap_reader *r);
void imap_expect_end(struct imap_reader *r);
/* Takes `word` (case folded) if it stands here and no atom character follows it. */
bool imap_accept_word(struct imap_reader *r, const char *word);

/* Around everything that nests. */
bool imap_descend(struct imap_reader *r);
void imap_ascend(struct imap_reader *r);

struct slice imap_read_tag(struct imap_reader *r);
struct slice imap_read_atom(struct imap_reader *r);
struct slice imap_read_string(struct imap_reader *r);
struct slice imap_read_astring(struct imap_reader *r);
/* Also takes NIL: false then. */
bool imap_read_nstring(struct imap_reader *r, struct slice *out);
/* A mailbox name, out of modified UTF-7 or UTF-8 as `utf8` says; INBOX in capitals. */
struct slice imap_read_mailbox(struct imap_reader *r);
/* The same with wildcards, and bare where they stand in an atom. */
struct slice imap_read_list_mailbox(struct imap_reader *r);

uint64_t imap_read_number(struct imap_reader *r, uint64_t min, uint64_t max);
#define IMAP_MODSEQ_MAX ((uint64_t)INT64_MAX) /* RFC 7162 section 7: 63 bits */

/* Flags: STORE_ bits and keywords. */
struct imap_flags {
    uint32_t      flags;
    struct slice *keywords;
    size_t        keyword_count;
};
struct imap_flags imap_read_flag_list(struct imap_reader *r);
/* STORE's: with or without parentheses. */
struct imap_flags imap_read_store_flags(struct imap_reader *r);

/* Days since 1970. */
int64_t imap_read_date(struct imap_reader *r);
/* Seconds since 1970, and the zone in minutes east. */
int64_t imap_read_date_time(struct imap_reader *r, int *zone);

/* Numbers as the client wrote them; 0 stands for "*". */
struct imap_set {
    struct uid_range *ranges;
    size_t            count;
    bool              saved; /* "$": what the last SEARCH saved (imap/saved.h); no ranges then */
};
struct imap_set imap_read_set(struct imap_reader *r);
bool            imap_at_set(const struct imap_reader *r); /* a digit, "*" or "$" */

#endif
