/*
 * auth/verify.c - see auth/verify.h.
 *
 * Layer: auth.
 */
#include "auth/verify.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/foreign.h"
#include "auth/hash_queue.h"
#include "auth/throttle.h"
#include "auth/verified.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"
#include "base/scoped.h"
#include "base/unicode.h"

struct verifier {
    struct auth_limits limits;
    struct credentials *credentials;
    struct hasher *hasher;
    struct verified *verified;
    struct throttle *peers, *logins;
    unsigned char key[crypto_auth_hmacsha256_KEYBYTES]; /* of this process; for the cache and for guesses */
    unsigned char secret[CREDENTIALS_SECRET];           /* of this database; for names that are nobody's */
};

bool verifier_create(struct credentials *c, const struct auth_limits *limits, struct verifier **out,
                     struct fail *why)
{
    SCOPED(verifier_destroy) struct verifier *v = xcalloc(1, sizeof *v);

    v->limits = *limits;
    v->credentials = c;
    random_bytes(v->key, sizeof v->key);
    v->verified = verified_create(limits->cached_logins, limits->cached_seconds);
    v->peers = throttle_create(limits->throttled, limits->failure_seconds);
    v->logins = throttle_create(limits->throttled, limits->failure_seconds);
    v->hasher = hasher_create(limits->hash_passes, limits->hash_memory, limits->hash_runs, limits->hash_waiting, why);
    if (v->hasher == NULL || !credentials_secret(c, v->secret, why))
        return false;
    *out = v;
    v = NULL;
    return true;
}

void verifier_destroy(struct verifier **vp)
{
    struct verifier *v = *vp;

    if (v == NULL)
        return;
    hasher_destroy(&v->hasher);
    verified_destroy(&v->verified);
    throttle_destroy(&v->peers);
    throttle_destroy(&v->logins);
    sodium_memzero(v->key, sizeof v->key);
    sodium_memzero(v->secret, sizeof v->secret);
    free(v);
    *vp = NULL;
}

/* ---- names, addresses, passwords ---- */

/* false: such a name is nobody's. */
static bool login_key(struct slice user, struct slice domain, struct address_key *out)
{
    bool whole = slice_find_char(user, '@') < user.len;

    if (user.len > 0 && (whole ? address_key_parse(user, out) : address_key_join(user, domain, out)))
        return true;
    out->len = 0;
    return false;
}

/* An IPv6 network of 64 bits counts as one peer: who has one address of it has them all. */
static uint64_t peer_key(struct slice peer)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr address;

    (void)snprintf(text, sizeof text, PRIslice, SLICE_ARG(peer));
    if (inet_pton(AF_INET6, text, &address) == 1 && !IN6_IS_ADDR_V4MAPPED(&address))
        return hash_bytes(slice_make(&address, 8));
    return hash_bytes(peer);
}

/* Where a web mail or a proxy signs everybody in from: its failures are not one man's. */
static bool is_loopback(struct slice peer)
{
    return slice_starts(peer, SLICE("127.")) || slice_eq(peer, SLICE("::1")) ||
           slice_eq(peer, SLICE("local"));
}

/* A password in one form however it was typed (RFC 8265 section 4.2.2, the normalisation); wiped. */
struct secret {
    struct arena arena;
    struct slice text;
};

static void secret_finish(struct secret *s)
{
    if (s->text.len > 0)
        sodium_memzero((void *)(uintptr_t)s->text.ptr, s->text.len); /* our own bytes, in our own arena */
    arena_finish(&s->arena);
}

/* What is no UTF-8 stays as it came: it is somebody's wrong password. */
static void secret_init(struct secret *s, struct slice password, unsigned max)
{
    struct slice given = slice_sub(password, 0, (size_t)max + 1);

    arena_init(&s->arena, 16 * (size_t)max + 4096);
    if (slice_is_ascii(given) || !unicode_nfc(&s->arena, given, &s->text))
        s->text = arena_keep(&s->arena, given);
}

/* HMAC-SHA-256 under this process's key over both texts; a NUL, which neither holds, stands between. */
static void hmac(const struct verifier *v, struct slice a, struct slice b,
                 unsigned char out[VERIFIED_MAC_BYTES])
{
    crypto_auth_hmacsha256_state state;

    (void)crypto_auth_hmacsha256_init(&state, v->key, sizeof v->key);
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)a.ptr, a.len);
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)"", 1);
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)b.ptr, b.len);
    (void)crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

/* ---- one attempt ---- */

