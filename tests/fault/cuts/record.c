/*
 * tests/fault/cuts/record.c - see trace.h.
 *
 * A change and its entry are one step under a lock, so the order of the entries is that of the changes.  A sync
 * promises what was written before it was begun.  Nothing is synced in truth: nobody pulls the plug of this machine.
 * What cannot be recorded (a writable mapping, links, copies inside the kernel) ends the test.
 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct trace *trace; /* NULL: nothing is recorded */
static char folder[PATH_MAX];
static size_t folder_len;
static const char *left_out; /* see record_leave_out */
static bool recorded[FDS]; /* descriptors of files below the folder */

/* ---- the trace ---- */

struct trace *trace_create(uint64_t room)
{
    struct trace *t = mmap(NULL, sizeof *t + room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (t == MAP_FAILED)
        abort();
    t->room = room;
    return t;
}

static uint64_t entry_bytes(uint32_t payload)
{
    return (sizeof(struct entry) + payload + 7) / 8 * 8;
}

const struct entry *trace_next(const struct trace *t, uint64_t *at)
{
    const struct entry *e = (const void *)(t->entries + *at);

    if (*at >= t->used)
        return NULL;
    *at += entry_bytes(e->bytes);
    return e;
}

bool trace_save(const struct trace *t, const char *path)
{
    FILE *f = fopen(path, "we");
    bool ok = f != NULL && fwrite(t, sizeof *t + t->used, 1, f) == 1;

    return f != NULL && fclose(f) == 0 && ok;
}

struct trace *trace_load(const char *path)
{
    FILE *f = fopen(path, "re");
    struct trace head, *t = NULL;

    if (f != NULL && fread(&head, sizeof head, 1, f) == 1) {
        t = trace_create(head.used);
        t->used = head.used;
        t->count = head.count;
        if (fread(t->entries, 1, head.used, f) != head.used)
            t = NULL;
    }
    if (f != NULL)
        (void)fclose(f);
    return t;
}

static void fatal(const char *what)
{
    fprintf(stderr, "cuts: cannot record: %s\n", what);
    _exit(3);
}

/* The lock is held.  The parts are the payload. */
static void put(enum trace_kind kind, uint64_t a, uint64_t b, uint64_t c, const struct iovec *parts, int count)
{
    struct entry *e = (void *)(trace->entries + trace->used);
    uint64_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    if (bytes > UINT32_MAX || trace->used + entry_bytes((uint32_t)bytes) + sizeof *e > trace->room)
        fatal("the trace is full");
    *e = (struct entry){.kind = kind, .bytes = (uint32_t)bytes, .a = a, .b = b, .c = c};
    char *to = e->payload;
    for (int i = 0; i < count; i++) {
        memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
    trace->used += entry_bytes(e->bytes);
    if (++trace->count == trace->kill_at)
        (void)syscall(SYS_exit_group, RECORD_KILLED);
}

static struct iovec text_of(const char *text)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
}

void record_begin(struct trace *t, const char *path)
{
    folder_len = strlen(path);
    memcpy(folder, path, folder_len + 1);
    trace = t;
}

void record_leave_out(const char *suffix)
{
    left_out = suffix;
}

void record_end(void)
{
    trace = NULL;
}

void record_note(enum trace_kind kind, uint64_t a, uint64_t b, const char *text, size_t len)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = len};

    (void)pthread_mutex_lock(&lock);
    if (trace != NULL)
        put(kind, a, b, 0, &part, 1);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- names ---- */

/* The whole path of a name; false if it is not below the folder. */
static bool whole_path(int dir, const char *name, char out[PATH_MAX])
{
    char link[40];
    size_t len = 0;

    if (trace == NULL)
        return false;
    if (name[0] != '/') {
        if (dir == AT_FDCWD)
            return false;
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t n = readlink(link, out, PATH_MAX - 2);
        if (n <= 0)
            return false;
        len = (size_t)n;
        out[len++] = '/';
    }
    if (len + strlen(name) >= PATH_MAX)
        fatal("a long path");
    (void)strcpy(out + len, name);
    return strncmp(out, folder, folder_len) == 0 && (out[folder_len] == '/' || out[folder_len] == '\0');
}

