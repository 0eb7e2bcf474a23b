/*
 * transfer/files.h - strangers' files, opened with care and read as messages.
 *
 * Layer: transfer.  Whoever runs an import is often root, and the folder is a user's: names
 * are looked up one level at a time below an open folder, links are never followed, nothing
 * but regular files is read, and opening one never waits.
 */
#ifndef TRANSFER_FILES_H
#define TRANSFER_FILES_H

#include "base/body.h"
#include "base/buf.h"
#include "base/fail.h"

/* A folder below another, by its name there.  -1 and *why. */
int files_folder(int at, const char *name, struct fail *why);

/*
 * Where reading begins: a path as somebody typed it or a config has it, a folder or a file, for reading.  `root`: the
 * folder that is taken for "/", of which nothing leads out, neither ".." nor a link; NULL: "/".  Symbolic links on the way
 * are followed if they are root's or the caller's own; those of others only to what belongs to the same one, or a user's link
 * would make root bring him somebody else's mail.  -1 and *why: FAIL_NOT_FOUND, FAIL_NO_PERMISSION for such a link, others.
 */
int files_start(const char *root, const char *path, struct fail *why);
/* The path of what is open, without links; on the heap.  NULL and *why. */
char *files_path(int fd, struct fail *why);
/* The rest of an open small file.  FAIL_TOO_BIG past out->max. */
bool files_read_open(int fd, const char *name, struct buf *out, struct fail *why);

/* A small file; *there false: there is none.  FAIL_TOO_BIG past out->max. */
bool files_read(int at, const char *name, struct buf *out, bool *there, struct fail *why);

enum file_found {
    FILE_IS_READ,
    FILE_IS_GONE,  /* there is no such file any more */
    FILE_IS_NO_MAIL, /* *why says: a folder, a link, compressed in a way that is not known, damaged, too big */
    FILE_FAILED,   /* the disk: *why */
};
struct file_facts {
    int64_t mtime;
    bool    had_lf; /* lines ended in LF alone; they end in CRLF now */
};
/*
 * A message: decompressed where it is gzip or zstd (as Dovecot's zlib plugin writes them), every line end made
 * CRLF.  *out is the caller's.
 */
enum file_found files_message(int at, const char *name, const struct body_limits *limits, struct body **out,
                              struct file_facts *facts, struct fail *why);

#endif
