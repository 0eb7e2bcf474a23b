/*
 * directory/names.h - every local address, in memory.
 *
 * Layer: directory, private to it.  A name is an account or an alias, never both.
 * A million accounts cost about 100 bytes each: one block a name, found through
 * a table of pointers (by address) and an idmap (by account id).
 *
 * Not locked: the directory locks.
 */
#ifndef DIRECTORY_NAMES_H
#define DIRECTORY_NAMES_H

#include "base/map.h"

struct members {
    char **items; /* addresses as they are stored, in the order of their bytes */
    unsigned count;
};

struct name {
    union {
        struct {
            uint64_t id;
            int64_t created;
        } account;
        struct members alias;
    };
    uint16_t len;
    bool is_account;
    bool disabled;
    bool sent_copy;
    char text[]; /* canonical address; "@domain" of a catch-all */
};

static inline struct slice name_text(const struct name *n)
{
    return slice_make(n->text, n->len);
}

struct names {
    struct name **slots; /* by hash of the address; NULL: empty */
    size_t count, cap;
    struct idmap accounts; /* id to name */
    struct name *first;    /* the account with the lowest id that is not disabled, or NULL */
};

void names_init(struct names *t);
void names_finish(struct names *t);

struct name *names_get(const struct names *t, struct slice address);
struct name *names_account(const struct names *t, uint64_t id);
/* The address must be free. */
struct name *names_add_account(struct names *t, struct slice address, uint64_t id, int64_t created,
                               bool disabled);
void names_disable(struct names *t, struct name *account, bool disabled);
/* Makes the alias with its first member. */
void names_add_member(struct names *t, struct slice address, struct slice member);
/* The last member takes the alias with it. */
void names_remove_member(struct names *t, struct name *alias, unsigned at);
void names_remove(struct names *t, struct name *n);

#endif
