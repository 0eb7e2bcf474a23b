/* auth/jwks, jwt, oauth: which tokens are believed, and what clients send around them. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "auth/oauth.h"
#include "auth/oauth_ask.h"
#include "auth/oauth_keys.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/unit/check.h"
#include "tests/unit/net/fake_fetch.h"

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

/* ---- an issuer that is asked ---- */

static _Atomic long ahead; /* seconds */

/* In front of the C library's: time that does not jump, moved. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    const int failed = (int)syscall(SYS_clock_gettime, clock, out);

    if (clock == CLOCK_MONOTONIC)
        out->tv_sec += ahead;
    return failed;
}

static struct slice token_of(const char *kid)
{
    return token(arena_printf(&arena, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kid).ptr,
                 arena_printf(&arena, "{\"iss\":\"https://issuer.example\",\"aud\":\"mail\",\"exp\":%lld,\"email\":\"ann@example.org\"}",
                              (long long)clock_now() + 1000).ptr, ed25519, NULL);
}

static void asking(struct auth_limits *l)
{
    auth_limits_default(l);
    l->oauth_issuer = "https://issuer.example";
    l->oauth_audience = "mail";
}

#define NO_PAGE {NULL, 0, NULL, NULL, FAIL_OTHER}

static void expect_token(const char *note, struct oauth *o, struct fake_fetch *f, const char *kid, enum jwt_verdict want, unsigned asked)
{
    struct slice account = SLICE("");
    unsigned before = fake_fetch_asked(f);

    CHECK(note, oauth_check(o, token_of(kid), &arena, &account, &why) == want);
    CHECK(note, fake_fetch_asked(f) - before == asked);
    if (want == JWT_NOT_NOW)
        CHECK(note, why.kind == FAIL_TEMP && strcmp(why.code, "4.7.0") == 0);
}

static void test_url(void)
{
    static const struct fake_page nothing[] = {NO_PAGE};
    const struct fake_page one[] = {{"https://issuer.example/jwks", 200, "application/json",
                                     arena_printf(&arena, "{\"keys\":[%s]}", ed25519_row("d")).ptr, FAIL_OTHER}, NO_PAGE};
    const struct fake_page two[] = {{"https://issuer.example/jwks", 200, "application/json",
                                     arena_printf(&arena, "{\"keys\":[%s,%s]}", ed25519_row("d"), ed25519_row("e")).ptr, FAIL_OTHER}, NO_PAGE};
    const struct fake_page broken[] = {{"https://issuer.example/jwks", 200, "application/json", "{", FAIL_OTHER}, NO_PAGE};
    struct fake_fetch *f = fake_fetch_start(nothing);
    struct auth_limits l;

    asking(&l);
    l.oauth_jwks = "http://issuer.example/jwks";
    CHECK("not https", !auth_limits_check(&l, &why));
    l.oauth_jwks = "https://issuer.example/jwks";
    CHECK("all is said", auth_limits_check(&l, &why) && auth_limits_need_fetch(&l));
    struct oauth *o = oauth_create(&l);
    expect_token("nobody to ask", o, f, "d", JWT_NOT_NOW, 0);
    ahead += 61;
    oauth_use(o, f->client);
    expect_token("nobody answers", o, f, "d", JWT_NOT_NOW, 1);
    expect_token("not asked again at once", o, f, "d", JWT_NOT_NOW, 0);
    fake_fetch_set(f, one);
    ahead += 61;
    expect_token("a minute later", o, f, "d", JWT_RIGHT, 1);
    expect_token("kept", o, f, "d", JWT_RIGHT, 0);
    fake_fetch_set(f, two);
    expect_token("a key it does not have", o, f, "e", JWT_INVALID, 0);
    ahead += 61;
    expect_token("is asked for", o, f, "e", JWT_RIGHT, 1);
    expect_token("one nobody has", o, f, "x", JWT_INVALID, 0);
    ahead += 61;
    expect_token("too", o, f, "x", JWT_INVALID, 1);
    expect_token("but not for each token", o, f, "y", JWT_INVALID, 0);
    fake_fetch_set(f, broken);
    ahead += 3700;
    expect_token("what is no key set", o, f, "d", JWT_RIGHT, 1);
    fake_fetch_set(f, nothing);
    ahead += 61;
    expect_token("does not take the others away, nor does silence", o, f, "e", JWT_RIGHT, 1);
    fake_fetch_set(f, one);
    ahead += 61;
    expect_token("a key that was taken back", o, f, "e", JWT_INVALID, 1);
    oauth_destroy(&o);
    fake_fetch_stop(&f);
}

static void test_discovery(void)
{
    const char *keys = arena_printf(&arena, "{\"keys\":[%s]}", ed25519_row("d")).ptr;
    const struct fake_page openid[] = {
        {"https://issuer.example/.well-known/openid-configuration", 200, "application/json",
         "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":\"https://keys.example/k\"}", FAIL_OTHER},
        {"https://keys.example/k", 200, "application/json", keys, FAIL_OTHER}, NO_PAGE};
    const struct fake_page oauth2[] = {
        {"https://issuer.example/.well-known/oauth-authorization-server", 200, "application/json",
         "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":\"https://keys.example/k\"}", FAIL_OTHER},
        {"https://keys.example/k", 200, "application/json", keys, FAIL_OTHER}, NO_PAGE};
    static const char *const bad[] = {"", "{", "[]", "{\"issuer\":\"https://issuer.example\"}", "{\"jwks_uri\":\"https://keys.example/k\"}",
                                      "{\"issuer\":\"https://issuer.example/\",\"jwks_uri\":\"https://keys.example/k\"}",
                                      "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":\"http://keys.example/k\"}",
                                      "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":7}"};
    struct fake_fetch *f = fake_fetch_start(openid);
    struct auth_limits l;
    struct buf uri;

    asking(&l);
    l.oauth_jwks = "discover";
    CHECK("all is said", auth_limits_check(&l, &why));
    for (int round = 0; round < 2; round++) {
        struct oauth *o = oauth_create(&l);
        oauth_use(o, f->client);
        expect_token(round == 0 ? "OpenID" : "RFC 8414", o, f, "d", JWT_RIGHT, round == 0 ? 2 : 3);
        oauth_destroy(&o);
        fake_fetch_set(f, oauth2);
    }
    buf_init(&uri, 1000);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(bad[i], !oauth_metadata_parse(slice_of(bad[i]), SLICE("https://issuer.example"), &uri, &why) && uri.len == 0);
    buf_finish(&uri);
    l.oauth_issuer = "issuer";
    CHECK("an issuer that is no URL", !auth_limits_check(&l, &why));
    fake_fetch_stop(&f);
}

static void test_introspection(void)
{
    static const struct { const char *note; unsigned status; const char *body; enum jwt_verdict want; } cases[] = {
        {"good", 200, "{\"active\":true,\"email\":\"ann@example.org\"}", JWT_RIGHT},
        {"all that fits", 200, "{\"active\":true,\"iss\":\"https://issuer.example\",\"aud\":[\"x\",\"mail\"],\"exp\":99999999999,\"email\":\"ann@example.org\"}", JWT_RIGHT},
        {"not active", 200, "{\"active\":false}", JWT_INVALID},
        {"another issuer's", 200, "{\"active\":true,\"iss\":\"https://other.example\",\"email\":\"ann@example.org\"}", JWT_INVALID},
        {"for somebody else", 200, "{\"active\":true,\"aud\":\"web\",\"email\":\"ann@example.org\"}", JWT_INVALID},
        {"over", 200, "{\"active\":true,\"exp\":5,\"email\":\"ann@example.org\"}", JWT_INVALID},
        {"nobody's", 200, "{\"active\":true}", JWT_INVALID},
        {"not verified", 200, "{\"active\":true,\"email\":\"ann@example.org\",\"email_verified\":false}", JWT_INVALID},
        {"active as text", 200, "{\"active\":\"true\",\"email\":\"ann@example.org\"}", JWT_NOT_NOW},
        {"no JSON", 200, "active", JWT_NOT_NOW},
        {"it does not know us", 401, "{\"active\":true,\"email\":\"ann@example.org\"}", JWT_NOT_NOW},
        {"it is ill", 500, "", JWT_NOT_NOW},
    };
    char path[] = "/tmp/oauth-secret-XXXXXX";
    int fd = mkstemp(path);
    static const struct fake_page nothing[] = {NO_PAGE};
    struct fake_fetch *f = fake_fetch_start(nothing);
    struct auth_limits l;
    struct slice account = SLICE("");
    struct buf basic;

    asking(&l);
    l.oauth_introspection = "https://issuer.example/ask";
    CHECK("by which name", !auth_limits_check(&l, &why));
    l.oauth_client = "mail server";
    l.oauth_secret_file = path;
    CHECK("all is said", auth_limits_check(&l, &why) && auth_limits_need_fetch(&l));
    CHECK("a secret", fd >= 0 && write(fd, "se:cret\n", 8) == 8);
    struct oauth *o = oauth_create(&l);
    CHECK("nobody to ask", oauth_check(o, SLICE("opaque"), &arena, &account, &why) == JWT_NOT_NOW && why.kind == FAIL_TEMP);
    oauth_use(o, f->client);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct fake_page pages[] = {{"https://issuer.example/ask", cases[i].status, "application/json", cases[i].body, FAIL_OTHER}, NO_PAGE};
        fake_fetch_set(f, pages);
        CHECK(cases[i].note, oauth_check(o, SLICE("op+que/="), &arena, &account, &why) == cases[i].want);
        CHECK(cases[i].note, (why.kind == FAIL_TEMP) == (cases[i].want == JWT_NOT_NOW) || cases[i].want == JWT_RIGHT);
        fake_fetch_set(f, nothing);
    }
    CHECK_SLICE("what was asked", buf_slice(&f->posted), SLICE("token=op%2Bque%2F%3D&token_type_hint=access_token"));
    CHECK_SLICE("as a form", buf_slice(&f->posted_type), SLICE("application/x-www-form-urlencoded"));
    buf_init(&basic, 1000);
    oauth_basic(SLICE("mail server"), SLICE("se:cret"), &basic);
    CHECK_SLICE("by whom", buf_slice(&basic), SLICE("Basic bWFpbCUyMHNlcnZlcjpzZSUzQWNyZXQ="));
    buf_finish(&basic);
    (void)unlink(path);
    (void)close(fd);
    CHECK("no secret", oauth_check(o, SLICE("opaque"), &arena, &account, &why) == JWT_NOT_NOW);
    oauth_destroy(&o);
    fake_fetch_stop(&f);
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
    test_url();
    test_discovery();
    test_introspection();
    jwks_destroy(&keys);
    EVP_PKEY *made[] = {rsa, other_rsa, small_rsa, p256, ed25519};
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        EVP_PKEY_free(made[i]);
    arena_finish(&arena);
    return check_done();
}
