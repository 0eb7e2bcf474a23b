/*
 * auth/jwks.c - see auth/jwks.h.
 *
 * Layer: auth.
 */
#include "auth/jwks.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "auth/jwt.h"
#include "base/fail.h"

enum {
    KEYS_MAX = 100,
    KEY_BYTES = 1024, /* of RSA: 8192 bits */
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8 * KEY_BYTES,
    P256_BYTES = 32,
    SIGNATURE_P256 = 2 * P256_BYTES,
};

struct key {
    EVP_PKEY *key;
    enum { KEY_RSA, KEY_P256, KEY_ED25519 } kind;
    int alg; /* the only one it may be used with (enum jwt_alg); -1: any of its kind */
    char *kid; /* "" if it has none */
};

struct jwks {
    size_t count;
    struct key keys[KEYS_MAX];
};

static const struct {
    const char *name;
    int kind;
} algs[] = {
    [JWT_RS256] = {"RS256", KEY_RSA}, [JWT_RS384] = {"RS384", KEY_RSA},     [JWT_RS512] = {"RS512", KEY_RSA},
    [JWT_ES256] = {"ES256", KEY_P256}, [JWT_EDDSA] = {"EdDSA", KEY_ED25519},
};

bool jwt_alg_find(struct slice name, enum jwt_alg *out)
{
    for (size_t i = 0; i < ARRAY_LEN(algs); i++)
        if (slice_eq(name, slice_of(algs[i].name))) {
            *out = (enum jwt_alg)i;
            return true;
        }
    return false;
}

/* ---- one key ---- */

/* A member in base64url, at most KEY_BYTES of it. */
static bool member(const json_t *row, const char *name, struct buf *out)
{
    const json_t *value = json_object_get(row, name);

    buf_reset(out);
    return json_is_string(value) &&
           base64url_decode(out, slice_make(json_string_value(value), json_string_length(value))) && out->len > 0;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *read_rsa(const json_t *row)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    struct buf n, e;
    EVP_PKEY *key = NULL;
    BIGNUM *bn = NULL, *be = NULL;

    buf_init(&n, KEY_BYTES + 3);
    buf_init(&e, 16);
    if (member(row, "n", &n) && member(row, "e", &e)) {
        bn = BN_bin2bn((unsigned char *)n.data, (int)n.len, NULL);
        be = BN_bin2bn((unsigned char *)e.data, (int)e.len, NULL);
        if (build != NULL && bn != NULL && be != NULL && BN_num_bits(bn) >= RSA_BITS_MIN &&
            BN_num_bits(bn) <= RSA_BITS_MAX && BN_is_odd(be) && BN_num_bits(be) > 1 &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be) == 1)
            key = from_params("RSA", build);
    }
    BN_free(bn);
    BN_free(be);
    OSSL_PARAM_BLD_free(build);
    buf_finish(&n);
    buf_finish(&e);
    return key;
}

static bool is_text(const json_t *row, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(row, name));

    return value != NULL && strcmp(value, text) == 0;
}

static EVP_PKEY *read_p256(const json_t *row)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    unsigned char point[1 + SIGNATURE_P256] = {4}; /* uncompressed */
    struct buf x, y;
    EVP_PKEY *key = NULL;

    buf_init(&x, P256_BYTES + 3);
    buf_init(&y, P256_BYTES + 3);
    if (build != NULL && is_text(row, "crv", "P-256") && member(row, "x", &x) && member(row, "y", &y) &&
        x.len == P256_BYTES && y.len == P256_BYTES) {
        memcpy(point + 1, x.data, P256_BYTES);
        memcpy(point + 1 + P256_BYTES, y.data, P256_BYTES);
        if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
            key = from_params("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    buf_finish(&x);
    buf_finish(&y);
    return key;
}

static EVP_PKEY *read_ed25519(const json_t *row)
{
    struct buf x;
    EVP_PKEY *key = NULL;

    buf_init(&x, 64);
    if (is_text(row, "crv", "Ed25519") && member(row, "x", &x))
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (unsigned char *)x.data, x.len);
    buf_finish(&x);
    return key;
}

