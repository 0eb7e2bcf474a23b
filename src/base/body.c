/*
 * base/body.c - a message's bytes on their way in: memory first, then a spool file.
 *
 * Layer: base.  When memory is full everything held goes to the file and memory
 * becomes the file's write buffer: the first `flushed` bytes are in the file, the
 * rest in `memory`.
 */
#include "base/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/io.h"

struct body {
    struct body_limits limits;
    struct buf         memory;
    uint64_t           flushed; /* bytes in the spool file */
    uint64_t           room;    /* bytes of the file that were asked for */
    int                fd;      /* the spool file; -1 until there is one */
    atomic_uint        owners;
};

enum { ROOM_STEP = 1024 * 1024 }; /* room is asked for so much at a time */

struct body *body_create(const struct body_limits *limits)
{
    struct body *b = xcalloc(1, sizeof *b);

    b->limits = *limits;
    b->fd = -1;
    atomic_init(&b->owners, 1);
    buf_init(&b->memory, limits->memory_max);
    return b;
}

void body_destroy(struct body **b)
{
    struct body *last = *b;

    *b = NULL;
    if (last == NULL || atomic_fetch_sub(&last->owners, 1) > 1)
        return;
    if (last->fd >= 0)
        (void)close(last->fd);
    buf_finish(&last->memory);
    free(last);
}

struct body *body_share(struct body *b)
{
    (void)atomic_fetch_add(&b->owners, 1);
    return b;
}

/* A file without a name: gone with its last descriptor, whatever happens. */
static int open_spool(const char *dir, struct fail *why)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        (void)fail_errno(why, errno, "spool file in %s", dir);
    return fd;
}

/* A spool file must not eat the reserve that lets a full disk be emptied. */
static bool ask_for_room(struct body *b, size_t more, struct fail *why)
{
    if (b->limits.has_room == NULL || b->flushed + more <= b->room)
        return true;
    if (!b->limits.has_room(b->limits.room_ctx, more + ROOM_STEP, why))
        return false;
    b->room = b->flushed + more + ROOM_STEP;
    return true;
}

static bool append_to_file(struct body *b, struct slice s, struct fail *why)
{
    if (s.len == 0)
        return true;
    if (!ask_for_room(b, s.len, why))
        return false;
    if (b->fd < 0)
        b->fd = open_spool(b->limits.spool_dir, why);
    if (b->fd < 0)
        return false;
    block_begin();
    bool ok = io_pwrite_all(b->fd, s, b->flushed, why);
    block_end();
    if (ok)
        b->flushed += s.len;
    return ok || fail_at(why, "spool file");
}

bool body_add(struct body *b, struct slice s, struct fail *why)
{
    if (s.len > b->limits.size_max - body_size(b))
        return fail_code(why, FAIL_PERM, FAIL_TOO_BIG, "5.3.4", "message is larger than %llu bytes",
                         (unsigned long long)b->limits.size_max);
    if (s.len > b->memory.max - b->memory.len) {
        if (!append_to_file(b, buf_slice(&b->memory), why))
            return false;
        buf_reset(&b->memory);
    }
    if (s.len > b->memory.max)
        return append_to_file(b, s, why);
    buf_add(&b->memory, s);
    return true;
}

char *body_room(struct body *b, size_t n)
{
    if (n > b->limits.size_max - body_size(b) || n > b->memory.max - b->memory.len)
        return NULL;
    return buf_room(&b->memory, n);
}

void body_grew(struct body *b, size_t n)
{
    buf_grew(&b->memory, n);
}

uint64_t body_size(const struct body *b)
{
    return b->flushed + b->memory.len;
}

bool body_in_memory(const struct body *b, struct slice *out)
{
    if (b->flushed > 0)
        return false;
    *out = buf_slice(&b->memory);
    return true;
}

bool body_read(const struct body *b, uint64_t offset, void *out, size_t n, size_t *got, struct fail *why)
{
    uint64_t size = body_size(b);
    size_t   from_file = 0;

    if (offset >= size)
        n = 0;
    else if (n > size - offset)
        n = (size_t)(size - offset);

    if (offset < b->flushed)
        from_file = n < b->flushed - offset ? n : (size_t)(b->flushed - offset);
    if (from_file > 0 && !io_pread_all(b->fd, out, from_file, offset, why))
        return fail_at(why, "spool file");
    size_t from_memory = n - from_file;
    if (from_memory > 0)
        memcpy((char *)out + from_file, b->memory.data + (offset + from_file - b->flushed), from_memory);
    *got = n;
    return true;
}
