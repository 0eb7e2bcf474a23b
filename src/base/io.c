/*
 * base/io.c - the few file calls that everyone repeats, done whole.
 *
 * Layer: base.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/fail.h"
#include "base/scoped.h"

bool io_write_all(int fd, struct slice s, struct fail *why)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(why, errno, "write");
        s = slice_from(s, (size_t)n);
    }
    return true;
}

bool io_pwrite_all(int fd, struct slice s, uint64_t offset, struct fail *why)
{
    if (offset > INT64_MAX || s.len > INT64_MAX - offset)
        return fail_errno(why, EFBIG, "write");
    while (s.len > 0) {
        ssize_t n = pwrite(fd, s.ptr, s.len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(why, errno, "write");
        s = slice_from(s, (size_t)n);
        offset += (uint64_t)n;
    }
    return true;
}

bool io_pread_all(int fd, void *out, size_t n, uint64_t offset, struct fail *why)
{
    char *to = out;

    if (offset > INT64_MAX || n > INT64_MAX - offset)
        return fail_errno(why, EFBIG, "read");
    while (n > 0) {
        ssize_t got = pread(fd, to, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(why, errno, "read");
        if (got == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "read: file ends early, %zu bytes short", n);
        to += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

bool io_read_file(const char *path, struct buf *out, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s: no such file", path);
    if (fd < 0)
        return fail_errno(why, errno, "%s", path);
    for (;;) {
        /* One byte of room beyond `max` cannot be had, so a full buffer asks for the end first. */
        char    spare = 0;
        size_t  left = out->max - out->len;
        size_t  ask = left < 16384 ? left : 16384;
        char   *to = ask > 0 ? buf_room(out, ask) : &spare;
        ssize_t n = read(fd, to, ask > 0 ? ask : 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(why, errno, "%s", path);
        if (n == 0)
            return true;
        if (ask == 0)
            return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "%s: larger than %zu bytes", path, out->max);
        buf_grew(out, (size_t)n);
    }
}

/* "a/b" gives "a", "/b" gives "/", "b" gives ".": the caller frees it. */
static char *folder_of(const char *path)
{
    struct slice s = slice_of(path);
    size_t       at = slice_rfind_char(s, '/');

    if (at == s.len)
        return xstrdup(".");
    return xslicedup(slice_sub(s, 0, at > 0 ? at : 1));
}

bool io_sync_dir(const char *path, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || io_fsync(fd) != 0)
        return fail_errno(why, errno, "folder %s", path);
    return true;
}

static bool write_new_file(const char *path, struct slice content, unsigned mode, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    if (fd < 0)
        return fail_errno(why, errno, "create");
    if (!io_write_all(fd, content, why))
        return false;
    if (fchmod(fd, mode) != 0 || io_fsync(fd) != 0) /* fchmod: the umask had its say above */
        return fail_errno(why, errno, "sync");
    return true;
}

bool io_replace_file(const char *path, struct slice content, unsigned mode, struct fail *why)
{
    SCOPED(scoped_free) char *beside = NULL;
    SCOPED(scoped_free) char *folder = folder_of(path);

    if (asprintf(&beside, "%s.new.%016llx", path, (unsigned long long)random_u64()) < 0)
        die_no_memory(strlen(path));
    if (!write_new_file(beside, content, mode, why)) {
        (void)unlink(beside);
        return fail_at(why, "%s", path);
    }
    if (rename(beside, path) != 0) {
        int errnum = errno;
        (void)unlink(beside);
        return fail_errno(why, errnum, "%s", path);
    }
    return io_sync_dir(folder, why);
}

/*
 * The name of a folder that is there already: whoever made it may have been killed before he synced it, and a power cut
 * would take it away with all that was put into it since.  Those above ours may be nobody's to open or to write.
 */
static bool sync_name(const char *path, struct fail *why)
{
    SCOPED(scoped_free) char *parent = folder_of(path);
    SCOPED(scoped_close) int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno == EACCES || errno == EPERM || fail_errno(why, errno, "folder %s", parent);
    return io_fsync(fd) == 0 || errno == EINVAL || errno == EROFS || fail_errno(why, errno, "folder %s", parent);
}

/* One folder; it was there already: fine. */
static bool make_dir(const char *path, unsigned mode, struct fail *why)
{
    SCOPED(scoped_free) char *parent = folder_of(path);
    struct stat st;

    if (mkdir(path, mode) == 0)
        return io_sync_dir(parent, why);
    int errnum = errno;
    if (errnum == EEXIST && stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? sync_name(path, why) : fail_errno(why, ENOTDIR, "folder %s", path);
    return fail_errno(why, errnum, "folder %s", path);
}

bool io_make_dirs(const char *path, unsigned mode, struct fail *why)
{
    SCOPED(scoped_free) char *upto = xstrdup(path);

    for (char *at = upto + 1; *upto != '\0' && *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        struct stat st; /* parents may be unwritable or read-only: look before making */
        if (!(stat(upto, &st) == 0 ? sync_name(upto, why) : make_dir(upto, mode, why)))
            return false;
        *at = '/';
    }
    return make_dir(path, mode, why);
}

bool io_free_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes, struct fail *why)
{
    struct statvfs fs;

    while (statvfs(path, &fs) != 0) {
        if (errno != EINTR)
            return fail_errno(why, errno, "free space of %s", path);
    }
    *free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    *total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
    return true;
}

int io_fsync(int fd)
{
    int result;

    while ((result = fsync(fd)) != 0 && errno == EINTR)
        ;
    return result;
}

int io_fdatasync(int fd)
{
    int result;

    while ((result = fdatasync(fd)) != 0 && errno == EINTR)
        ;
    return result;
}
