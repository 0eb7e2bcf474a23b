/*
 * auth/tls_keys.h - private keys of TLS certificates, and what they sign.
 *
 * Layer: auth.  `mail` has the certificate and speaks TLS; the key is here.  Of a handshake's two shapes of
 * signature the input is built, or checked field by field, here: so whoever has taken `mail` over can have
 * handshakes signed while he is there, and nothing else: no token, no message, no other kind of handshake.
 * RSA keys never decrypt.
 */
#ifndef AUTH_TLS_KEYS_H
#define AUTH_TLS_KEYS_H

#include "net/tls_signer.h"

struct tls_keys;

/*
 * Reads the PEM key and the PEM certificate that it must fit.  `per_second`: signatures at most.  NULL and *why if a
 * file is missing, unreadable, or the two do not match.
 */
struct tls_keys *tls_keys_open(const char *certificate_path, const char *key_path, unsigned per_second, struct fail *why);
/* Wiped.  Fine on NULL; leaves *k NULL. */
void tls_keys_close(struct tls_keys **k);

/*
 * Any thread.  A key that is not known is looked for in the files again, once a second at most: a certificate may be
 * renewed at any time, and handshakes that began with the old one still end.  FAIL_INVALID, FAIL_NOT_FOUND, FAIL_LIMIT.
 */
bool tls_keys_sign(struct tls_keys *k, const struct tls_signing *what, struct buf *out, struct fail *why);

#endif
