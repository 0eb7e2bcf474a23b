/*
 * auth/oauth_keys.c - see auth/oauth_keys.h.
 *
 * Layer: auth.
 */
#include "auth/oauth_keys.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/io.h"
#include "base/log.h"
#include "net/fetch.h"

enum {
    FILE_MAX = 256 * 1024,
    URL_MAX = 2000,
    FRESH_SECONDS = 3600,
    FRESH_MIN = 300,
    FRESH_MAX = 24 * 3600,
    AGAIN_SECONDS = 60, /* between two requests that a token made */
    FETCH_SECONDS = 10,
    WAITERS_MAX = 3,    /* threads that may wait for the issuer; the others have passwords to check */
    HTTP_OK = 200,
};

/* What tells one version of the file from the next. */
struct version {
    struct timespec modified;
    ino_t inode;
    off_t size;
};

struct oauth_keys {
    const char *source; /* lives as long as the config */
    enum { SOURCE_FILE, SOURCE_URL, SOURCE_DISCOVER } kind;
    struct jwt_rules rules;
    struct fetch_client *fetch;
    pthread_mutex_t asking; /* held while the issuer is asked; never inside `lock` */
    pthread_rwlock_t lock;  /* of what follows; held for reading while a signature is checked */
    struct jwks *keys;      /* NULL: none could be had yet */
    struct version read;    /* of a file: read, or tried to: only another version is tried again */
    bool tried;
    int64_t stale_ms, again_ms; /* of a URL: then it is asked; not before then */
    unsigned waiters;
};

struct oauth_keys *oauth_keys_create(const char *source, const struct jwt_rules *rules)
{
    struct oauth_keys *k = xcalloc(1, sizeof *k);

    k->source = source;
    k->kind = source[0] == '/' ? SOURCE_FILE : strcmp(source, "discover") == 0 ? SOURCE_DISCOVER : SOURCE_URL;
    k->rules = *rules;
    (void)pthread_mutex_init(&k->asking, NULL);
    (void)pthread_rwlock_init(&k->lock, NULL);
    return k;
}

void oauth_keys_destroy(struct oauth_keys **k)
{
    if (*k == NULL)
        return;
    jwks_destroy(&(*k)->keys);
    (void)pthread_rwlock_destroy(&(*k)->lock);
    (void)pthread_mutex_destroy(&(*k)->asking);
    free(*k);
    *k = NULL;
}

void oauth_keys_use(struct oauth_keys *k, struct fetch_client *fetch)
{
    k->fetch = fetch;
}

/* ---- from a file ---- */

static bool same_version(const struct version *a, const struct version *b)
{
    return a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->inode == b->inode && a->size == b->size;
}

/* Keeps what there is if the file cannot be used.  The lock is held for writing. */
static void read_file(struct oauth_keys *k, const struct version *found)
{
    struct buf text;
    struct fail why;

    k->read = *found;
    k->tried = true;
    buf_init(&text, FILE_MAX);
    struct jwks *fresh = io_read_file(k->source, &text, &why) ? jwks_parse(buf_slice(&text), &why) : NULL;
    buf_finish(&text);
    if (fresh == NULL) {
        log_event(LOG_ERROR, "auth.jwks_unusable", LOG_CSTR("file", k->source), LOG_FAIL(&why));
        return;
    }
    jwks_destroy(&k->keys);
    k->keys = fresh;
    log_event(LOG_INFO, "auth.jwks_read", LOG_CSTR("file", k->source));
}

static void refresh_file(struct oauth_keys *k)
{
    struct stat st;
    struct version found = {0};

    if (stat(k->source, &st) == 0)
        found = (struct version){.modified = st.st_mtim, .inode = st.st_ino, .size = st.st_size};
    (void)pthread_rwlock_rdlock(&k->lock);
    bool fresh = k->tried && same_version(&found, &k->read);
    (void)pthread_rwlock_unlock(&k->lock);
    if (fresh)
        return;
    (void)pthread_rwlock_wrlock(&k->lock);
    if (!k->tried || !same_version(&found, &k->read))
        read_file(k, &found);
    (void)pthread_rwlock_unlock(&k->lock);
}

