/*
 * tests/fault/libpower.c - what a power cut takes away (for LD_PRELOAD).
 *
 * A killed process leaves its writes in the page cache; a power cut takes all that
 * was not synced.  For files below FAULT_DIR this keeps, in the folder POWER_LOG,
 * what each write replaced, until the file is synced; and the names of files and
 * folders that were made, until their folder is.  After a kill, post.py puts
 * everything back as it was at the last sync: the worst that a power cut may do
 * to data.  (Names that were removed or renamed stay so: journals keep those in order.)
 *
 *     INODE.undo    records: offset, old size, length (8 bytes each), old bytes
 *     INODE.path    the name of that file
 *     INODE.made    names made in that folder, one a line
 *
 * Syncs are not passed on: nobody pulls the plug of the machine that runs this.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_ROOM = 4096 };

/* One write and the note of what it replaces are one step, and so is a sync. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The C library's own `name` as `real`. */
#define REAL(name)                                                                                           \
    static __typeof__(name) *real;                                                                           \
    if (real == NULL)                                                                                        \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

static int real_open(const char *path, int flags)
{
    REAL(openat64);
    return real(AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static ssize_t real_pwrite(int fd, const void *bytes, size_t n, off64_t at)
{
    REAL(pwrite64);
    return real(fd, bytes, n, at);
}

static ssize_t real_write(int fd, const void *bytes, size_t n)
{
    REAL(write);
    return real(fd, bytes, n);
}

static bool is_below(const char *path)
{
    const char *dir = getenv("FAULT_DIR");
    size_t n = dir != NULL ? strlen(dir) : 0;

    return n > 0 && getenv("POWER_LOG") != NULL && strncmp(path, dir, n) == 0 &&
           (path[n] == '/' || path[n] == '\0');
}

static bool path_of(int fd, char path[PATH_ROOM])
{
    char link[40];

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_ROOM - 1);
    path[n > 0 ? n : 0] = '\0';
    return n > 0 && strstr(path, " (deleted)") == NULL && is_below(path);
}

static void log_name(char out[PATH_ROOM], ino_t inode, const char *kind)
{
    (void)snprintf(out, PATH_ROOM, "%s/%llu.%s", getenv("POWER_LOG"), (unsigned long long)inode, kind);
}

static void log_add(const char *name, const struct iovec *iov, int count)
{
    int fd = real_open(name, O_WRONLY | O_CREAT | O_APPEND);

    if (fd < 0 || writev(fd, iov, count) < 0)
        abort(); /* the test itself is broken */
    (void)close(fd);
}

/* What `n` bytes at `at` will replace.  Not through a new descriptor: closing that would drop SQLite's locks.
 */
static void note_write(int fd, const char *path, const struct stat *st, uint64_t at, uint64_t n)
{
    char name[PATH_ROOM];
    uint64_t size = (uint64_t)st->st_size, old = at >= size ? 0 : n < size - at ? n : size - at;
    char *bytes = malloc(old + 1);
    int from = fd;

    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        from = real_open(name, O_RDONLY);
    }
    if (bytes == NULL || pread(from, bytes, old, (off_t)at) != (ssize_t)old)
        abort();
    if (from != fd)
        (void)close(from);
    log_name(name, st->st_ino, "path");
    if (access(name, F_OK) != 0)
        log_add(name, &(struct iovec){.iov_base = (void *)(uintptr_t)path, .iov_len = strlen(path)}, 1);
    uint64_t head[3] = {at, size, old};
    log_name(name, st->st_ino, "undo");
    log_add(name,
            (struct iovec[]){{.iov_base = head, .iov_len = sizeof head}, {.iov_base = bytes, .iov_len = old}},
            2);
    free(bytes);
}

/* Takes the lock and notes the write if it is one of ours; `at` -1: at the descriptor's own place. */
static bool begin_write(int fd, int64_t at, uint64_t n)
{
    char path[PATH_ROOM];
    struct stat st;
    int before = errno;

    if (fd <= 2 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !path_of(fd, path)) {
        errno = before;
        return false;
    }
    (void)pthread_mutex_lock(&lock);
    (void)fstat(fd, &st);
    if (at < 0)
        at = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? st.st_size : lseek(fd, 0, SEEK_CUR);
    note_write(fd, path, &st, (uint64_t)at, n);
    errno = before;
    return true;
}

