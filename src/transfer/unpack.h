/*
 * transfer/unpack.h - compressed files, piece by piece.
 *
 * Layer: transfer.
 */
#ifndef TRANSFER_UNPACK_H
#define TRANSFER_UNPACK_H

#include "base/fail.h"

enum unpack_kind {
    UNPACK_NONE,    /* not compressed */
    UNPACK_GZIP,
    UNPACK_ZSTD,
    UNPACK_BZIP2, /* these by libraries that are loaded when a file asks for them */
    UNPACK_XZ,
    UNPACK_LZ4,   /* in Dovecot's frames */
    UNPACK_UNKNOWN, /* compressed in a way that cannot be read here */
};
/* By a file's first bytes; *name: what it is called. */
enum unpack_kind unpack_kind_of(struct slice first, const char **name);

struct unpack;
struct unpack *unpack_create(enum unpack_kind kind, struct fail *why); /* NULL and *why: its library is not there */
void           unpack_destroy(struct unpack **u);
/* Calls `take` with what comes out of `in`.  False: *why is the packing's fault, or take's. */
bool unpack_add(struct unpack *u, struct slice in, bool (*take)(void *ctx, struct slice out, struct fail *why), void *ctx,
                struct fail *why);
/* Was all of it there? */
bool unpack_is_whole(const struct unpack *u);

#endif