struct attempt {
    const struct auth_context *about;
    struct slice password;
    struct credential credential;
    bool found;
    uint64_t peer, login, guess;           /* keyed hashes */
    unsigned char mac[VERIFIED_MAC_BYTES]; /* stored hash and password */
    struct app_hash app;                   /* the password's, if it may be an app password */
    bool has_app;
    bool exempt;                           /* the peer from limits on peers */
    int64_t now;
};

/* Keyed hashes for the throttles and the cache.  The same work whether the login was found or not. */
static void attempt_keys(const struct verifier *v, struct attempt *t, struct slice login)
{
    unsigned char guess[VERIFIED_MAC_BYTES];

    t->peer = peer_key(t->about->peer);
    t->login = hash_bytes(login);
    hmac(v, login, t->password, guess);
    memcpy(&t->guess, guess, sizeof t->guess);
    hmac(v, slice_of(t->credential.hash.text), t->password, t->mac);
    t->exempt = is_loopback(t->about->peer);
    t->now = clock_mono_ms() / 1000;
}

/* Has the peer signed in to the account lately? */
static bool is_known(const struct verifier *v, const struct attempt *t)
{
    return t->found && verified_knows_peer(v->verified, t->credential.account, t->peer);
}

/*
 * A login under attack stays open to the peers that signed in to it lately, or anybody could lock anybody out.  Not for ever:
 * a taken-over `mail` can say that each guess comes from there.
 */
static uint64_t most_failures(struct verifier *v, const struct attempt *t)
{
    enum { KNOWN_PEERS = 10 };

    return v->limits.login_failures * (uint64_t)(is_known(v, t) ? KNOWN_PEERS : 1);
}

/* Too many failures? */
static bool refused(struct verifier *v, const struct attempt *t, struct verified_login *out)
{
    struct fail *why = &out->why;

    out->delay_ms = v->limits.delay_ms; /* nor is asking for nothing free */
    if (!t->exempt && throttle_failures(v->peers, t->peer, t->now) >= v->limits.peer_failures) {
        (void)fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.7.0",
                        "too many failed logins from your address; try again later");
        return true;
    }
    if (throttle_failures(v->logins, t->login, t->now) >= most_failures(v, t)) {
        (void)fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.7.0",
                        "too many failed logins with this name; try again later");
        return true;
    }
    out->delay_ms = 0;
    return false;
}

/* 1, 2, 4 ... times the first delay. */
static unsigned delay_after(const struct auth_limits *l, unsigned failures)
{
    uint64_t delay = l->delay_ms;

    for (unsigned i = 1; i < failures && delay < l->delay_ms_max; i++)
        delay *= 2;
    return delay < l->delay_ms_max ? (unsigned)delay : l->delay_ms_max;
}

/*
 * What is stored at another cost than today's, or not yet, is made anew while the password is at hand, and
 * remembered as verified: the next login need not run Argon2 once more.
 */
static void refresh_stored(struct verifier *v, const struct attempt *t)
{
    const struct credential *old = &t->credential;
    struct hash_text hash = old->hash;
    struct scram_keys scram = old->scram;
    bool old_hash = hasher_is_old(v->hasher, &old->hash), old_keys = scram.iterations != v->limits.scram_iterations;

    bool made = (!old_hash || hasher_make(v->hasher, t->password, &hash, NULL)) &&
                (!old_keys || scram_keys_make(t->password, v->limits.scram_iterations, &scram, NULL));
    if (made && (old_hash || old_keys) && credentials_rehash(v->credentials, old, &hash, &scram, NULL) && old_hash) {
        unsigned char mac[VERIFIED_MAC_BYTES];
        hmac(v, slice_of(hash.text), t->password, mac);
        verified_add(v->verified, old->account, mac, t->peer, t->now);
    }
    sodium_memzero(&hash, sizeof hash);
    sodium_memzero(&scram, sizeof scram);
}

static enum verdict run_hash(struct verifier *v, const struct attempt *t, struct verified_login *out)
{
    struct throttle_mark peer = {0}, login = throttle_begin(v->logins, t->login, t->guess, t->now);
    struct hash_asker asker = {.peer = t->peer, .login = t->login, .known = is_known(v, t)};
    bool right = false;

