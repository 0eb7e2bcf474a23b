/* A client for the net tests, and the sockets it needs. */
#include "client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"

static socklen_t loopback(unsigned port, struct sockaddr_storage *out)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};

    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *out = (struct sockaddr_storage){0};
    memcpy(out, &four, sizeof(four));
    return sizeof(four);
}

int echo_listen(unsigned *port)
{
    struct sockaddr_storage a;
    struct sockaddr_in four;
    socklen_t len = loopback(0, &a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 512) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        bug("cannot listen");
    memcpy(&four, &a, sizeof(four));
    *port = ntohs(four.sin_port);
    return fd;
}

int echo_try_connect(unsigned port)
{
    struct sockaddr_storage a;
    socklen_t len = loopback(port, &a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, len) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int echo_connect(unsigned port)
{
    int fd = echo_try_connect(port);

    if (fd < 0)
        bug("cannot connect");
    return fd;
}

void client_init(struct client *c, int fd)
{
    c->fd = fd;
    c->ssl = NULL;
    c->have = c->at = 0;
}

void client_finish(struct client *c)
{
    SSL_free(c->ssl);
    (void)close(c->fd);
}

bool client_tls(struct client *c, SSL_CTX *ctx)
{
    c->ssl = SSL_new(ctx);
    return c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 && SSL_connect(c->ssl) == 1;
}

bool client_write(struct client *c, const void *data, size_t n)
{
    const char *at = data;

    while (n > 0) {
        ssize_t done = c->ssl != NULL ? SSL_write(c->ssl, at, (int)n) : send(c->fd, at, n, MSG_NOSIGNAL);
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool client_send(struct client *c, const char *text)
{
    return client_write(c, text, strlen(text));
}

bool client_fill(struct client *c)
{
    if (c->at > 0) {
        memmove(c->bytes, c->bytes + c->at, c->have - c->at);
        c->have -= c->at;
        c->at = 0;
    }
    size_t room = sizeof(c->bytes) - c->have;
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, c->bytes + c->have, (int)room)
                               : recv(c->fd, c->bytes + c->have, room, 0);
    if (n <= 0)
        return false;
    c->have += (size_t)n;
    return true;
}

const char *client_line(struct client *c)
{
    for (;;) {
        char *line = c->bytes + c->at;
        char *end = c->have > c->at ? memchr(line, '\n', c->have - c->at) : NULL;
        if (end != NULL) {
            c->at = (size_t)(end - c->bytes) + 1;
            end[end > line && end[-1] == '\r' ? -1 : 0] = '\0';
            return line;
        }
        if (!client_fill(c))
            return NULL;
    }
}

bool client_expect(struct client *c, const char *want)
{
    const char *got = client_line(c);

    if (got != NULL && strcmp(got, want) == 0)
        return true;
    fprintf(stderr, "got %s, want %s\n", got != NULL ? got : "the end", want);
    return false;
}

bool client_pattern(struct client *c, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        if (c->at == c->have && !client_fill(c))
            return false;
        if ((unsigned char)c->bytes[c->at++] != i % 251)
            return false;
    }
    return true;
}

bool client_at_end(struct client *c)
{
    return c->at == c->have && !client_fill(c);
}

bool client_ends_cleanly(struct client *c)
{
    return c->at == c->have && recv(c->fd, c->bytes, sizeof(c->bytes), 0) == 0;
}
