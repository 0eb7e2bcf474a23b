/*
 * transfer/unpack_loaded.h - bzip2, xz and lz4, by libraries that are loaded when they are needed.
 *
 * Layer: transfer; private to unpack*.c.  Only a command that imports mail ever loads them: no process of the server
 * has them in it.
 */
#ifndef TRANSFER_UNPACK_LOADED_H
#define TRANSFER_UNPACK_LOADED_H

#include "transfer/unpack.h"

struct unpack_loaded;
typedef bool unpack_take(void *ctx, struct slice out, struct fail *why);

struct unpack_loaded *unpack_loaded_create(enum unpack_kind kind, struct fail *why);
void unpack_loaded_destroy(struct unpack_loaded **u);
/* As unpack_add; *ended: at the end of a stream. */
bool unpack_loaded_add(struct unpack_loaded *u, struct slice in, bool *ended, unpack_take *take, void *ctx, struct fail *why);

#endif