/* ---- from a URL ---- */

static bool fetch_text(const struct oauth_keys *k, struct slice url, struct buf *out, int64_t *fresh, struct fail *why)
{
    const struct fetch_request q = {.url = url, .redirects = true, .most = FILE_MAX, .seconds = FETCH_SECONDS};
    struct fetch_answer answer;
    struct arena a;
    bool ok;

    if (k->fetch == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "nobody can be asked");
    arena_init(&a, 64 * 1024);
    ok = fetch_ask(k->fetch, &q, &a, &answer, out, why);
    if (ok && answer.status != HTTP_OK)
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "the web server answered with status %u", answer.status);
    *fresh = ok ? answer.fresh : -1;
    arena_finish(&a);
    return ok || fail_at(why, PRIslice, SLICE_ARG(url));
}

bool oauth_metadata_parse(struct slice text, struct slice issuer, struct buf *uri, struct fail *why)
{
    json_t *whole = json_loadb(text.ptr != NULL ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    const char *said = json_string_value(json_object_get(whole, "issuer"));
    const char *found = json_string_value(json_object_get(whole, "jwks_uri"));
    bool ok = true;

    if (said == NULL || !slice_eq(slice_of(said), issuer))
        ok = fail_set(why, FAIL_TEMP, FAIL_INVALID, "the metadata are not the issuer's");
    else if (found == NULL || !slice_starts(slice_of(found), SLICE("https://")))
        ok = fail_set(why, FAIL_TEMP, FAIL_INVALID, "the metadata name no jwks_uri that is https");
    else
        buf_add(uri, slice_of(found));
    json_decref(whole);
    return ok && (!uri->failed || fail_set(why, FAIL_TEMP, FAIL_TOO_BIG, "the jwks_uri is too long"));
}

/* "https://host/path" with the well-known part between host and path (RFC 8414 section 3.1), or behind both (OpenID). */
static void well_known(struct slice issuer, bool openid, struct buf *out)
{
    size_t scheme = strlen("https://"), host = slice_find_char(slice_from(issuer, scheme), '/');

    if (slice_ends(issuer, SLICE("/")))
        issuer.len--;
    if (openid) {
        buf_addf(out, PRIslice "/.well-known/openid-configuration", SLICE_ARG(issuer));
        return;
    }
    struct slice origin = slice_sub(issuer, 0, scheme + host), path = slice_from(issuer, scheme + host);
    buf_addf(out, PRIslice "/.well-known/oauth-authorization-server" PRIslice, SLICE_ARG(origin), SLICE_ARG(path));
}

static bool discover(const struct oauth_keys *k, struct buf *uri, struct fail *why)
{
    struct buf url, text;
    int64_t fresh;
    bool ok = false;

    buf_init(&url, URL_MAX + 100);
    buf_init(&text, FILE_MAX);
    for (int openid = 1; openid >= 0 && !ok; openid--) {
        buf_reset(&url);
        buf_reset(&text);
        well_known(k->rules.issuer, openid == 1, &url);
        ok = fetch_text(k, buf_slice(&url), &text, &fresh, why) && oauth_metadata_parse(buf_slice(&text), k->rules.issuer, uri, why);
    }
    buf_finish(&url);
    buf_finish(&text);
    return ok;
}

static struct jwks *fetch_keys(const struct oauth_keys *k, int64_t *fresh, struct fail *why)
{
    struct buf url, text;
    struct jwks *keys = NULL;

    buf_init(&url, URL_MAX);
    buf_init(&text, FILE_MAX);
    bool ok = true;
    if (k->kind == SOURCE_DISCOVER)
        ok = discover(k, &url, why);
    else
        buf_add(&url, slice_of(k->source));
    if (ok && fetch_text(k, buf_slice(&url), &text, fresh, why)) {
        keys = jwks_parse(buf_slice(&text), why);
        if (keys == NULL)
            (void)fail_at(why, PRIslice, SLICE_ARG(buf_slice(&url)));
    }
    buf_finish(&url);
    buf_finish(&text);
    return keys;
}

/* The lock is held for writing. */
static void take_keys(struct oauth_keys *k, struct jwks *fresh_keys, int64_t fresh, const struct fail *why)
{
    int64_t now = clock_mono_ms();

    k->again_ms = now + AGAIN_SECONDS * 1000;
    if (fresh_keys == NULL) {
        k->stale_ms = k->again_ms;
        log_event(LOG_ERROR, "auth.jwks_unusable", LOG_CSTR("source", k->source), LOG_U64("known", k->keys != NULL), LOG_FAIL(why));
        return;
    }
    if (fresh < 0)
        fresh = FRESH_SECONDS;
    fresh = fresh < FRESH_MIN ? FRESH_MIN : fresh > FRESH_MAX ? FRESH_MAX : fresh;
    k->stale_ms = now + fresh * 1000;
    jwks_destroy(&k->keys);
    k->keys = fresh_keys;
    log_event(LOG_INFO, "auth.jwks_read", LOG_CSTR("source", k->source), LOG_I64("fresh_seconds", fresh));
}

static bool is_due(struct oauth_keys *k, bool unknown_key)
{
    int64_t now = clock_mono_ms();

    (void)pthread_rwlock_rdlock(&k->lock);
    bool due = (k->keys == NULL || unknown_key ? now >= k->again_ms : now >= k->stale_ms);
    (void)pthread_rwlock_unlock(&k->lock);
    return due;
}

static bool join_waiters(struct oauth_keys *k, int step)
{
    (void)pthread_rwlock_wrlock(&k->lock);
    bool room = step < 0 || k->waiters < WAITERS_MAX;
    if (room)
        k->waiters = (unsigned)((int)k->waiters + step);
    (void)pthread_rwlock_unlock(&k->lock);
    return room;
}

/* One thread asks; a few more wait for what it gets, if they have no keys at all or not the one they need. */
static void refresh_url(struct oauth_keys *k, bool unknown_key)
{
    int64_t fresh = -1;
    struct fail why = {0};

    if (!is_due(k, unknown_key) || !join_waiters(k, 1))
        return;
    (void)pthread_mutex_lock(&k->asking);
    if (is_due(k, unknown_key)) {
        struct jwks *keys = fetch_keys(k, &fresh, &why);
        (void)pthread_rwlock_wrlock(&k->lock);
        take_keys(k, keys, fresh, &why);
        (void)pthread_rwlock_unlock(&k->lock);
    }
    (void)pthread_mutex_unlock(&k->asking);
    (void)join_waiters(k, -1);
}

/* ---- the question ---- */

static enum jwt_verdict check_once(struct oauth_keys *k, struct slice token, struct arena *a, struct slice *account, bool *unknown_key,
                                   struct fail *why)
{
    enum jwt_verdict said;

    (void)pthread_rwlock_rdlock(&k->lock);
    *unknown_key = k->keys == NULL || !jwt_key_is_known(k->keys, token);
    if (k->keys != NULL) {
        said = jwt_check(k->keys, &k->rules, token, clock_now(), a, account, why);
    } else if (k->kind == SOURCE_FILE) {
        said = JWT_INVALID;
        (void)fail_code(why, FAIL_PERM, FAIL_AUTH, "5.7.8", "the issuer's keys cannot be read");
    } else {
        said = JWT_NOT_NOW;
        (void)fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.0", "the issuer's keys cannot be had at present; try again later");
    }
    (void)pthread_rwlock_unlock(&k->lock);
    return said;
}

enum jwt_verdict oauth_keys_check(struct oauth_keys *k, struct slice token, struct arena *a, struct slice *account, struct fail *why)
{
    bool unknown_key;

    if (k->kind == SOURCE_FILE)
        refresh_file(k);
    else
        refresh_url(k, false);
    enum jwt_verdict said = check_once(k, token, a, account, &unknown_key, why);
    if (k->kind == SOURCE_FILE || !unknown_key || said == JWT_RIGHT)
        return said;
    refresh_url(k, true);
    return check_once(k, token, a, account, &unknown_key, why);
}
