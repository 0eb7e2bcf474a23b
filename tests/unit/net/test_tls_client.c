/* net/tls_client: what must hold of a certificate, resumption, and the words for what went wrong. */
#include "net/tls_client.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/check.h"

/* ---- certificates ---- */

struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static void extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    (void)X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* issuer NULL: an authority that signs itself. */
static struct pair make(const char *name, const struct pair *issuer, long from, long until)
{
    struct pair p = {X509_new(), EVP_EC_gen("P-256")};
    X509_NAME *subject = X509_get_subject_name(p.certificate);
    char alternative[200];

    (void)X509_set_version(p.certificate, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(p.certificate), issuer != NULL ? 2 : 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(p.certificate), from);
    (void)X509_gmtime_adj(X509_getm_notAfter(p.certificate), until);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    (void)X509_set_issuer_name(p.certificate, issuer != NULL ? X509_get_subject_name(issuer->certificate) : subject);
    (void)X509_set_pubkey(p.certificate, p.key);
    extend(p.certificate, issuer != NULL ? issuer->certificate : p.certificate, NID_basic_constraints, issuer != NULL ? "critical,CA:FALSE" : "critical,CA:TRUE");
    (void)snprintf(alternative, sizeof(alternative), "DNS:%s", name);
    if (issuer != NULL)
        extend(p.certificate, issuer->certificate, NID_subject_alt_name, alternative);
    (void)X509_sign(p.certificate, issuer != NULL ? issuer->key : p.key, EVP_sha256());
    return p;
}

static void drop(struct pair *p)
{
    X509_free(p->certificate);
    EVP_PKEY_free(p->key);
}

/* ---- a server that shakes hands, says "hello", and echoes until the end ---- */

struct server {
    SSL_CTX *ctx;
    int fd;
    pthread_t thread;
    char sni[100];
};

static void *serve(void *arg)
{
    struct server *s = arg;
    SSL *ssl = SSL_new(s->ctx);
    char in[4096];
    int n;

    (void)SSL_set_fd(ssl, s->fd);
    if (SSL_accept(ssl) == 1) {
        const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        (void)snprintf(s->sni, sizeof(s->sni), "%s", sni != NULL ? sni : "");
        (void)SSL_write(ssl, "hello", 5);
        while ((n = SSL_read(ssl, in, sizeof(in))) > 0)
            (void)SSL_write(ssl, in, n);
    }
    SSL_free(ssl);
    (void)shutdown(s->fd, SHUT_RDWR);
    return NULL;
}

struct world {
    struct pair root, good, expired, early, stranger_root, stranger;
    char authorities[40];
    struct tls_client *client;
};

static SSL_CTX *server_context(const struct pair *leaf, const struct pair *issuer, int most)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    (void)SSL_CTX_use_certificate(ctx, leaf->certificate);
    (void)SSL_CTX_use_PrivateKey(ctx, leaf->key);
    if (issuer != NULL)
        (void)SSL_CTX_add1_chain_cert(ctx, issuer->certificate);
    if (most != 0) {
        (void)SSL_CTX_set_min_proto_version(ctx, most);
        (void)SSL_CTX_set_max_proto_version(ctx, most);
        if (most < TLS1_2_VERSION)
            SSL_CTX_set_security_level(ctx, 0);
    }
    (void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"t", 1);
    return ctx;
}

struct outcome {
    bool open, resumed;
    char text[120], complaint[160], sni[100];
    struct fail why;
};

static struct outcome meet(struct world *w, SSL_CTX *ctx, const struct tls_client_rule *rule, const char *key)
{
    struct server s = {.ctx = ctx};
    struct outcome o = {0};
    struct tls_link *l = NULL;
    int fds[2];
    char in[16];
    int64_t deadline = clock_mono_ms() + 20000;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        bug("socketpair");
    s.fd = fds[0];
    if (pthread_create(&s.thread, NULL, serve, &s) != 0)
        bug("thread");
    o.open = tls_link_open(w->client, fds[1], "mx.example", key, rule, deadline, &l, &o.why);
    if (o.open) {
        CHECK("hello", tls_link_read(l, in, sizeof(in), deadline, &o.why) == 5);
        CHECK("echo", tls_link_write(l, SLICE("abc"), deadline, &o.why) && tls_link_read(l, in, sizeof(in), deadline, &o.why) == 3);
        o.resumed = tls_link_resumed(l);
        (void)snprintf(o.text, sizeof(o.text), "%s", tls_link_text(l));
        (void)snprintf(o.complaint, sizeof(o.complaint), "%s", tls_link_complaint(l));
    }
    tls_link_close(&l);
    (void)shutdown(fds[1], SHUT_RDWR);
    (void)pthread_join(s.thread, NULL);
    (void)snprintf(o.sni, sizeof(o.sni), "%s", s.sni);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return o;
}

