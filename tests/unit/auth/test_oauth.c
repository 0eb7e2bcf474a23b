/* auth/jwks, jwt, oauth: which tokens are believed, and what clients send around them. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/oauth.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/unit/check.h"

static struct arena arena;
static struct fail why;
static EVP_PKEY *rsa, *other_rsa, *small_rsa, *p256, *ed25519;

/* ---- an issuer ---- */

static struct slice base64url(struct slice in)
{
    struct buf out;
    struct slice kept;

    buf_init(&out, 100000);
    base64_encode(&out, in);
    while (out.len > 0 && out.data[out.len - 1] == '=')
        out.len--;
    for (size_t i = 0; i < out.len; i++)
        out.data[i] = out.data[i] == '+' ? '-' : out.data[i] == '/' ? '_' : out.data[i];
    kept = arena_keep(&arena, buf_slice(&out));
    buf_finish(&out);
    return kept;
}

static struct slice number(EVP_PKEY *key, const char *name, size_t width)
{
    BIGNUM *bn = NULL;
    unsigned char bytes[1024];

    if (EVP_PKEY_get_bn_param(key, name, &bn) != 1)
        bug("no %s", name);
    int n = width > 0 ? BN_bn2binpad(bn, bytes, (int)width) : BN_bn2bin(bn, bytes);
    BN_free(bn);
    return base64url(slice_make(bytes, (size_t)n));
}

static const char *rsa_row(EVP_PKEY *key, const char *kid, const char *rest)
{
    return arena_printf(&arena, "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"" PRIslice "\",\"e\":\"" PRIslice "\"%s}", kid,
                        SLICE_ARG(number(key, OSSL_PKEY_PARAM_RSA_N, 0)),
                        SLICE_ARG(number(key, OSSL_PKEY_PARAM_RSA_E, 0)), rest)
        .ptr;
}

static const char *p256_row(const char *kid)
{
    return arena_printf(&arena, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"" PRIslice "\",\"y\":\"" PRIslice "\"}",
                        kid, SLICE_ARG(number(p256, OSSL_PKEY_PARAM_EC_PUB_X, 32)),
                        SLICE_ARG(number(p256, OSSL_PKEY_PARAM_EC_PUB_Y, 32)))
        .ptr;
}

static const char *ed25519_row(const char *kid)
{
    unsigned char raw[32];
    size_t n = sizeof raw;

    (void)EVP_PKEY_get_raw_public_key(ed25519, raw, &n);
    return arena_printf(&arena, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"" PRIslice "\"}", kid,
                        SLICE_ARG(base64url(slice_make(raw, n))))
        .ptr;
}

/* ES256 as JWS has it: r and s. */
static struct slice raw_of_der(struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    unsigned char raw[64];
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);

    (void)BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
    (void)BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
    ECDSA_SIG_free(sig);
    return arena_keep(&arena, slice_make(raw, sizeof raw));
}

static struct slice sign(EVP_PKEY *key, const EVP_MD *md, bool der, struct slice text)
{
    unsigned char signature[1100];
    size_t n = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1 ||
        EVP_DigestSign(ctx, signature, &n, (const unsigned char *)text.ptr, text.len) != 1)
        bug("cannot sign");
    EVP_MD_CTX_free(ctx);
    struct slice made = slice_make(signature, n);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && !der)
        made = raw_of_der(made);
    return base64url(made);
}

static struct slice token(const char *header, const char *claims, EVP_PKEY *key, const EVP_MD *md)
{
    struct slice text = arena_printf(&arena, PRIslice "." PRIslice, SLICE_ARG(base64url(slice_of(header))),
                                     SLICE_ARG(base64url(slice_of(claims))));
    struct slice signature = key != NULL ? sign(key, md, false, text) : SLICE("");

    return arena_printf(&arena, PRIslice "." PRIslice, SLICE_ARG(text), SLICE_ARG(signature));
}

/* ---- which are believed ---- */

