/*
 * auth/jwks.h - an issuer's public keys (RFC 7517).
 *
 * Layer: auth, private to it.  Keys that cannot be used (other types, other curves, too
 * short, for encryption) are passed over.  A set never changes; oauth_keys.c makes another when
 * its source does.
 */
#ifndef AUTH_JWKS_H
#define AUTH_JWKS_H

#include "base/slice.h"

struct fail;
struct jwks;

/* The algorithms that are believed (RFC 7518 section 3.1, RFC 8037): never "none", never a shared secret. */
enum jwt_alg { JWT_RS256, JWT_RS384, JWT_RS512, JWT_ES256, JWT_EDDSA };
bool jwt_alg_find(struct slice name, enum jwt_alg *out);

/* NULL: FAIL_INVALID, it is no key set, or has no key that could be used. */
struct jwks *jwks_parse(struct slice text, struct fail *why);
void jwks_destroy(struct jwks **k);

/* Is there a key that such a signature could have been made with (of that id; with `kid` empty any)? */
bool jwks_has(const struct jwks *k, enum jwt_alg alg, struct slice kid);

/* Has one of the keys (of that id; with `kid` empty any) signed it? */
bool jwks_verify(const struct jwks *k, enum jwt_alg alg, struct slice kid, struct slice text,
                 struct slice signature);

#endif
