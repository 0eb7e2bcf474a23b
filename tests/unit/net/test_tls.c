/* net/tls: handshakes, STARTTLS, reload, incomplete records. */
#include "net/tls.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "echo.h"
#include "tests/unit/check.h"

struct fixture {
    struct echo_service service;
    struct tls_context *tls;
    struct net *net;
    struct conn_protocol small_input;
    struct net_listener implicit, starttls, small;
    unsigned implicit_port, starttls_port, small_port;
    char dir[40], cert[60], key[60];
};

static void set_up(struct fixture *f, unsigned seconds)
{
    struct net_limits limits;
    struct fail why;

    *f = (struct fixture){.dir = "/tmp/posthorn-tls-XXXXXX"};
    if (mkdtemp(f->dir) == NULL)
        bug("no folder");
    (void)snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
    (void)snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
    CHECK("self-signed", tls_self_sign("mail.example.test", f->cert, f->key, &why));
    f->tls = tls_context_create(f->cert, f->key, &why);
    if (f->tls == NULL)
        bug("%s", why.text);
    f->implicit = (struct net_listener){.name = "tls",
                                        .protocol = &echo_protocol,
                                        .service = &f->service,
                                        .tls = NET_TLS_IMPLICIT,
                                        .tls_context = f->tls,
                                        .idle_seconds = 60};
    f->starttls = f->implicit;
    f->starttls.tls = NET_TLS_STARTTLS;
    f->small_input = echo_protocol;
    f->small_input.input_max = 2048;
    f->small = f->implicit;
    f->small.protocol = &f->small_input;
    net_limits_default(&limits);
    limits.connections_max = 1000;
    limits.command_seconds = seconds;
    echo_start(&f->service);
    f->net = net_create(&limits, &why);
    f->implicit.fd = echo_listen(&f->implicit_port);
    f->starttls.fd = echo_listen(&f->starttls_port);
    f->small.fd = echo_listen(&f->small_port);
    if (f->net == NULL || !net_listen(f->net, &f->implicit, &why) ||
        !net_listen(f->net, &f->starttls, &why) || !net_listen(f->net, &f->small, &why) ||
        !net_start(f->net, &why))
        bug("net: %s", why.text);
}