/* The inode of the folder that a path is in; *name is what it is called there. */
static uint64_t place_of(char path[PATH_MAX], const char **name)
{
    struct stat st;
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
    char *slash = strrchr(path, '/');
    *name = slash + 1;
    *slash = '\0';
    int failed = stat(path, &st);
    *slash = '/';
    return failed == 0 ? st.st_ino : 0;
}

static void put_name(enum trace_kind kind, char path[PATH_MAX], uint64_t inode, uint64_t c)
{
    const char *name;
    uint64_t in = place_of(path, &name);
    struct iovec part = text_of(name);

    put(kind, in, inode, c, &part, 1);
}

static int open_at(int dir, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat st;
    int error;

    if (!whole_path(dir, name, path)) {
        int fd = (int)syscall(SYS_openat, dir, name, flags, mode);
        if (fd >= 0 && fd < FDS)
            recorded[fd] = false;
        return fd;
    }
    (void)pthread_mutex_lock(&lock);
    bool there = (flags & (O_CREAT | O_TRUNC)) != 0 && stat(path, &st) == 0;
    int fd = (int)syscall(SYS_openat, dir, name, flags, mode);
    error = errno;
    if (fd >= FDS)
        fatal("a high descriptor");
    if (fd >= 0) {
        if (fstat(fd, &st) != 0)
            fatal("fstat");
        if ((flags & O_TMPFILE) == O_TMPFILE)
            put(TRACE_FORGET, st.st_ino, 0, 0, NULL, 0);
        else if ((flags & O_CREAT) != 0 && !there)
            put_name(TRACE_CREATE, path, st.st_ino, 0);
        else if ((flags & O_TRUNC) != 0)
            put(TRACE_SIZE, st.st_ino, 0, 0, NULL, 0);
        recorded[fd] = true;
    }
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

int openat64(int dir, const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_at(dir, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_at(AT_FDCWD, name, flags, mode);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    struct stat st;

    if (!whole_path(dir, name, path))
        return (int)syscall(SYS_mkdirat, dir, name, mode);
    (void)pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_mkdirat, dir, name, mode), error = errno;
    if (failed == 0 && stat(path, &st) == 0)
        put_name(TRACE_CREATE, path, st.st_ino, 1);
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int mkdir(const char *name, mode_t mode)
{
    return mkdirat(AT_FDCWD, name, mode);
}

int unlinkat(int dir, const char *name, int flags)
{
    char path[PATH_MAX];

    if (!whole_path(dir, name, path))
        return (int)syscall(SYS_unlinkat, dir, name, flags);
    (void)pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_unlinkat, dir, name, flags), error = errno;
    if (failed == 0)
        put_name(TRACE_UNLINK, path, 0, 0);
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

int rmdir(const char *name)
{
    return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int remove(const char *name)
{
    (void)name;
    fatal("remove()");
    return -1;
}

int renameat(int dir, const char *from, int to_dir, const char *to)
{
    char path[PATH_MAX], to_path[PATH_MAX];
    const char *name, *to_name;
    bool is_from = whole_path(dir, from, path), is_to = whole_path(to_dir, to, to_path);

    if (!is_from && !is_to)
        return (int)syscall(SYS_renameat, dir, from, to_dir, to);
    if (!is_from || !is_to)
        fatal("a rename from or to elsewhere");
    (void)pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_renameat, dir, from, to_dir, to), error = errno;
    if (failed == 0) {
        uint64_t in = place_of(path, &name), to_in = place_of(to_path, &to_name);
        struct iovec parts[] = {{.iov_base = (void *)(uintptr_t)name, .iov_len = strlen(name) + 1}, text_of(to_name)};
        put(TRACE_RENAME, in, to_in, 0, parts, 2);
    }
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

/* ---- contents ---- */

static bool is_recorded(int fd, struct stat *st)
{
    int before = errno;
    bool yes = trace != NULL && fd >= 0 && fd < FDS && recorded[fd] && fstat(fd, st) == 0 &&
               (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));

    errno = before;
    return yes;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    struct stat st;

    if (!is_recorded(fd, &st))
        return syscall(SYS_pwritev, fd, parts, count, at, 0);
    (void)pthread_mutex_lock(&lock);
    ssize_t n = syscall(SYS_pwritev, fd, parts, count, at, 0);
    int error = errno;
    size_t all = 0;
    for (int i = 0; i < count; i++)
        all += parts[i].iov_len;
    if (n > 0 && (size_t)n != all)
        fatal("a short write");
    if (n > 0)
        put(TRACE_WRITE, st.st_ino, (uint64_t)at, 0, parts, count);
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    struct stat st;

    return is_recorded(fd, &st) ? pwritev64(fd, &part, 1, at) : syscall(SYS_pwrite64, fd, bytes, n, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct stat st;

    if (!is_recorded(fd, &st))
        return syscall(SYS_writev, fd, parts, count);
    off64_t at = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? st.st_size : lseek64(fd, 0, SEEK_CUR);
    ssize_t n = pwritev64(fd, parts, count, at);
    if (n > 0 && lseek64(fd, at + n, SEEK_SET) < 0)
        fatal("lseek");
    return n;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    struct stat st;

    return is_recorded(fd, &st) ? writev(fd, &part, 1) : syscall(SYS_write, fd, bytes, n);
}

int ftruncate64(int fd, off64_t size)
{
    struct stat st;

    if (!is_recorded(fd, &st))
        return (int)syscall(SYS_ftruncate, fd, size);
    (void)pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_ftruncate, fd, size), error = errno;
    if (failed == 0)
        put(TRACE_SIZE, st.st_ino, (uint64_t)size, 0, NULL, 0);
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int fallocate64(int fd, int mode, off64_t at, off64_t n)
{
    struct stat st;

    if (!is_recorded(fd, &st))
        return (int)syscall(SYS_fallocate, fd, mode, at, n);
    if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
        fatal("fallocate");
    (void)pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_fallocate, fd, mode, at, n), error = errno;
    if (failed == 0)
        put(TRACE_PUNCH, st.st_ino, (uint64_t)at, (uint64_t)n, NULL, 0);
    (void)pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

/* Is this one of the syncs that are left out, to see the test fail? */
static bool is_left_out(int fd, const struct stat *st)
{
    char link[40], path[PATH_MAX];

    if (left_out == NULL)
        return false;
    if (strcmp(left_out, "/") == 0)
        return S_ISDIR(st->st_mode);
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    size_t len = strlen(left_out);
    return n >= (ssize_t)len && memcmp(path + n - len, left_out, len) == 0;
}

static int sync_file(int fd)
{
    struct stat st;

    if (!is_recorded(fd, &st) || is_left_out(fd, &st))
        return 0;
    (void)pthread_mutex_lock(&lock);
    uint64_t before = trace->count;
    (void)pthread_mutex_unlock(&lock);
    (void)usleep(100); /* others get their writes in between */
    (void)pthread_mutex_lock(&lock);
    put(TRACE_SYNC, st.st_ino, before, 0, NULL, 0);
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

/* The notes of what is being parsed (base/crash_note.h) are mapped: they mean nothing once the power was gone. */
static bool is_crash_note(int fd)
{
    char link[40], path[PATH_MAX];

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    const char *name = strrchr(path, '/');
    return name != NULL && (strcmp(name, "/working") == 0 || strcmp(name, "/parsing") == 0);
}

/* What is not recorded must not happen. */
void *mmap64(void *where, size_t n, int protection, int flags, int fd, off64_t at)
{
    struct stat st;

    if ((flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 && is_recorded(fd, &st) && !is_crash_note(fd))
        fatal("a writable mapping");
    return (void *)syscall(SYS_mmap, where, n, protection, flags, fd, at);
}

int linkat(int dir, const char *from, int to_dir, const char *to, int flags)
{
    (void)dir, (void)from, (void)to_dir, (void)to, (void)flags;
    fatal("linkat");
    return -1;
}

int link(const char *from, const char *to)
{
    (void)from, (void)to;
    fatal("link");
    return -1;
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned flags)
{
    (void)from, (void)at, (void)to, (void)to_at, (void)n, (void)flags;
    fatal("copy_file_range");
    return -1;
}

/* Programs built without 64 in the names come by these. */
#define SAME_AS(plain, with64) __asm__(".globl " #plain "\n.set " #plain ", " #with64)
SAME_AS(openat, openat64);
SAME_AS(open, open64);
SAME_AS(pwritev, pwritev64);
SAME_AS(pwrite, pwrite64);
SAME_AS(ftruncate, ftruncate64);
SAME_AS(fallocate, fallocate64);
SAME_AS(mmap, mmap64);
