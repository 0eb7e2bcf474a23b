/*
 * policy/memo.h - what is remembered of many strangers, in bounded memory.
 *
 * Layer: policy.  Rows of three numbers by a 64-bit key.  When it is full a new row takes the place of an old one: of a
 * few that lie together the one that was touched longest ago.  Not locked: the owner locks.
 */
#ifndef POLICY_MEMO_H
#define POLICY_MEMO_H

#include "base/buf.h"
#include "base/map.h"

struct fail;

struct memo_row {
    uint64_t key;
    int64_t  first, last; /* what they mean is the owner's; `last` says how old a row is */
    uint32_t count;
};
struct memo {
    struct memo_row *rows; /* `used` of them are there */
    size_t           used, cap, max;
    size_t           hand; /* where the next victim is looked for */
    struct idmap     by_key;
};

void memo_init(struct memo *m, size_t max);
void memo_finish(struct memo *m);
struct memo_row *memo_get(const struct memo *m, uint64_t key); /* NULL if absent; valid until the next memo_put */
/* The row of that key, made (zeroed but for its key) if need be. */
struct memo_row *memo_put(struct memo *m, uint64_t key);
void memo_remove(struct memo *m, uint64_t key);

/* A file of them: "posthorn NAME 1", then a line "key first last count" for each. */
void memo_write(const struct memo *m, const char *name, struct buf *out);
/* Lines that are not right end the reading; what was read is kept. */
bool memo_read(struct memo *m, const char *name, struct slice text);

#endif
