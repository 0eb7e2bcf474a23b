/*
 * imap/search_args.h - what SEARCH looks for.
 *
 * Layer: imap; inside the room only.  RFC 3501 section 6.4.4, RFC 4731, RFC 7162
 * section 3.1.5.
 */
#ifndef IMAP_SEARCH_ARGS_H
#define IMAP_SEARCH_ARGS_H

#include "imap/reader.h"
#include "store/search.h"

enum search_return {
    RETURN_MIN = 1,
    RETURN_MAX = 2,
    RETURN_ALL = 4,
    RETURN_COUNT = 8,
};

struct search_args {
    unsigned       returns;     /* 0: the SEARCH response of RFC 3501 */
    struct slice   charset;     /* empty: none was named */
    bool           bad_charset; /* nobody knows it; the rest was read all the same */
    bool           modseq;      /* the MODSEQ key was used */
    struct search *tree;
};

/* The mailbox as its session sees it: what numbers and "*" mean. */
struct search_scope {
    uint32_t          messages, last_uid;
    struct uid_range *recent; /* UIDs */
    size_t            recent_count;
};

/* All of SEARCH's arguments, from the space before them to the end. */
struct search_args search_args_read(struct imap_reader *r, const struct search_scope *scope);

#endif
