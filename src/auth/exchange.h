/*
 * auth/exchange.h - SASL exchanges that wait for their client's next response.
 *
 * Layer: auth, private to it.  Their ids are random: one that a process before
 * us gave out means nothing here.  Whoever steps an exchange takes it out of the table
 * first, so it is stepped by one thread at a time and forgotten if that thread ends it.
 */
#ifndef AUTH_EXCHANGE_H
#define AUTH_EXCHANGE_H

#include "auth/client.h"
#include "auth/sasl.h"
#include "base/address.h"

struct exchange {
    uint64_t id;
    int64_t expires; /* clock_mono_ms() */
    struct sasl sasl;
    struct auth_context about; /* its slices in the arena */
    struct verifier *verifier; /* whom the mechanism asks for keys */
    uint64_t account;          /* signed in; only the mechanism's last word is to be acknowledged.  0: not yet */
    struct address_key login;  /* ... as that */
    bool refused;              /* the client has been told why, and is to acknowledge it: */
    unsigned delay_ms;
    struct fail why;
    struct arena arena;
    struct exchange *older, *newer; /* in the table */
};

struct exchange *exchange_create(const struct auth_context *about);
void exchange_destroy(struct exchange **x);

struct exchanges;

struct exchanges *exchanges_create(unsigned max, unsigned seconds);
void exchanges_destroy(struct exchanges **t);
/*
 * Leaves *x NULL.  In a full table it takes the place of the one that waits longest: who begins exchanges and leaves them
 * open keeps nobody else from signing in.
 */
void exchanges_put(struct exchanges *t, struct exchange **x);
/* NULL if there is none of that id. */
struct exchange *exchanges_take(struct exchanges *t, uint64_t id);
/* Forgets those whose time is over. */
void exchanges_sweep(struct exchanges *t);

#endif
