/*
 * store/urlauth.h - the keys that authorize URLs (RFC 4467).
 *
 * Layer: store.  A mailbox has a key of its own, made when the first URL of it is
 * authorized; without it, or with another one, what was authorized is worth nothing.
 */
#ifndef STORE_URLAUTH_H
#define STORE_URLAUTH_H

#include "store/store.h"

enum { URLAUTH_KEY_BYTES = 32 };

/* The mailbox's key; with `make` one is made if there is none.  *there: is there one now? */
bool urlauth_key(struct account *a, uint64_t mailbox_id, bool make, unsigned char key[URLAUTH_KEY_BYTES],
                 bool *there, struct fail *why);
/* Forgets the key; 0: of all mailboxes. */
bool urlauth_reset(struct account *a, uint64_t mailbox_id, struct fail *why);

#endif
