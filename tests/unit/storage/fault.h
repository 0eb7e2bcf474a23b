/*
 * tests/unit/storage/fault.h - syncs and writes that fail when told to.
 *
 * These stand in front of the C library's, for this program and for the
 * libraries it uses.
 */
#ifndef TESTS_STORAGE_FAULT_H
#define TESTS_STORAGE_FAULT_H

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int fault_syncs;  /* this many syncs from now on fail with EIO */
static atomic_int fault_spared; /* ... but this many go well before them */
static atomic_int fault_writes; /* this many writes fail with fault_errno */
static atomic_int fault_errno;
static atomic_uint fault_sync_count;

/* A sync that finds one says that it has begun and waits until it may go on. */
struct fault_gate {
    sem_t begun, go_on;
};
static _Atomic(struct fault_gate *) fault_gate; /* for the next sync only */

static int fault_take(atomic_int *left)
{
    int n = atomic_load(left);

    while (n > 0 && !atomic_compare_exchange_weak(left, &n, n - 1))
        ;
    return n > 0;
}

int fdatasync(int fd)
{
    struct fault_gate *gate = atomic_exchange(&fault_gate, NULL);

    atomic_fetch_add(&fault_sync_count, 1);
    if (gate != NULL) {
        (void)sem_post(&gate->begun);
        (void)sem_wait(&gate->go_on);
    }
    if (!fault_take(&fault_spared) && fault_take(&fault_syncs)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
    if (fault_take(&fault_writes)) {
        errno = atomic_load(&fault_errno);
        return -1;
    }
    return syscall(SYS_pwritev, fd, iov, count, at, 0);
}

#endif
