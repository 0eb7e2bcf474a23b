/*
 * store/search.h - which messages of a view match?
 *
 * Layer: store.  A tree of keys, made by a protocol's parser, evaluated from the
 * cheapest to the dearest: flags, UIDs and modseqs by the view; dates, sizes and
 * header data by the account's rows; text by the bodies.
 */
#ifndef STORE_SEARCH_H
#define STORE_SEARCH_H

#include "base/collation.h"
#include "store/view.h"

enum search_op {
    SEARCH_ALL,
    SEARCH_NOTHING,
    /* of their children */
    SEARCH_AND,
    SEARCH_OR,
    SEARCH_NOT,
    /* `ranges`; positions from 1, as sequence numbers */
    SEARCH_POSITIONS,
    SEARCH_UIDS,
    SEARCH_FLAGS,   /* all bits of `flags` are set */
    SEARCH_KEYWORD, /* `text` */
    SEARCH_RECENT,  /* uid >= `number` */
    SEARCH_MODSEQ,  /* modseq >= `number` */
    SEARCH_LARGER,  /* size > `number` */
    SEARCH_SMALLER, /* size < `number` */
    /* internal date; `number` is days since 1970 in the message's zone */
    SEARCH_BEFORE,
    SEARCH_ON,
    SEARCH_SINCE,
    /* internal date; `number` is seconds since 1970 */
    SEARCH_OLDER,   /* at or before it */
    SEARCH_YOUNGER, /* at or after it */
    /* when it came into its mailbox, in UTC; `number` is days since 1970 */
    SEARCH_SAVED_BEFORE,
    SEARCH_SAVED_ON,
    SEARCH_SAVED_SINCE,
    SEARCH_EMAILID,  /* message_id is `number` */
    SEARCH_THREADID, /* thread_id is */
    /* Date field, as days likewise */
    SEARCH_SENT_BEFORE,
    SEARCH_SENT_ON,
    SEARCH_SENT_SINCE,
    /* `text` in the envelope */
    SEARCH_FROM,
    SEARCH_TO,
    SEARCH_CC,
    SEARCH_BCC,
    SEARCH_SUBJECT,
    SEARCH_HEADER, /* `text` in a field named `field`; empty: there is such a field */
    SEARCH_BODY,   /* `text` in a part that is text, or in the header of a message inside */
    SEARCH_TEXT,   /* the same, or in the message's header */
};

struct search {
    enum search_op op;
    struct search *children, *next; /* for AND, OR, NOT (of all of them) */
    struct uid_range *ranges;
    size_t range_count;
    uint32_t flags;
    uint64_t number;
    struct slice field, text; /* text: UTF-8 in any case */
    enum collation collation; /* keys that look for text: how it is compared */
    bool fuzzy;               /* keys that look for text: about that text will do (RFC 6203) */
    bool recent;              /* UIDS or NOTHING: for who made it, not looked at here */
};

/*
 * A search that may be interrupted and continued.  The view, the tree and the
 * arena must outlive it.  Text is found anywhere in a field or part, decoded (RFC
 * 2047, transfer encodings, charsets) and in the form of
 * the key's collation; parts that are no text are
 * not looked into.  A message that is damaged on disk matches no text.
 */
struct search_run;
struct search_run *search_start(struct account *a, uint64_t mailbox_id, struct view *v, struct search *tree,
                                struct arena *arena);
/*
 * Before it is run: only these positions (ascending) are looked at, not the whole view.  They must outlive the
 * run.
 */
void search_only(struct search_run *r, const uint32_t *positions, size_t count);
/*
 * Runs for about `budget_ms`.  1: finished, *out holds the matching positions
 * (from 0, ascending; in the run).  0: call again.  -1: failed.
 */
int search_continue(struct search_run *r, unsigned budget_ms, const uint32_t **out, size_t *count,
                    struct fail *why);
void search_end(struct search_run **r);
/*
 * Once it is finished: how well each of those found matches the fuzzy keys, from 1 to 100, in the run; NULL if
 * there were none.  Of keys that all must match it is the mean, of alternatives the best.
 */
const uint8_t *search_scores(const struct search_run *r);
/* How far it is, counted in messages of the view. */
void search_progress(const struct search_run *r, uint32_t *done, uint32_t *total);

#endif
