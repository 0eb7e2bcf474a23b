/*
 * net/ipc_text.c - see net/ipc_text.h.
 *
 * Layer: net.
 */
#include "net/ipc_text.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/io.h"
#include "base/scoped.h"

enum { BESIDE = 64 }; /* the header, and what tells a field's type and length */

bool ipc_add_text(struct ipc_message *m, struct slice text, int *fd, struct fail *why)
{
    *fd = -1;
    ipc_add_u64(m, text.len);
    if (m->bytes.len + BESIDE < IPC_MESSAGE_MAX && text.len <= IPC_MESSAGE_MAX - BESIDE - m->bytes.len) {
        ipc_add_bytes(m, text);
        return true;
    }
    int file = memfd_create("posthorn text", MFD_CLOEXEC);
    if (file < 0)
        return fail_errno(why, errno, "memory for a text");
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

bool ipc_take_text(struct ipc_reader *r, uint64_t most, struct ipc_text *out, struct fail *why)
{
    struct ipc_text text = {.fd = -1};
    struct stat st;

    text.len = ipc_get_u64(r);
    text.inside = ipc_get_bytes(r);
    if (r->failed || text.len > most || (text.inside.len > 0 && text.inside.len != text.len))
        return malformed(why);
    if (text.inside.len != text.len) {
        int fd = ipc_take_fd(r);
        /* A file: reading anything else might wait for ever. */
        if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
            scoped_close(&fd);
            return malformed(why);
        }
        text.fd = fd;
    }
    *out = text;
    return true;
}

bool ipc_get_text(struct ipc_reader *r, struct buf *out, struct fail *why)
{
    struct ipc_text text = {.fd = -1};

    if (!ipc_take_text(r, out->max - out->len, &text, why))
        return false;
    SCOPED(scoped_close) int fd = text.fd;
    char *room = buf_room(out, (size_t)text.len);
    if (room == NULL)
        return malformed(why);
    if (fd >= 0 && !io_pread_all(fd, room, (size_t)text.len, 0, why))
        return false;
    if (fd < 0 && text.len > 0)
        memcpy(room, text.inside.ptr, text.inside.len);
    buf_grew(out, (size_t)text.len);
    return true;
}
