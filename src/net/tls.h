/*
 * net/tls.h - certificates, and the TLS sessions made with them.
 *
 * Layer: net.  A tls_context is one certificate with its key, shared by any
 * number of listeners.  TLS 1.2 and 1.3 only, no renegotiation, no compression,
 * no session cache: one stateless ticket per handshake (RFC 8446 section 4.6.1,
 * RFC 5077).  Buffers are given back between records, because most of our
 * connections are idle most of the time.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/slice.h"

struct fail;
struct ssl_st;
struct tls_context;
struct tls_signer; /* net/tls_signer.h */

/*
 * Loads a PEM certificate chain (leaf first) and the PEM private key that fits
 * it.  NULL and *why if a file is missing, unreadable, or the two do not match.
 */
struct tls_context *tls_context_create(const char *certificate_path, const char *key_path, struct fail *why);
/* The same where the key is elsewhere; *signer outlives it, and tls_remote_keys_begin() was called. */
struct tls_context *tls_context_create_remote(const char *certificate_path, const struct tls_signer *signer, struct fail *why);

/*
 * Reads both files again.  Handshakes that begin from now on use what was read;
 * sessions that are open keep what they have.  On failure nothing changes.
 * May be called from any thread, while handshakes go on.
 */
bool tls_context_reload(struct tls_context *t, struct fail *why);

/* Fine on NULL; leaves *t NULL.  Sessions still open keep what they need. */
void tls_context_destroy(struct tls_context **t);

/*
 * For net: the server's side of a new TLS session over the socket `fd`; SSL_free() ends it.  NULL: no memory.
 * `alpn` is what the session is for, as a ProtocolNameList (RFC 7301 section 3.1: "\4imap"); a client that asks for
 * something else is refused (section 3.2), so that nobody's request to a web server ends up here (RFC 9325
 * section 3.7).  It lives as long as the session.  NULL: whatever the client says.
 */
struct ssl_st *tls_context_session(struct tls_context *t, int fd, const char *alpn);

/*
 * Writes a new self-signed certificate (ECDSA P-256, valid for ten years, names:
 * `hostname`, "localhost", 127.0.0.1 and ::1) and its key (mode 0600), for a
 * demonstration or until a real certificate is there.  Existing files are
 * replaced.
 */
bool tls_self_sign(const char *hostname, const char *certificate_path, const char *key_path, struct fail *why);

#endif
