/*
 * store/annotation.h - what somebody wrote on a mailbox, or on the server (RFC 5464).
 *
 * Layer: store.  An annotation belongs to a mailbox of the account (0: to the
 * server, as this account's user sees it) and either to all who may see it or to
 * one user.  Names have no "/shared" or "/private" in front: "/comment"; they have no
 * case (ASCII) and are given back in small letters.  Values are bytes.
 */
#ifndef STORE_ANNOTATION_H
#define STORE_ANNOTATION_H

#include "store/store.h"

enum { ANNOTATION_SHARED = 0 }; /* as `user`; else the id of the account it is private to */

struct annotation {
    uint64_t     user;
    struct slice name, value;
    bool         gone; /* NIL: takes it away */
};

/*
 * All or none.  Taking away what is not there is fine.  `use`: the mailbox gets that special use in
 * the same change (NULL: stays).  FAIL_NOT_FOUND (no such mailbox), FAIL_TOO_BIG (a value above
 * limits.annotation_bytes), FAIL_LIMIT (limits.annotations of this mailbox and user).
 */
bool annotation_set(struct account *a, uint64_t mailbox_id, const struct annotation *list, size_t count,
                    const enum special_use *use, struct fail *why);

unsigned annotation_bytes_max(const struct account *a);

/* In the arena; value->ptr is NULL if there is none. */
bool annotation_get(struct account *a, uint64_t mailbox_id, uint64_t user, struct slice name,
                    struct arena *arena, struct slice *value, struct fail *why);

/* `name` itself and all that is below it ("" all there are), ordered by name; in the arena. */
bool annotation_list(struct account *a, uint64_t mailbox_id, uint64_t user, struct slice name,
                     struct arena *arena, struct annotation **out, size_t *count, struct fail *why);

/*
 * Names of those that were set or taken away after modseq `since`: the shared ones and those of
 * `user`, without values.  *now is what to ask with the next time.  Costs nothing when there was no change.
 */
bool annotation_changed(struct account *a, uint64_t mailbox_id, uint64_t user, uint64_t since,
                        struct arena *arena, struct annotation **out, size_t *count, uint64_t *now,
                        struct fail *why);

#endif
