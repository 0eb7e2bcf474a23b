/*
 * store/view.h - what a session sees of a mailbox: UIDs, flags, modseqs.
 *
 * Layer: store.  A view is immutable and counted; all sessions of a mailbox share
 * one, and a change makes a new one that shares all but one chunk and the path
 * to it.  A message's position (from 0) plus one is its sequence number.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/store.h"

struct view;

struct view_entry {
    uint32_t uid;
    uint32_t flags;       /* STORE_ bits, and VIEW_GONE */
    uint32_t keyword_set; /* account_keyword_set() */
    uint64_t modseq;
};
#define VIEW_GONE 0x80000000u /* expunged meanwhile; only in views made by view_catch_up(keep_gone) */

/* The mailbox as it is now.  FAIL_NOT_FOUND if it was deleted. */
bool view_open(struct account *a, uint64_t mailbox_id, struct view **out, struct fail *why);
/*
 * The same for a session that selects, with the UIDs that are \Recent for it: those from *first_recent on.
 * `take`: for it and for no later one (SELECT; EXAMINE only looks).  Both in one moment, so that each
 * message is recent for exactly one.
 */
bool view_open_recent(struct account *a, uint64_t mailbox_id, bool take, struct view **out,
                      uint32_t *first_recent, struct fail *why);
/*
 * The same as `user` (an account's id) sees it: \Seen is his own, set by message_flags with that user, and
 * a message's modseq is the higher one of the mailbox's and his.  0 or the owner's id: as view_open.
 */
bool view_open_for(struct account *a, uint64_t mailbox_id, uint64_t user, struct view **out, struct fail *why);
struct view *view_ref(struct view *v);
void view_release(struct view **v);

uint32_t view_count(const struct view *v);
uint32_t view_uidvalidity(const struct view *v);
uint32_t view_uidnext(const struct view *v);
uint64_t view_modseq(const struct view *v); /* the mailbox's HIGHESTMODSEQ */
/* The modseq up to which all changes are in it: lower where it keeps messages that are gone. */
uint64_t view_whole_modseq(const struct view *v);

/* position < view_count(v) */
struct view_entry view_at(const struct view *v, uint32_t position);
/* The position of `uid`, or of the first above it (view_count if none); *found says which. */
uint32_t view_find(const struct view *v, uint32_t uid, bool *found);
/* The position of the first without \Seen, view_count if none; chunks without any are passed over. */
uint32_t view_first_unseen(const struct view *v);
/* Walks fast: start with {v, position}. */
struct view_cursor {
    const struct view *view;
    uint32_t position;
    const void *chunk;
    uint32_t in_chunk;
};
void view_cursor_init(struct view_cursor *c, const struct view *v, uint32_t position);
bool view_next(struct view_cursor *c, struct view_entry *out);
/* The next whose modseq is above `since`; chunks in which nothing is are passed over. */
bool view_next_changed(struct view_cursor *c, uint64_t since, struct view_entry *out);

/*
 * How `now` differs from `then` (an earlier view of the same mailbox, which may be
 * a restored one or hold kept ones); arrays in the arena.  false: its limit is reached.
 */
struct view_diff {
    const uint32_t *gone; /* positions in `then`, ascending */
    size_t gone_count;
    const uint32_t *changed; /* positions in `now` of messages both have, changed since `then` */
    size_t changed_count;
    uint32_t added; /* messages at the end of `now` that `then` lacks */
};
bool view_diff(const struct view *then, const struct view *now, struct arena *a, struct view_diff *out);

/*
 * `now`, but with the messages of `then` that `now` lacks kept in their places and
 * marked VIEW_GONE: what a session sees while it may not be told of an EXPUNGE.
 * Gives `now` itself (counted) when nothing is gone.
 */
struct view *view_keep_gone(struct view *then, struct view *now);

/*
 * A parked session need not hold a view: 16 bytes are enough to make the same one
 * again (its messages, not its old flags: whose modseq is above the token's has
 * changed since).  Only for a view without VIEW_GONE entries.
 */
struct view_token {
    uint64_t modseq;
    uint32_t uidnext, count;
};
struct view_token view_token(const struct view *v);
bool view_restore(struct account *a, uint64_t mailbox_id, struct view_token token, struct view **out,
                  struct fail *why);
bool view_restore_for(struct account *a, uint64_t mailbox_id, uint64_t user, struct view_token token,
                      struct view **out, struct fail *why);

#endif
