/*
 * auth/sasl.h - mechanisms, a step at a time (RFC 4422).
 *
 * Layer: auth, private to it.  PLAIN (RFC 4616) and LOGIN (never standardised;
 * draft-murchison-sasl-login) both end in a name and a password, and together need
 * fewer lines than a library would to be called.  SCRAM will stand beside them as a
 * row whose step drives libgsasl with the keys that are kept.
 */
#ifndef AUTH_SASL_H
#define AUTH_SASL_H

#include "base/slice.h"

#define SASL_MECHANISMS "PLAIN LOGIN"

enum { SASL_USER_MAX = 512 };

struct sasl_mechanism;

/* One exchange, between steps. */
struct sasl {
    const struct sasl_mechanism *mechanism;
    unsigned steps; /* taken so far */
    size_t user_len;
    char user[SASL_USER_MAX];
};

/* false: no such mechanism. */
bool sasl_begin(struct sasl *s, struct slice mechanism);

enum sasl_outcome {
    SASL_CHALLENGE,   /* send `challenge` and step again with the response */
    SASL_CREDENTIALS, /* `user` and `password`, not verified yet; they point into the response or the exchange
                       */
    SASL_MALFORMED,   /* the response breaks the mechanism's grammar */
};
struct sasl_result {
    struct slice challenge, user, password;
};
/* First step: has_response only if the client sent an initial response. */
enum sasl_outcome sasl_step(struct sasl *s, bool has_response, struct slice response,
                            struct sasl_result *out);

#endif
