/*
 * base/body.h - a message's bytes on their way in: memory first, then a spool file.
 *
 * Layer: base.  A body grows by body_add and is then read.  Up to `memory_max`
 * (default 256 KB) it lives in memory; beyond that in an unlinked file in the
 * spool folder.  One writer; after the last add any number of readers.
 */
#ifndef BASE_BODY_H
#define BASE_BODY_H

#include "base/slice.h"

struct body;
struct fail;

struct body_limits {
    size_t      memory_max; /* bytes kept in memory before a file is made */
    uint64_t    size_max;   /* bytes in all; more is refused with FAIL_TOO_BIG */
    const char *spool_dir;  /* folder for unlinked files; must outlive the body */
    /*
     * Asked now and then before a file grows: is there room for so many bytes above the disk's
     * reserve?  NULL: there is.  `why` says no (FAIL_TEMP, FAIL_NO_SPACE).
     */
    bool (*has_room)(void *ctx, uint64_t bytes, struct fail *why);
    void *room_ctx;
};

struct body *body_create(const struct body_limits *limits);
/* One more owner: each ends with body_destroy.  Nobody adds to a body that is shared. */
struct body *body_share(struct body *b);
/* Fine on NULL; leaves *b NULL. */
void body_destroy(struct body **b);

/* FAIL_PERM FAIL_TOO_BIG past size_max, FAIL_TEMP when the spool file fails. */
bool body_add(struct body *b, struct slice s, struct fail *why);
/* Room for `n` bytes more that are written there and then counted; NULL: they do not fit into memory, use body_add. */
char *body_room(struct body *b, size_t n);
void body_grew(struct body *b, size_t n);
uint64_t body_size(const struct body *b);

/*
 * All of it if it lies in memory: true and *out, valid until the body is
 * destroyed.  false: read it piece by piece.
 */
bool body_in_memory(const struct body *b, struct slice *out);

/* Up to `n` bytes from `offset` into `out`; *got is less than `n` only at the end. */
bool body_read(const struct body *b, uint64_t offset, void *out, size_t n, size_t *got, struct fail *why);

#endif
