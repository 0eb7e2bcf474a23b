/*
 * auth/offer.h - which mechanisms may be used, and in which order they are named.
 *
 * Layer: auth, private to it.  Both sides ask: `mail` to announce them, `auth` to hold
 * clients to it.
 */
#ifndef AUTH_OFFER_H
#define AUTH_OFFER_H

#include "auth/server.h"

/* `binding`: the channel can be bound to (TLS 1.3). */
bool offer_has(const struct auth_limits *l, struct slice mechanism, bool binding);
/* All of them, separated by blanks, as the config orders them. */
void offer_write(const struct auth_limits *l, bool binding, struct buf *out);

#endif
