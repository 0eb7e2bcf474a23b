/*
 * store/acl.h - who may do what with a mailbox (RFC 4314), and who shares with whom.
 *
 * Layer: store.  A mailbox has entries: an identifier (an account's address as the
 * directory writes it, or ANYONE, or AUTHENTICATED; with '-' in front what it names is
 * taken away) and RIGHT_ bits.  Rights are answered from memory.  Who may ask for
 * what, the protocols say: nothing here looks whether the caller has the right.
 *
 * A new mailbox begins with the entries of the one above it.  The account's own user
 * has all rights where no entry names him, and can always look up and administer.
 */
#ifndef STORE_ACL_H
#define STORE_ACL_H

#include "store/store.h"

#define ACL_ANYONE        SLICE("anyone")
#define ACL_AUTHENTICATED SLICE("authenticated")

struct acl_entry {
    struct slice identifier;
    unsigned     rights;
};

/* Rights that the account's user has whatever the entries say. */
enum { ACL_OWNERS = RIGHT_LOOKUP | RIGHT_ADMINISTER };

/* What the entries give to `address`, who is the account's user or not. */
unsigned acl_rights(const struct acl_entry *list, size_t count, struct slice address, bool owner);

/* The entries of a mailbox, ordered by identifier, in the arena.  FAIL_NOT_FOUND. */
bool acl_list(struct account *a, uint64_t mailbox_id, struct arena *arena, struct acl_entry **out, size_t *count,
              struct fail *why);
/* acl_rights of them; mailbox_info.has_acl says whether it is worth asking. */
bool acl_rights_in(struct account *a, uint64_t mailbox_id, struct slice address, bool owner, unsigned *rights,
                   struct fail *why);

enum acl_op { ACL_REPLACE, ACL_ADD, ACL_REMOVE };
/*
 * Changes the entry of an identifier; one that is not there counts as `base` (RIGHTS_ALL
 * for the account's user, else 0), and one that has become that goes.  FAIL_NOT_FOUND, FAIL_LIMIT.
 */
bool acl_set(struct account *a, uint64_t mailbox_id, struct slice identifier, enum acl_op op, unsigned rights,
             unsigned base, struct fail *why);

/* ---- who shares (share.c): kept in node.db, where it can be made again from the accounts ---- */

/*
 * Ids of accounts some mailbox of which has an entry for one of the identifiers, ascending, in the
 * arena; perhaps some that no longer have.
 */
bool store_sharing(struct store *st, const struct slice *identifiers, size_t identifier_count, struct arena *arena,
                   uint64_t **owners, size_t *count, struct fail *why);
/* An account was removed from the directory: all entries for its address go, so that who gets the address next
 * does not get its rights. */
bool store_forget_grantee(struct store *st, struct slice address, struct fail *why);

#endif
