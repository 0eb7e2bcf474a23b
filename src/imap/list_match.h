/*
 * imap/list_match.h - mailbox names against LIST's wildcards.
 *
 * Layer: imap; pure.  RFC 3501 section 6.3.8: "*" is anything, "%" anything
 * without the separator.  Time is at most pattern times name, whatever is asked.
 */
#ifndef IMAP_LIST_MATCH_H
#define IMAP_LIST_MATCH_H

#include "base/arena.h"

struct list_pattern {
    struct slice text;     /* neighbouring wildcards joined */
    size_t       literals; /* bytes that are no wildcards */
    bool        *reached;  /* room for matching */
};

/* Reference and pattern make the canonical pattern.  In the arena; past its limit it matches nothing. */
struct list_pattern list_pattern_make(struct arena *a, struct slice reference, struct slice pattern);
/* `nocase` for INBOX, whose name has no case. */
bool list_pattern_matches(const struct list_pattern *p, struct slice name, bool nocase);

#endif
