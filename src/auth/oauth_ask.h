/*
 * auth/oauth_ask.h - asking the issuer about a token (RFC 7662).
 *
 * Layer: auth, private to it.
 */
#ifndef AUTH_OAUTH_ASK_H
#define AUTH_OAUTH_ASK_H

#include "auth/jwt.h"

struct fetch_client;

struct oauth_ask_setting {
    const char *url, *client, *secret; /* secret: the path of a file with it */
};

/* "Basic ..." of RFC 6749 section 2.3.1. */
void oauth_basic(struct slice client, struct slice secret, struct buf *out);

/* Waits for the issuer.  JWT_NOT_NOW if it does not answer, or not as it should. */
enum jwt_verdict oauth_ask(struct fetch_client *fetch, const struct oauth_ask_setting *s, const struct jwt_rules *rules,
                           struct slice token, struct arena *a, struct slice *account, struct fail *why);

#endif
