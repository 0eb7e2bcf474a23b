/*
 * net/tls_provider.c - an OpenSSL provider for private keys that are somewhere else.
 *
 * Layer: net.  See provider-keymgmt(7), provider-signature(7).  It has key management for EC and RSA, which
 * keeps the public half in a key of OpenSSL's own and answers from that, and signing of whole messages, which is
 * what libssl does in a handshake.  Keys cannot be exported, so nobody tries OpenSSL's own signing with them.
 */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/fail.h"
#include "base/log.h"
#include "net/tls_signer.h"

#define PROVIDER "posthorn"
#define HANDLE   "posthorn-key" /* the parameter by which tls_remote_key hands its key in */

/* RFC 8446 section 4.4.3: what stands before the transcript hash. */
static const char verify_context[] = "TLS 1.3, server CertificateVerify"; /* and its NUL */
enum { VERIFY_SPACES = 64, VERIFY_PREFIX = VERIFY_SPACES + sizeof verify_context };

/* A key as this provider knows it. */
struct remote_key {
    EVP_PKEY                *public_half; /* OpenSSL's own; NULL at first */
    const struct tls_signer *signer;      /* NULL: a public key alone */
    unsigned char            id[TLS_KEY_ID_BYTES];
};

bool tls_key_id(const EVP_PKEY *key, unsigned char out[TLS_KEY_ID_BYTES])
{
    unsigned char *der = NULL;
    int            len = i2d_PUBKEY(key, &der);
    unsigned int   n = 0;
    bool           ok = len > 0 && EVP_Digest(der, (size_t)len, out, &n, EVP_sha256(), NULL) == 1 && n == TLS_KEY_ID_BYTES;

    OPENSSL_free(der);
    return ok;
}

/* ---- keys ---- */

static void *key_new(void *provider)
{
    (void)provider;
    return xcalloc(1, sizeof(struct remote_key));
}

static void key_free(void *key)
{
    struct remote_key *k = key;

    if (k == NULL)
        return;
    EVP_PKEY_free(k->public_half);
    free(k);
}

static int key_has(const void *key, int selection)
{
    const struct remote_key *k = key;

    if (k == NULL || k->public_half == NULL)
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || k->signer != NULL;
}

static int key_match(const void *one, const void *other, int selection)
{
    const struct remote_key *a = one, *b = other;

    (void)selection; /* private halves are the same where the public ones are */
    return a->public_half != NULL && b->public_half != NULL && EVP_PKEY_eq(a->public_half, b->public_half) == 1;
}

/* A public key of OpenSSL's own, from its parts: a certificate's, to be compared with ours. */
static int import_public(struct remote_key *k, const char *type, const OSSL_PARAM params[])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, "provider=default");
    OSSL_PARAM   *copy = OSSL_PARAM_dup(params);
    int           ok = ctx != NULL && copy != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
             EVP_PKEY_fromdata(ctx, &k->public_half, EVP_PKEY_PUBLIC_KEY, copy) == 1;

    OSSL_PARAM_free(copy);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static int key_import(struct remote_key *k, const char *type, const OSSL_PARAM params[])
{
    const OSSL_PARAM *handle = OSSL_PARAM_locate_const(params, HANDLE);
    const void       *given = NULL;
    size_t            size = 0;

    if (handle == NULL)
        return import_public(k, type, params);
    if (OSSL_PARAM_get_octet_string_ptr(handle, &given, &size) != 1 || size != sizeof *k)
        return 0;
    memcpy(k, given, sizeof *k);
    return EVP_PKEY_up_ref(k->public_half);
}

static int key_import_ec(void *key, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    return key_import(key, "EC", params);
}

static int key_import_rsa(void *key, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    return key_import(key, "RSA", params);
}

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_octet_string(HANDLE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)selection;
    return types;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
    const struct remote_key *k = key;

    return k->public_half != NULL && EVP_PKEY_get_params(k->public_half, params);
}

static const OSSL_PARAM *key_gettable_params(void *provider)
{
    static const OSSL_PARAM gettable[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)provider;
    return gettable;
}

static const char *ec_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *rsa_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

/* ---- signing ---- */

struct signing {
    const struct remote_key *key;
    unsigned                 hash_bits; /* of the digest */
    bool                     pss;
};

