/*
 * tests/fault/libhost.c - a machine that gives out less than it was asked for (for LD_PRELOAD).
 *
 * HOST_FAULTS names a file that every process of a server maps and a test writes (host.py): for each role a row of
 * numbers, so that a fault begins and ends at once, and costs next to nothing while it is not there:
 *
 *     memory       the so-manieth allocation from now on fails; 0: none
 *     memory_run   how many fail then, one after the other
 *     memory_hits  how many did
 *     files        1: no call gives a new descriptor (EMFILE)
 *     files_hits
 *     clock        microseconds by which the wall clock is wrong
 *     rough        of so many reads, writes and waits one is short or interrupted (EINTR); 0: none
 *     rough_hits
 *     hurry        how many times as fast the clock runs that never jumps
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct row { _Atomic int64_t memory, memory_run, memory_hits, files, files_hits, clock, rough, rough_hits, hurry; };

static const char *const roles[] = {"serve", "mail", "queue", "auth", "resolver", "fetch", "content"};
enum { ROLES = sizeof roles / sizeof roles[0] };

static struct row nothing, *mine = &nothing;

/* The C library's own `name` as `real`. */
#define REAL(name)                                                                                           \
    static __typeof__(name) *real;                                                                           \
    if (real == NULL)                                                                                        \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(int argc, char **argv)
{
    const char *path = getenv("HOST_FAULTS");
    size_t at = 0;

    for (size_t i = 1; argc > 2 && strcmp(argv[1], "--role") == 0 && i < ROLES; i++)
        at = strcmp(argv[2], roles[i]) == 0 ? i : at;
    if (at == 0 && (argc < 2 || strcmp(argv[1], "demo") != 0))
        return; /* a command, or another program */
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *rows = fd >= 0 ? mmap(NULL, ROLES * sizeof(struct row), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        (void)close(fd);
    if (rows != MAP_FAILED)
        mine = (struct row *)rows + at;
    atomic_store(&mine->memory, 0); /* what failed was the process before; libconfuse, reading the config, may crash of it */
}

/* ---- memory ---- */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static bool no_memory(void)
{
    if (atomic_load_explicit(&mine->memory, memory_order_relaxed) <= 0 || atomic_fetch_sub(&mine->memory, 1) != 1)
        return false;
    if (atomic_fetch_sub(&mine->memory_run, 1) > 1)
        atomic_store(&mine->memory, 1); /* the next one too */
    atomic_fetch_add(&mine->memory_hits, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return no_memory() ? NULL : __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    return no_memory() ? NULL : __libc_calloc(count, n);
}

void *realloc(void *old, size_t n)
{
    return no_memory() ? NULL : __libc_realloc(old, n);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
    return no_memory() ? NULL : __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = memalign(align, n);

    if (p != NULL)
        *out = p;
    return p != NULL ? 0 : ENOMEM;
}

/* ---- descriptors ---- */

static bool no_file(void)
{
    if (atomic_load_explicit(&mine->files, memory_order_relaxed) == 0)
        return false;
    atomic_fetch_add(&mine->files_hits, 1);
    errno = EMFILE;
    return true;
}

static mode_t mode_of(int flags, va_list ap)
{
    return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
}

int openat64(int dir, const char *name, int flags, ...)
{
    va_list ap;
    REAL(openat64);

    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    return no_file() ? -1 : real(dir, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    return openat64(AT_FDCWD, name, flags, mode);
}

/* Under the names by which the C library's headers, or other libraries, ask for them. */
int host_open(const char *name, int flags, ...) __asm__("open");
int host_open(const char *name, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    return openat64(AT_FDCWD, name, flags, mode);
}

int host_openat_2(int dir, const char *name, int flags) __asm__("__openat64_2");
int host_openat_2(int dir, const char *name, int flags)
{
    return openat64(dir, name, flags);
}

int socket(int domain, int type, int protocol)
{
    REAL(socket);
    return no_file() ? -1 : real(domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
    REAL(socketpair);
    return no_file() ? -1 : real(domain, type, protocol, ends);
}

int memfd_create(const char *name, unsigned flags)
{
    REAL(memfd_create);
    return no_file() ? -1 : real(name, flags);
}

int dup(int fd)
{
    REAL(dup);
    return no_file() ? -1 : real(fd);
}

/* ---- reads, writes and waits ---- */

static bool roll(void)
{
    static _Thread_local uint32_t state;
    int64_t of = atomic_load_explicit(&mine->rough, memory_order_relaxed);

    if (of <= 0)
        return false;
    if (state == 0)
        state = ((uint32_t)(uintptr_t)&state ^ (uint32_t)getpid() * 2654435761u) | 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    if (state % (uint64_t)of != 0)
        return false;
    atomic_fetch_add(&mine->rough_hits, 1);
    return true;
}

static bool interrupted(void)
{
    if (!roll())
        return false;
    errno = EINTR;
    return true;
}

/* A file, or a connection whose bytes are a stream: what may be cut anywhere. */
static bool is_stream(int fd)
{
    struct stat st;
    int type = 0, before = errno;
    socklen_t len = sizeof type;
    bool is = fstat(fd, &st) == 0 &&
              (S_ISREG(st.st_mode) || (S_ISSOCK(st.st_mode) &&
               getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM));

    errno = before;
    return is;
}

/* At least 1 of n. */
static size_t some(int fd, size_t n)
{
    return n > 1 && roll() && is_stream(fd) ? 1 + (n - 1) / 3 : n;
}

ssize_t read(int fd, void *bytes, size_t n)
{
    REAL(read);
    return interrupted() ? -1 : real(fd, bytes, some(fd, n));
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    REAL(write);
    return interrupted() ? -1 : real(fd, bytes, some(fd, n));
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t at)
{
    REAL(pread64);
    return interrupted() ? -1 : real(fd, bytes, some(fd, n), at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    REAL(pwrite64);
    return interrupted() ? -1 : real(fd, bytes, some(fd, n), at);
}

/* Of several pieces only the first, when it is cut. */
#define SOME_PIECES                                                                                          \
    struct iovec first = count > 0 ? iov[0] : (struct iovec){NULL, 0};                                       \
    if (interrupted())                                                                                       \
        return -1;                                                                                           \
    if (count > 0 && first.iov_len > 0 && roll() && is_stream(fd)) {                                         \
        first.iov_len = 1 + (first.iov_len - 1) / 3;                                                         \
        iov = &first;                                                                                        \
        count = 1;                                                                                           \
    }

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    REAL(readv);
    SOME_PIECES
    return real(fd, iov, count);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    REAL(writev);
    SOME_PIECES
    return real(fd, iov, count);
}

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t at)
{
    REAL(preadv64);
    SOME_PIECES
    return real(fd, iov, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
    REAL(pwritev64);
    SOME_PIECES
    return real(fd, iov, count, at);
}

ssize_t recv(int fd, void *bytes, size_t n, int flags)
{
    REAL(recv);
    return interrupted() ? -1 : real(fd, bytes, (flags & (MSG_PEEK | MSG_WAITALL)) != 0 ? n : some(fd, n), flags);
}

/* What a buffer's size is known of comes here. */
ssize_t host_recv_chk(int fd, void *bytes, size_t n, size_t room, int flags) __asm__("__recv_chk");
ssize_t host_recv_chk(int fd, void *bytes, size_t n, size_t room, int flags)
{
    return recv(fd, bytes, n < room ? n : room, flags);
}

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    REAL(send);
    return interrupted() ? -1 : real(fd, bytes, some(fd, n), flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    REAL(recvmsg);
    return interrupted() ? -1 : real(fd, m, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct msghdr less = *m;
    struct iovec first;
    REAL(sendmsg);

    if (interrupted())
        return -1;
    if (m->msg_iovlen > 0 && m->msg_iov[0].iov_len > 0 && m->msg_controllen == 0 && roll() && is_stream(fd)) {
        first = (struct iovec){m->msg_iov[0].iov_base, 1 + (m->msg_iov[0].iov_len - 1) / 3};
        less.msg_iov = &first;
        less.msg_iovlen = 1;
        m = &less;
    }
    return real(fd, m, flags);
}

int accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
    REAL(accept4);
    return no_file() || interrupted() ? -1 : real(fd, peer, len, flags);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    REAL(poll);
    return interrupted() ? -1 : real(fds, count, timeout);
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    REAL(epoll_wait);
    return interrupted() ? -1 : real(fd, events, most, timeout);
}

/* Linux interrupts no fsync of a local file, and SQLite would not ask again: what is tried is our own. */
static bool is_database(int fd)
{
    char link[40], path[4096];
    int before = errno;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    errno = before;
    path[n > 0 ? n : 0] = '\0';
    return strstr(path, ".db") != NULL;
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return !is_database(fd) && interrupted() ? -1 : real(fd);
}

int fsync(int fd)
{
    REAL(fsync);
    return !is_database(fd) && interrupted() ? -1 : real(fd);
}

/* Programs built without 64 in the names (SQLite's package may be) come by these. */
ssize_t host_pwrite(int fd, const void *bytes, size_t n, off64_t at) __asm__("pwrite");
ssize_t host_pwrite(int fd, const void *bytes, size_t n, off64_t at)
{
    return pwrite64(fd, bytes, n, at);
}

ssize_t host_pread(int fd, void *bytes, size_t n, off64_t at) __asm__("pread");
ssize_t host_pread(int fd, void *bytes, size_t n, off64_t at)
{
    return pread64(fd, bytes, n, at);
}

/* ---- clocks ---- */

static void move(struct timespec *t, int64_t ns)
{
    int64_t sum = t->tv_nsec + ns % 1000000000;

    t->tv_sec += ns / 1000000000 + (sum >= 1000000000) - (sum < 0);
    t->tv_nsec = sum - (sum >= 1000000000) * 1000000000 + (sum < 0) * 1000000000;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    REAL(clock_gettime);
    int result = real(id, t);
    int64_t hurry = atomic_load_explicit(&mine->hurry, memory_order_relaxed);

    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        move(t, atomic_load_explicit(&mine->clock, memory_order_relaxed) * 1000);
    if (result == 0 && id == CLOCK_MONOTONIC && hurry > 1) {
        t->tv_sec = t->tv_sec * hurry + t->tv_nsec * hurry / 1000000000;
        t->tv_nsec = t->tv_nsec * hurry % 1000000000;
    }
    return result;
}

time_t time(time_t *out)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL)
        *out = t.tv_sec;
    return t.tv_sec;
}
