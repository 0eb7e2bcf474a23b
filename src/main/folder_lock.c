/*
 * main/folder_lock.c - one process at a time has a folder.
 *
 * Layer: main.
 */
#include "main/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"

enum { AGAIN_US = 20000 };

static bool lock_in_time(int fd, const char *path, int64_t give_up, struct fail *why)
{
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(why, errno, "%s", path);
        if (clock_mono_ms() >= give_up)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s is in use by another process", path);
        (void)usleep(AGAIN_US);
    }
    return true;
}

bool folder_lock(const char *path, unsigned seconds, int *lock, struct fail *why)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return fail_errno(why, errno, "%s", path);
    if (lock_in_time(*lock, path, clock_mono_ms() + (int64_t)seconds * 1000, why))
        return true;
    (void)close(*lock);
    *lock = -1;
    return false;
}
