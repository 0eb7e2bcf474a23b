/*
 * auth/hash.c - see auth/hash.h.
 *
 * Layer: auth.
 */
#include "auth/hash.h"

#include <errno.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/foreign.h"
#include "base/encode.h"

struct hasher {
    unsigned passes;
    size_t memory;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned free_runs;
    struct hash_text nobodys;
};

struct hasher *hasher_create(unsigned passes, uint64_t memory, unsigned runs, struct fail *why)
{
    struct hasher *h = xcalloc(1, sizeof *h);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned char password[16];

    h->passes = passes;
    h->memory = (size_t)memory;
    h->free_runs = runs > 0 ? runs : cores > 0 ? (unsigned)cores : 1;
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->freed, NULL);
    random_bytes(password, sizeof password);
    if (sodium_init() < 0)
        (void)fail_set(why, FAIL_PERM, FAIL_OTHER, "libsodium does not start");
    else if (hasher_make(h, slice_make(password, sizeof password), &h->nobodys, why))
        return h;
    hasher_destroy(&h);
    return NULL;
}

void hasher_destroy(struct hasher **h)
{
    if (*h == NULL)
        return;
    (void)pthread_cond_destroy(&(*h)->freed);
    (void)pthread_mutex_destroy(&(*h)->lock);
    free(*h);
    *h = NULL;
}

static void run_begin(struct hasher *h)
{
    (void)pthread_mutex_lock(&h->lock);
    while (h->free_runs == 0)
        (void)pthread_cond_wait(&h->freed, &h->lock);
    h->free_runs--;
    (void)pthread_mutex_unlock(&h->lock);
}

static void run_end(struct hasher *h)
{
    (void)pthread_mutex_lock(&h->lock);
    h->free_runs++;
    (void)pthread_cond_signal(&h->freed);
    (void)pthread_mutex_unlock(&h->lock);
}

bool hasher_verify(struct hasher *h, const struct hash_text *stored, struct slice password, bool *right,
                   struct fail *why)
{
    bool foreign = stored != NULL && foreign_is(stored);
    const struct hash_text *text = stored != NULL && !foreign ? stored : &h->nobodys;

    run_begin(h);
    if (foreign && (!foreign_verify(stored, password, right, why) || *right)) {
        run_end(h);
        return *right;
    }
    errno = 0;
    bool same = crypto_pwhash_str_verify(text->text, password.ptr, password.len) == 0;
    int error = errno; /* EINVAL: another password; anything else: it did not get that far */
    run_end(h);
    if (!same && error != EINVAL)
        return fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.0", "no memory to check a password");
    *right = same && stored != NULL && !foreign;
    return true;
}

bool hasher_make(struct hasher *h, struct slice password, struct hash_text *out, struct fail *why)
{
    run_begin(h);
    int status = crypto_pwhash_str_alg(out->text, password.ptr, password.len, h->passes, h->memory,
                                       crypto_pwhash_ALG_ARGON2ID13);
    run_end(h);
    return status == 0 ||
           fail_set(why, FAIL_TEMP, FAIL_OTHER, "Argon2id with %u passes over %zu bytes does not run",
                    h->passes, h->memory);
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
