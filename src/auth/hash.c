/*
 * auth/hash.c - see auth/hash.h.
 *
 * Layer: auth.
 */
#include "auth/hash.h"

#include <errno.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/foreign.h"
#include "auth/hash_queue.h"
#include "base/encode.h"

struct hasher {
    unsigned passes;
    size_t memory;
    struct hash_queue *queue;
    struct hash_text nobodys;
};

struct hasher *hasher_create(unsigned passes, uint64_t memory, unsigned runs, unsigned waiting, struct fail *why)
{
    struct hasher *h = xcalloc(1, sizeof *h);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned char password[16];

    h->passes = passes;
    h->memory = (size_t)memory;
    random_bytes(password, sizeof password);
    if (sodium_init() < 0)
        (void)fail_set(why, FAIL_PERM, FAIL_OTHER, "libsodium does not start");
    else
        h->queue = hash_queue_create(runs > 0 ? runs : cores > 0 ? (unsigned)cores : 1, waiting, why);
    if (h->queue != NULL && hasher_make(h, slice_make(password, sizeof password), &h->nobodys, why))
        return h;
    hasher_destroy(&h);
    return NULL;
}

void hasher_destroy(struct hasher **h)
{
    if (*h == NULL)
        return;
    hash_queue_destroy(&(*h)->queue);
    free(*h);
    *h = NULL;
}

/* ---- what a thread of the queue does ---- */

struct verifying {
    const struct hasher *hasher;
    const struct hash_text *stored;
    struct slice password;
    bool right, known;
    struct fail why;
};

static void verify(void *ctx)
{
    struct verifying *v = ctx;
    bool foreign = v->stored != NULL && foreign_is(v->stored);
    const struct hash_text *text = v->stored != NULL && !foreign ? v->stored : &v->hasher->nobodys;

    if (foreign && (!foreign_verify(v->stored, v->password, &v->right, &v->why) || v->right)) {
        v->known = v->right;
        return;
    }
    errno = 0;
    bool same = crypto_pwhash_str_verify(text->text, v->password.ptr, v->password.len) == 0;
    v->known = same || errno == EINVAL; /* another password; anything else: it did not get that far */
    v->right = same && v->stored != NULL && !foreign;
    if (!v->known)
        (void)fail_code(&v->why, FAIL_TEMP, FAIL_OTHER, "4.7.0", "no memory to check a password");
}

bool hasher_verify(struct hasher *h, const struct hash_asker *asker, const struct hash_text *stored,
                   struct slice password, bool *right, struct fail *why)
{
    struct verifying v = {.hasher = h, .stored = stored, .password = password};

    if (!hash_queue_run(h->queue, asker, verify, &v))
        return fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.7.0", "too many sign in at this moment; try again in a minute");
    *right = v.right;
    if (!v.known)
        *why = v.why;
    return v.known;
}

struct making {
    const struct hasher *hasher;
    struct slice password;
    struct hash_text *out;
    bool ok;
};

static void make(void *ctx)
{
    struct making *m = ctx;

    m->ok = crypto_pwhash_str_alg(m->out->text, m->password.ptr, m->password.len, m->hasher->passes, m->hasher->memory,
                                  crypto_pwhash_ALG_ARGON2ID13) == 0;
}

bool hasher_make(struct hasher *h, struct slice password, struct hash_text *out, struct fail *why)
{
    struct making m = {.hasher = h, .password = password, .out = out};
    struct hash_asker asker = {.known = true};

    if (!hash_queue_run(h->queue, &asker, make, &m))
        return fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.7.0", "too many sign in at this moment; try again in a minute");
    return m.ok || fail_set(why, FAIL_TEMP, FAIL_OTHER, "Argon2id with %u passes over %zu bytes does not run", h->passes,
                            h->memory);
}

bool hasher_is_old(const struct hasher *h, const struct hash_text *stored)
{
    return foreign_is(stored) || crypto_pwhash_str_needs_rehash(stored->text, h->passes, h->memory) != 0;
}

/* SaltedPassword (RFC 5802 section 3).  OpenSSL's PBKDF2 takes a fifth of the time that libgsasl's does. */
static bool salt_password(const char *text, unsigned iterations, const unsigned char *salt,
                          unsigned char out[SCRAM_KEY_BYTES])
{
    char *prepared = NULL;

    /*
     * RFC 5802 section 5.1 has both sides prepare the password by SASLprep.  One that it cannot
     * prepare (a character younger than Unicode 3.2) is taken as it is, as clients do.
     */
    if (gsasl_saslprep(text, 0, &prepared, NULL) != GSASL_OK)
        prepared = NULL;
    const char *used = prepared != NULL ? prepared : text;
    bool ok = PKCS5_PBKDF2_HMAC(used, (int)strlen(used), salt, SCRAM_SALT_BYTES, (int)iterations, EVP_sha256(),
                                SCRAM_KEY_BYTES, out) == 1;
    if (prepared != NULL) {
        sodium_memzero(prepared, strlen(prepared));
        gsasl_free(prepared);
    }
    return ok;
}

bool scram_keys_make(struct slice password, unsigned iterations, struct scram_keys *out, struct fail *why)
{
    unsigned char salted[SCRAM_KEY_BYTES];
    char client_key[SCRAM_KEY_BYTES];

    *out = (struct scram_keys){.iterations = iterations};
    if (iterations == 0)
        return true;
    random_bytes(out->salt, sizeof out->salt);

    char *text = xslicedup(password); /* holds no NUL: verify.c has looked */
    bool ok = salt_password(text, iterations, out->salt, salted) &&
              gsasl_scram_secrets_from_salted_password(GSASL_HASH_SHA256, (const char *)salted, client_key,
                                                       (char *)out->server_key,
                                                       (char *)out->stored_key) == GSASL_OK;
    sodium_memzero(text, password.len);
    free(text);
    sodium_memzero(salted, sizeof salted);
    sodium_memzero(client_key, sizeof client_key);
    return ok || fail_set(why, FAIL_TEMP, FAIL_OTHER, "no memory to make SCRAM keys");
}
