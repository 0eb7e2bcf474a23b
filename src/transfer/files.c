/*
 * transfer/files.c - strangers' files, opened with care and read as messages.
 *
 * Layer: transfer.
 */
#include "transfer/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "transfer/unpack.h"

enum { PIECE = 64 * 1024 };

int files_folder(int at, const char *name, struct fail *why)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is no folder", name);
    else if (fd < 0)
        (void)fail_errno(why, errno, "%s", name);
    return fd;
}

bool files_read_open(int fd, const char *name, struct buf *out, struct fail *why)
{
    ssize_t n;

    for (;;) {
        size_t most = out->max - out->len < PIECE ? out->max - out->len : PIECE;
        char  *room = most > 0 ? buf_room(out, most) : NULL;
        if (room == NULL)
            return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "%s is too big", name);
        n = read(fd, room, most);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(why, errno, "%s", name);
        if (n == 0)
            return true;
        buf_grew(out, (size_t)n);
    }
}

bool files_read(int at, const char *name, struct buf *out, bool *there, struct fail *why)
{
    SCOPED(scoped_close) int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat              st;

    *there = fd >= 0;
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR || fail_errno(why, errno, "%s", name);
    if (fstat(fd, &st) != 0)
        return fail_errno(why, errno, "%s", name);
    *there = S_ISREG(st.st_mode);
    return !*there || files_read_open(fd, name, out, why);
}

/* ---- messages ---- */

struct reading {
    struct body       *body;
    struct file_facts *facts;
    bool               after_cr;
    char               lines[2 * PIECE]; /* a piece with CRLFs */
};

/* Every LF without a CR before it gets one. */
static bool add_lines(void *ctx, struct slice in, struct fail *why)
{
    struct reading *r = ctx;
    size_t          n = 0;

    for (size_t at = 0; at < in.len;) {
        struct slice rest = slice_from(in, at);
        const char  *lf = memchr(rest.ptr, '\n', rest.len);
        size_t       len = lf != NULL ? (size_t)(lf - rest.ptr) : rest.len;
        memcpy(r->lines + n, rest.ptr, len);
        n += len;
        at += len;
        r->after_cr = len > 0 ? rest.ptr[len - 1] == '\r' : r->after_cr;
        if (lf == NULL)
            break;
        if (!r->after_cr) {
            r->lines[n++] = '\r';
            r->facts->had_lf = true;
        }
        r->lines[n++] = '\n';
        at++;
        r->after_cr = false;
    }
    return body_add(r->body, slice_make(r->lines, n), why);
}

static bool read_piece(int fd, char *piece, size_t *got, struct fail *why)
{
    ssize_t n;

    while ((n = read(fd, piece, PIECE)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return fail_errno(why, errno, "reading");
    *got = (size_t)n;
    return true;
}

static bool read_all(int fd, struct reading *r, char *piece, struct fail *why)
{
    struct unpack *unpack = NULL;
    const char    *packed;
    size_t         got = 0;
    bool           ok = read_piece(fd, piece, &got, why), first = true;

    while (ok && got > 0) {
        enum unpack_kind kind = first ? unpack_kind_of(slice_make(piece, got), &packed) : UNPACK_NONE;
        if (kind == UNPACK_UNKNOWN)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "compressed (%s), which cannot be read here", packed);
        if (kind != UNPACK_NONE && (unpack = unpack_create(kind, why)) == NULL)
            return false;
        first = false;
        ok = (unpack != NULL ? unpack_add(unpack, slice_make(piece, got), add_lines, r, why)
                             : add_lines(r, slice_make(piece, got), why)) &&
             read_piece(fd, piece, &got, why);
    }
    if (ok && unpack != NULL && !unpack_is_whole(unpack))
        ok = fail_set(why, FAIL_PERM, FAIL_INVALID, "its compressed data ends too early");
    unpack_destroy(&unpack);
    return ok;
}

static const char *what_it_is(mode_t mode)
{
    if (S_ISDIR(mode))
        return "no message but a folder";
    if (S_ISFIFO(mode) || S_ISSOCK(mode))
        return "no message but a pipe or socket";
    return "no message but a device";
}

enum file_found files_message(int at, const char *name, const struct body_limits *limits, struct body **out,
                              struct file_facts *facts, struct fail *why)
{
    SCOPED(scoped_close) int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat              st;

    if (fd < 0 && errno == ENOENT)
        return FILE_IS_GONE;
    if (fd < 0 && errno == ELOOP) {
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "a symbolic link, which is not followed");
        return FILE_IS_NO_MAIL;
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        bool mine = errno == EACCES || errno == ENXIO || errno == EPERM || errno == ENAMETOOLONG;
        (void)fail_errno(why, errno, "cannot be opened");
        return mine ? FILE_IS_NO_MAIL : FILE_FAILED;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "%s", what_it_is(st.st_mode));
        return FILE_IS_NO_MAIL;
    }
    *facts = (struct file_facts){.mtime = st.st_mtime};
    struct reading *r = xmalloc(sizeof *r);
    char           *piece = xmalloc(PIECE);
    r->body = body_create(limits);
    r->facts = facts;
    r->after_cr = false;
    bool ok = read_all(fd, r, piece, why);
    *out = r->body;
    free(r);
    free(piece);
    if (ok)
        return FILE_IS_READ;
    body_destroy(out);
    return why->kind == FAIL_PERM ? FILE_IS_NO_MAIL : FILE_FAILED;
}
