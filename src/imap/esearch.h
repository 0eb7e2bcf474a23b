/*
 * imap/esearch.h - the ESEARCH response, for SEARCH, SORT and whatever else finds messages.
 *
 * Layer: imap; inside the room only.  RFC 4731 (RETURN), RFC 5182 section 2.4 (SAVE), RFC 9394 and
 * RFC 5267 section 4.4 (PARTIAL), RFC 6203 section 4 (RELEVANCY), RFC 7377 section 2.1 (MAILBOX).
 *
 * A command reads its options, finds positions in the order it promises (SEARCH: of the mailbox; SORT:
 * as sorted), and writes them with one struct esearch, in as many steps as the connection needs.
 */
#ifndef IMAP_ESEARCH_H
#define IMAP_ESEARCH_H

#include "imap/session.h"

enum esearch_return {
    RETURN_MIN = 1,
    RETURN_MAX = 2,
    RETURN_ALL = 4,
    RETURN_COUNT = 8,
    RETURN_PARTIAL = 16,
    RETURN_SAVE = 32,
    RETURN_UPDATE = 64,
    RETURN_CONTEXT = 128,
    RETURN_RELEVANCY = 256,
};

struct esearch_options {
    unsigned           returns; /* 0: no RETURN was given */
    struct imap_window window;  /* RETURN_PARTIAL */
};

/* search-return-opts, from its "(" to its ")".  An empty list means ALL; PARTIAL with ALL is refused. */
void esearch_read_options(struct imap_reader *r, struct esearch_options *out);
/* partial-range = nz-number ":" nz-number / "-" nz-number ":" "-" nz-number      RFC 9394 section 4 */
struct imap_window imap_read_window(struct imap_reader *r);

/* One response; progress begins with zeros. */
struct esearch {
    struct esearch_options options;
    struct slice           tag;
    bool                   uid; /* UIDs, not message numbers */
    const struct view     *view;
    const uint32_t        *found; /* positions, in the order that is promised */
    size_t                 count;
    const uint8_t         *scores; /* 1 to 100, of each found; NULL: none, RELEVANCY is then left out */
    bool                   modseq; /* a MODSEQ key was used: RFC 7162 section 3.1.5 */
    struct slice           mailbox; /* MULTISEARCH: as it is to be written, quotes included; empty: not told */
    uint32_t               uidvalidity;

    /* Progress. */
    bool                   begun;
    unsigned               stage;
    size_t                 at;
    struct imap_set_writer set;
};

/*
 * Appends the response, its line end included, but at most about `most` numbers at a time.  false: call
 * again.  Nothing is written when only SAVE was asked for (RFC 5182 section 1).
 */
bool esearch_write_some(struct esearch *e, struct buf *out, size_t most);
/* The same into the session's connection; false: it is full, call again when it has drained. */
bool esearch_write(struct imap_session *s, struct esearch *e);

/*
 * The untagged response of rev1, "* SEARCH" or "* SORT" with numbers: RFC 3501 section 7.2.5, RFC 5256
 * section 4.  false: the connection is full, call again when it has drained.
 */
bool esearch_write_plain(struct imap_session *s, struct esearch *e, struct slice name);

/* MODSEQ of what is returned (RFC 4731 section 3.2); 0: nothing was found. */
uint64_t esearch_modseq(const struct esearch *e);

/* What SAVE keeps of it, in the order of the mailbox.  false: the arena is full. */
bool esearch_saves(const struct esearch *e, struct arena *a, struct imap_spans *out);

#endif
