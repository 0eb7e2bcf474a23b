/*
 * net/tls_self.c - a certificate for the first day: self-signed.
 *
 * Layer: net.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/fail.h"
#include "base/io.h"
#include "net/tls.h"

enum { VALID_DAYS = 3650, BACKDATED_SECONDS = 3600 };

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool name_and_sign(X509 *cert, EVP_PKEY *key, const char *hostname)
{
    uint64_t serial = random_u64() >> 1; /* positive, RFC 5280 section 4.1.2.2 */
    X509_NAME *name = X509_get_subject_name(cert);
    char names[400];

    if (snprintf(names, sizeof(names), "DNS:%s,DNS:localhost,IP:127.0.0.1,IP:::1", hostname) >=
        (int)sizeof(names))
        return false;
    return X509_set_version(cert, 2) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATED_SECONDS) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), (long)VALID_DAYS * 24 * 3600) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)hostname, -1, -1, 0) ==
               1 &&
           X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
           add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, NID_subject_alt_name, names) && X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool write_pem(BIO *pem, const char *path, unsigned mode, struct fail *why)
{
    char *data;
    long len = BIO_get_mem_data(pem, &data);

    return io_replace_file(path, slice_make(data, len > 0 ? (size_t)len : 0), mode, why);
}

/* A hostname goes into OpenSSL's little extension language: letters, digits, dots and hyphens only. */
static bool is_hostname(const char *text)
{
    size_t len = 0;

    for (; text[len] != '\0'; len++) {
        if (!ascii_is_alpha(text[len]) && !ascii_is_digit(text[len]) && text[len] != '.' && text[len] != '-')
            return false;
    }
    return len > 0 && len <= 64; /* the longest common name, RFC 5280 appendix A.1 */
}

bool tls_self_sign(const char *hostname, const char *certificate_path, const char *key_path, struct fail *why)
{
    if (!is_hostname(hostname))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"%s\" is no hostname for a certificate", hostname);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    BIO *cert_pem = BIO_new(BIO_s_mem());
    BIO *key_pem = BIO_new(BIO_s_mem());
    bool ok = key != NULL && cert != NULL && cert_pem != NULL && key_pem != NULL &&
              name_and_sign(cert, key, hostname) && PEM_write_bio_X509(cert_pem, cert) == 1 &&
              PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) == 1;

    if (!ok)
        fail_set(why, FAIL_TEMP, FAIL_OTHER, "OpenSSL cannot make a certificate");
    else
        ok = write_pem(key_pem, key_path, 0600, why) && write_pem(cert_pem, certificate_path, 0644, why);
    BIO_free(key_pem);
    BIO_free(cert_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}
