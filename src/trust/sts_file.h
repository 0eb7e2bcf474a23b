/*
 * trust/sts_file.h - a policy on disk.
 *
 * Layer: trust, private to it.  One file for each domain, named by it: a few lines about it, an empty one, the policy's text.
 */
#ifndef TRUST_STS_FILE_H
#define TRUST_STS_FILE_H

#include "base/buf.h"

struct fail;

enum { STS_ID_MAX = 32, STS_TEXT_MAX = 64 * 1024 };

struct sts_file {
    char       id[STS_ID_MAX + 1];
    int64_t    fetched, used; /* seconds since 1970; used: a message went by it */
    struct buf text;          /* the owner's: buf_finish */
};

/* The text of a file and back; false: it is none. */
void sts_file_write(const struct sts_file *f, struct buf *out);
bool sts_file_read(struct slice text, struct sts_file *out);

#endif