static const struct jwt_rules rules = {
    .issuer = {"https://issuer.example", 22},
    .audience = {"mail", 4},
    .claim = {"email", 5},
    .scope = {"mail.read mail.send", 19},
    .skew_seconds = 60,
};

#define GOOD                                                                                                 \
    "\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":2000,\"scope\":\"mail.send openid mail.read\"," \
    "\"email\":\"ann@example.org\""

static struct jwks *all_keys(void)
{
    struct slice text = arena_printf(&arena, "{\"keys\":[%s,{\"kty\":\"oct\",\"k\":\"AAAA\"},%s,%s,%s]}",
                                     rsa_row(rsa, "r", ",\"use\":\"sig\""), p256_row("e"), ed25519_row("d"),
                                     rsa_row(small_rsa, "small", ""));
    struct jwks *k = jwks_parse(text, &why);

    if (k == NULL)
        bug("%s", why.text);
    return k;
}

static void test_claims(struct jwks *keys)
{
    static const struct {
        const char *note, *claims;
        int64_t now;
        enum jwt_verdict want;
    } cases[] = {
        {"good", "{" GOOD "}", 1000, JWT_RIGHT},
        {"a second before its end and the skew", "{" GOOD "}", 2059, JWT_RIGHT},
        {"expired", "{" GOOD "}", 2060, JWT_INVALID},
        {"not good yet", "{" GOOD ",\"nbf\":1100}", 1039, JWT_INVALID},
        {"good since just now", "{" GOOD ",\"nbf\":1100}", 1040, JWT_RIGHT},
        {"nbf is no number", "{" GOOD ",\"nbf\":\"1\"}", 1000, JWT_INVALID},
        {"no end", "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_INVALID},
        {"an end in text", "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":\"2000\",\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_INVALID},
        {"a fraction", "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":2000.5,\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_RIGHT},
        {"another issuer", "{\"iss\":\"https://issuer.example/\",\"aud\":\"mail\",\"exp\":2000,\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_INVALID},
        {"no issuer", "{\"aud\":\"mail\",\"exp\":2000,\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_INVALID},
        {"among others", "{\"iss\":\"https://issuer.example\",\"aud\":[\"web\",\"mail\"],\"exp\":2000,\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_RIGHT},
        {"for others", "{\"iss\":\"https://issuer.example\",\"aud\":[\"web\",[\"mail\"]],\"exp\":2000,\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_INVALID},
        {"for nobody", "{\"iss\":\"https://issuer.example\",\"exp\":2000,\"scope\":\"mail.read mail.send\",\"email\":\"a@b.c\"}", 1000, JWT_INVALID},
        {"too little scope", "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":2000,\"scope\":\"mail.read mail.sender\",\"email\":\"a@b.c\"}", 1000, JWT_SCOPE},
        {"no scope", "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":2000,\"email\":\"a@b.c\"}", 1000, JWT_SCOPE},
        {"scp, array", "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":2000,\"scp\":[\"mail.read\",\"mail.send\"],\"email\":\"a@b.c\"}", 1000, JWT_RIGHT},
        {"nobody named", "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":2000,\"scope\":\"mail.read mail.send\"}", 1000, JWT_INVALID},
        {"not verified", "{" GOOD ",\"email_verified\":false}", 1000, JWT_INVALID},
        {"verified", "{" GOOD ",\"email_verified\":true}", 1000, JWT_RIGHT},
        {"not verified, in text", "{" GOOD ",\"email_verified\":\"false\"}", 1000, JWT_INVALID},
        {"verified, in text", "{" GOOD ",\"email_verified\":\"true\"}", 1000, JWT_RIGHT},
        {"verified by a number", "{" GOOD ",\"email_verified\":0}", 1000, JWT_INVALID},
        {"twice", "{" GOOD ",\"exp\":9000}", 1000, JWT_INVALID},
        {"no object", "[1]", 1000, JWT_INVALID},
        {"no JSON", "{" GOOD, 1000, JWT_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice account = SLICE("");
        CHECK(cases[i].note, jwt_check(keys, &rules, token("{\"alg\":\"RS256\",\"kid\":\"r\"}", cases[i].claims, rsa, EVP_sha256()),
                                       cases[i].now, &arena, &account, &why) == cases[i].want);
        if (i == 0)
            CHECK_SLICE("the account", account, SLICE("ann@example.org"));
    }
}

static void test_signatures(struct jwks *keys)
{
    const struct {
        const char *note, *header;
        EVP_PKEY *key;
        const EVP_MD *md;
        enum jwt_verdict want;
    } cases[] = {
        {"RS256", "{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa, EVP_sha256(), JWT_RIGHT},
        {"RS384", "{\"alg\":\"RS384\",\"kid\":\"r\"}", rsa, EVP_sha384(), JWT_RIGHT},
        {"RS512", "{\"alg\":\"RS512\",\"kid\":\"r\",\"typ\":\"at+JWT\"}", rsa, EVP_sha512(), JWT_RIGHT},
        {"ES256", "{\"alg\":\"ES256\",\"kid\":\"e\",\"typ\":\"JWT\"}", p256, EVP_sha256(), JWT_RIGHT},
        {"EdDSA", "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", ed25519, NULL, JWT_RIGHT},
        {"without key id", "{\"alg\":\"EdDSA\"}", ed25519, NULL, JWT_RIGHT},
        {"another digest", "{\"alg\":\"RS512\",\"kid\":\"r\"}", rsa, EVP_sha256(), JWT_INVALID},
        {"another key", "{\"alg\":\"RS256\",\"kid\":\"r\"}", other_rsa, EVP_sha256(), JWT_INVALID},
        {"another key's id", "{\"alg\":\"RS256\",\"kid\":\"e\"}", rsa, EVP_sha256(), JWT_INVALID},
        {"no such key", "{\"alg\":\"RS256\",\"kid\":\"x\"}", rsa, EVP_sha256(), JWT_INVALID},
        {"too short a key", "{\"alg\":\"RS256\",\"kid\":\"small\"}", small_rsa, EVP_sha256(), JWT_INVALID},
        {"none", "{\"alg\":\"none\"}", NULL, NULL, JWT_INVALID},
        {"none, signed", "{\"alg\":\"none\",\"kid\":\"r\"}", rsa, EVP_sha256(), JWT_INVALID},
        {"a shared secret", "{\"alg\":\"HS256\",\"kid\":\"r\"}", rsa, EVP_sha256(), JWT_INVALID},
        {"in small letters", "{\"alg\":\"rs256\",\"kid\":\"r\"}", rsa, EVP_sha256(), JWT_INVALID},
        {"no algorithm", "{\"kid\":\"r\"}", rsa, EVP_sha256(), JWT_INVALID},
        {"an extension", "{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"b64\"],\"b64\":true}", rsa, EVP_sha256(), JWT_INVALID},
        {"another type", "{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"logout+jwt\"}", rsa, EVP_sha256(), JWT_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice account;
        CHECK(cases[i].note, jwt_check(keys, &rules, token(cases[i].header, "{" GOOD "}", cases[i].key, cases[i].md), 1000,
                                       &arena, &account, &why) == cases[i].want);
    }
    struct slice account, good = token("{\"alg\":\"ES256\"}", "{" GOOD "}", p256, EVP_sha256());
    struct slice text = slice_sub(good, 0, slice_rfind_char(good, '.'));
    struct slice der = arena_printf(&arena, PRIslice "." PRIslice, SLICE_ARG(text), SLICE_ARG(sign(p256, EVP_sha256(), true, text)));
    CHECK("ES256 in DER", jwt_check(keys, &rules, der, 1000, &arena, &account, &why) == JWT_INVALID);
    for (size_t i = 0; i < good.len; i += 7) { /* whichever byte is another */
        char *bent = (char *)(uintptr_t)arena_keep(&arena, good).ptr;
        bent[i] = bent[i] == 'A' ? 'B' : 'A';
        CHECK("bent", jwt_check(keys, &rules, slice_make(bent, good.len), 1000, &arena, &account, &why) != JWT_RIGHT);
    }
    static const char *const broken[] = {"", ".", "..", "a.b", "a.b.c", "a.b.c.d", "e30.e30.", "e30=.e30.e30", "e30.e30.!!"};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        CHECK(broken[i], jwt_check(keys, &rules, slice_of(broken[i]), 1000, &arena, &account, &why) == JWT_INVALID);
}

static void test_key_sets(void)
{
    static const char *const broken[] = {
        "", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[1]}", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AAAA\"}]}", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"A+A/\"}]}"};

    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct jwks *k = jwks_parse(slice_of(broken[i]), &why);
        CHECK(broken[i], k == NULL);
        jwks_destroy(&k);
    }
    struct jwks *k = jwks_parse(arena_printf(&arena, "{\"keys\":[%s]}", rsa_row(rsa, "r", ",\"use\":\"enc\"")), &why);
    CHECK("for encryption", k == NULL);
    k = jwks_parse(arena_printf(&arena, "{\"keys\":[%s]}", rsa_row(rsa, "r", ",\"alg\":\"RS512\"")), &why);
    struct slice account;
    CHECK("its one algorithm", jwt_check(k, &rules, token("{\"alg\":\"RS512\"}", "{" GOOD "}", rsa, EVP_sha512()), 1000, &arena, &account, &why) == JWT_RIGHT);
    CHECK("and no other", jwt_check(k, &rules, token("{\"alg\":\"RS256\"}", "{" GOOD "}", rsa, EVP_sha256()), 1000, &arena, &account, &why) == JWT_INVALID);
    jwks_destroy(&k);
}

/* ---- messages ---- */

static void test_messages(void)
{
    static const struct {
        const char *note;
        struct slice message, user, token; /* token empty: refused */
    } bearer[] = {
        {"RFC 7628 section 4.1", SLICE("n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer vF9d-ft4._~+/=\1\1"),
         SLICE("user@example.com"), SLICE("vF9d-ft4._~+/=")},
        {"nobody named", SLICE("n,,\1auth=bearer x\1\1"), SLICE(""), SLICE("x")},
        {"could bind", SLICE("y,,\1auth=Bearer x\1\1"), SLICE(""), SLICE("x")},
        {"comma and equals", SLICE("n,a=a=2Cb=3Dc,\1auth=Bearer x\1\1"), SLICE("a,b=c"), SLICE("x")},
        {"other escapes", SLICE("n,a=a=41,\1auth=Bearer x\1\1"), SLICE(""), SLICE("")},
        {"binds", SLICE("p=tls-exporter,,\1auth=Bearer x\1\1"), SLICE(""), SLICE("")},
        {"no token", SLICE("n,,\1host=x\1\1"), SLICE(""), SLICE("")},
        {"two", SLICE("n,,\1auth=Bearer x\1auth=Bearer y\1\1"), SLICE(""), SLICE("")},
        {"another scheme", SLICE("n,,\1auth=Basic x\1\1"), SLICE(""), SLICE("")},
        {"empty", SLICE("n,,\1auth=Bearer \1\1"), SLICE(""), SLICE("")},
        {"no end", SLICE("n,,\1auth=Bearer x\1"), SLICE(""), SLICE("")},
        {"more behind the end", SLICE("n,,\1auth=Bearer x\1\1x\1"), SLICE(""), SLICE("")},
        {"a blank in it", SLICE("n,,\1auth=Bearer x y\1\1"), SLICE(""), SLICE("")},
        {"the dummy", SLICE("\1"), SLICE(""), SLICE("")},
        {"nothing", SLICE(""), SLICE(""), SLICE("")},
    };
    char room[OAUTH_USER_MAX];

    for (size_t i = 0; i < ARRAY_LEN(bearer); i++) {
        struct slice user, found = SLICE("");
        bool ok = oauth_read_bearer(bearer[i].message, room, &user, &found);
        CHECK(bearer[i].note, ok == (bearer[i].token.len > 0));
        if (ok) {
            CHECK_SLICE(bearer[i].note, user, bearer[i].user);
            CHECK_SLICE(bearer[i].note, found, bearer[i].token);
        }
    }
    struct slice user, found;
    CHECK("XOAUTH2", oauth_read_xoauth2(SLICE("user=ann@example.org\1auth=Bearer x\1\1"), &user, &found));
    CHECK_SLICE("XOAUTH2", user, SLICE("ann@example.org"));
    CHECK_SLICE("XOAUTH2", found, SLICE("x"));
    CHECK("XOAUTH2, no user", !oauth_read_xoauth2(SLICE("auth=Bearer x\1\1"), &user, &found));
    CHECK("XOAUTH2, no end", !oauth_read_xoauth2(SLICE("user=a\1auth=Bearer x\1"), &user, &found));
}

/* ---- a file that changes ---- */

static void test_file(void)
{
    char dir[] = "/tmp/oauth-XXXXXX", path[64];
    struct auth_limits l;
    struct slice account = SLICE("");

    if (mkdtemp(dir) == NULL)
        bug("no folder");
    (void)snprintf(path, sizeof path, "%s/jwks.json", dir);
    auth_limits_default(&l);
    CHECK("off", oauth_create(&l) == NULL);
    l.oauth_issuer = "https://issuer.example";
    l.oauth_jwks = path;
    CHECK("not all is said", !auth_limits_check(&l, &why) && why.reason == FAIL_INVALID);
    l.oauth_audience = "mail";
    CHECK("all is said", auth_limits_check(&l, &why));
    struct oauth *o = oauth_create(&l);
    struct slice good = token("{\"alg\":\"EdDSA\"}",
                              arena_printf(&arena, "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":%lld,\"email\":\"ann@example.org\"}",
                                           (long long)clock_now() + 1000).ptr, ed25519, NULL);
    CHECK("no file", oauth_check(o, good, &arena, &account, &why) == JWT_INVALID);
    CHECK("written", io_replace_file(path, arena_printf(&arena, "{\"keys\":[%s]}", ed25519_row("d")), 0600, &why));
    CHECK("there it is", oauth_check(o, good, &arena, &account, &why) == JWT_RIGHT);
    CHECK("broken", io_replace_file(path, SLICE("{"), 0600, &why));
    CHECK("the keys before stay", oauth_check(o, good, &arena, &account, &why) == JWT_RIGHT);
    CHECK("others", io_replace_file(path, arena_printf(&arena, "{\"keys\":[%s]}", p256_row("e")), 0600, &why));
    CHECK("not signed by those", oauth_check(o, good, &arena, &account, &why) == JWT_INVALID);
    struct buf text;
    buf_init(&text, 1000);
    oauth_error(o, JWT_INVALID, true, &text);
    CHECK_SLICE("told", buf_slice(&text), SLICE("{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}"));
    buf_finish(&text);
    oauth_destroy(&o);
    (void)unlink(path);
    (void)rmdir(dir);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    arena_init(&arena, 16 * 1024 * 1024);
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    small_rsa = EVP_RSA_gen(1024);
    p256 = EVP_EC_gen("P-256");
    ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct jwks *keys = all_keys();
    test_claims(keys);
    test_signatures(keys);
    test_key_sets();
    test_messages();
    test_file();
    jwks_destroy(&keys);
    EVP_PKEY *made[] = {rsa, other_rsa, small_rsa, p256, ed25519};
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        EVP_PKEY_free(made[i]);
    arena_finish(&arena);
    return check_done();
}
