/*
 * fetch/reach.c - see fetch/reach.h.
 *
 * Layer: fetch.
 */
#include "fetch/reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "net/dns.h"

enum { ADDRESSES_MAX = 8, ARENA_MAX = 256 * 1024 };

/* ---- addresses ---- */

static void add(struct reach *r, const struct sockaddr_storage *address, unsigned port, bool any)
{
    struct sockaddr_in  four;
    struct sockaddr_in6 six;

    if (r->count == ADDRESSES_MAX || (!any && !fetch_address_is_public(address)))
        return;
    struct sockaddr_storage *to = &r->addresses[r->count++];
    *to = *address;
    if (address->ss_family == AF_INET) {
        memcpy(&four, to, sizeof four);
        four.sin_port = htons((uint16_t)port);
        memcpy(to, &four, sizeof four);
    } else {
        memcpy(&six, to, sizeof six);
        six.sin6_port = htons((uint16_t)port);
        memcpy(to, &six, sizeof six);
    }
}

static void add_four(struct reach *r, struct in_addr a, unsigned port, bool any)
{
    struct sockaddr_in      four = {.sin_family = AF_INET, .sin_addr = a};
    struct sockaddr_storage address = {0};

    memcpy(&address, &four, sizeof four);
    add(r, &address, port, any);
}

static void add_six(struct reach *r, const struct in6_addr *a, unsigned port, bool any)
{
    struct sockaddr_in6     six = {.sin6_family = AF_INET6, .sin6_addr = *a};
    struct sockaddr_storage address = {0};

    memcpy(&address, &six, sizeof six);
    add(r, &address, port, any);
}

static bool ask_dns(struct dns_client *dns, const struct fetch_url *to, bool any, struct arena *a, struct reach *out, struct fail *why)
{
    const char       *name = arena_cstr(a, slice_sub(to->host, 0, to->host.len - (slice_ends(to->host, SLICE(".")) ? 1 : 0)));
    struct dns_answer four = {0}, six = {0};

    dns_ask(dns, name, DNS_A, a, &four);
    dns_ask(dns, name, DNS_AAAA, a, &six);
    /* Half for each family, so that neither keeps the other out. */
    for (size_t i = 0; four.status == DNS_FOUND && i < four.count && out->count < ADDRESSES_MAX / 2; i++)
        add_four(out, four.records[i].a, to->port, any);
    for (size_t i = 0; six.status == DNS_FOUND && i < six.count; i++)
        add_six(out, &six.records[i].aaaa, to->port, any);
    if (out->count > 0)
        return true;
    if (four.status == DNS_FOUND || six.status == DNS_FOUND)
        return fail_set(why, FAIL_TEMP, FAIL_NOT_ALLOWED, "%s has only private addresses", name);
    if (four.status == DNS_FAILED || six.status == DNS_FAILED) {
        const char *told = four.status == DNS_FAILED ? four.why : six.why;
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s cannot be resolved: %s", name, told != NULL ? told : "no answer");
    }
    return fail_set(why, FAIL_TEMP, FAIL_NOT_FOUND, "%s has no address", name);
}

bool reach_find(struct dns_client *dns, const struct fetch_url *to, bool helper, struct arena *a, struct reach *out, struct fail *why)
{
    struct reach r = {.addresses = arena_new_array(a, struct sockaddr_storage, ADDRESSES_MAX)};

    if (r.addresses == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no memory for addresses");
    if (to->address.ss_family != AF_UNSPEC) {
        add(&r, &to->address, to->port, helper);
    } else if (slice_eq_nocase(to->host, SLICE("localhost"))) { /* RFC 6761 section 6.3: not asked of DNS */
        add_four(&r, (struct in_addr){htonl(INADDR_LOOPBACK)}, to->port, helper);
        add_six(&r, &in6addr_loopback, to->port, helper);
    } else if (!ask_dns(dns, to, helper, a, &r, why)) {
        return false;
    }
    if (r.count == 0)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, PRIslice " is a private address", SLICE_ARG(to->host));
    *out = r;
    return true;
}

/* ---- connections ---- */

static bool wait_connected(int fd, int64_t deadline_ms, struct fail *why)
{
    int       error = 0;
    socklen_t len = sizeof error;

    for (;;) {
        int64_t       left = deadline_ms - clock_mono_ms();
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        int           n = left > 0 ? poll(&ready, 1, (int)left) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "no connection within the time");
        break;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    return error == 0 || fail_errno(why, error, "connection");
}

/* The socket is the caller's, also when it fails. */
static bool connect_socket(int fd, const struct sockaddr *address, socklen_t len, int64_t deadline_ms, struct fail *why)
{
    if (connect(fd, address, len) != 0) {
        if (errno != EINPROGRESS)
            return fail_errno(why, errno, "connection");
        if (!wait_connected(fd, deadline_ms, why))
            return false;
    }
    int flags = fcntl(fd, F_GETFL);
    return (flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0) || fail_errno(why, errno, "socket");
}

static int connect_to(const struct sockaddr *address, socklen_t len, int64_t deadline_ms, struct fail *why)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        (void)fail_errno(why, errno, "socket");
        return -1;
    }
    if (connect_socket(fd, address, len, deadline_ms, why))
        return fd;
    (void)close(fd);
    return -1;
}

static int connect_unix(const char *path, int64_t deadline_ms, struct fail *why)
{
    struct sockaddr_un      un = {.sun_family = AF_UNIX};
    struct sockaddr_storage address = {0};

    memcpy(un.sun_path, path, strlen(path)); /* it fits: fetch_helper_parse */
    memcpy(&address, &un, sizeof un);
    return connect_to((const struct sockaddr *)&address, sizeof un, deadline_ms, why);
}

int reach_connect(struct dns_client *dns, const struct fetch_helper *helper, int64_t deadline_ms, struct fail *why)
{
    struct arena a;
    struct reach at = {0};
    int          fd = -1;

    if (helper->kind == HELPER_UNIX)
        return connect_unix(helper->path, deadline_ms, why);
    arena_init(&a, ARENA_MAX);
    if (reach_find(dns, &helper->url, true, &a, &at, why))
        for (size_t i = 0; fd < 0 && i < at.count; i++)
            fd = connect_to((const struct sockaddr *)&at.addresses[i],
                            at.addresses[i].ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), deadline_ms,
                            why);
    arena_finish(&a);
    return fd;
}
