/*
 * auth/verify.h - is this the login's password?
 *
 * Layer: auth, private to it.  Joins credentials, hashes, the cache of verified
 * logins and both throttles.  Any thread; may wait for a free hash run.
 */
#ifndef AUTH_VERIFY_H
#define AUTH_VERIFY_H

#include "auth/client.h"
#include "auth/credentials.h"
#include "auth/server.h"

struct verifier;

bool verifier_create(struct credentials *c, const struct auth_limits *limits, struct verifier **out,
                     struct fail *why);
void verifier_destroy(struct verifier **v);

enum verdict {
    VERDICT_RIGHT,
    VERDICT_WRONG,   /* of password, login or both: never said which */
    VERDICT_NOT_NOW, /* `why`: refused after too many failures, or it could not be found out */
};
struct verified_login {
    uint64_t account;         /* VERDICT_RIGHT */
    struct address_key login; /* len 0 if the name can be nobody's */
    unsigned delay_ms;
    struct fail why;
};
enum verdict verifier_check(struct verifier *v, const struct auth_context *about, struct slice user,
                            struct slice password, struct verified_login *out);

/*
 * SCRAM.  The keys of that login; for a name that is nobody's, or has none, keys that no password fits,
 * the same each time, so that nobody can tell.  false: it could not be found out.
 */
bool verifier_keys(struct verifier *v, const struct auth_context *about, struct slice user,
                   struct scram_keys *out);
/* The client has proved to know the password whose keys were `used`, or has failed to. */
enum verdict verifier_proof(struct verifier *v, const struct auth_context *about, struct slice user,
                            const struct scram_keys *used, bool right, struct verified_login *out);
/* A token was good, and `user` is who it names; or it was not, and `user` who was to be signed in, if known. */
enum verdict verifier_token(struct verifier *v, const struct auth_context *about, struct slice user,
                            struct slice token, bool right, struct verified_login *out);
/* Do two names mean one login? */
bool verifier_same_login(const struct auth_context *about, struct slice a, struct slice b);

/* FAIL_INVALID, FAIL_EXISTS. */
bool verifier_set_password(struct verifier *v, uint64_t account, struct slice login, struct slice password,
                           struct fail *why);
/* "{SCHEME}...": auth/foreign.h.  FAIL_INVALID, FAIL_EXISTS. */
bool verifier_set_hash(struct verifier *v, uint64_t account, struct slice login, struct slice hash,
                       struct fail *why);
bool verifier_remove(struct verifier *v, uint64_t account, struct fail *why);

#endif
