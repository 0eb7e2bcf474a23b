/*
 * store/past.h - time travel: what was expunged comes back, and mailboxes as they were.
 *
 * Layer: store.  An entry that is expunged is kept whole in the table `expunged`, and its body with it, for
 * store_limits.keep_expunged_days; those of a deleted mailbox too, whose own row stays as a tombstone with its
 * name.  Nothing of that counts against a quota.  What comes back is a new entry of the same message, with a new
 * UID and modseq: to clients a message like any that arrives.  docs/timetravel.md says what follows from that.
 */
#ifndef STORE_PAST_H
#define STORE_PAST_H

#include "store/store.h"

/* A mailbox that a message was in. */
struct past_box {
    uint64_t id;
    struct slice name;     /* as it is called now, or was when it was deleted */
    bool is_there;         /* and holds messages */
    enum special_use use;
    uint64_t parent;       /* for who makes the name */
    struct slice leaf;
};

struct past_message {
    const struct past_box *box;
    uint64_t message_id; /* message_info.message_id */
    uint64_t size;
    int64_t expunged_at; /* 0: it is in the mailbox still */
    uint32_t uid;        /* that it had there */
};

/* A list as of the call; all of it is freed by past_destroy. */
struct past {
    struct arena arena;
    struct past_box *boxes; /* ordered by id */
    size_t box_count;
    struct past_message *list; /* ordered by mailbox and UID */
    size_t count, cap;
    uint64_t bytes;
    int64_t kept_since; /* all that was expunged then or later is kept; 0: all that ever was */
};

/* Which of the expunged messages? */
struct past_filter {
    struct slice mailbox; /* a name, with a '/' behind it those below it too; empty: all */
    int64_t since;        /* expunged then or later */
    const uint64_t *messages; /* of these message ids; NULL: all */
    size_t message_count;
    bool moved; /* those too that the account has still, in another mailbox */
};
/*
 * Of a message that was in several of those mailboxes only the place it left last.  One that is in any mailbox
 * of the account (it was moved, or a copy of it is left) is not in the list, but with `moved` it is where it is
 * not in that mailbox.  FAIL_NOT_FOUND: there is, and was, no such mailbox.
 */
bool past_expunged(struct account *a, const struct past_filter *f, struct past **out, struct fail *why);
/*
 * What was in the mailboxes (past_filter.mailbox) at that time.  FAIL_NOT_FOUND; FAIL_LIMIT: what was expunged
 * since then is no longer kept, the story says how far back it goes.
 */
bool past_at(struct account *a, int64_t at, struct slice mailbox, struct past **out, struct fail *why);
/* Fine on NULL; leaves *p NULL. */
void past_destroy(struct past **p);
/* Envelope of a message (message/envelope.h), into the arena; empty where it is gone. */
bool past_envelope(struct account *a, uint64_t message_id, struct arena *arena, struct slice *out, struct fail *why);

struct past_result {
    uint64_t messages, bytes;
    unsigned mailboxes; /* made */
};
/*
 * Each into its mailbox, or one of the same name (made if need be), without \Deleted.  FAIL_OVER_QUOTA before
 * anything is changed.  In pieces: what was done before another failure stays, and *out says how much; repeating
 * does the rest.
 */
bool past_bring_back(struct account *a, const struct past *p, struct past_result *out, struct fail *why);
/* The same into new mailboxes below `under`, one for each that it was in; FAIL_EXISTS if there is that name. */
bool past_restore(struct account *a, const struct past *p, struct slice under, struct past_result *out,
                  struct fail *why);

struct purge_result {
    uint64_t messages, bytes; /* given back */
    uint64_t waiting;         /* not yet: a crash might have them delivered once more, for some seconds */
};
/* Gives back what is kept for longer than it should be; `all`: everything that was expunged. */
bool past_purge(struct account *a, bool all, struct purge_result *out, struct fail *why);

#endif
