/*
 * auth/tls_keys.c - private keys of TLS certificates, and what they sign.
 *
 * Layer: auth.
 */
#include "auth/tls_keys.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "auth/rate.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/io.h"
#include "base/log.h"

enum { KEYS_KEPT = 2, PEM_MAX = 1024 * 1024, RANDOM_BYTES = 32, ECDHE_NAMED_CURVE = 3, UNCOMPRESSED = 4 };

struct tls_key {
    EVP_PKEY     *key; /* NULL: none */
    unsigned char id[TLS_KEY_ID_BYTES];
};

struct tls_keys {
    char           *certificate_path, *key_path;
    unsigned        per_second;
    pthread_mutex_t lock;              /* of what follows */
    struct tls_key  keys[KEYS_KEPT];   /* the present one, and the one before */
    int64_t         looked_ms;         /* last time the files were read */
    struct rate     rate;
};

/* ---- from files ---- */

/* Never a prompt on the terminal: an encrypted key is refused. */
static int no_passphrase(char *out, int size, int for_writing, void *ctx)
{
    (void)out, (void)size, (void)for_writing, (void)ctx;
    return -1;
}

static bool openssl_failed(const char *what, struct fail *why)
{
    unsigned long error = ERR_peek_last_error();
    const char   *text = error != 0 ? ERR_reason_error_string(error) : NULL;

    ERR_clear_error();
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: %s", what, text != NULL ? text : "OpenSSL gives no reason");
}

/* The file's text passes through memory that is wiped. */
static bool read_key(const char *path, EVP_PKEY **out, struct fail *why)
{
    struct buf pem;

    buf_init(&pem, PEM_MAX);
    bool ok = io_read_file(path, &pem, why);
    if (ok && pem.len > 0) {
        BIO *in = BIO_new_mem_buf(pem.data, (int)pem.len);
        *out = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
        BIO_free(in);
    }
    if (pem.data != NULL)
        sodium_memzero(pem.data, pem.len);
    buf_finish(&pem);
    return ok && (*out != NULL || openssl_failed(path, why));
}

static bool read_certificate(const char *path, X509 **out, struct fail *why)
{
    struct buf pem;

    buf_init(&pem, PEM_MAX);
    bool ok = io_read_file(path, &pem, why);
    if (ok && pem.len > 0) {
        BIO *in = BIO_new_mem_buf(pem.data, (int)pem.len);
        *out = in != NULL ? PEM_read_bio_X509_AUX(in, NULL, no_passphrase, NULL) : NULL;
        BIO_free(in);
    }
    buf_finish(&pem);
    return ok && (*out != NULL || openssl_failed(path, why));
}

static bool read_pair(const struct tls_keys *k, struct tls_key *out, struct fail *why)
{
    X509 *certificate = NULL;

    *out = (struct tls_key){NULL, {0}};
    bool ok = read_key(k->key_path, &out->key, why) && read_certificate(k->certificate_path, &certificate, why);
    if (ok && X509_check_private_key(certificate, out->key) != 1)
        ok = openssl_failed(k->key_path, why);
    if (ok && !tls_key_id(out->key, out->id))
        ok = openssl_failed(k->key_path, why);
    X509_free(certificate);
    if (!ok) {
        EVP_PKEY_free(out->key);
        out->key = NULL;
    }
    return ok;
}

struct tls_keys *tls_keys_open(const char *certificate_path, const char *key_path, unsigned per_second, struct fail *why)
{
    struct tls_keys *k = xcalloc(1, sizeof *k);

    k->certificate_path = xstrdup(certificate_path);
    k->key_path = xstrdup(key_path);
    k->per_second = per_second;
    (void)pthread_mutex_init(&k->lock, NULL);
    if (!read_pair(k, &k->keys[0], why))
        tls_keys_close(&k);
    return k;
}

void tls_keys_close(struct tls_keys **keys)
{
    struct tls_keys *k = *keys;

    if (k == NULL)
        return;
    for (size_t i = 0; i < KEYS_KEPT; i++)
        EVP_PKEY_free(k->keys[i].key);
    free(k->certificate_path);
    free(k->key_path);
    (void)pthread_mutex_destroy(&k->lock);
    free(k);
    *keys = NULL;
}

/* With the lock held: is there anything new in the files? */
static void look_again(struct tls_keys *k)
{
    struct tls_key fresh;
    struct fail    why;
    int64_t        now = clock_mono_ms();

    if (k->looked_ms != 0 && now - k->looked_ms < 1000)
        return;
    k->looked_ms = now;
    if (!read_pair(k, &fresh, &why)) {
        log_event(LOG_ERROR, "tls.key_not_read", LOG_FAIL(&why));
        return;
    }
    if (memcmp(fresh.id, k->keys[0].id, sizeof fresh.id) == 0) {
        EVP_PKEY_free(fresh.key);
        return;
    }
    EVP_PKEY_free(k->keys[KEYS_KEPT - 1].key);
    memmove(&k->keys[1], &k->keys[0], (KEYS_KEPT - 1) * sizeof k->keys[0]);
    k->keys[0] = fresh;
    log_event(LOG_INFO, "tls.key_read", LOG_CSTR("key", k->key_path));
}

/* With the lock held; another owner of the key, NULL if there is none of that id. */
static EVP_PKEY *find(const struct tls_keys *k, struct slice id)
{
    for (size_t i = 0; i < KEYS_KEPT; i++) {
        EVP_PKEY *key = k->keys[i].key;
        if (key != NULL && id.len == TLS_KEY_ID_BYTES && memcmp(k->keys[i].id, id.ptr, id.len) == 0 && EVP_PKEY_up_ref(key) == 1)
            return key;
    }
    return NULL;
}

