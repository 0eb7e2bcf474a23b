/*
 * content/protocol.c - documents in messages.
 *
 * Layer: content.
 */
#include "content/protocol.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/io.h"
#include "base/scoped.h"

bool content_add_text(struct ipc_message *m, struct slice text, int *fd, struct fail *why)
{
    *fd = -1;
    ipc_add_u64(m, text.len);
    if (text.len <= CONTENT_INLINE_MAX) {
        ipc_add_bytes(m, text);
        return true;
    }
    int file = memfd_create("posthorn text", MFD_CLOEXEC);
    if (file < 0)
        return fail_errno(why, errno, "memory for a document");
    if (!io_pwrite_all(file, text, 0, why)) {
        (void)close(file);
        return false;
    }
    ipc_add_bytes(m, SLICE(""));
    ipc_add_fd(m, file);
    *fd = file;
    return true;
}

static bool malformed(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed message");
}

bool content_get_text(struct ipc_reader *r, struct buf *out, struct fail *why)
{
    uint64_t len = ipc_get_u64(r);
    struct slice inside = ipc_get_bytes(r);
    struct stat st;

    if (r->failed || len > out->max)
        return malformed(why);
    if (len <= CONTENT_INLINE_MAX) {
        buf_add(out, inside);
        return inside.len == len || malformed(why);
    }
    SCOPED(scoped_close) int fd = ipc_take_fd(r);
    char *room = buf_room(out, (size_t)len);
    /* A file: reading anything else might wait for ever. */
    if (fd < 0 || inside.len > 0 || room == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return malformed(why);
    if (!io_pread_all(fd, room, (size_t)len, 0, why))
        return false;
    buf_grew(out, (size_t)len);
    return true;
}
