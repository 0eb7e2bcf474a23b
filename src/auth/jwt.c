/*
 * auth/jwt.c - see auth/jwt.h.
 *
 * Layer: auth.
 */
#include "auth/jwt.h"

#include <jansson.h>

#include "base/encode.h"
#include "base/fail.h"

enum {
    TOKEN_MAX = 12 * 1024, /* as long a line as a client may send holds */
    ACCOUNT_MAX = 512,
};

bool base64url_decode(struct buf *out, struct slice in)
{
    struct buf plain;
    bool ok = in.len % 4 != 1;

    buf_init(&plain, in.len + 4);
    for (size_t i = 0; ok && i < in.len; i++) {
        char c = in.ptr[i];
        ok = c != '+' && c != '/' && c != '=';
        buf_add_char(&plain, c == '-' ? '+' : c == '_' ? '/' : c);
    }
    while (plain.len % 4 != 0)
        buf_add_char(&plain, '=');
    ok = ok && base64_decode(out, buf_slice(&plain));
    buf_finish(&plain);
    return ok;
}

static enum jwt_verdict no(struct fail *why, const char *text)
{
    (void)fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.8", "%s", text);
    return JWT_INVALID;
}

/* A part of the token that is a JSON object; NULL if it is none.  Numbers and names once only. */
static json_t *object_of(struct slice part)
{
    struct buf text;
    json_t *value = NULL;

    buf_init(&text, TOKEN_MAX);
    if (base64url_decode(&text, part))
        value = json_loadb(text.data != NULL ? text.data : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    buf_finish(&text);
    if (!json_is_object(value)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static struct slice text_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) ? slice_make(json_string_value(value), json_string_length(value)) : SLICE("");
}

/* ---- the header and the signature ---- */

/* RFC 9068 section 2.1 has "at+jwt"; most issuers say "JWT", many nothing. */
static bool type_is_fit(const json_t *header)
{
    struct slice type = text_of(header, "typ");

    return json_object_get(header, "typ") == NULL || slice_eq_nocase(type, SLICE("JWT")) ||
           slice_eq_nocase(type, SLICE("at+jwt")) || slice_eq_nocase(type, SLICE("application/at+jwt"));
}

static enum jwt_verdict check_signature(const struct jwks *keys, const json_t *header, struct slice signed_text,
                                        struct slice encoded, struct fail *why)
{
    enum jwt_alg alg;
    struct buf signature;

    if (header == NULL)
        return no(why, "the token's header is no JSON object");
    if (!jwt_alg_find(text_of(header, "alg"), &alg))
        return no(why, "the token is signed by an algorithm that is not believed");
    if (json_object_get(header, "crit") != NULL)
        return no(why, "the token asks for an extension (crit)");
    if (!type_is_fit(header))
        return no(why, "the token is of another type");
    buf_init(&signature, TOKEN_MAX);
    bool right = base64url_decode(&signature, encoded) && signature.len > 0 &&
                 jwks_verify(keys, alg, text_of(header, "kid"), signed_text, buf_slice(&signature));
    buf_finish(&signature);
    return right ? JWT_RIGHT : no(why, "the token is not signed by a key of the issuer");
}

/* ---- the claims ---- */

/* NumericDate may have a fraction (RFC 7519 section 2). */
static bool time_of(const json_t *claims, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(claims, name);
    double seconds = json_number_value(value);

    if (!json_is_number(value) || !(seconds > -1e12 && seconds < 1e12))
        return false;
    *out = (int64_t)seconds;
    return true;
}

static bool is_now(const json_t *claims, int64_t now, int64_t skew, struct fail *why)
{
    int64_t expires, begins;

    if (!time_of(claims, "exp", &expires) || now >= expires + skew)
        return no(why, "the token has expired") == JWT_RIGHT;
    if (json_object_get(claims, "nbf") != NULL && (!time_of(claims, "nbf", &begins) || now < begins - skew))
        return no(why, "the token is not good yet") == JWT_RIGHT;
    return true;
}

/* One text, or an array of texts, of which one is `want`. */
static bool has_text(const json_t *value, struct slice want)
{
    const json_t *one;
    size_t i;

    if (json_is_string(value))
        return slice_eq(slice_make(json_string_value(value), json_string_length(value)), want);
    json_array_foreach (value, i, one)
        if (json_is_string(one) && has_text(one, want))
            return true;
    return false;
}

/* "scope" is words in one text (RFC 8693 section 4.2); "scp" is what some issuers write, text or array. */
static bool has_scope(const json_t *claims, struct slice word)
{
    static const char *const names[] = {"scope", "scp"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice left = text_of(claims, names[i]);
        while (left.len > 0)
            if (slice_eq(slice_cut(&left, ' '), word))
                return true;
        if (json_is_array(json_object_get(claims, names[i])) && has_text(json_object_get(claims, names[i]), word))
            return true;
    }
    return false;
}

/* A boolean (OpenID Connect Core section 5.1), which some issuers write as text; without it all are verified. */
static bool is_verified(const json_t *claims)
{
    const json_t *value = json_object_get(claims, "email_verified");

    return value == NULL || json_is_true(value) || slice_eq(text_of(claims, "email_verified"), SLICE("true"));
}

/* Whose it is, for whom, and when: what a token says itself must be said. */
static enum jwt_verdict check_origin(const json_t *claims, const struct jwt_rules *rules, int64_t now, struct fail *why)
{
    if (claims == NULL)
        return no(why, "the token's claims are no JSON object");
    if (!slice_eq(text_of(claims, "iss"), rules->issuer))
        return no(why, "the token is from another issuer");
    if (!has_text(json_object_get(claims, "aud"), rules->audience))
        return no(why, "the token is for somebody else (aud)");
    return is_now(claims, now, rules->skew_seconds, why) ? JWT_RIGHT : JWT_INVALID;
}

/* Which account it names, and whether it is for mail. */
static enum jwt_verdict check_account(const json_t *claims, const struct jwt_rules *rules, struct arena *a, struct slice *account,
                                      struct fail *why)
{
    struct slice left = rules->scope;
    char name[256];

    (void)snprintf(name, sizeof name, PRIslice, SLICE_ARG(rules->claim));
    struct slice who = text_of(claims, name);
    if (who.len == 0 || who.len > ACCOUNT_MAX || slice_find_char(who, '\0') < who.len)
        return no(why, "the token does not name an account");
    if (slice_eq(rules->claim, SLICE("email")) && !is_verified(claims))
        return no(why, "the issuer has not verified the address");
    while (left.len > 0) {
        struct slice word = slice_cut(&left, ' ');
        if (word.len > 0 && !has_scope(claims, word)) {
            (void)no(why, "the token's scope does not include mail");
            return JWT_SCOPE;
        }
    }
    *account = arena_keep(a, who);
    return JWT_RIGHT;
}

bool jwt_is_one(struct slice token)
{
    struct slice left = token, head = slice_cut(&left, '.'), body = slice_cut(&left, '.');

    return head.len > 0 && body.len > 0 && left.len > 0 && slice_find_char(left, '.') == left.len;
}

bool jwt_key_is_known(const struct jwks *keys, struct slice token)
{
    json_t *header = object_of(slice_sub(token, 0, slice_find_char(token, '.')));
    enum jwt_alg alg;
    /* A header that is none is signed by no key; others would not make it better. */
    bool known = header == NULL || !jwt_alg_find(text_of(header, "alg"), &alg) || jwks_has(keys, alg, text_of(header, "kid"));

    json_decref(header);
    return known;
}

enum jwt_verdict jwt_introspected(const struct jwt_rules *rules, struct slice answer, int64_t now, struct arena *a,
                                  struct slice *account, struct fail *why)
{
    json_t *claims = json_loadb(answer.ptr != NULL ? answer.ptr : "", answer.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *active = json_object_get(claims, "active");
    enum jwt_verdict said = JWT_RIGHT;

    if (!json_is_boolean(active)) {
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "its answer does not say whether the token is active");
        said = JWT_NOT_NOW;
    } else if (!json_is_true(active)) {
        said = no(why, "the issuer says that the token is not active");
    } else if (json_object_get(claims, "iss") != NULL && !slice_eq(text_of(claims, "iss"), rules->issuer)) {
        said = no(why, "the token is from another issuer");
    } else if (json_object_get(claims, "aud") != NULL && !has_text(json_object_get(claims, "aud"), rules->audience)) {
        said = no(why, "the token is for somebody else (aud)");
    } else if (json_object_get(claims, "exp") != NULL && !is_now(claims, now, rules->skew_seconds, why)) {
        said = JWT_INVALID;
    }
    if (said == JWT_RIGHT)
        said = check_account(claims, rules, a, account, why);
    json_decref(claims);
    return said;
}

/* header "." claims "." signature                                         RFC 7515 section 3.1 */
enum jwt_verdict jwt_check(const struct jwks *keys, const struct jwt_rules *rules, struct slice token, int64_t now,
                           struct arena *a, struct slice *account, struct fail *why)
{
    struct slice left = token, head, body;

    if (token.len > TOKEN_MAX)
        return no(why, "the token is too long");
    head = slice_cut(&left, '.');
    body = slice_cut(&left, '.');
    if (!jwt_is_one(token))
        return no(why, "the token is no signed JWT");

    json_t *header = object_of(head);
    enum jwt_verdict said =
        check_signature(keys, header, slice_sub(token, 0, head.len + 1 + body.len), left, why);
    json_decref(header);
    if (said != JWT_RIGHT)
        return said;
    json_t *claims = object_of(body);
    said = check_origin(claims, rules, now, why);
    if (said == JWT_RIGHT)
        said = check_account(claims, rules, a, account, why);
    json_decref(claims);
    return said;
}
