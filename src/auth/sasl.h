/*
 * auth/sasl.h - mechanisms, a step at a time (RFC 4422).
 *
 * Layer: auth, private to it.  PLAIN (RFC 4616) and LOGIN (never standardised;
 * draft-murchison-sasl-login) both end in a name and a password, and together need
 * fewer lines than a library would to be called; SCRAM is auth/scram.h's.
 */
#ifndef AUTH_SASL_H
#define AUTH_SASL_H

#include "auth/scram.h"

enum { SASL_USER_MAX = 512 };

struct sasl_mechanism;

/* What mechanisms need of the server around them. */
struct sasl_host {
    const struct scram_library *scram;
    struct scram_source keys;
    struct slice binding; /* of the channel, for -PLUS; empty: none.  Used by sasl_begin only */
};

/* One exchange, between steps. */
struct sasl {
    const struct sasl_mechanism *mechanism;
    unsigned steps; /* taken so far */
    size_t user_len;
    char user[SASL_USER_MAX];
    struct scram *scram; /* NULL for other mechanisms */
};

/* false: no such mechanism. */
bool sasl_begin(struct sasl *s, struct slice mechanism, const struct sasl_host *host);
bool sasl_is(const struct sasl *s, const char *mechanism);
/* Fine on one that is all zero. */
void sasl_finish(struct sasl *s);

enum sasl_outcome {
    SASL_CHALLENGE,   /* send `challenge` and step again with the response */
    SASL_CREDENTIALS, /* `user` and `password`, not verified yet; they point into the response or the exchange */
    SASL_PROOF,       /* `user` has proved, or not (`right`), to know the password whose `keys` were used;
                         `challenge` is the last word to send, and is to be answered by nothing */
    SASL_TOKEN,       /* `token`, not checked yet, of which authzid is to be the owner */
    SASL_MALFORMED,   /* the response breaks the mechanism's grammar */
    SASL_UNAVAILABLE, /* what is needed to go on cannot be had now */
};
struct sasl_result {
    struct slice challenge, user, authzid, password, token; /* authzid empty: the same as user */
    bool right;
    const struct scram_keys *keys;
};
/* First step: has_response only if the client sent an initial response. */
enum sasl_outcome sasl_step(struct sasl *s, bool has_response, struct slice response,
                            struct sasl_result *out);

#endif