static void *sign_new(void *provider, const char *properties)
{
    (void)provider, (void)properties;
    return xcalloc(1, sizeof(struct signing));
}

static void sign_free(void *signing)
{
    free(signing);
}

static int sign_set_params(void *signing, const OSSL_PARAM params[])
{
    struct signing   *s = signing;
    const OSSL_PARAM *pad = params == NULL ? NULL : OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    const char       *name = NULL;
    int               number = 0;

    if (pad == NULL)
        return 1; /* the length of the salt is the digest's: auth takes no other */
    if (pad->data_type == OSSL_PARAM_UTF8_STRING && OSSL_PARAM_get_utf8_string_ptr(pad, &name) == 1) {
        s->pss = strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
        return s->pss || strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0;
    }
    if (OSSL_PARAM_get_int(pad, &number) != 1)
        return 0;
    s->pss = number == RSA_PKCS1_PSS_PADDING;
    return s->pss || number == RSA_PKCS1_PADDING;
}

static const OSSL_PARAM *sign_settable(void *signing, void *provider)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)signing, (void)provider;
    return settable;
}

static int sign_begin(void *signing, const char *digest, void *key, const OSSL_PARAM params[])
{
    static const struct { const char *name; unsigned bits; } digests[] = {
        {"SHA256", 256}, {"SHA2-256", 256}, {"SHA384", 384}, {"SHA2-384", 384}, {"SHA512", 512}, {"SHA2-512", 512}};
    struct signing *s = signing;

    s->key = key;
    for (size_t i = 0; digest != NULL && i < ARRAY_LEN(digests); i++)
        if (strcasecmp(digest, digests[i].name) == 0)
            s->hash_bits = digests[i].bits;
    return s->hash_bits != 0 && s->key->signer != NULL && sign_set_params(s, params);
}

/* SignatureScheme; for ECDSA and PKCS #1 it is TLS 1.2's hash and signature in one. */
static uint16_t scheme_of(const struct signing *s)
{
    unsigned step = s->hash_bits / 128 - 2; /* 0, 1, 2 */

    if (EVP_PKEY_is_a(s->key->public_half, "EC"))
        return (uint16_t)(0x0403 + 0x100 * step);
    return (uint16_t)(s->pss ? 0x0804 + step : 0x0401 + 0x100 * step);
}

static bool is_verify(struct slice message)
{
    for (size_t i = 0; i < VERIFY_SPACES; i++)
        if (message.len <= VERIFY_PREFIX || message.ptr[i] != ' ')
            return false;
    return memcmp(message.ptr + VERIFY_SPACES, verify_context, sizeof verify_context) == 0;
}

/* libssl first asks how long it may be. */
static int sign_whole(void *signing, unsigned char *out, size_t *out_len, size_t room, const unsigned char *message,
                      size_t message_len)
{
    struct signing    *s = signing;
    struct slice       m = slice_make((const char *)message, message_len);
    struct tls_signing what = {.kind = TLS_SIGN_KEY_EXCHANGE, .scheme = scheme_of(s), .input = m,
                               .key = slice_make((const char *)s->key->id, TLS_KEY_ID_BYTES)};
    struct buf         signature;
    struct fail        why;

    if (out == NULL) {
        *out_len = (size_t)EVP_PKEY_get_size(s->key->public_half);
        return 1;
    }
    if (is_verify(m)) {
        what.kind = TLS_SIGN_CERTIFICATE_VERIFY;
        what.input = slice_from(m, VERIFY_PREFIX);
    }
    buf_init(&signature, TLS_SIGNATURE_MAX);
    bool ok = s->key->signer->sign(s->key->signer->ctx, &what, &signature, &why);
    if (!ok)
        log_event(LOG_ERROR, "tls.not_signed", LOG_FAIL(&why));
    ok = ok && signature.len <= room;
    if (ok) {
        memcpy(out, signature.data, signature.len);
        *out_len = signature.len;
    }
    buf_finish(&signature);
    return ok;
}

/* Pieces of a message: nobody in libssl 3 signs so, but a provider that has the beginning must have these. */
static int sign_piece(void *signing, const unsigned char *piece, size_t len)
{
    (void)signing, (void)piece, (void)len;
    return 0;
}

