/*
 * auth/oauth.h - tokens of an issuer that the config names: OAUTHBEARER (RFC 7628) and XOAUTH2.
 *
 * Layer: auth, private to it.  Tokens are JWTs, checked against the issuer's keys (auth/oauth_keys.h), or the issuer
 * is asked about them (RFC 7662): about those that are no JWTs, and, where no keys are configured, about all.
 */
#ifndef AUTH_OAUTH_H
#define AUTH_OAUTH_H

#include "auth/jwt.h"
#include "auth/server.h"

struct oauth;

/* NULL if the config names no issuer.  A key file that cannot be read is logged, and tried again when it changes. */
struct oauth *oauth_create(const struct auth_limits *l);
void oauth_destroy(struct oauth **o);
struct fetch_client;
/* Who asks the issuer; before the first check. */
void oauth_use(struct oauth *o, struct fetch_client *fetch);

/* Any thread.  As jwt_check, or JWT_NOT_NOW (FAIL_TEMP): the issuer could not be asked. */
enum jwt_verdict oauth_check(struct oauth *o, struct slice token, struct arena *a, struct slice *account,
                             struct fail *why);

/* What the client is told of a token that is not taken: JSON (RFC 7628 section 3.2.2; XOAUTH2 has a status of digits). */
void oauth_error(const struct oauth *o, enum jwt_verdict said, bool bearer, struct buf *out);

/*
 * What the client sends first.  `user` is for whom it wants to act; may be empty.
 *
 *     client-resp = gs2-header kvsep *kvpair kvsep / kvsep                  RFC 7628 section 3.1
 *     XOAUTH2:      "user=" user kvsep "auth=Bearer " token kvsep kvsep
 */
enum { OAUTH_USER_MAX = 512 };
bool oauth_read_bearer(struct slice message, char room[OAUTH_USER_MAX], struct slice *user, struct slice *token);
bool oauth_read_xoauth2(struct slice message, struct slice *user, struct slice *token);

#endif