static bool read_key(const json_t *row, struct key *out)
{
    const char *kid = json_string_value(json_object_get(row, "kid"));
    const char *alg = json_string_value(json_object_get(row, "alg"));
    enum jwt_alg only;

    *out = (struct key){.alg = -1};
    if (!json_is_object(row) || (json_object_get(row, "use") != NULL && !is_text(row, "use", "sig")))
        return false;
    if (is_text(row, "kty", "RSA")) {
        out->kind = KEY_RSA;
        out->key = read_rsa(row);
    } else if (is_text(row, "kty", "EC")) {
        out->kind = KEY_P256;
        out->key = read_p256(row);
    } else if (is_text(row, "kty", "OKP")) {
        out->kind = KEY_ED25519;
        out->key = read_ed25519(row);
    }
    ERR_clear_error();
    if (out->key == NULL)
        return false;
    if (alg != NULL) {
        if (!jwt_alg_find(slice_of(alg), &only) || algs[only].kind != (int)out->kind) {
            EVP_PKEY_free(out->key);
            return false;
        }
        out->alg = (int)only;
    }
    out->kid = xstrdup(kid != NULL ? kid : "");
    return true;
}

/* ---- the set ---- */

struct jwks *jwks_parse(struct slice text, struct fail *why)
{
    json_error_t error;
    json_t *whole = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    const json_t *rows = json_object_get(whole, "keys"), *row;
    struct jwks *k = xcalloc(1, sizeof *k);
    size_t i;

    json_array_foreach (rows, i, row)
        if (k->count < KEYS_MAX && read_key(row, &k->keys[k->count]))
            k->count++;
    if (whole == NULL)
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "line %d: %s", error.line, error.text);
    else if (k->count == 0)
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID,
                       "there is no key that could be used (RSA from 2048 bits, P-256, Ed25519)");
    json_decref(whole);
    if (k->count == 0)
        jwks_destroy(&k);
    return k;
}

void jwks_destroy(struct jwks **kp)
{
    struct jwks *k = *kp;

    if (k == NULL)
        return;
    for (size_t i = 0; i < k->count; i++) {
        EVP_PKEY_free(k->keys[i].key);
        free(k->keys[i].kid);
    }
    free(k);
    *kp = NULL;
}

/* ---- signatures ---- */

/* OpenSSL wants DER; JWS has r and s side by side (RFC 7518 section 3.4).  0: it is none. */
static int der_of(struct slice raw, unsigned char **out)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int length = 0;

    if (raw.len != SIGNATURE_P256 || sig == NULL) {
        ECDSA_SIG_free(sig);
        return 0;
    }
    BIGNUM *r = BN_bin2bn((const unsigned char *)raw.ptr, P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)raw.ptr + P256_BYTES, P256_BYTES, NULL);
    if (r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        length = i2d_ECDSA_SIG(sig, out);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return length > 0 ? length : 0;
}

static bool verify_one(const struct key *k, const EVP_MD *md, struct slice text, struct slice signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->key) == 1 &&
              EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
                               (const unsigned char *)text.ptr, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static const EVP_MD *digest_of(enum jwt_alg alg)
{
    switch (alg) {
    case JWT_RS256:
    case JWT_ES256: return EVP_sha256();
    case JWT_RS384: return EVP_sha384();
    case JWT_RS512: return EVP_sha512();
    case JWT_EDDSA: return NULL;
    }
    bug("alg %d", (int)alg);
}

static bool fits(const struct key *key, enum jwt_alg alg, struct slice kid)
{
    return (int)key->kind == algs[alg].kind && (key->alg < 0 || key->alg == (int)alg) &&
           (kid.len == 0 || slice_eq(kid, slice_of(key->kid)));
}

bool jwks_has(const struct jwks *k, enum jwt_alg alg, struct slice kid)
{
    for (size_t i = 0; i < k->count; i++)
        if (fits(&k->keys[i], alg, kid))
            return true;
    return false;
}

bool jwks_verify(const struct jwks *k, enum jwt_alg alg, struct slice kid, struct slice text,
                 struct slice signature)
{
    unsigned char *der = NULL;
    bool right = false;

    if (alg == JWT_ES256) {
        int length = der_of(signature, &der);
        if (length == 0)
            return false;
        signature = slice_make(der, (size_t)length);
    }
    for (size_t i = 0; i < k->count && !right; i++)
        if (fits(&k->keys[i], alg, kid))
            right = verify_one(&k->keys[i], digest_of(alg), text, signature);
    OPENSSL_free(der);
    return right;
}
