/* net: who is let in, by which address; full houses; PROXY headers in front. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "tests/unit/check.h"

struct fixture {
    struct echo_service service;
    struct tls_context *tls;
    struct net *net;
    struct net_listener proxied, plain, secure; /* PROXY headers believed; not; believed, then TLS */
    struct net_listener foreign;                /* believed, but not from here */
    struct net_block here, elsewhere;
    unsigned proxied_port, plain_port, secure_port, foreign_port;
    char dir[40], cert[60], key[60];
};

static void set_up(struct fixture *f, unsigned per_address, unsigned all)
{
    struct net_limits limits;
    struct fail why;

    *f = (struct fixture){.dir = "/tmp/posthorn-limits-XXXXXX"};
    if (mkdtemp(f->dir) == NULL)
        bug("no folder");
    (void)snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
    (void)snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
    if (!tls_self_sign("localhost", f->cert, f->key, &why) ||
        (f->tls = tls_context_create(f->cert, f->key, &why)) == NULL ||
        !net_block_parse(SLICE("127.0.0.0/8"), &f->here, &why) ||
        !net_block_parse(SLICE("192.0.2.0/24"), &f->elsewhere, &why))
        bug("%s", why.text);
    f->plain = (struct net_listener){.name = "plain",
                                     .protocol = &echo_protocol,
                                     .service = &f->service,
                                     .idle_seconds = 60,
                                     .proxy_sources = &f->here,
                                     .proxy_source_count = 1};
    f->proxied = f->plain;
    f->proxied.name = "proxied";
    f->proxied.proxy = true;
    f->foreign = f->proxied;
    f->foreign.name = "foreign";
    f->foreign.proxy_sources = &f->elsewhere;
    f->secure = f->proxied;
    f->secure.name = "secure";
    f->secure.tls = NET_TLS_IMPLICIT;
    f->secure.tls_context = f->tls;
    net_limits_default(&limits);
    limits.connections_per_address = per_address;
    limits.connections_max = all;
    echo_start(&f->service);
    f->net = net_create(&limits, &why);
    f->plain.fd = echo_listen(&f->plain_port);
    f->proxied.fd = echo_listen(&f->proxied_port);
    f->secure.fd = echo_listen(&f->secure_port);
    f->foreign.fd = echo_listen(&f->foreign_port);
    if (f->net == NULL || !net_listen(f->net, &f->foreign, &why) || !net_listen(f->net, &f->plain, &why) ||
        !net_listen(f->net, &f->proxied, &why) || !net_listen(f->net, &f->secure, &why) ||
        !net_start(f->net, &why))
        bug("net: %s", why.text);
}

static void tear_down(struct fixture *f)
{
    net_destroy(&f->net);
    echo_stop(&f->service);
    tls_context_destroy(&f->tls);
    CHECK("every session closed", f->service.opened == f->service.closed);
    (void)unlink(f->cert);
    (void)unlink(f->key);
    (void)rmdir(f->dir);
}

static struct client *new_client(unsigned port)
{
    struct client *c = malloc(sizeof(*c));

    client_init(c, echo_connect(port));
    return c;
}

static void drop_client(struct client *c)
{
    client_finish(c);
    free(c);
}

static void test_proxy(struct fixture *f)
{
    static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\x63\xc6\x33\x64\2\x12\x67\0\x19";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct client *c = new_client(f->proxied_port);

    CHECK("version 1", client_send(c, "PROXY TCP4 192.0.2.9 192.0.2.1 1 25\r\nPEER\r\n") &&
                           client_expect(c, "hello") && client_expect(c, "192.0.2.9"));
    drop_client(c);
    c = new_client(f->proxied_port);
    CHECK("version 2", client_write(c, v2, sizeof(v2) - 1) && client_send(c, "PEER\r\n") &&
                           client_expect(c, "hello") && client_expect(c, "192.0.2.99"));
    drop_client(c);
    c = new_client(f->proxied_port);
    bool ok = true;
    for (size_t i = 0; i < sizeof(v2) - 1; i++)
        ok = ok && client_write(c, v2 + i, 1);
    CHECK("in pieces",
          ok && client_send(c, "PEER\r\n") && client_expect(c, "hello") && client_expect(c, "192.0.2.99"));
    drop_client(c);
    c = new_client(f->proxied_port);
    CHECK("the proxy itself", client_send(c, "PROXY UNKNOWN\r\nPEER\r\n") && client_expect(c, "hello") &&
                                  client_expect(c, "127.0.0.1"));
    drop_client(c);
    c = new_client(f->proxied_port);
    CHECK("no header", client_send(c, "PEER\r\n") && client_at_end(c));
    drop_client(c);
    const unsigned unbelieving[] = {f->plain_port, f->foreign_port};
    for (size_t i = 0; i < ARRAY_LEN(unbelieving); i++) {
        c = new_client(unbelieving[i]);
        CHECK("not from everybody, not everywhere",
              client_send(c, "PROXY UNKNOWN\r\nPEER\r\n") && client_expect(c, "hello") &&
                  client_expect(c, "what?") && client_expect(c, "127.0.0.1"));
        drop_client(c);
    }
    c = new_client(f->secure_port);
    CHECK("before TLS", client_send(c, "PROXY TCP6 2001:db8::9 2001:db8::1 1 25\r\n") && client_tls(c, ctx) &&
                            client_expect(c, "hello") && client_send(c, "PEER\r\n") &&
                            client_expect(c, "2001:db8::9 tls"));
    drop_client(c);
    SSL_CTX_free(ctx);
}