static void world_make(struct world *w)
{
    const long day = 24 * 3600;
    struct fail why;

    w->root = make("root.example", NULL, -day, day);
    w->good = make("mx.example", &w->root, -day, day);
    w->expired = make("mx.example", &w->root, -2 * day, -day);
    w->early = make("mx.example", &w->root, day, 2 * day);
    w->stranger_root = make("stranger.example", NULL, -day, day);
    w->stranger = make("mx.example", &w->stranger_root, -day, day);
    (void)snprintf(w->authorities, sizeof(w->authorities), "/tmp/posthorn-ca-XXXXXX");
    int fd = mkstemp(w->authorities);
    FILE *file = fdopen(fd, "w");
    (void)PEM_write_X509(file, w->root.certificate);
    (void)fclose(file);
    if (!tls_client_create(w->authorities, &w->client, &why))
        bug("%s", why.text);
}

static void world_drop(struct world *w)
{
    tls_client_destroy(&w->client);
    drop(&w->root);
    drop(&w->good);
    drop(&w->expired);
    drop(&w->early);
    drop(&w->stranger_root);
    drop(&w->stranger);
    (void)unlink(w->authorities);
}

/* ---- PKIX ---- */

static void test_pkix(struct world *w)
{
    static const char *const right[] = {"other.example", "mx.example", NULL}, *const wrong[] = {"mail.example", NULL};
    const struct {
        const char *note;
        const struct pair *leaf, *issuer;
        const char *const *names;
        const char *result; /* NULL: passes */
    } cases[] = {
        {"right", &w->good, NULL, right, NULL},
        {"another name", &w->good, NULL, wrong, "certificate-host-mismatch"},
        {"expired", &w->expired, NULL, right, "certificate-expired"},
        {"not yet", &w->early, NULL, right, "certificate-expired"},
        {"a stranger's", &w->stranger, NULL, right, "certificate-not-trusted"},
        {"a stranger's, with its root", &w->stranger, &w->stranger_root, right, "certificate-not-trusted"},
        {"a root itself", &w->stranger_root, NULL, right, "certificate-not-trusted"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SSL_CTX *ctx = server_context(cases[i].leaf, cases[i].issuer, 0);
        struct tls_client_rule rule = {.check = TLS_CHECK_PKIX, .names = cases[i].names};
        struct outcome o = meet(w, ctx, &rule, NULL);

        CHECK(cases[i].note, o.open == (cases[i].result == NULL));
        if (!o.open)
            CHECK_SLICE(cases[i].note, slice_of(tls_client_failure(&o.why)), slice_of(cases[i].result != NULL ? cases[i].result : ""));
        else
            CHECK(cases[i].note, strstr(o.text, ", verified") != NULL);
        rule.testing = true;
        o = meet(w, ctx, &rule, NULL);
        CHECK(cases[i].note, o.open);
        CHECK_SLICE(cases[i].note, slice_of(tls_client_failure_text(o.complaint)), slice_of(cases[i].result != NULL ? cases[i].result : ""));
        o = meet(w, ctx, NULL, NULL);
        CHECK(cases[i].note, o.open && o.complaint[0] == '\0' && strchr(o.text, ',') == NULL);
        CHECK_SLICE(cases[i].note, slice_of(o.sni), SLICE("mx.example"));
        SSL_CTX_free(ctx);
    }
}

/* ---- DANE ---- */

static struct dns_record record_of(unsigned usage, unsigned selector, unsigned matching, X509 *certificate, unsigned char *room)
{
    unsigned char *der = NULL;
    int len = selector == 0 ? i2d_X509(certificate, &der) : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    unsigned n = 64;
    struct dns_record r = {0};

    if (matching != 0)
        (void)EVP_Digest(der, (size_t)len, room, &n, matching == 1 ? EVP_sha256() : EVP_sha512(), NULL);
    else
        memcpy(room, der, n = (unsigned)len);
    OPENSSL_free(der);
    r.tlsa.usage = usage;
    r.tlsa.selector = selector;
    r.tlsa.matching = matching;
    r.tlsa.data = slice_make(room, n);
    return r;
}

static void test_dane(struct world *w)
{
    static const char *const right[] = {"mx.example", NULL}, *const wrong[] = {"mail.example", NULL}, *const second[] = {"mail.example", "mx.example", NULL};
    unsigned char room[10][2048];
    const struct dns_record leaf = record_of(3, 1, 1, w->good.certificate, room[0]), expired = record_of(3, 1, 1, w->expired.certificate, room[1]),
                            root = record_of(2, 0, 1, w->root.certificate, room[2]), other = record_of(3, 1, 1, w->stranger.certificate, room[3]),
                            whole = record_of(3, 0, 0, w->good.certificate, room[4]), anchor = record_of(2, 1, 2, w->stranger_root.certificate, room[5]),
                            pkix = record_of(1, 1, 1, w->stranger.certificate, room[6]), odd = record_of(3, 9, 9, w->good.certificate, room[7]);
    const struct {
        const char *note;
        const struct pair *leaf, *issuer;
        const char *const *names;
        struct dns_record records[2];
        size_t count;
        const char *result; /* NULL: passes */
        bool unchecked;
    } cases[] = {
        {"the leaf's key", &w->good, NULL, right, {leaf}, 1, NULL, false},
        {"names do not count with DANE-EE", &w->good, NULL, wrong, {leaf}, 1, NULL, false},
        {"nor do dates", &w->expired, NULL, right, {expired}, 1, NULL, false},
        {"the whole certificate", &w->good, NULL, right, {whole}, 1, NULL, false},
        {"another's", &w->good, NULL, right, {other}, 1, "validation-failure", false},
        {"one of two", &w->good, NULL, right, {other, leaf}, 2, NULL, false},
        {"an anchor", &w->good, &w->root, right, {root}, 1, NULL, false},
        {"an anchor that no authority of ours is", &w->stranger, &w->stranger_root, right, {anchor}, 1, NULL, false},
        {"an anchor, another name", &w->good, &w->root, wrong, {root}, 1, "certificate-host-mismatch", false},
        {"an anchor, the second name", &w->good, &w->root, second, {root}, 1, NULL, false},
        {"an anchor, expired", &w->expired, &w->root, right, {root}, 1, "certificate-expired", false},
        {"an anchor that is not shown", &w->good, NULL, right, {root}, 1, "validation-failure", false},
        {"PKIX-EE is no check", &w->good, NULL, right, {pkix}, 1, NULL, true},
        {"unknown selector and digest", &w->good, NULL, right, {odd}, 1, NULL, true},
        {"PKIX-EE beside one that can be used", &w->good, NULL, right, {pkix, other}, 2, "validation-failure", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SSL_CTX *ctx = server_context(cases[i].leaf, cases[i].issuer, 0);
        struct tls_client_rule rule = {.check = TLS_CHECK_DANE, .names = cases[i].names, .tlsa = cases[i].records, .tlsa_count = cases[i].count};
        struct outcome o = meet(w, ctx, &rule, NULL);

        CHECK(cases[i].note, o.open == (cases[i].result == NULL));
        if (o.open) {
            CHECK(cases[i].note, (strstr(o.text, ", DANE") != NULL) == !cases[i].unchecked);
            CHECK_SLICE(cases[i].note, slice_of(o.sni), slice_of(cases[i].names[0]));
        } else {
            CHECK_SLICE(cases[i].note, slice_of(tls_client_failure(&o.why)), slice_of(cases[i].result != NULL ? cases[i].result : ""));
            if (cases[i].result == NULL || strcmp(tls_client_failure(&o.why), cases[i].result) != 0)
                fprintf(stderr, "   %s\n", o.why.text);
        }
        SSL_CTX_free(ctx);
    }
}

/* ---- resumption, versions, silence ---- */

static void test_resumption(struct world *w)
{
    static const char *const names[] = {"mx.example", NULL}, *const others[] = {"mail.example", NULL};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        SSL_CTX *ctx = server_context(&w->good, NULL, versions[i]);
        struct tls_client_rule rule = {.check = TLS_CHECK_PKIX, .names = names};
        const char *key = i == 0 ? "old:25" : "new:25";

        CHECK("the first is whole", !meet(w, ctx, &rule, key).resumed);
        struct outcome o = meet(w, ctx, &rule, key);
        CHECK("the second is resumed", o.resumed && strstr(o.text, ", verified") != NULL);
        CHECK("and the third", meet(w, ctx, &rule, key).resumed);
        CHECK("not for another host", !meet(w, ctx, &rule, "other:25").resumed);
        CHECK("not without a check", !meet(w, ctx, NULL, key).resumed);
        rule.names = others;
        o = meet(w, ctx, &rule, key);
        CHECK("not for another name", !o.open);
        SSL_CTX_free(ctx);
    }
}

static void test_versions(struct world *w)
{
    static const char *const names[] = {"mx.example", NULL};
    struct tls_client_rule rule = {.check = TLS_CHECK_PKIX, .names = names};
    SSL_CTX *ctx = server_context(&w->good, NULL, TLS1_1_VERSION);
    struct outcome o = meet(w, ctx, &rule, NULL);

    CHECK("TLS 1.1 is not verified TLS", !o.open && strstr(o.why.text, "TLS handshake failed") != NULL);
    SSL_CTX_free(ctx);
}

static void test_silence(struct world *w)
{
    struct tls_link *l = NULL;
    struct fail why;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        bug("socketpair");
    CHECK("a peer that says nothing", !tls_link_open(w->client, fds[1], "mx.example", NULL, NULL, clock_mono_ms() + 20, &l, &why));
    CHECK("timed out", strstr(why.text, "timed out") != NULL);
    (void)close(fds[0]);
    CHECK("a peer that is gone", !tls_link_open(w->client, fds[1], "mx.example", NULL, NULL, clock_mono_ms() + 20000, &l, &why));
    (void)close(fds[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        bug("socketpair");
    (void)send(fds[0], "220 not TLS at all\r\n", 20, 0);
    CHECK("a peer that speaks plainly", !tls_link_open(w->client, fds[1], "mx.example", NULL, NULL, clock_mono_ms() + 20000, &l, &why));
    CHECK_SLICE("its result", slice_of(tls_client_failure(&why)), SLICE("validation-failure"));
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    struct world w = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    world_make(&w);
    test_pkix(&w);
    test_dane(&w);
    test_resumption(&w);
    test_versions(&w);
    test_silence(&w);
    world_drop(&w);
    return check_done();
}
