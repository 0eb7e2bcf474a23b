/*
 * net/tls.c - certificates, and the TLS sessions made with them.
 *
 * Layer: net.  A reload makes a new SSL_CTX and puts it in the old one's place;
 * OpenSSL counts references, so the old one lives as long as its last session.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <time.h>

#include "base/fail.h"
#include "net/tls_signer.h"

struct tls_context {
    pthread_mutex_t lock; /* for current */
    SSL_CTX *current;
    char *certificate_path, *key_path; /* key_path NULL: the signer has it */
    const struct tls_signer *signer;
};

/*
 * TLS 1.2: forward secrecy and AEAD first, then CBC for old mail servers (RFC 9325 section 4.2).  No DHE (section 4.1): it costs
 * much, and its ServerKeyExchange holds bytes that could be anything, which `auth` would sign.  No exchange of keys by RSA.
 */
static const char ciphers[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!PSK:!SRP:!aDSS";

static bool openssl_failed(struct fail *why, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error != 0 ? ERR_reason_error_string(error) : NULL;

    fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: %s", what, text != NULL ? text : "OpenSSL gives no reason");
    ERR_clear_error();
    return false;
}

/* Never a prompt on the terminal: an encrypted key is refused. */
static int no_passphrase(char *out, int size, int for_writing, void *ctx)
{
    (void)out, (void)size, (void)for_writing, (void)ctx;
    return -1;
}

/* A client that names protocols must name ours. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                           void *ctx)
{
    const char    *ours = SSL_get_app_data(ssl);
    unsigned char *chosen = NULL;

    (void)ctx;
    if (ours == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, out_len, (const unsigned char *)ours, (unsigned)strlen(ours), in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_options(SSL_CTX *ctx)
{
    static const unsigned char application[] = "posthorn";

    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 1);
    (void)SSL_CTX_set_session_id_context(ctx, application, sizeof(application) - 1);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
}

/* The certificate's own public key, with a private half that is elsewhere. */
static bool use_remote_key(SSL_CTX *ctx, const struct tls_signer *signer, struct fail *why)
{
    const X509 *certificate = SSL_CTX_get0_certificate(ctx);
    const EVP_PKEY *public_half = certificate != NULL ? X509_get0_pubkey(certificate) : NULL;
    EVP_PKEY *key = public_half != NULL ? tls_remote_key(public_half, signer, why) : NULL;

    if (public_half == NULL)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "a certificate without a public key");
    if (key == NULL)
        return false;
    bool ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 || openssl_failed(why, "key");
    EVP_PKEY_free(key);
    return ok;
}

static SSL_CTX *load(const char *certificate_path, const char *key_path, const struct tls_signer *signer, struct fail *why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    const char *failed = NULL;
    char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro casts const away */

    ERR_clear_error();
    if (ctx == NULL) {
        openssl_failed(why, "TLS");
        return NULL;
    }
    set_options(ctx);
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1 || SSL_CTX_set1_groups_list(ctx, groups) != 1)
        failed = "TLS ciphers";
    else if (SSL_CTX_use_certificate_chain_file(ctx, certificate_path) != 1)
        failed = certificate_path;
    else if (signer == NULL && (SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) != 1 ||
                                SSL_CTX_check_private_key(ctx) != 1))
        failed = key_path;
    if (failed != NULL)
        openssl_failed(why, failed);
    if (failed != NULL || (signer != NULL && !use_remote_key(ctx, signer, why))) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static struct tls_context *create(const char *certificate_path, const char *key_path, const struct tls_signer *signer,
                                  struct fail *why)
{
    SSL_CTX *ctx = load(certificate_path, key_path, signer, why);

    if (ctx == NULL)
        return NULL;
    struct tls_context *t = xcalloc(1, sizeof(*t));
    (void)pthread_mutex_init(&t->lock, NULL);
    t->current = ctx;
    t->certificate_path = xstrdup(certificate_path);
    t->key_path = key_path != NULL ? xstrdup(key_path) : NULL;
    t->signer = signer;
    return t;
}

