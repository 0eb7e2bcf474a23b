/* auth/tls_keys.h and net/tls_signer.h: handshakes with a key that is elsewhere, and what it does not sign. */
#include "auth/tls_keys.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "net/tls.h"
#include "tests/unit/check.h"

struct files {
    char dir[64], certificate[96], key[96];
};

/* A certificate of that key, both as files; the key is the caller's. */
static bool write_pair(const struct files *f, EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    FILE *out = fopen(f->certificate, "w"), *secret = fopen(f->key, "w");
    bool  ok = certificate != NULL && out != NULL && secret != NULL && X509_set_version(certificate, 2) == 1 &&
              ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(certificate), -60) != NULL &&
              X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL && X509_set_pubkey(certificate, key) == 1 &&
              X509_sign(certificate, key, EVP_sha256()) > 0 && PEM_write_X509(out, certificate) == 1 &&
              PEM_write_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1;

    if (out != NULL)
        (void)fclose(out);
    if (secret != NULL)
        (void)fclose(secret);
    X509_free(certificate);
    return ok;
}

static bool sign_here(void *ctx, const struct tls_signing *what, struct buf *out, struct fail *why)
{
    return tls_keys_sign(ctx, what, out, why);
}

/* ---- handshakes ---- */

/* Both sides in turn until both are done. */
static bool shake_hands(SSL *client, SSL *server)
{
    int one = 0, other = 0;

    for (int i = 0; i < 50 && (one != 1 || other != 1); i++) {
        one = SSL_do_handshake(client);
        other = SSL_do_handshake(server);
        if ((one != 1 && SSL_get_error(client, one) != SSL_ERROR_WANT_READ) ||
            (other != 1 && SSL_get_error(server, other) != SSL_ERROR_WANT_READ))
            return false;
    }
    return one == 1 && other == 1;
}

/* Suites in which the certificate's key would decrypt, or sign what is not asked for here. */
static void test_suites(const char *note, struct tls_context *server_tls)
{
    static const char *const suites[] = {"kRSA:@SECLEVEL=0", "DHE:!ECDHE:@SECLEVEL=0", "aNULL:@SECLEVEL=0"};

    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        int      ends[2];
        CHECK(note, ctx != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0 &&
                        SSL_CTX_set_cipher_list(ctx, suites[i]) == 1 && SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) == 1);
        SSL *client = SSL_new(ctx), *server = tls_context_session(server_tls, ends[0], NULL);
        CHECK(note, client != NULL && server != NULL && SSL_set_fd(client, ends[1]) == 1);
        SSL_set_connect_state(client);
        CHECK(suites[i], !shake_hands(client, server));
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(ctx);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
}

