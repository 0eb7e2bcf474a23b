/*
 * auth/foreign.h - password hashes that another server made.
 *
 * Layer: auth, private to it.  Written as Dovecot writes them: "{SCHEME}hash", "{SCHEME.b64}",
 * "{SCHEME.hex}".  One is taken as it is, is good for a login, and gives way to a hash of our
 * own (auth/verify.c) as soon as the password was at hand once.
 *
 *     CRYPT DES-CRYPT MD5 MD5-CRYPT SHA256-CRYPT SHA512-CRYPT BLF-CRYPT ARGON2I ARGON2ID
 *     PBKDF2 SCRAM-SHA-1 SCRAM-SHA-256 SHA SHA1 SHA256 SHA512 SSHA SSHA256 SSHA512
 *     SMD5 PLAIN-MD5 LDAP-MD5 PLAIN CLEAR CLEARTEXT
 *
 * What a hash may cost is bounded when it is taken: nothing that is kept can stall a login for
 * more than about a second, or take more than 256 MB.
 */
#ifndef AUTH_FOREIGN_H
#define AUTH_FOREIGN_H

#include "auth/hash.h"

/* Does that text stand for a hash of another's? */
bool foreign_is(const struct hash_text *stored);

/*
 * Reads what an administrator brings, without a scheme: CRYPT.  *plain: it was the password itself, which
 * then is in *password (a slice of `text`), and *out is empty.  *keys: what SCRAM-SHA-256 needs, where the
 * hash has it (iterations 0: it has not).  FAIL_INVALID: not known, damaged, or beyond the bounds: *why says.
 */
bool foreign_read(struct slice text, struct hash_text *out, struct scram_keys *keys, bool *plain,
                  struct slice *password, struct fail *why);

/* Does the password belong to it?  FAIL_TEMP: no memory. */
bool foreign_verify(const struct hash_text *stored, struct slice password, bool *right, struct fail *why);

#endif
