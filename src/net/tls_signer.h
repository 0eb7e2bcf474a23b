/*
 * net/tls_signer.h - a private key that is somewhere else.
 *
 * Layer: net.  The process that speaks TLS has the certificate; its key lies with another, which signs what a
 * handshake needs signed and nothing else.  The request says what it is for, so that the other side can build
 * by itself what it signs: a key that signs handshakes cannot be made to sign anything else.
 */
#ifndef NET_TLS_SIGNER_H
#define NET_TLS_SIGNER_H

#include "base/buf.h"

struct evp_pkey_st;
struct fail;

enum {
    TLS_KEY_ID_BYTES = 32,
    TLS_TRANSCRIPT_MAX = 64,  /* bytes of a transcript hash */
    TLS_EXCHANGE_MAX = 4096,  /* of a ServerKeyExchange with both randoms */
    TLS_SIGNATURE_MAX = 2048, /* of one by an RSA key of 16,384 bits */
};

struct tls_signing {
    enum tls_signing_kind {
        TLS_SIGN_CERTIFICATE_VERIFY = 1, /* input: the transcript hash (RFC 8446 section 4.4.3) */
        TLS_SIGN_KEY_EXCHANGE = 2,       /* input: client random, server random, parameters (RFC 8422 section 5.4) */
    } kind;
    uint16_t     scheme; /* SignatureScheme, RFC 8446 section 4.2.3 */
    struct slice key;    /* TLS_KEY_ID_BYTES: which key, by tls_key_id */
    struct slice input;
};

struct tls_signer {
    /* The signature, into *out.  May wait; any thread. */
    bool (*sign)(void *ctx, const struct tls_signing *what, struct buf *out, struct fail *why);
    void *ctx;
};

/*
 * Lets OpenSSL know such keys, for all of this process; before its second thread.  Ended after the last of them is gone;
 * fine on NULL, leaves *k NULL.
 */
struct tls_remote_keys;
struct tls_remote_keys *tls_remote_keys_begin(struct fail *why);
void tls_remote_keys_end(struct tls_remote_keys **k);

/* SHA-256 of the key's public half (SubjectPublicKeyInfo).  false: OpenSSL refuses the key. */
bool tls_key_id(const struct evp_pkey_st *key, unsigned char out[TLS_KEY_ID_BYTES]);

/* ---- for net/tls.c ---- */

/*
 * A key for OpenSSL that has the public half and asks `signer`, which must outlive it, for signatures.  EC and
 * RSA.  NULL and *why otherwise.
 */
struct evp_pkey_st *tls_remote_key(const struct evp_pkey_st *public_half, const struct tls_signer *signer, struct fail *why);

#endif