static void handshake(const char *note, struct tls_context *server_tls, int version, const char *algorithms, bool good)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int      ends[2];

    CHECK(note, ctx != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    (void)SSL_CTX_set_min_proto_version(ctx, version);
    (void)SSL_CTX_set_max_proto_version(ctx, version);
    char *list = xstrdup(algorithms); /* OpenSSL's macro casts const away */
    CHECK(note, SSL_CTX_set1_sigalgs_list(ctx, list) == 1);
    free(list);
    SSL *client = SSL_new(ctx), *server = tls_context_session(server_tls, ends[0], NULL);
    CHECK(note, client != NULL && server != NULL && SSL_set_fd(client, ends[1]) == 1);
    SSL_set_connect_state(client);
    CHECK(note, shake_hands(client, server) == good);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ctx);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_handshakes(const struct files *f)
{
    struct fail why;
    const struct { const char *note; EVP_PKEY *key; const char *algorithms_13, *algorithms_12; } rows[] = {
        {"P-256", EVP_EC_gen("P-256"), "ECDSA+SHA256", "ECDSA+SHA256"},
        {"P-384", EVP_EC_gen("P-384"), "ECDSA+SHA384", "ECDSA+SHA384"},
        {"RSA", EVP_RSA_gen(2048), "RSA-PSS+SHA256", "RSA-PSS+SHA256"},
        {"RSA, longer hashes, PKCS #1", EVP_RSA_gen(2048), "RSA-PSS+SHA512", "RSA+SHA384"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK(rows[i].note, rows[i].key != NULL && write_pair(f, rows[i].key));
        struct tls_keys   *keys = tls_keys_open(f->certificate, f->key, 0, &why);
        struct tls_signer  signer = {.sign = sign_here, .ctx = keys};
        struct tls_context *tls = tls_context_create_remote(f->certificate, &signer, &why);
        CHECK(rows[i].note, keys != NULL && tls != NULL);
        if (keys != NULL && tls != NULL) {
            handshake(rows[i].note, tls, TLS1_3_VERSION, rows[i].algorithms_13, true);
            handshake(rows[i].note, tls, TLS1_2_VERSION, rows[i].algorithms_12, true);
            test_suites(rows[i].note, tls);
            /* Renewed: what is not reloaded yet goes on with the key before, then with the new one. */
            EVP_PKEY *fresh = EVP_EC_gen("P-256");
            CHECK(rows[i].note, write_pair(f, fresh) && tls_context_reload(tls, &why));
            handshake("renewed", tls, TLS1_3_VERSION, "ECDSA+SHA256", true);
            EVP_PKEY_free(fresh);
        }
        tls_context_destroy(&tls);
        tls_keys_close(&keys);
        EVP_PKEY_free(rows[i].key);
    }
}

/* ---- what is signed, and what is not ---- */

static bool signs(struct tls_keys *k, const unsigned char id[TLS_KEY_ID_BYTES], enum tls_signing_kind kind, unsigned scheme,
                  struct slice input, enum fail_reason *reason)
{
    struct tls_signing what = {.kind = kind, .scheme = (uint16_t)scheme, .input = input,
                               .key = slice_make((const char *)id, TLS_KEY_ID_BYTES)};
    struct buf         out;
    struct fail        why = {0};

    buf_init(&out, TLS_SIGNATURE_MAX);
    bool ok = tls_keys_sign(k, &what, &out, &why) && out.len > 60;
    if (reason != NULL)
        *reason = why.reason;
    buf_finish(&out);
    return ok;
}

/* Two randoms and then parameters. */
static struct slice exchange(char space[TLS_EXCHANGE_MAX], const char *head, size_t head_len, size_t whole)
{
    memset(space, 'r', TLS_EXCHANGE_MAX);
    memcpy(space + 64, head, head_len);
    return slice_make(space, 64 + whole);
}

static void test_forms(const struct files *f)
{
    static const char  token[] = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5AZXhhbXBsZS5vcmcifQ padding to two randoms and more";
    static const char *const exchanges = "\x03\x00\x1d\x20";
    char               space[TLS_EXCHANGE_MAX];
    unsigned char      id[TLS_KEY_ID_BYTES], other[TLS_KEY_ID_BYTES] = {1};
    EVP_PKEY          *key = EVP_EC_gen("P-256");
    enum fail_reason   reason;
    struct fail        why;

    CHECK("a pair", write_pair(f, key) && tls_key_id(key, id));
    struct tls_keys *k = tls_keys_open(f->certificate, f->key, 0, &why);
    CHECK("open", k != NULL);
    if (k == NULL)
        return;
    struct slice hash = slice_make(space, 32);
    memset(space, 'h', sizeof space);
    CHECK("a transcript", signs(k, id, TLS_SIGN_CERTIFICATE_VERIFY, 0x0403, hash, NULL));
    CHECK("a longer one", signs(k, id, TLS_SIGN_CERTIFICATE_VERIFY, 0x0403, slice_make(space, 48), NULL));
    CHECK("no transcript", !signs(k, id, TLS_SIGN_CERTIFICATE_VERIFY, 0x0403, slice_make(space, 33), NULL));
    CHECK("nothing", !signs(k, id, TLS_SIGN_CERTIFICATE_VERIFY, 0x0403, SLICE(""), NULL));
    CHECK("a token as transcript", !signs(k, id, TLS_SIGN_CERTIFICATE_VERIFY, 0x0403, slice_of(token), &reason) && reason == FAIL_INVALID);
    CHECK("a token as exchange", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, slice_of(token), &reason) && reason == FAIL_INVALID);
    CHECK("another kind", !signs(k, id, (enum tls_signing_kind)3, 0x0403, hash, NULL));
    CHECK("another key's scheme", !signs(k, id, TLS_SIGN_CERTIFICATE_VERIFY, 0x0804, hash, NULL));
    CHECK("SHA-1", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0203, hash, NULL));
    CHECK("another key", !signs(k, other, TLS_SIGN_CERTIFICATE_VERIFY, 0x0403, hash, &reason) && reason == FAIL_NOT_FOUND);
    CHECK("X25519", signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, exchange(space, exchanges, 4, 36), NULL));
    CHECK("and a byte more", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, exchange(space, exchanges, 4, 37), NULL));
    CHECK("and one less", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, exchange(space, exchanges, 4, 35), NULL));
    CHECK("P-256", signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, exchange(space, "\x03\x00\x17\x41\x04", 5, 69), NULL));
    CHECK("no point of P-256", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, exchange(space, "\x03\x00\x17\x41\x02", 5, 69), NULL));
    CHECK("a curve we do not offer", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, exchange(space, "\x03\x00\x16\x41", 4, 69), NULL));
    CHECK("an explicit curve", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, exchange(space, "\x01\x00\x17\x41", 4, 69), NULL));
    CHECK("finite field, whose values could be anything", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403,
                                                                  exchange(space, "\x00\x01p\x00\x01g\x00\x01y", 9, 9), NULL));
    memset(space, ' ', 64);
    memcpy(space + 64, "TLS 1.3, server CertificateVerify", 34);
    CHECK("a verify as exchange", !signs(k, id, TLS_SIGN_KEY_EXCHANGE, 0x0403, slice_make(space, 64 + 34 + 32), NULL));
    tls_keys_close(&k);

    k = tls_keys_open(f->certificate, f->key, 3, &why);
    memset(space, 'h', sizeof space);
    unsigned done = 0; /* ten take less than two seconds, or this says nothing */
    int64_t  began = clock_mono_ms() / 1000;
    for (int i = 0; i < 10; i++)
        done += signs(k, id, TLS_SIGN_CERTIFICATE_VERIFY, 0x0403, hash, NULL);
    CHECK("no more than allowed in a second", done <= 3 * (unsigned)(clock_mono_ms() / 1000 - began + 1) && done >= 3);
    tls_keys_close(&k);

    EVP_PKEY *stranger = EVP_EC_gen("P-256");
    FILE     *out = fopen(f->key, "w");
    CHECK("another's key", out != NULL && PEM_write_PrivateKey(out, stranger, NULL, NULL, 0, NULL, NULL) == 1 && fclose(out) == 0);
    CHECK("does not fit", tls_keys_open(f->certificate, f->key, 0, &why) == NULL && why.reason == FAIL_INVALID);
    EVP_PKEY_free(stranger);
    EVP_PKEY_free(key);
}

int main(void)
{
    struct files f = {.dir = "/tmp/posthorn-tls-keys-XXXXXX"};
    struct fail  why;

    if (mkdtemp(f.dir) == NULL)
        return 1;
    (void)snprintf(f.certificate, sizeof f.certificate, "%s/certificate.pem", f.dir);
    (void)snprintf(f.key, sizeof f.key, "%s/key.pem", f.dir);
    struct tls_remote_keys *remote = tls_remote_keys_begin(&why);
    CHECK("provider", remote != NULL);
    test_handshakes(&f);
    test_forms(&f);
    tls_remote_keys_end(&remote);
    (void)unlink(f.certificate);
    (void)unlink(f.key);
    (void)rmdir(f.dir);
    return check_done();
}
