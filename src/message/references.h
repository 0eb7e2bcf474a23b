/*
 * message/references.h - what a message says of the messages it belongs to.
 *
 * Layer: message.  Message ids are kept as 64-bit hashes, which are the same in
 * every process and for ever: threading asks only whether two are equal.  Ids are
 * compared as RFC 5256 section 3 wants it: quoted strings without their quotes
 * when these are not needed, no blanks, no comments.  Whoever makes two ids with
 * the same hash joins two threads, which a References field does more cheaply.
 */
#ifndef MESSAGE_REFERENCES_H
#define MESSAGE_REFERENCES_H

#include "base/arena.h"
#include "base/buf.h"

enum {
    REFERENCES_MAX = 100, /* ids kept of a message: the first ten and the last ninety */
    THREAD_KEYS_MAX = 20, /* ids by which a thread is looked for: the message's own and the nearest */
};

/* Never 0; 0 stands for "no id". */
uint64_t header_id_hash(struct slice id);

struct message_references {
    /*
     * For THREAD (RFC 5256 section 3): the hash of its own id or 0, then those of
     * References from the oldest to the parent, or In-Reply-To's first where there is no
     * References.  Little-endian, 8 bytes each; never empty.
     */
    struct slice ids;
    /*
     * For thread ids (RFC 8474 section 5.2, RFC 8621 section 3): messages that share a key
     * belong together, which is an id and the base subject.  The nearest first, its own last.
     */
    const uint64_t *keys;
    size_t key_count;
};
/* Of a header block; in the arena. */
void message_references_read(struct arena *a, struct slice header_block, struct message_references *out);

/* How many ids `ids` holds, and the n-th of them. */
static inline size_t references_count(struct slice ids)
{
    return ids.len / sizeof(uint64_t);
}
uint64_t references_at(struct slice ids, size_t n);

#endif