struct tls_context *tls_context_create(const char *certificate_path, const char *key_path, struct fail *why)
{
    return create(certificate_path, key_path, NULL, why);
}

struct tls_context *tls_context_create_remote(const char *certificate_path, const struct tls_signer *signer, struct fail *why)
{
    return create(certificate_path, NULL, signer, why);
}

/* Of which key and length of hash is the signature that a handshake by TLS 1.3 would ask for (RFC 8446 section 4.2.3)? */
static uint16_t scheme_of(const EVP_PKEY *key, size_t *hash_bytes)
{
    *hash_bytes = 32;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
        return 0x0804; /* rsa_pss_rsae_sha256 */
    if (EVP_PKEY_get_bits(key) <= 256)
        return 0x0403;
    *hash_bytes = EVP_PKEY_get_bits(key) <= 384 ? 48 : 64;
    return *hash_bytes == 48 ? 0x0503 : 0x0603;
}

/*
 * Has who signs the key of this certificate?  Else every handshake would fail from now on.  It looks into its files once
 * a second at most: so it is asked twice.
 */
static bool key_is_there(const struct tls_signer *signer, const SSL_CTX *ctx, struct fail *why)
{
    const EVP_PKEY *key = X509_get0_pubkey(SSL_CTX_get0_certificate(ctx));
    const struct timespec pause = {.tv_sec = 1, .tv_nsec = 200 * 1000 * 1000};
    unsigned char id[TLS_KEY_ID_BYTES];
    char hash[TLS_TRANSCRIPT_MAX] = "";
    size_t hash_bytes;
    struct tls_signing what = {.kind = TLS_SIGN_CERTIFICATE_VERIFY, .scheme = scheme_of(key, &hash_bytes)};
    struct buf signature;

    if (!tls_key_id(key, id))
        return openssl_failed(why, "key");
    what.key = slice_make((const char *)id, sizeof id);
    what.input = slice_make(hash, hash_bytes);
    buf_init(&signature, TLS_SIGNATURE_MAX);
    bool ok = signer->sign(signer->ctx, &what, &signature, why);
    if (!ok) {
        (void)nanosleep(&pause, NULL);
        ok = signer->sign(signer->ctx, &what, &signature, why);
    }
    buf_finish(&signature);
    return ok || fail_at(why, "its key");
}

bool tls_context_reload(struct tls_context *t, struct fail *why)
{
    SSL_CTX *fresh = load(t->certificate_path, t->key_path, t->signer, why);

    if (fresh != NULL && t->signer != NULL && !key_is_there(t->signer, fresh, why)) {
        SSL_CTX_free(fresh);
        fresh = NULL;
    }
    if (fresh == NULL)
        return fail_at(why, "certificate not reloaded");
    (void)pthread_mutex_lock(&t->lock);
    SSL_CTX *before = t->current;
    t->current = fresh;
    (void)pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(before);
    return true;
}

void tls_context_destroy(struct tls_context **t_)
{
    struct tls_context *t = *t_;

    if (t == NULL)
        return;
    SSL_CTX_free(t->current);
    (void)pthread_mutex_destroy(&t->lock);
    free(t->certificate_path);
    free(t->key_path);
    free(t);
    *t_ = NULL;
}

struct ssl_st *tls_context_session(struct tls_context *t, int fd, const char *alpn)
{
    (void)pthread_mutex_lock(&t->lock);
    SSL *ssl = SSL_new(t->current);
    (void)pthread_mutex_unlock(&t->lock);
    if (ssl == NULL)
        return NULL;
    if (SSL_set_fd(ssl, fd) != 1 || SSL_set_app_data(ssl, (void *)(uintptr_t)alpn) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    (void)SSL_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT); /* until login: conn_set_phase */
    return ssl;
}
