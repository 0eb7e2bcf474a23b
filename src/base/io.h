/*
 * base/io.h - the few file calls that everyone repeats, done whole.
 *
 * Layer: base.  EINTR and short counts are handled here and nowhere else.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/buf.h"

struct fail;

bool io_write_all(int fd, struct slice s, struct fail *why);
bool io_pwrite_all(int fd, struct slice s, uint64_t offset, struct fail *why);
/* Exactly `n` bytes, or FAIL_TEMP (an early end of the file is an error too). */
bool io_pread_all(int fd, void *out, size_t n, uint64_t offset, struct fail *why);
/* A whole small file; FAIL_PERM FAIL_TOO_BIG past out->max. */
bool io_read_file(const char *path, struct buf *out, struct fail *why);
/* Written beside, fsynced, renamed over `path`, folder fsynced.  Mode 0600 or as given. */
bool io_replace_file(const char *path, struct slice content, unsigned mode, struct fail *why);
bool io_sync_dir(const char *path, struct fail *why);
/* mkdir -p with that mode for what is made new; the name of each is on disk then, also of those that were there. */
bool io_make_dirs(const char *path, unsigned mode, struct fail *why);
/* Bytes free for this process on the file system of `path`, and its size. */
bool io_free_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes, struct fail *why);

/* fsync and fdatasync.  Only an interrupted one is asked for again: one that failed may have lost what it was to keep. */
int io_fsync(int fd);
int io_fdatasync(int fd);

#endif