    if (!t->exempt)
        peer = throttle_begin(v->peers, t->peer, t->guess, t->now);
    bool known =
        hasher_verify(v->hasher, &asker, t->found ? &t->credential.hash : NULL, t->password, &right, &out->why);
    if (!known || right) {
        throttle_forgive(v->logins, t->login, login, t->now);
        throttle_forgive(v->peers, t->peer, peer, t->now);
    }
    if (!known) {
        out->delay_ms = v->limits.delay_ms;
        return VERDICT_NOT_NOW;
    }
    if (right) {
        verified_add(v->verified, t->credential.account, t->mac, t->peer, t->now);
        refresh_stored(v, t);
        return VERDICT_RIGHT;
    }
    out->delay_ms = delay_after(&v->limits, peer.failures > login.failures ? peer.failures : login.failures);
    return VERDICT_WRONG;
}

static enum verdict check(struct verifier *v, struct attempt *t, struct verified_login *out)
{
    uint64_t app = 0;

    if (refused(v, t, out))
        return VERDICT_NOT_NOW;
    if (t->has_app && !credentials_app_find(v->credentials, t->credential.account, &t->app, t->about->service, &app, &out->why))
        return VERDICT_NOT_NOW;
    if (app != 0 && t->found) {
        verified_add_peer(v->verified, t->credential.account, t->peer, t->now);
        credentials_app_used(v->credentials, app, clock_now(), t->about->service, t->about->peer);
        return VERDICT_RIGHT;
    }
    if (t->found && verified_has(v->verified, t->credential.account, t->mac, t->now)) {
        verified_add_peer(v->verified, t->credential.account, t->peer, t->now);
        return VERDICT_RIGHT;
    }
    return run_hash(v, t, out);
}

enum verdict verifier_check(struct verifier *v, const struct auth_context *about, struct slice user,
                            struct slice password, struct verified_login *out)
{
    SCOPED(secret_finish) struct secret secret = {0};
    struct attempt t = {.about = about};

    *out = (struct verified_login){0};
    secret_init(&secret, password, v->limits.password_bytes);
    t.password = secret.text;
    t.has_app = app_hash(t.password, &t.app);
    if (login_key(user, about->domain, &out->login) &&
        !credentials_find(v->credentials, key_text(&out->login), &t.credential, &t.found, &out->why))
        return VERDICT_NOT_NOW;
    attempt_keys(v, &t, out->login.len > 0 ? key_text(&out->login) : user);

    enum verdict verdict = check(v, &t, out);
    if (verdict == VERDICT_RIGHT) {
        out->account = t.credential.account;
        credentials_used(v->credentials, out->account, clock_now(), about->service, about->peer);
    }
    sodium_memzero(&t, sizeof t);
    return verdict;
}

/* ---- SCRAM ---- */

static void keys_of_nobody(const struct verifier *v, struct slice login, struct scram_keys *out)
{
    unsigned char derived[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;

    (void)crypto_auth_hmacsha256_init(&state, v->secret, sizeof v->secret);
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)login.ptr, login.len);
    (void)crypto_auth_hmacsha256_final(&state, derived);
    *out = (struct scram_keys){.iterations = v->limits.scram_iterations};
    memcpy(out->salt, derived, sizeof out->salt);
    random_bytes(out->stored_key, sizeof out->stored_key);
    random_bytes(out->server_key, sizeof out->server_key);
}

bool verifier_keys(struct verifier *v, const struct auth_context *about, struct slice user,
                   struct scram_keys *out)
{
    struct credential c = {0};
    struct address_key login;
    struct fail why;
    bool found = false, named = login_key(user, about->domain, &login);

    if (named && !credentials_find(v->credentials, key_text(&login), &c, &found, &why))
        return false;
    if (found && c.scram.iterations > 0)
        *out = c.scram;
    else
        keys_of_nobody(v, named ? key_text(&login) : user, out);
    sodium_memzero(&c, sizeof c);
    return true;
}

/* Under the throttles.  A SCRAM proof differs each time, so a guess that is the same again cannot be told. */
static enum verdict judge(struct verifier *v, const struct attempt *t, bool right, struct verified_login *out)
{
    struct throttle_mark peer = {0}, login;

    if (refused(v, t, out))
        return VERDICT_NOT_NOW;
    if (right) {
        verified_add_peer(v->verified, t->credential.account, t->peer, t->now);
        return VERDICT_RIGHT;
    }
    login = throttle_begin(v->logins, t->login, t->guess, t->now);
    if (!t->exempt)
        peer = throttle_begin(v->peers, t->peer, t->guess, t->now);
    out->delay_ms = delay_after(&v->limits, peer.failures > login.failures ? peer.failures : login.failures);
    return VERDICT_WRONG;
}

static enum verdict conclude(struct verifier *v, struct attempt *t, bool right, struct verified_login *out)
{
    enum verdict verdict = judge(v, t, right, out);

