/*
 * net/ipc_socket.c - Unix sockets that keep messages apart.
 *
 * Layer: net.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fail.h"
#include "net/ipc.h"

enum { BACKLOG = 64 };

bool ipc_socket_pair(int ends[2], struct fail *why)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_errno(why, errno, "socketpair");
    return true;
}

static bool fill_address(const char *path, struct sockaddr_un *out, struct fail *why)
{
    size_t len = strlen(path);

    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len == 0 || len >= sizeof(out->sun_path))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: the path of a socket has 1 to %zu bytes", path,
                        sizeof(out->sun_path) - 1);
    memcpy(out->sun_path, path, len);
    return true;
}

int ipc_socket_connect(const char *path, struct fail *why)
{
    struct sockaddr_un address;

    if (!fill_address(path, &address, why))
        return -1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    fail_errno(why, errno, "%s", path);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int ipc_socket_listen(const char *path, mode_t mode, struct fail *why)
{
    struct sockaddr_un address;
    struct stat st;

    if (!fill_address(path, &address, why))
        return -1;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(path); /* of a process that has gone: who owns the folder is the only one */
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    /* The mode first, so that others can connect at no time; again, as the umask may have taken from it. */
    if (fd >= 0 && fchmod(fd, mode) == 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        chmod(path, mode) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    fail_errno(why, errno, "%s", path);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}