static int sign_end(void *signing, unsigned char *out, size_t *out_len, size_t room)
{
    (void)signing, (void)out, (void)out_len, (void)room;
    return 0;
}

/* ---- the provider ---- */

#define KEY_FUNCTIONS(import, operation)                                                                      \
    {                                                                                                         \
        {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))key_new}, {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free}, \
        {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has},                                                     \
        {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))key_match},                                                 \
        {OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))(import)},                                                 \
        {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))key_import_types},                                   \
        {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params},                                       \
        {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))key_gettable_params},                             \
        {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))(operation)}, {0, NULL},                     \
    }

static const OSSL_DISPATCH ec_keys[] = KEY_FUNCTIONS(key_import_ec, ec_operation);
static const OSSL_DISPATCH rsa_keys[] = KEY_FUNCTIONS(key_import_rsa, rsa_operation);
static const OSSL_DISPATCH signing[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))sign_new},
    {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))sign_free},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))sign_begin},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))sign_piece},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))sign_end},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))sign_whole},
    {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))sign_set_params},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))sign_settable},
    {0, NULL},
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    static const OSSL_ALGORITHM keys[] = {
        {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=" PROVIDER, ec_keys, NULL},
        {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=" PROVIDER, rsa_keys, NULL},
        {NULL, NULL, NULL, NULL},
    };
    static const OSSL_ALGORITHM signatures[] = {
        {"ECDSA", "provider=" PROVIDER, signing, NULL},
        {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=" PROVIDER, signing, NULL},
        {NULL, NULL, NULL, NULL},
    };

    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_KEYMGMT ? keys : operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **out, void **provider)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {0, NULL},
    };

    (void)core;
    *out = functions;
    *provider = (void *)(uintptr_t)handle;
    return 1;
}

struct tls_remote_keys {
    OSSL_PROVIDER *usual, *own;
};

/* Loading any provider by hand turns off the default one's automatic loading; and what both have is the default's. */
struct tls_remote_keys *tls_remote_keys_begin(struct fail *why)
{
    struct tls_remote_keys *k = xcalloc(1, sizeof *k);

    if (OSSL_PROVIDER_add_builtin(NULL, PROVIDER, provider_init) == 1 &&
        (k->usual = OSSL_PROVIDER_load(NULL, "default")) != NULL && (k->own = OSSL_PROVIDER_load(NULL, PROVIDER)) != NULL &&
        EVP_set_default_properties(NULL, "?provider=default") == 1)
        return k;
    tls_remote_keys_end(&k);
    (void)fail_set(why, FAIL_PERM, FAIL_OTHER, "OpenSSL takes no provider for keys that are elsewhere");
    return NULL;
}

void tls_remote_keys_end(struct tls_remote_keys **keys)
{
    struct tls_remote_keys *k = *keys;

    if (k == NULL)
        return;
    if (k->own != NULL)
        (void)OSSL_PROVIDER_unload(k->own);
    if (k->usual != NULL)
        (void)OSSL_PROVIDER_unload(k->usual);
    free(k);
    *keys = NULL;
}

EVP_PKEY *tls_remote_key(const EVP_PKEY *public_half, const struct tls_signer *signer, struct fail *why)
{
    struct remote_key     key = {.public_half = (EVP_PKEY *)(uintptr_t)public_half, .signer = signer};
    OSSL_PARAM            params[] = {OSSL_PARAM_octet_string(HANDLE, &key, sizeof key), OSSL_PARAM_END};
    const char           *type = EVP_PKEY_is_a(public_half, "EC") ? "EC" : EVP_PKEY_is_a(public_half, "RSA") ? "RSA" : NULL;
    EVP_PKEY_CTX         *ctx = NULL;
    EVP_PKEY             *out = NULL;

    if (type == NULL) {
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "the certificate's key is neither ECDSA nor RSA");
        return NULL;
    }
    if (tls_key_id(public_half, key.id))
        ctx = EVP_PKEY_CTX_new_from_name(NULL, type, "provider=" PROVIDER);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_KEYPAIR, params) != 1)
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "OpenSSL takes no keys that are elsewhere");
    EVP_PKEY_CTX_free(ctx);
    return out;
}
