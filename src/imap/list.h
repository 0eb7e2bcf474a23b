/*
 * imap/list.h - a LIST or LSUB under way.
 *
 * Layer: imap; private to list.c (arguments, answers) and list_gather.c (which names
 * may be listed).
 */
#ifndef IMAP_LIST_H
#define IMAP_LIST_H

#include "base/map.h"
#include "imap/list_match.h"
#include "imap/metadata.h"

enum list_option {
    BY_SUBSCRIBED = 1, /* selection */
    BY_REMOTE = 2,
    BY_SPECIAL_USE = 4,
    RECURSIVE = 8,
    TELL_SUBSCRIBED = 16, /* return */
    TELL_RIGHTS = 32,     /* RFC 8440 */
};

/* A name that may be listed: a mailbox, a subscription without one, or only a level above such. */
struct list_candidate {
    struct slice name;
    const struct mailbox_info *info; /* NULL: no such mailbox */
    uint64_t owner;                  /* another account's id, or 0 */
    bool subscribed;
    bool level; /* only above mailboxes of others */
    bool has_children;
    bool below; /* something below it is selected that no pattern matches */
};

struct list_command {
    bool lsub, extended;
    unsigned options;
    unsigned status;               /* STATUS_ bits of RETURN (STATUS ...) */
    struct imap_metadata metadata; /* RETURN (METADATA ...) */
    struct slice reference;
    struct slice *texts; /* patterns as given */
    struct list_pattern *patterns;
    size_t pattern_count;

    const struct mailbox_list *list; /* one's own */
    struct list_candidate *candidates;
    size_t candidate_count, candidate_cap, at;

    struct slice me;  /* imap_my_address() */
    uint64_t *owners; /* accounts that share */
    size_t owner_count, owner_at;
    struct map subscribed; /* names without a mailbox of one's own */

    bool looked_below;
    size_t below_at; /* RECURSIVEMATCH: the levels above these are looked at first */
    struct map made; /* names without a mailbox of one's own, to their place in `candidates` plus one */
};

bool list_matches(const struct list_command *c, struct slice name);
bool list_selects(const struct list_command *c, const struct list_candidate *m);
/*
 * One's own mailboxes, and who else's are to be looked at: list_gather_shared, until owner_at is owner_count.
 * FAIL_LIMIT.
 */
bool list_gather(struct imap_session *s, struct list_command *c, struct fail *why);
bool list_gather_shared(struct imap_session *s, struct list_command *c);
/* A level above what is selected is listed too, if a pattern matches it; false: the arena's limit. */
bool list_mark_above(struct arena *a, struct list_command *c, struct slice name);

#endif
