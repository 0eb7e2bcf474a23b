/*
 * auth/scram.h - SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 9266).
 *
 * Layer: auth, private to it.  libgsasl does the mechanism; it is given the keys that
 * are kept, never a password.  Whether a proof that is right is let in, the throttles
 * say (auth/verify.h).
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include "auth/hash.h"
#include "base/slice.h"

/* libgsasl, shared by all exchanges of a server: it is only read. */
struct scram_library;

struct scram_library *scram_library_create(struct fail *why);
void scram_library_destroy(struct scram_library **l);

/* Where keys come from: those of the login, or some that nobody has a password for.  false: not to be had now. */
struct scram_source {
    bool (*keys)(void *ctx, struct slice user, struct scram_keys *out);
    void *ctx;
};

struct scram;

/*
 * `binding`: the channel's (tls-exporter), empty if there is none or -PLUS is not offered on it.
 * A client that says it would have bound if only we had offered it ("y") is refused when we have:
 * somebody in between took the offer out.  NULL: no memory.
 */
struct scram *scram_create(const struct scram_library *l, bool plus, struct slice binding,
                           struct scram_source source);
void scram_destroy(struct scram **s);

enum scram_outcome {
    SCRAM_CHALLENGE,   /* server-first-message */
    SCRAM_RIGHT,       /* server-final-message: the client has proved that it knows the password */
    SCRAM_WRONG,       /* it has not */
    SCRAM_MALFORMED,   /* the message breaks the grammar, or binds to another channel */
    SCRAM_UNAVAILABLE, /* no keys to be had now */
};
/* *out lives until the next step. */
enum scram_outcome scram_step(struct scram *s, struct slice message, struct slice *out);

/* Known after the first step; empty if the client gave none. */
struct slice scram_user(const struct scram *s);
struct slice scram_authzid(const struct scram *s);
/* Those that were used. */
const struct scram_keys *scram_used(const struct scram *s);

#endif
