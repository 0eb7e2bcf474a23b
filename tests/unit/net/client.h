/*
 * tests/unit/net/client.h - a client's end: blocking, reads lines, with TLS or without.
 */
#ifndef TESTS_CLIENT_H
#define TESTS_CLIENT_H

#include <openssl/ssl.h>

#include "base/slice.h"

/* A listening socket on a free port of 127.0.0.1. */
int echo_listen(unsigned *port);
int echo_connect(unsigned port);
int echo_try_connect(unsigned port); /* -1: nobody listens */

struct client {
    int     fd;
    SSL    *ssl;
    struct z_stream_s *in, *out; /* client_compress */
    char   *rest; /* input of `in` that it has not taken */
    size_t  have, at;
    char    bytes[65536];
};
void client_init(struct client *c, int fd);
void client_finish(struct client *c);
bool client_tls(struct client *c, SSL_CTX *ctx);
/* From now on everything is compressed; `level` of ours. */
void client_compress(struct client *c, int level);
/* The same as client_write, with a flush of that kind behind it (Z_NO_FLUSH, Z_FINISH ...). */
bool client_deflate(struct client *c, const void *data, size_t n, int flush);
/* As it is, compressed or not. */
bool client_write_raw(struct client *c, const void *data, size_t n);
bool client_send(struct client *c, const char *text);
bool client_write(struct client *c, const void *data, size_t n);
/* Reads more into `bytes`; false at the end. */
bool client_fill(struct client *c);
/* The next line without CRLF; NULL at the end.  Valid until the next call. */
const char *client_line(struct client *c);
bool client_expect(struct client *c, const char *want);
/* Reads the bytes of a source from offset `from` to `to` and compares them. */
bool client_pattern(struct client *c, uint64_t from, uint64_t to);
bool client_at_end(struct client *c); /* the server has closed */
/* It has closed, and not reset the connection. */
bool client_ends_cleanly(struct client *c);

#endif
