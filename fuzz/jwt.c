/*
 * fuzz/jwt.c - auth/jwt: no token is right that the key has not signed.
 *
 * The first byte says how the input becomes a token: as it is, or as header and claims that are encoded
 * so that what lies behind base64 is reached.
 */
#include "auth/jwt.h"
#include "base/encode.h"
#include "base/fail.h"
#include "fuzz.h"

static const char keys_text[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"; /* RFC 8037 appendix A.2 */

static void add_part(struct buf *token, struct slice part)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    base64_encode(&text, part);
    for (size_t i = 0; i < text.len && text.data[i] != '='; i++)
        buf_add_char(token, text.data[i] == '+' ? '-' : text.data[i] == '/' ? '_' : text.data[i]);
    buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct jwt_rules rules = {.issuer = {"i", 1}, .audience = {"a", 1}, .claim = {"email", 5}, .skew_seconds = 60};
    static struct jwks *keys;
    struct slice in = slice_make(data, size), account;
    struct fail why;
    struct arena a;
    struct buf token;

    if (keys == NULL)
        keys = jwks_parse(slice_of(keys_text), &why);
    FUZZ_CHECK(keys != NULL);
    arena_init(&a, 1 << 20);
    buf_init(&token, 1 << 22);
    if (fuzz_take(&in) % 2 == 0) {
        buf_add(&token, in);
    } else {
        add_part(&token, slice_cut(&in, (char)0xff));
        buf_add_char(&token, '.');
        add_part(&token, slice_cut(&in, (char)0xff));
        buf_add_char(&token, '.');
        add_part(&token, in);
    }
    FUZZ_CHECK(jwt_check(keys, &rules, buf_slice(&token), 1000, &a, &account, &why) != JWT_RIGHT);
    buf_finish(&token);
    arena_finish(&a);
    return 0;
}
