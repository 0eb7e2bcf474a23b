/*
 * auth/hash.h - Argon2id, so many at a time.
 *
 * Layer: auth, private to it.  Memory is what an attacker would run us out of, so
 * runs are bounded; who finds none free waits in a queue (auth/hash_queue.h).
 */
#ifndef AUTH_HASH_H
#define AUTH_HASH_H

#include <sodium.h>

#include "base/fail.h"

struct hasher;

struct hash_text {
    char text[384];
}; /* "$argon2id$v=19$m=...", or "{SCHEME}..." for another's (auth/foreign.h); NUL-terminated */

/*
 * `runs` 0: as many as there are cores; `waiting` for them at most.  Makes the hash that unknown logins are checked
 * against.
 */
struct hasher *hasher_create(unsigned passes, uint64_t memory, unsigned runs, unsigned waiting, struct fail *why);
void hasher_destroy(struct hasher **h);

/*
 * Does the password belong to the hash?  `stored` NULL: no, after the same time.  One of
 * another's making takes its own time, and where it is not right ours in addition.
 * false from the function: it could not be found out (FAIL_TEMP; FAIL_LIMIT: too many wait, auth/hash_queue.h).
 */
struct hash_asker;
bool hasher_verify(struct hasher *h, const struct hash_asker *asker, const struct hash_text *stored,
                   struct slice password, bool *right, struct fail *why);
/* For who is known. */
bool hasher_make(struct hasher *h, struct slice password, struct hash_text *out, struct fail *why);
/* Was it made at another cost than ours? */
bool hasher_is_old(const struct hasher *h, const struct hash_text *stored);

/* What a server keeps for SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677): it cannot sign in with it. */
enum { SCRAM_SALT_BYTES = 16, SCRAM_KEY_BYTES = 32 };
struct scram_keys {
    unsigned iterations; /* 0: none are kept */
    unsigned char salt[SCRAM_SALT_BYTES], stored_key[SCRAM_KEY_BYTES], server_key[SCRAM_KEY_BYTES];
};
bool scram_keys_make(struct slice password, unsigned iterations, struct scram_keys *out, struct fail *why);

#endif
