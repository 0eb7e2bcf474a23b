/*
 * auth/jwt.h - is this token the issuer's, for us, and still good (RFC 7515, 7519, 8725)?
 *
 * Layer: auth, private to it.
 */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include "auth/jwks.h"
#include "base/arena.h"
#include "base/buf.h"

/* What a token must say. */
struct jwt_rules {
    struct slice issuer;   /* "iss" */
    struct slice audience; /* in "aud" */
    struct slice claim;    /* the one that names the account */
    struct slice scope;    /* words that must be in "scope" or "scp"; empty: none */
    unsigned skew_seconds; /* between the issuer's clock and ours */
};

enum jwt_verdict {
    JWT_RIGHT,
    JWT_INVALID,
    JWT_SCOPE,   /* it is good, but not for this */
    JWT_NOT_NOW, /* it could not be found out; never of jwt_check */
};

/* `now` in seconds since 1970.  JWT_RIGHT: *account, in the arena.  Else *why says what is wrong, for the log. */
enum jwt_verdict jwt_check(const struct jwks *keys, const struct jwt_rules *rules, struct slice token, int64_t now,
                           struct arena *a, struct slice *account, struct fail *why);

/* May its signature be by one of these keys, going by its header? */
bool jwt_key_is_known(const struct jwks *keys, struct slice token);
/* Three parts with dots between them: not a token that says nothing to anybody but its issuer. */
bool jwt_is_one(struct slice token);

/*
 * What the issuer answered when it was asked about a token (RFC 7662 section 2.2): the same rules; what it does not say of
 * issuer, audience and time need not hold, since it asked itself.  JWT_NOT_NOW: that was no such answer.
 */
enum jwt_verdict jwt_introspected(const struct jwt_rules *rules, struct slice answer, int64_t now, struct arena *a,
                                  struct slice *account, struct fail *why);

/* RFC 4648 section 5 without padding, strict (RFC 7515 section 2); false leaves `out` as it was. */
bool base64url_decode(struct buf *out, struct slice in);

#endif
