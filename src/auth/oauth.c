/*
 * auth/oauth.c - see auth/oauth.h.
 *
 * Layer: auth.
 */
#include "auth/oauth.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "auth/oauth_ask.h"
#include "auth/oauth_keys.h"
#include "base/fail.h"

enum { ASKERS_MAX = 3 /* threads that may wait for the issuer; the others have passwords to check */ };

struct oauth {
    struct jwt_rules rules;
    struct oauth_keys *keys;      /* NULL: every token is asked about */
    struct oauth_ask_setting ask; /* url "": none is */
    struct fetch_client *fetch;
    atomic_int askers;
};

struct oauth *oauth_create(const struct auth_limits *l)
{
    if (l->oauth_jwks[0] == '\0' && l->oauth_introspection[0] == '\0')
        return NULL;
    struct oauth *o = xcalloc(1, sizeof *o);
    o->rules = (struct jwt_rules){
        .issuer = slice_of(l->oauth_issuer),
        .audience = slice_of(l->oauth_audience),
        .claim = slice_of(l->oauth_claim),
        .scope = slice_of(l->oauth_scope),
        .skew_seconds = l->oauth_skew_seconds,
    };
    o->ask = (struct oauth_ask_setting){
        .url = l->oauth_introspection, .client = l->oauth_client, .secret = l->oauth_secret_file};
    if (l->oauth_jwks[0] != '\0')
        o->keys = oauth_keys_create(l->oauth_jwks, &o->rules);
    return o;
}

void oauth_destroy(struct oauth **o)
{
    if (*o == NULL)
        return;
    oauth_keys_destroy(&(*o)->keys);
    free(*o);
    *o = NULL;
}

void oauth_use(struct oauth *o, struct fetch_client *fetch)
{
    o->fetch = fetch;
    if (o->keys != NULL)
        oauth_keys_use(o->keys, fetch);
}

/* ---- the question ---- */

static enum jwt_verdict ask(struct oauth *o, struct slice token, struct arena *a, struct slice *account, struct fail *why)
{
    enum jwt_verdict said = JWT_NOT_NOW;

    if (atomic_fetch_add(&o->askers, 1) < ASKERS_MAX)
        said = oauth_ask(o->fetch, &o->ask, &o->rules, token, a, account, why);
    else
        (void)fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.7.0", "too many wait for the issuer; try again later");
    (void)atomic_fetch_sub(&o->askers, 1);
    return said;
}

enum jwt_verdict oauth_check(struct oauth *o, struct slice token, struct arena *a, struct slice *account,
                             struct fail *why)
{
    if (o->keys != NULL && (o->ask.url[0] == '\0' || jwt_is_one(token)))
        return oauth_keys_check(o->keys, token, a, account, why);
    return ask(o, token, a, account, why);
}

/* ---- what is said ---- */

void oauth_error(const struct oauth *o, enum jwt_verdict said, bool bearer, struct buf *out)
{
    const char *status = said == JWT_SCOPE ? (bearer ? "insufficient_scope" : "403") : bearer ? "invalid_token" : "401";
    json_t *error = json_pack("{s:s, s:s}", "status", status, "schemes", "bearer");

    if (o->rules.scope.len > 0)
        (void)json_object_set_new(error, "scope", json_stringn(o->rules.scope.ptr, o->rules.scope.len));
    char *text = json_dumps(error, JSON_COMPACT | JSON_PRESERVE_ORDER);
    buf_add(out, slice_of(text != NULL ? text : "{\"status\":\"invalid_token\"}"));
    free(text);
    json_decref(error);
}

/* ---- what is read ---- */

/* auth-scheme is compared without regard to case (RFC 7628 section 3.1); b64token of RFC 6750 section 2.1. */
static bool read_token(struct slice value, struct slice *token)
{
    struct slice scheme = slice_cut(&value, ' ');

    while (value.len > 0 && value.ptr[0] == ' ')
        value = slice_from(value, 1);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && slice_find_char(SLICE("-._~+/="), c) == 7)
            return false;
    }
    *token = value;
    return slice_eq_nocase(scheme, SLICE("Bearer")) && value.len > 0;
}

/* Key and value up to the next kvsep; false at the end of the list (an empty one), *left behind it. */
static bool next_pair(struct slice *left, struct slice *key, struct slice *value)
{
    struct slice pair = slice_cut(left, '\1');

    *value = pair;
    *key = slice_cut(value, '=');
    return pair.len > 0;
}

static bool read_pairs(struct slice left, struct slice *token)
{
    struct slice key, value;
    bool found = false;

    if (!slice_ends(left, SLICE("\1\1")))
        return false;
    while (next_pair(&left, &key, &value)) {
        if (!slice_eq(key, SLICE("auth")))
            continue; /* host, port, and what is to come */
        if (found || !read_token(value, token))
            return false;
        found = true;
    }
    return found && left.len == 0;
}

static int hex_digit(char c)
{
    return ascii_is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* saslname = 1*(value-safe-char / "=2C" / "=3D")                           RFC 5801 section 4 */
static bool read_saslname(struct slice in, char text[OAUTH_USER_MAX], struct slice *out)
{
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '\0' || n == OAUTH_USER_MAX)
            return false;
        if (c == '=') {
            int high = i + 2 < in.len ? hex_digit(in.ptr[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_digit(in.ptr[i + 2]) : -1;
            c = (char)(high * 16 + low);
            if (high < 0 || low < 0 || (c != ',' && c != '='))
                return false;
            i += 2;
        }
        text[n++] = c;
    }
    *out = slice_make(text, n);
    return n > 0;
}

bool oauth_read_bearer(struct slice message, char room[OAUTH_USER_MAX], struct slice *user, struct slice *token)
{
    struct slice left = message;
    struct slice flag = slice_cut(&left, ','), authzid = slice_cut(&left, ',');

    *user = SLICE("");
    if (!slice_eq(flag, SLICE("n")) && !slice_eq(flag, SLICE("y")))
        return false; /* there is nothing to bind to in it ("p=") */
    if (authzid.len > 0 &&
        (!slice_starts(authzid, SLICE("a=")) || !read_saslname(slice_from(authzid, 2), room, user)))
        return false;
    if (left.len == 0 || left.ptr[0] != '\1')
        return false;
    return read_pairs(slice_from(left, 1), token);
}

bool oauth_read_xoauth2(struct slice message, struct slice *user, struct slice *token)
{
    struct slice left = message, name = slice_cut(&left, '\1');

    if (!slice_starts(name, SLICE("user=")) || name.len > 5 + OAUTH_USER_MAX || slice_find_char(name, '\0') < name.len)
        return false;
    *user = slice_from(name, 5);
    return read_pairs(left, token);
}
