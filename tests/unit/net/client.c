/* A client for the net tests, and the sockets it needs. */
#include "client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

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
    c->in = c->out = NULL;
    c->rest = NULL;
    c->have = c->at = 0;
}

void client_finish(struct client *c)
{
    if (c->in != NULL) {
        (void)inflateEnd(c->in);
        (void)deflateEnd(c->out);
    }
    free(c->in);
    free(c->out);
    free(c->rest);
    SSL_free(c->ssl);
    (void)close(c->fd);
}

bool client_tls(struct client *c, SSL_CTX *ctx)
{
    c->ssl = SSL_new(ctx);
    return c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 && SSL_connect(c->ssl) == 1;
}

void client_compress(struct client *c, int level)
{
    c->in = xcalloc(1, sizeof(*c->in));
    c->out = xcalloc(1, sizeof(*c->out));
    if (inflateInit2(c->in, -15) != Z_OK ||
        deflateInit2(c->out, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        bug("zlib");
}

bool client_deflate(struct client *c, const void *data, size_t n, int flush)
{
    char packed[4096];
    bool ok = true;

    c->out->next_in = (Bytef *)(uintptr_t)data;
    c->out->avail_in = (uInt)n;
    do {
        c->out->next_out = (Bytef *)packed;
        c->out->avail_out = sizeof(packed);
        (void)deflate(c->out, flush);
        ok = ok && client_write_raw(c, packed, sizeof(packed) - c->out->avail_out);
    } while (c->out->avail_out == 0);
    return ok;
}

bool client_write(struct client *c, const void *data, size_t n)
{
    return c->out != NULL ? client_deflate(c, data, n, Z_SYNC_FLUSH) : client_write_raw(c, data, n);
}

bool client_write_raw(struct client *c, const void *data, size_t n)
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

static ssize_t receive(struct client *c, void *out, size_t room)
{
    return c->ssl != NULL ? SSL_read(c->ssl, out, (int)room) : recv(c->fd, out, room, 0);
}

/* 0 at the end, or when what came is not what was deflated. */
static ssize_t inflate_some(struct client *c, void *out, size_t room)
{
    char packed[4096];

    c->in->next_out = out;
    c->in->avail_out = (uInt)room;
    for (;;) {
        int status = inflate(c->in, Z_SYNC_FLUSH); /* what is left from before */
        if (c->in->avail_out < room)
            return (ssize_t)(room - c->in->avail_out);
        if (status != Z_OK && status != Z_BUF_ERROR)
            return 0;
        ssize_t n = receive(c, packed, sizeof(packed) - 95);
        if (n <= 0)
            return 0;
        c->in->next_in = (Bytef *)packed;
        c->in->avail_in = (uInt)n;
        status = inflate(c->in, Z_SYNC_FLUSH);
        if (c->in->avail_in > 0) { /* kept inside this call: `packed` does not live longer */
            if (c->in->avail_out > 0)
                return 0;
            char *rest = malloc(c->in->avail_in);
            memcpy(rest, c->in->next_in, c->in->avail_in);
            free(c->rest);
            c->rest = rest;
            c->in->next_in = (Bytef *)rest;
        }
        if (c->in->avail_out < room)
            return (ssize_t)(room - c->in->avail_out);
        if (status != Z_OK && status != Z_BUF_ERROR)
            return 0;
    }
}

bool client_fill(struct client *c)
{
    if (c->at > 0) {
        memmove(c->bytes, c->bytes + c->at, c->have - c->at);
        c->have -= c->at;
        c->at = 0;
    }
    size_t room = sizeof(c->bytes) - c->have;
    ssize_t n = c->in != NULL ? inflate_some(c, c->bytes + c->have, room) : receive(c, c->bytes + c->have, room);
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
