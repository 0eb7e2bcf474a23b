/*
 * auth/credentials.h - who has which password: auth.db.
 *
 * Layer: auth, private to it.  Any thread.  One password an account, under the
 * account's id and its address in canonical form (base/address.h).
 */
#ifndef AUTH_CREDENTIALS_H
#define AUTH_CREDENTIALS_H

#include "auth/app.h"
#include "auth/control.h"
#include "auth/hash.h"
#include "base/address.h"
#include "base/arena.h"

struct credentials;

enum { CREDENTIALS_SECRET = 32 };

struct credential {
    uint64_t account;
    struct hash_text hash;
    struct scram_keys scram; /* iterations 0: none are kept */
};

bool credentials_open(const char *path, struct credentials **out, struct fail *why);
/* Writes the uses that are not yet written.  Fine on NULL. */
void credentials_close(struct credentials **c);

/* A copy of the database, fsynced and renamed into place. */
bool credentials_copy(struct credentials *c, const char *path, struct fail *why);

/* *found false: there is no such login.  The function is false if it could not be found out. */
bool credentials_find(struct credentials *c, struct slice login, struct credential *out, bool *found,
                      struct fail *why);
/* An earlier account of that login is gone, and its password goes.  FAIL_EXISTS if a later one has it. */
bool credentials_set(struct credentials *c, uint64_t account, struct slice login,
                     const struct hash_text *hash, const struct scram_keys *scram, struct fail *why);
/* The same password at other costs; nothing happens if it was changed meanwhile. */
bool credentials_rehash(struct credentials *c, const struct credential *old, const struct hash_text *hash,
                        const struct scram_keys *scram, struct fail *why);
/* Random bytes, made once for this database: what is derived from them stays the same over restarts. */
bool credentials_secret(struct credentials *c, unsigned char out[CREDENTIALS_SECRET], struct fail *why);
/* FAIL_NOT_FOUND */
bool credentials_remove(struct credentials *c, uint64_t account, struct fail *why);

/* Remembered at once, written by credentials_save_uses: a login should not wait for a disk. */
void credentials_used(struct credentials *c, uint64_t account, int64_t now, struct slice service,
                      struct slice peer);
bool credentials_save_uses(struct credentials *c, struct fail *why);

/* App passwords.  FAIL_NOT_FOUND: the account has no credential; FAIL_EXISTS: that name is taken; FAIL_LIMIT. */
bool credentials_app_add(struct credentials *c, uint64_t account, struct slice name, struct slice services,
                         const struct app_hash *hash, unsigned most, struct fail *why);
bool credentials_app_remove(struct credentials *c, uint64_t account, struct slice name, struct fail *why);
/* *id 0: the account has none of that hash for the service. */
bool credentials_app_find(struct credentials *c, uint64_t account, const struct app_hash *hash,
                          struct slice service, uint64_t *id, struct fail *why);
/* As credentials_used. */
void credentials_app_used(struct credentials *c, uint64_t id, int64_t now, struct slice service,
                          struct slice peer);
/* All of an account, by name; their number in *count, at most `most`. */
bool credentials_app_list(struct credentials *c, uint64_t account, struct arena *a,
                          struct auth_app_password *out, size_t most, size_t *count, struct fail *why);

enum { CREDENTIALS_PAGE = 50 };
/* Up to CREDENTIALS_PAGE of them with ids above `after`, in the arena. */
bool credentials_list(struct credentials *c, uint64_t after, struct arena *a, struct auth_credential *out,
                      size_t *count, struct fail *why);

#endif
