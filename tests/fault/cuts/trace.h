/*
 * tests/fault/cuts/trace.h - everything that a program asks of a disk, in order, and what it promised in between.
 *
 * record.c stands in front of the C library's file calls, for this program and the libraries it uses (SQLite among
 * them).  While it records, each change below one folder becomes an entry of the trace, and so does what the
 * workload notes: what it begins, what was acknowledged, what it was shown.  The trace lies in memory that is shared
 * with the processes that are killed, one after the other, while they fill it.
 */
#ifndef CUTS_TRACE_H
#define CUTS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
    TRACE_CREATE = 1, /* a: folder, b: inode, c: 1 it is a folder; payload: name */
    TRACE_WRITE,      /* a: inode, b: offset; payload: bytes */
    TRACE_SIZE,       /* a: inode, b: new size */
    TRACE_PUNCH,      /* a: inode, b: offset, c: bytes */
    TRACE_SYNC,       /* a: inode, b: entries there were when the sync was begun */
    TRACE_UNLINK,     /* a: folder; payload: name */
    TRACE_RENAME,     /* a, b: folders; payload: old name, NUL, new name */
    TRACE_FORGET,     /* a: inode number that is a nameless file's now */
    TRACE_BEGIN,      /* notes from here on; a: subject (an account; 0: the queue), b: note bits; payload: what */
    TRACE_HAVE,       /* a: subject, b: a message that was acknowledged */
    TRACE_DONE,       /* a: subject: what was begun was acknowledged */
    TRACE_STATE,      /* a: subject; payload: all that it shows now */
};
enum { NOTE_LOOSE = 1 }; /* TRACE_BEGIN: in several steps, each of which may be the last */

struct entry {
    uint32_t kind, bytes; /* bytes: of the payload */
    uint64_t a, b, c;
    char payload[];
};

struct trace {
    uint64_t used, room; /* bytes of entries */
    uint64_t count;
    uint64_t kill_at; /* the process ends with its entry of that number; 0: it does not */
    _Alignas(8) char entries[];
};

struct trace *trace_create(uint64_t room);
/* The first entry at 0; NULL behind the last.  *at is moved. */
const struct entry *trace_next(const struct trace *t, uint64_t *at);
bool trace_save(const struct trace *t, const char *path);
struct trace *trace_load(const char *path);

/* From now on changes below `folder` (an absolute path without links) are entries. */
void record_begin(struct trace *t, const char *folder);
void record_end(void);
/* Syncs of files whose name ends so ("/": of folders) do not happen: whoever needs them must be found out. */
void record_leave_out(const char *suffix);
void record_note(enum trace_kind kind, uint64_t a, uint64_t b, const char *text, size_t len);

enum { RECORD_KILLED = 99 }; /* exit status of a process that reached kill_at */

#endif
