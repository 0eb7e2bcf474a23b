/*
 * imap/thread_write.h - the THREAD response.
 *
 * Layer: imap; inside the room only.  RFC 5256 section 4 (BASE.7.2.THREAD).
 */
#ifndef IMAP_THREAD_WRITE_H
#define IMAP_THREAD_WRITE_H

#include "base/buf.h"
#include "store/sort.h"

/*
 * Threads that split more often than this, one split below the other, go on as if every
 * message were the child of the one before: a client that reads parentheses by recursion
 * shall live.
 */
enum { THREAD_SPLITS_MAX = 250 };

/* Begin with the forest and all else zero. */
struct thread_writer {
    struct thread_forest forest;
    const struct view   *view;
    bool                 uid;
    bool                 begun;
    int32_t              node;   /* the next to be written */
    unsigned             splits; /* above it */
};

/* Appends " (2)(3 6 (4 23)(44 7 96))", but about `most` numbers at a time.  false: call again. */
bool thread_write_some(struct thread_writer *w, struct buf *out, size_t most);

#endif
