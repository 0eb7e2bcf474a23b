/*
 * auth/verified.h - logins whose password was verified a while ago.
 *
 * Layer: auth, private to it.  Mail programs log in all day long with the same
 * password; Argon2 runs for the first of them only.  An entry holds an HMAC, under
 * a random key of this process, over the stored hash and the password: nothing
 * to be guessed offline without the key, and void once the stored hash changes.
 * It also remembers the last peers that signed in.
 *
 * Any thread.  Memory is fixed, in sets of four.
 */
#ifndef AUTH_VERIFIED_H
#define AUTH_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>

enum { VERIFIED_MAC_BYTES = 32 };

struct verified;

/* `entries` 0: remembers nothing. */
struct verified *verified_create(unsigned entries, unsigned seconds);
void verified_destroy(struct verified **v);

bool verified_has(struct verified *v, uint64_t account, const unsigned char mac[VERIFIED_MAC_BYTES],
                  int64_t now);
/* Has this peer (a keyed hash) signed in to the account, with whatever password it had then? */
bool verified_knows_peer(struct verified *v, uint64_t account, uint64_t peer);
void verified_add(struct verified *v, uint64_t account, const unsigned char mac[VERIFIED_MAC_BYTES],
                  uint64_t peer, int64_t now);
/* The peer signed in without a password that could be remembered. */
void verified_add_peer(struct verified *v, uint64_t account, uint64_t peer, int64_t now);
void verified_drop(struct verified *v, uint64_t account);

#endif
