/*
 * auth/oauth_keys.h - an issuer's keys: from a file, from a URL, or from where the issuer says they are.
 *
 * Layer: auth, private to it.  A file is read again when it has changed.  Keys from a URL are kept as long as its answer
 * says (5 minutes to a day; an hour if it does not say), and asked for anew when a token names a key that is not among them,
 * at most once a minute.  Those that are known are good until others could be had.
 */
#ifndef AUTH_OAUTH_KEYS_H
#define AUTH_OAUTH_KEYS_H

#include "auth/jwt.h"
#include "auth/server.h"

struct fetch_client;
struct oauth_keys;

/* `source`: a path, an https URL, or "discover" (OpenID Connect Discovery section 4, RFC 8414). */
struct oauth_keys *oauth_keys_create(const char *source, const struct jwt_rules *rules);
/* Fine on NULL; leaves *k NULL. */
void oauth_keys_destroy(struct oauth_keys **k);
/* Who asks; before the first check.  NULL: nobody can be asked. */
void oauth_keys_use(struct oauth_keys *k, struct fetch_client *fetch);

/* Any thread; may wait for the issuer.  As jwt_check; JWT_NOT_NOW where there are no keys and none can be had. */
enum jwt_verdict oauth_keys_check(struct oauth_keys *k, struct slice token, struct arena *a, struct slice *account, struct fail *why);

/* The member `jwks_uri` of an issuer's metadata, if they are this issuer's (RFC 8414 section 3.3) and it is https. */
bool oauth_metadata_parse(struct slice text, struct slice issuer, struct buf *uri, struct fail *why);

#endif
