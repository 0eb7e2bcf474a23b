/*
 * tests/fault/libfault.c - a disk that fails when told to (for LD_PRELOAD).
 *
 * FAULT_DIR names a folder and FAULT_TRIGGER a file outside it.  While that file
 * is there, calls on files below the folder fail as its lines say:
 *
 *     CLASS ERROR SKIP COUNT [SUFFIX]
 *
 *     sync EIO 0 1 .vol       the next sync of a volume fails, once
 *     write ENOSPC 0 0        every write fails
 *     sync EIO 4 1            the fifth sync from now on fails
 *
 * CLASS is write (write, pwrite and their kind, growing by ftruncate or fallocate),
 * sync (fsync, fdatasync), read (pread) or open (files made or opened for writing).
 * COUNT 0: for ever.  SUFFIX: only files whose name ends so.  Counting begins anew in each
 * process when the file is replaced.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RULES_MAX = 8 };

struct rule {
    char class[8];
    int error;
    unsigned skip, count;
    bool endless;
    char suffix[64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX];
static size_t rule_count;
static struct stat read_from; /* the trigger file the rules are of */

/* The C library's own `name` as `real`. */
#define REAL(name)                                                                                           \
    static __typeof__(name) *real;                                                                           \
    if (real == NULL)                                                                                        \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

static int error_named(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } errors[] = {
        {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}, {"EMFILE", EMFILE},
    };

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].error;
    return EIO;
}

static void read_rules(const char *path)
{
    FILE *f = fopen(path, "re");
    char line[200], error[16];

    rule_count = 0;
    while (f != NULL && rule_count < RULES_MAX && fgets(line, sizeof line, f) != NULL) {
        struct rule r = {.count = 0};
        if (sscanf(line, "%7s %15s %u %u %63s", r.class, error, &r.skip, &r.count, r.suffix) < 4)
            continue;
        r.endless = r.count == 0;
        r.error = error_named(error);
        rules[rule_count++] = r;
    }
    if (f != NULL)
        (void)fclose(f);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return m <= n && strcmp(text + n - m, end) == 0;
}

/* The error this call is to fail with; 0: none. */
static int verdict(const char *class, const char *path)
{
    const char *dir = getenv("FAULT_DIR"), *trigger = getenv("FAULT_TRIGGER");
    struct stat st;
    int error = 0;

    if (dir == NULL || trigger == NULL || strncmp(path, dir, strlen(dir)) != 0 || stat(trigger, &st) != 0)
        return 0;
    (void)pthread_mutex_lock(&lock);
    if (st.st_ino != read_from.st_ino || st.st_mtim.tv_sec != read_from.st_mtim.tv_sec ||
        st.st_mtim.tv_nsec != read_from.st_mtim.tv_nsec) {
        read_from = st;
        read_rules(trigger);
    }
    for (size_t i = 0; i < rule_count && error == 0; i++) {
        struct rule *r = &rules[i];
        if (strcmp(r->class, class) != 0 || !ends_with(path, r->suffix))
            continue;
        if (r->skip > 0) {
            r->skip--;
        } else if (r->endless || r->count > 0) {
            r->count -= !r->endless;
            error = r->error;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return error;
}

/* The same for a descriptor.  errno is left alone unless the call is to fail. */
static bool fails(const char *class, int fd)
{
    char link[40], path[4096];
    int before = errno;

    if (getenv("FAULT_TRIGGER") == NULL)
        return false;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n > 0)
        path[n] = '\0';
    int error = n > 0 ? verdict(class, path) : 0;
    errno = error != 0 ? error : before;
    return error != 0;
}

int fsync(int fd)
{
    REAL(fsync);
    return fails("sync", fd) ? -1 : real(fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return fails("sync", fd) ? -1 : real(fd);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    REAL(write);
    return fails("write", fd) ? -1 : real(fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    REAL(writev);
    return fails("write", fd) ? -1 : real(fd, iov, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    REAL(pwrite64);
    return fails("write", fd) ? -1 : real(fd, bytes, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
    REAL(pwritev64);
    return fails("write", fd) ? -1 : real(fd, iov, count, at);
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t at)
{
    REAL(pread64);
    return fails("read", fd) ? -1 : real(fd, bytes, n, at);
}

int ftruncate64(int fd, off64_t size)
{
    struct stat st;
    REAL(ftruncate64);
    bool grows = fstat(fd, &st) == 0 && size > st.st_size;

    return grows && fails("write", fd) ? -1 : real(fd, size);
}

int fallocate64(int fd, int mode, off64_t at, off64_t n)
{
    REAL(fallocate64);
    return (mode & FALLOC_FL_PUNCH_HOLE) == 0 && fails("write", fd) ? -1 : real(fd, mode, at, n);
}

int openat64(int dir, const char *name, int flags, ...)
{
    REAL(openat64);
    va_list ap;
    va_start(ap, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    int fd = real(dir, name, flags, mode);

    if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY && fails("open", fd)) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
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

/* Programs built without 64 in the names (SQLite's package may be) come by these. */
ssize_t fault_pwrite(int fd, const void *bytes, size_t n, off64_t at) __asm__("pwrite");
ssize_t fault_pwrite(int fd, const void *bytes, size_t n, off64_t at)
{
    return pwrite64(fd, bytes, n, at);
}

ssize_t fault_pwritev(int fd, const struct iovec *iov, int count, off64_t at) __asm__("pwritev");
ssize_t fault_pwritev(int fd, const struct iovec *iov, int count, off64_t at)
{
    return pwritev64(fd, iov, count, at);
}

ssize_t fault_pread(int fd, void *bytes, size_t n, off64_t at) __asm__("pread");
ssize_t fault_pread(int fd, void *bytes, size_t n, off64_t at)
{
    return pread64(fd, bytes, n, at);
}

int fault_ftruncate(int fd, off64_t size) __asm__("ftruncate");
int fault_ftruncate(int fd, off64_t size)
{
    return ftruncate64(fd, size);
}
