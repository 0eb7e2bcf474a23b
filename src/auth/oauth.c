/*
 * auth/oauth.c - see auth/oauth.h.
 *
 * Layer: auth.
 */
#include "auth/oauth.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/io.h"
#include "base/log.h"

enum { FILE_MAX = 256 * 1024 };

/* What tells one version of the file from the next. */
struct version {
    struct timespec modified;
    ino_t inode;
    off_t size;
};

struct oauth {
    const char *path; /* these live as long as the config */
    struct jwt_rules rules;
    pthread_rwlock_t lock; /* of what follows; held for reading while a signature is checked */
    struct jwks *keys;     /* NULL: none could be read yet */
    struct version read;   /* ... or tried to read: only another version is tried again */
    bool tried;
};

struct oauth *oauth_create(const struct auth_limits *l)
{
    if (l->oauth_jwks[0] == '\0')
        return NULL;
    struct oauth *o = xcalloc(1, sizeof *o);
    o->path = l->oauth_jwks;
    o->rules = (struct jwt_rules){
        .issuer = slice_of(l->oauth_issuer),
        .audience = slice_of(l->oauth_audience),
        .claim = slice_of(l->oauth_claim),
        .scope = slice_of(l->oauth_scope),
        .skew_seconds = l->oauth_skew_seconds,
    };
    (void)pthread_rwlock_init(&o->lock, NULL);
    return o;
}

void oauth_destroy(struct oauth **o)
{
    if (*o == NULL)
        return;
    jwks_destroy(&(*o)->keys);
    (void)pthread_rwlock_destroy(&(*o)->lock);
    free(*o);
    *o = NULL;
}

/* ---- keys ---- */

static bool same_version(const struct version *a, const struct version *b)
{
    return a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->inode == b->inode && a->size == b->size;
}

/* Keeps what there is if the file cannot be used.  The lock is held for writing. */
static void read_keys(struct oauth *o, const struct version *found)
{
    struct buf text;
    struct fail why;

    o->read = *found;
    o->tried = true;
    buf_init(&text, FILE_MAX);
    struct jwks *fresh = io_read_file(o->path, &text, &why) ? jwks_parse(buf_slice(&text), &why) : NULL;
    buf_finish(&text);
    if (fresh == NULL) {
        log_event(LOG_ERROR, "auth.jwks_unusable", LOG_CSTR("file", o->path), LOG_FAIL(&why));
        return;
    }
    jwks_destroy(&o->keys);
    o->keys = fresh;
    log_event(LOG_INFO, "auth.jwks_read", LOG_CSTR("file", o->path));
}

static void refresh_keys(struct oauth *o)
{
    struct stat st;
    struct version found = {0};

    if (stat(o->path, &st) == 0)
        found = (struct version){.modified = st.st_mtim, .inode = st.st_ino, .size = st.st_size};
    (void)pthread_rwlock_rdlock(&o->lock);
    bool fresh = o->tried && same_version(&found, &o->read);
    (void)pthread_rwlock_unlock(&o->lock);
    if (fresh)
        return;
    (void)pthread_rwlock_wrlock(&o->lock);
    if (!o->tried || !same_version(&found, &o->read))
        read_keys(o, &found);
    (void)pthread_rwlock_unlock(&o->lock);
}

enum jwt_verdict oauth_check(struct oauth *o, struct slice token, struct arena *a, struct slice *account,
                             struct fail *why)
{
    enum jwt_verdict said = JWT_INVALID;

    refresh_keys(o);
    (void)pthread_rwlock_rdlock(&o->lock);
    if (o->keys != NULL)
        said = jwt_check(o->keys, &o->rules, token, clock_now(), a, account, why);
    else
        (void)fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.8", "the issuer's keys cannot be read");
    (void)pthread_rwlock_unlock(&o->lock);
    return said;
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