static void end_write(bool begun)
{
    if (begun)
        (void)pthread_mutex_unlock(&lock);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    bool begun = begin_write(fd, -1, n);
    ssize_t done = real_write(fd, bytes, n);

    end_write(begun);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    bool begun = begin_write(fd, at, n);
    ssize_t done = real_pwrite(fd, bytes, n, at);

    end_write(begun);
    return done;
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
    REAL(pwritev64);
    uint64_t n = 0;
    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    bool begun = begin_write(fd, at, n);
    ssize_t done = real(fd, iov, count, at);

    end_write(begun);
    return done;
}

int ftruncate64(int fd, off64_t size)
{
    REAL(ftruncate64);
    bool begun = begin_write(fd, size, UINT64_MAX - (uint64_t)size); /* all from there on */
    int failed = real(fd, size);

    end_write(begun);
    return failed;
}

/* From now on it stays as it is: nothing to put back. */
static int sync_file(int fd)
{
    char path[PATH_ROOM], name[PATH_ROOM];
    struct stat st;

    if (fstat(fd, &st) != 0)
        return -1;
    if (!path_of(fd, path))
        return 0;
    (void)pthread_mutex_lock(&lock);
    log_name(name, st.st_ino, S_ISDIR(st.st_mode) ? "made" : "undo");
    (void)syscall(SYS_unlinkat, AT_FDCWD, name, 0);
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd)
{
    return sync_file(fd);
}

int fdatasync(int fd)
{
    return sync_file(fd);
}

/* A new name in a folder. */
static void note_made(int dir, const char *name)
{
    char folder[PATH_ROOM], path[2 * PATH_ROOM], log[PATH_ROOM];
    struct stat st;
    int before = errno;

    if (name[0] == '/')
        (void)snprintf(path, sizeof path, "%s", name);
    else if (dir != AT_FDCWD && path_of(dir, folder))
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    else
        path[0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash != NULL && is_below(path)) {
        *slash = '\0';
        bool there = stat(path, &st) == 0;
        *slash = '/';
        log_name(log, st.st_ino, "made");
        if (there)
            log_add(log,
                    (struct iovec[]){{.iov_base = path, .iov_len = strlen(path)},
                                     {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}},
                    2);
    }
    errno = before;
}

int openat64(int dir, const char *name, int flags, ...)
{
    REAL(openat64);
    va_list ap;
    va_start(ap, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    bool is_new = (flags & O_CREAT) != 0 && faccessat(dir, name, F_OK, 0) != 0;
    int fd = real(dir, name, flags, mode);

    if (fd >= 0 && is_new)
        note_made(dir, name);
    return fd;
}

int open64(const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return openat64(AT_FDCWD, name, flags, mode);
}

int mkdir(const char *name, mode_t mode)
{
    REAL(mkdir);
    int failed = real(name, mode);

    if (failed == 0)
        note_made(AT_FDCWD, name);
    return failed;
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    REAL(mkdirat);
    int failed = real(dir, name, mode);

    if (failed == 0)
        note_made(dir, name);
    return failed;
}

/* An inode that goes takes its notes along: its number will be another file's. */
static void forget(int dir, const char *name)
{
    char log[PATH_ROOM];
    struct stat st;
    int before = errno;

    if (getenv("POWER_LOG") != NULL && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        log_name(log, st.st_ino, "undo");
        (void)syscall(SYS_unlinkat, AT_FDCWD, log, 0);
        log_name(log, st.st_ino, "path");
        (void)syscall(SYS_unlinkat, AT_FDCWD, log, 0);
    }
    errno = before;
}

int unlinkat(int dir, const char *name, int flags)
{
    REAL(unlinkat);
    (void)pthread_mutex_lock(&lock);
    forget(dir, name);
    int failed = real(dir, name, flags);
    (void)pthread_mutex_unlock(&lock);
    return failed;
}

int renameat(int dir, const char *from, int to_dir, const char *to)
{
    REAL(renameat);
    (void)pthread_mutex_lock(&lock);
    forget(to_dir, to);
    int failed = real(dir, from, to_dir, to);
    (void)pthread_mutex_unlock(&lock);
    return failed;
}

int unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
