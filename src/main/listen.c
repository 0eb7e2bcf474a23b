/*
 * main/listen.c - sockets that wait for clients.
 *
 * Layer: main.
 */
#include "main/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scoped.h"
#include "main/config.h"
#include "main/role.h"

static bool unix_address(const char *path, struct sockaddr_un *out, struct fail *why)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof out->sun_path)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: a socket's path has at most %zu bytes", path,
                        sizeof out->sun_path - 1);
    memcpy(out->sun_path, path, strlen(path) + 1);
    return true;
}

int listen_connect(const char *path, int type, struct fail *why)
{
    struct sockaddr_un address;
    int                fd;

    if (!unix_address(path, &address, why))
        return -1;
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)fail_errno(why, errno, "%s", path);
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    return fd;
}

int listen_unix(const char *path, int type, struct fail *why)
{
    struct sockaddr_un address;
    struct stat        st;
    int                fd;

    if (!unix_address(path, &address, why))
        return -1;
    fd = listen_connect(path, type, NULL);
    if (fd >= 0) {
        (void)close(fd);
        (void)fail_set(why, FAIL_PERM, FAIL_EXISTS, "%s: another server listens there", path);
        return -1;
    }
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(path);
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || chmod(path, 0666) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        (void)fail_errno(why, errno, "%s", path);
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    return fd;
}

static bool inet_address(const char *text, unsigned port, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in  v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        *len = sizeof v4;
        return true;
    }
    if (strcmp(text, "*") == 0 || inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) { /* "*": in6addr_any is zeros */
        memcpy(out, &v6, sizeof v6);
        *len = sizeof v6;
        return true;
    }
    return false;
}

/* -1 with errno. */
static int listen_inet(const struct sockaddr_storage *address, socklen_t len, bool both_families)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, only = !both_families;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (address->ss_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0) &&
        bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int errnum = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = errnum;
    return -1;
}

int listen_open(const struct config_listener *l, struct fail *why)
{
    struct sockaddr_storage address;
    socklen_t               len;
    bool                    any = strcmp(l->address, "*") == 0;

    if (l->address[0] == '/')
        return listen_unix(l->address, SOCK_STREAM, why);
    if (!inet_address(l->address, l->port, &address, &len)) {
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "listener %s: %s is no IP address", l->name, l->address);
        return -1;
    }
    int fd = listen_inet(&address, len, any);
    if (fd < 0 && any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) { /* a machine without IPv6 */
        (void)inet_address("0.0.0.0", l->port, &address, &len);
        fd = listen_inet(&address, len, false);
    }
    if (fd < 0)
        (void)fail_errno(why, errno, "listener %s: %s port %u", l->name, l->address, l->port);
    return fd;
}

const char *listen_control_path(struct config *c, enum role role)
{
    switch (role) {
    case ROLE_MAIL: return config_runtime_path(c, "mail.control");
    case ROLE_QUEUE: return config_runtime_path(c, "queue.control");
    case ROLE_AUTH: return config_runtime_path(c, "auth.control");
    case ROLE_CONTENT:
    case ROLE_FETCH:
    case ROLE_RESOLVER: return NULL;
    }
    bug("role %d", (int)role);
}

int listen_control_type(enum role role)
{
    return role == ROLE_AUTH ? SOCK_SEQPACKET : SOCK_STREAM;
}