static void tear_down(struct fixture *f)
{
    net_destroy(&f->net);
    echo_stop(&f->service);
    tls_context_destroy(&f->tls);
    CHECK("every session closed", f->service.opened == f->service.closed);
    CHECK("every source released", f->service.sources == f->service.released);
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

static SSL_CTX *new_client_context(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    (void)SSL_CTX_set_min_proto_version(ctx, version);
    (void)SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_security_level(ctx, 0); /* else OpenSSL itself refuses the old versions */
    return ctx;
}

static void test_versions(struct fixture *f)
{
    static const struct {
        const char *note;
        int version;
        bool ok;
    } cases[] = {
        {"TLS 1.3", TLS1_3_VERSION, true},
        {"TLS 1.2", TLS1_2_VERSION, true},
        {"TLS 1.1", TLS1_1_VERSION, false},
        {"TLS 1.0", TLS1_VERSION, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SSL_CTX *ctx = new_client_context(cases[i].version);
        struct client *c = new_client(f->implicit_port);
        bool ok = client_tls(c, ctx);
        CHECK(cases[i].note, ok == cases[i].ok);
        if (ok) {
            CHECK(cases[i].note, client_expect(c, "hello") && client_send(c, "PEER\r\n") &&
                                     client_expect(c, "127.0.0.1 tls"));
            CHECK(cases[i].note, client_send(c, "BYTES 1000000\r\nMORE 100\r\n") &&
                                     client_pattern(c, 0, 1000000) && client_expect(c, "done"));
            CHECK(cases[i].note, client_send(c, "ECHO x\r\nQUIT\r\n"));
            const char *line = client_line(c);
            while (line != NULL && strcmp(line, "done") != 0)
                line = client_line(c);
            CHECK(cases[i].note, client_expect(c, "x") && client_expect(c, "bye") && client_at_end(c));
        }
        drop_client(c);
        SSL_CTX_free(ctx);
    }
}

static void test_small_pieces(struct fixture *f)
{
    SSL_CTX *ctx = new_client_context(TLS1_3_VERSION);
    struct client *c = new_client(f->implicit_port);
    bool ok = client_tls(c, ctx) && client_expect(c, "hello");

    for (int i = 0; i < 300; i++)
        ok = ok && client_send(c, "BYTES 100\r\nECHO between\r\n");
    for (int i = 0; i < 300 && ok; i++)
        ok = client_pattern(c, 0, 100) && client_expect(c, "done") && client_expect(c, "between");
    CHECK("small sources and lines in turn", ok);
    drop_client(c);
    SSL_CTX_free(ctx);
}

/* One record holds more than the connection takes at a time: epoll knows nothing of the rest. */
static void test_large_record(struct fixture *f)
{
    SSL_CTX *ctx = new_client_context(TLS1_3_VERSION);
    struct client *c = new_client(f->small_port);
    char text[16000] = "", line[20];
    size_t len = 0;
    bool ok = client_tls(c, ctx) && client_expect(c, "hello");

    for (int i = 0; i < 1000; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "ECHO %d\r\n", i);
    ok = ok && client_write(c, text, len);
    for (int i = 0; i < 1000 && ok; i++) {
        (void)snprintf(line, sizeof(line), "%d", i);
        ok = client_expect(c, line);
    }
    CHECK("every command of the record", ok);
    drop_client(c);
    SSL_CTX_free(ctx);
}

static void test_starttls(struct fixture *f)
{
    SSL_CTX *ctx = new_client_context(TLS1_3_VERSION);
    struct client *c = new_client(f->starttls_port);

    CHECK("in clear",
          client_expect(c, "hello") && client_send(c, "PEER\r\n") && client_expect(c, "127.0.0.1"));
    CHECK("what follows STARTTLS", client_send(c, "STARTTLS\r\nECHO injected\r\n") && client_expect(c, "go"));
    CHECK("handshake", client_tls(c, ctx));
    CHECK("is dropped", client_send(c, "PEER\r\n") && client_expect(c, "127.0.0.1 tls"));
    CHECK("one at a time", client_send(c, "ECHO a\r\n") && client_expect(c, "a"));
    drop_client(c);

    c = new_client(f->starttls_port);
    CHECK("hello", client_expect(c, "hello") && client_send(c, "STARTTLS\r\n") && client_expect(c, "go"));
    CHECK("no handshake at all", client_send(c, "ECHO in clear\r\n"));
    const char *line = client_line(c); /* an alert, perhaps, then the end */
    CHECK("no answer in clear", line == NULL || strstr(line, "in clear") == NULL);
    drop_client(c);
    SSL_CTX_free(ctx);
}

static long serial_of(struct client *c)
{
    X509 *cert = SSL_get1_peer_certificate(c->ssl);
    long serial = (long)X509_subject_name_hash(cert) ^ (long)ASN1_INTEGER_get(X509_get0_serialNumber(cert));
    unsigned char digest[32];
    unsigned n = sizeof(digest);

    if (X509_digest(cert, EVP_sha256(), digest, &n) == 1)
        memcpy(&serial, digest, sizeof(serial));
    X509_free(cert);
    return serial;
}

static void test_reload(struct fixture *f)
{
    SSL_CTX *ctx = new_client_context(TLS1_3_VERSION);
    struct client *before = new_client(f->implicit_port);
    struct fail why;
    struct stat st;

    CHECK("before", client_tls(before, ctx) && client_expect(before, "hello"));
    CHECK("key is private", stat(f->key, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK("another certificate", tls_self_sign("other.example.test", f->cert, f->key, &why));
    CHECK("reloaded", tls_context_reload(f->tls, &why));
    struct client *after = new_client(f->implicit_port);
    CHECK("after",
          client_tls(after, ctx) && client_expect(after, "hello") && serial_of(after) != serial_of(before));
    CHECK("the old one goes on", client_send(before, "ECHO x\r\n") && client_expect(before, "x"));

    CHECK("the key is lost", unlink(f->key) == 0 && !tls_context_reload(f->tls, &why));
    struct client *still = new_client(f->implicit_port);
    CHECK("nothing changes",
          client_tls(still, ctx) && client_expect(still, "hello") && serial_of(still) == serial_of(after));
    drop_client(still);
    drop_client(after);
    drop_client(before);
    SSL_CTX_free(ctx);
}

static void test_contexts(struct fixture *f)
{
    struct fail why;
    char other[80];
    struct tls_context *t;

    (void)snprintf(other, sizeof(other), "%s/other.pem", f->dir);
    CHECK("self-signed", tls_self_sign("a.example", f->cert, f->key, &why));
    CHECK("no such file", tls_context_create("/nonexistent", f->key, &why) == NULL);
    CHECK("says which", strstr(why.text, "/nonexistent") != NULL);
    CHECK("key and certificate mixed up", tls_context_create(f->key, f->cert, &why) == NULL);
    CHECK("another's key", tls_self_sign("b.example", other, f->key, &why) &&
                               tls_context_create(f->cert, f->key, &why) == NULL);
    CHECK("those two fit", (t = tls_context_create(other, f->key, &why)) != NULL);
    tls_context_destroy(&t);
    tls_context_destroy(&t);
    CHECK("bad hostnames",
          !tls_self_sign("", other, f->key, &why) && !tls_self_sign("a,IP:1.2.3.4", other, f->key, &why));
    (void)unlink(other);
}

static void test_renegotiation(struct fixture *f)
{
    SSL_CTX *ctx = new_client_context(TLS1_2_VERSION);
    struct client *c = new_client(f->implicit_port);

    CHECK("hello", client_tls(c, ctx) && client_expect(c, "hello"));
    CHECK("no renegotiation",
          SSL_renegotiate(c->ssl) != 1 || SSL_do_handshake(c->ssl) != 1 || !client_send(c, "ECHO x\r\n"));
    drop_client(c);
    SSL_CTX_free(ctx);
}

/* Makes the bytes of one record without sending them. */
static size_t make_record(struct client *c, const char *text, char *out, size_t size)
{
    BIO *wire = BIO_new(BIO_s_mem());

    SSL_set0_wbio(c->ssl, wire);
    (void)SSL_write(c->ssl, text, (int)strlen(text));
    int n = BIO_read(wire, out, (int)size);
    return n > 0 ? (size_t)n : 0;
}

static void test_incomplete_record(void)
{
    struct fixture f;
    SSL_CTX *ctx = new_client_context(TLS1_3_VERSION);
    char record[200];

    for (size_t cut = 1; cut <= 20; cut += 19) { /* within the record's header, and behind it */
        set_up(&f, 1);
        f.service.early_ready = 1;
        struct client *c = new_client(f.implicit_port);
        CHECK("hello", client_tls(c, ctx) && client_expect(c, "hello"));
        CHECK("whole", client_send(c, "ECHO x\r\n") && client_expect(c, "x"));
        size_t n = make_record(c, "ECHO y\r\n", record, sizeof(record));
        CHECK("a part of a record", n > 20 && send(c->fd, record, cut, 0) == (ssize_t)cut);
        CHECK("is a part of a command", client_expect(c, "ended: took too long") && client_at_end(c));
        drop_client(c);
        tear_down(&f);
    }

    set_up(&f, 60);
    struct client *c = new_client(f.implicit_port);
    CHECK("hello", client_tls(c, ctx) && client_expect(c, "hello"));
    size_t n = make_record(c, "ECHO y\r\n", record, sizeof(record));
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        ok = ok && send(c->fd, record + i, 1, 0) == 1;
    CHECK("byte by byte", ok && client_expect(c, "y"));
    drop_client(c);
    tear_down(&f);

    set_up(&f, 1);
    c = new_client(f.implicit_port);
    CHECK("half a client hello ends", send(c->fd, "\x16\x03\x01\x02", 4, 0) == 4 && client_at_end(c));
    drop_client(c);
    c = new_client(f.implicit_port);
    CHECK("no TLS at all", client_send(c, "GET / HTTP/1.0\r\n\r\n"));
    drop_client(c);
    tear_down(&f);
    SSL_CTX_free(ctx);
}

int main(void)
{
    struct fixture f;

    set_up(&f, 60);
    test_versions(&f);
    test_small_pieces(&f);
    test_large_record(&f);
    test_starttls(&f);
    test_renegotiation(&f);
    test_reload(&f);
    test_contexts(&f);
    tear_down(&f);
    test_incomplete_record();
    return check_done();
}