    if (verdict == VERDICT_RIGHT) {
        out->account = t->credential.account;
        credentials_used(v->credentials, out->account, clock_now(), t->about->service, t->about->peer);
    }
    sodium_memzero(t, sizeof *t);
    return verdict;
}

enum verdict verifier_proof(struct verifier *v, const struct auth_context *about, struct slice user,
                            const struct scram_keys *used, bool right, struct verified_login *out)
{
    struct attempt t = {.about = about};

    *out = (struct verified_login){0};
    if (login_key(user, about->domain, &out->login) &&
        !credentials_find(v->credentials, key_text(&out->login), &t.credential, &t.found, &out->why))
        return VERDICT_NOT_NOW;
    attempt_keys(v, &t, out->login.len > 0 ? key_text(&out->login) : user);
    t.guess = random_u64();
    /* The password may have been changed since the keys were taken. */
    bool current = t.found && t.credential.scram.iterations > 0 &&
                   sodium_memcmp(t.credential.scram.stored_key, used->stored_key, sizeof used->stored_key) == 0;
    return conclude(v, &t, right && current, out);
}

enum verdict verifier_token(struct verifier *v, const struct auth_context *about, struct slice user,
                            struct slice token, bool right, struct verified_login *out)
{
    struct attempt t = {.about = about, .password = token}; /* one that has expired is the same guess each time */

    *out = (struct verified_login){0};
    if (login_key(user, about->domain, &out->login) &&
        !credentials_find(v->credentials, key_text(&out->login), &t.credential, &t.found, &out->why))
        return VERDICT_NOT_NOW;
    attempt_keys(v, &t, out->login.len > 0 ? key_text(&out->login) : user);
    if (user.len == 0)
        t.login = t.guess; /* a bad token that comes without a name is an attack on nobody */
    return conclude(v, &t, right && t.found, out);
}

bool verifier_same_login(const struct auth_context *about, struct slice a, struct slice b)
{
    struct address_key one, other;

    return login_key(a, about->domain, &one) && login_key(b, about->domain, &other) &&
           slice_eq(key_text(&one), key_text(&other));
}

/* ---- changing ---- */

static bool password_is_fit(struct slice password, unsigned max, struct fail *why)
{
    if (password.len == 0 || password.len > max)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "a password has 1 to %u bytes", max);
    if (!utf8_valid(password))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "a password is UTF-8");
    for (size_t i = 0; i < password.len; i++)
        if ((unsigned char)password.ptr[i] < ' ' || password.ptr[i] == 0x7f)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a password has no control characters");
    return true;
}

bool verifier_set_password(struct verifier *v, uint64_t account, struct slice login, struct slice password,
                           struct fail *why)
{
    SCOPED(secret_finish) struct secret secret = {0};
    struct address_key key;
    struct hash_text hash;
    struct scram_keys scram;

    if (account == 0 || account > INT64_MAX || !address_key_parse(login, &key))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"" PRIslice "\" is no login", SLICE_ARG(login));
    if (!password_is_fit(password, v->limits.password_bytes, why))
        return false;
    secret_init(&secret, password, v->limits.password_bytes);
    bool ok = hasher_make(v->hasher, secret.text, &hash, why) &&
              scram_keys_make(secret.text, v->limits.scram_iterations, &scram, why) &&
              credentials_set(v->credentials, account, key_text(&key), &hash, &scram, why);
    sodium_memzero(&hash, sizeof hash);
    sodium_memzero(&scram, sizeof scram);
    if (!ok)
        return false;
    verified_drop(v->verified, account);
    return true;
}

bool verifier_set_hash(struct verifier *v, uint64_t account, struct slice login, struct slice hash,
                       struct fail *why)
{
    struct address_key key;
    struct hash_text text;
    struct scram_keys scram;
    struct slice password;
    bool plain;

    if (!foreign_read(hash, &text, &scram, &plain, &password, why))
        return false;
    if (plain)
        return verifier_set_password(v, account, login, password, why);
    if (account == 0 || account > INT64_MAX || !address_key_parse(login, &key))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"" PRIslice "\" is no login", SLICE_ARG(login));
    bool ok = credentials_set(v->credentials, account, key_text(&key), &text, &scram, why);
    sodium_memzero(&text, sizeof text);
    sodium_memzero(&scram, sizeof scram);
    if (!ok)
        return false;
    verified_drop(v->verified, account);
    return true;
}

bool verifier_remove(struct verifier *v, uint64_t account, struct fail *why)
{
    if (!credentials_remove(v->credentials, account, why))
        return false;
    verified_drop(v->verified, account);
    return true;
}