static struct client *from(struct fixture *f, const char *header, const char *want)
{
    struct client *c = new_client(f->proxied_port);

    CHECK(header, client_send(c, header) && client_expect(c, want));
    return c;
}

static void test_per_address(struct fixture *f)
{
    struct client *a = from(f, "PROXY TCP4 192.0.2.1 192.0.2.200 1 25\r\n", "hello");
    struct client *b = from(f, "PROXY TCP4 192.0.2.1 192.0.2.200 2 25\r\n", "hello");
    struct client *c = from(f, "PROXY TCP4 192.0.2.1 192.0.2.200 3 25\r\n", "go away");
    struct client *d = from(f, "PROXY TCP4 192.0.2.2 192.0.2.200 4 25\r\n", "hello");

    CHECK("and that is all", client_at_end(c));
    CHECK("leaves", client_send(a, "QUIT\r\n") && client_expect(a, "bye") && client_at_end(a));
    while (f->service.closed + 2 < f->service.opened)
        (void)usleep(1000); /* the client sees the end a little before the place is free */
    struct client *e = from(f, "PROXY TCP4 192.0.2.1 192.0.2.200 5 25\r\n", "hello");
    struct client *all[] = {a, b, c, d, e};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        drop_client(all[i]);
}

static void test_full(void)
{
    struct fixture f;
    struct client *c[5];

    set_up(&f, 100, 3);
    for (int i = 0; i < 5; i++)
        c[i] = new_client(f.plain_port); /* two of them only into the kernel's queue */
    for (int i = 0; i < 3; i++)
        CHECK("there is room", client_expect(c[i], "hello"));
    drop_client(c[0]);
    drop_client(c[1]);
    CHECK("then for the next", client_expect(c[3], "hello") && client_expect(c[4], "hello"));
    for (int i = 2; i < 5; i++)
        drop_client(c[i]);
    tear_down(&f);
}

/* Reads log lines until one says `text`. */
static bool read_log_until(int fd, const char *text)
{
    char lines[4096];
    size_t have = 0;

    while (have < sizeof(lines) - 1) {
        ssize_t n = read(fd, lines + have, sizeof(lines) - 1 - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
        lines[have] = '\0';
        if (strstr(lines, text) != NULL)
            return true;
    }
    return false;
}

static void test_no_descriptors(void)
{
    struct fixture f;
    struct rlimit before, few;
    int fillers[256], log[2];
    size_t count = 0;

    CHECK("pipe", pipe(log) == 0);
    log_set_fd(log[1]);
    set_up(&f, 100, 50);
    (void)getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 128;
    CHECK("few files", setrlimit(RLIMIT_NOFILE, &few) == 0);
    while (count < ARRAY_LEN(fillers) && (fillers[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    CHECK("none left", count > 0 && count < ARRAY_LEN(fillers));
    (void)close(fillers[--count]);
    struct client *c = new_client(f.plain_port); /* takes the last */
    CHECK("says so", read_log_until(log[0], "no file descriptors"));
    log_set_fd(2);
    while (count > 0)
        (void)close(fillers[--count]);
    CHECK("served once there are some",
          client_expect(c, "hello") && client_send(c, "ECHO x\r\n") && client_expect(c, "x"));
    (void)setrlimit(RLIMIT_NOFILE, &before);
    (void)close(log[0]);
    (void)close(log[1]);
    drop_client(c);
    tear_down(&f);
}

int main(void)
{
    struct fixture f;

    set_up(&f, 2, 1000);
    test_proxy(&f);
    test_per_address(&f);
    tear_down(&f);
    test_full();
    test_no_descriptors();
    return check_done();
}