/* ---- what may be signed ---- */

static const struct {
    uint16_t    scheme;
    const char *type, *digest;
    int         padding; /* RSA's */
    bool        in_13;   /* TLS 1.3 knows it */
} schemes[] = {
    {0x0403, "EC", "SHA256", 0, true},
    {0x0503, "EC", "SHA384", 0, true},
    {0x0603, "EC", "SHA512", 0, true},
    {0x0804, "RSA", "SHA256", RSA_PKCS1_PSS_PADDING, true},
    {0x0805, "RSA", "SHA384", RSA_PKCS1_PSS_PADDING, true},
    {0x0806, "RSA", "SHA512", RSA_PKCS1_PSS_PADDING, true},
    {0x0401, "RSA", "SHA256", RSA_PKCS1_PADDING, false},
    {0x0501, "RSA", "SHA384", RSA_PKCS1_PADDING, false},
    {0x0601, "RSA", "SHA512", RSA_PKCS1_PADDING, false},
};

/* RFC 8446 section 4.4.3: of the hash alone the rest follows. */
static bool write_verify(struct slice hash, struct buf *out)
{
    if (hash.len != 32 && hash.len != 48)
        return false;
    for (int i = 0; i < 64; i++)
        buf_add_char(out, ' ');
    buf_add(out, slice_make("TLS 1.3, server CertificateVerify", sizeof "TLS 1.3, server CertificateVerify"));
    buf_add(out, hash);
    return true;
}

/* RFC 8422 section 5.4: a named curve that we offer, and a point of its size; nothing else is left to who asks. */
static bool is_exchange(struct slice parameters)
{
    if (parameters.len <= 4 || parameters.ptr[0] != ECDHE_NAMED_CURVE)
        return false;
    unsigned curve = (unsigned)(unsigned char)parameters.ptr[1] << 8 | (unsigned char)parameters.ptr[2];
    size_t   point = curve == 29 ? 32 : curve == 23 ? 65 : curve == 24 ? 97 : 0; /* X25519, P-256, P-384 */
    bool     whole = point != 0 && parameters.len == 4 + point && (unsigned char)parameters.ptr[3] == point;
    return whole && (curve == 29 || parameters.ptr[4] == UNCOMPRESSED);
}

static bool write_input(const struct tls_signing *what, bool in_13, struct buf *out)
{
    switch (what->kind) {
    case TLS_SIGN_CERTIFICATE_VERIFY: return in_13 && write_verify(what->input, out);
    case TLS_SIGN_KEY_EXCHANGE:
        if (what->input.len <= 2 * RANDOM_BYTES || !is_exchange(slice_from(what->input, 2 * RANDOM_BYTES)))
            return false;
        buf_add(out, what->input);
        return true;
    }
    return false;
}

static bool sign(EVP_PKEY *key, const char *digest, int padding, struct slice input, struct buf *out)
{
    EVP_MD_CTX   *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    size_t        len = TLS_SIGNATURE_MAX;
    char         *room = buf_room(out, TLS_SIGNATURE_MAX);
    bool          ok = md != NULL && room != NULL && EVP_DigestSignInit_ex(md, &ctx, digest, NULL, NULL, key, NULL) == 1;

    if (ok && padding != 0)
        ok = EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1;
    if (ok && padding == RSA_PKCS1_PSS_PADDING)
        ok = EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestSign(md, (unsigned char *)room, &len, (const unsigned char *)input.ptr, input.len) == 1 &&
         len <= TLS_SIGNATURE_MAX; /* without memory OpenSSL 3.0 says 1, and a length of -1 */
    if (ok)
        buf_grew(out, len);
    EVP_MD_CTX_free(md);
    return ok;
}

static bool sign_as(EVP_PKEY *key, const struct tls_signing *what, struct buf *out, struct fail *why)
{
    struct buf input;
    bool       ok = false;

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (schemes[i].scheme != what->scheme || EVP_PKEY_is_a(key, schemes[i].type) != 1)
            continue;
        buf_init(&input, TLS_EXCHANGE_MAX);
        if (!write_input(what, schemes[i].in_13, &input))
            ok = fail_set(why, FAIL_PERM, FAIL_INVALID, "that is no part of a TLS handshake");
        else if (input.failed || !sign(key, schemes[i].digest, schemes[i].padding, buf_slice(&input), out))
            ok = openssl_failed("signature", why);
        else
            ok = true;
        buf_finish(&input);
        return ok;
    }
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "the key does not sign by scheme %04x", (unsigned)what->scheme);
}

bool tls_keys_sign(struct tls_keys *k, const struct tls_signing *what, struct buf *out, struct fail *why)
{
    (void)pthread_mutex_lock(&k->lock);
    bool      may = rate_take(&k->rate, k->per_second);
    EVP_PKEY *key = may ? find(k, what->key) : NULL;
    if (may && key == NULL) {
        look_again(k);
        key = find(k, what->key);
    }
    (void)pthread_mutex_unlock(&k->lock);
    if (!may)
        return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "more than %u TLS handshakes a second (auth.signatures)", k->per_second);
    if (key == NULL)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no key fits the certificate that mail uses; reload reads both again");
    bool ok = sign_as(key, what, out, why);
    EVP_PKEY_free(key);
    return ok;
}
