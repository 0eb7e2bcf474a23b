/*
 * imap/search_args.h - what SEARCH looks for.
 *
 * Layer: imap; inside the room only.  RFC 3501 and RFC 9051 section 6.4.4, RFC 4731 (RETURN), RFC 5032
 * (OLDER, YOUNGER), RFC 5182 ("$"), RFC 5466 (FILTER), RFC 6203 (FUZZY), RFC 7162 section 3.1.5
 * (MODSEQ), RFC 8474 (EMAILID, THREADID), RFC 8514 (SAVEDON ...).
 */
#ifndef IMAP_SEARCH_ARGS_H
#define IMAP_SEARCH_ARGS_H

#include "imap/esearch.h"
#include "store/search.h"

/* The mailbox as its session sees it: what numbers, "*", "$" and names of filters mean. */
struct search_scope {
    uint32_t          messages, last_uid;
    struct uid_range *recent; /* UIDs */
    size_t            recent_count;
    struct imap_set   saved;      /* "$", as UIDs */
    int64_t           now;        /* seconds since 1970 */
    enum collation    collation;  /* how text is compared */
    uint64_t          foreign;    /* the account of the mailbox if it is not the client's own: its object ids are others */
    bool              uid_only;   /* message numbers are refused (RFC 9586) */
    bool              any_number; /* those above `messages` just match nothing (RFC 7377 section 2) */
    bool              any_filter; /* whatever FILTER names will be there */
    /* The keys of the filter of that name; false: there is none.  NULL: there are no filters at all. */
    bool            (*filter)(struct imap_session *s, struct arena *a, struct slice name, struct slice *keys);
    struct imap_session *session; /* `filter`'s */
};

struct search_args {
    struct esearch_options options;
    struct slice           charset;      /* empty: none was named */
    bool                   bad_charset;  /* nobody knows it; the rest was read all the same */
    bool                   modseq;       /* the MODSEQ key was used */
    bool                   fuzzy;        /* the FUZZY key was */
    bool                   filtered;     /* the FILTER key was */
    struct slice           undefined;    /* the filter that is not there, or not sound: read->failed */
    bool                   numbers;      /* message numbers were named: no EXPUNGE meanwhile (RFC 7162 section 3.2.10.2) */
    bool                   uid_required; /* read->failed because of a message number under uid_only */
    struct search         *tree;
    struct slice           keys; /* its text: all from the first key on */
};

/* All of SEARCH's arguments, from the space before them to the end. */
struct search_args search_args_read(struct imap_reader *r, const struct search_scope *scope);

/*
 * The parts, for commands with more between them.  "CHARSET" has been read: the charset itself;
 * then search-key *(SP search-key) to the end of the command, into args->tree.
 */
void search_charset_read(struct imap_reader *r, struct search_args *args);
void search_keys_read(struct imap_reader *r, const struct search_scope *scope, struct search_args *args);

/* The scope of the selected mailbox, whose view must be there. */
struct search_scope search_scope_selected(struct imap_session *s);
/*
 * After reading: is it well-formed, and may it be done?  false: the command has been answered (BAD, or NO
 * and "$" emptied where it had SAVE).  Enables CONDSTORE where a MODSEQ key asks for it.
 */
bool search_args_accept(struct imap_session *s, const struct imap_reader *r, struct search_args *args);
/* SEARCH names no charset once UTF8=ACCEPT is enabled (RFC 6855 section 3); false: answered BAD. */
bool search_charset_allowed(struct imap_session *s, const struct search_args *args);

#endif
