/*
 * net/tls_client.c - TLS as a client: contexts, checks, bytes.
 *
 * Layer: net.  Two contexts: `any` never looks at a certificate and holds no authorities, so that opportunistic
 * TLS costs no chain building; `checking` verifies by PKIX or DANE.  Sessions: net/tls_sessions.c.
 */
#include "net/tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/tls_sessions.h"

struct tls_client {
    SSL_CTX *any, *checking;
    struct tls_sessions *sessions;
};

struct tls_link {
    SSL *ssl;
    struct tls_sessions *sessions;
    bool has_key;
    bool checks; /* the certificate is looked at */
    bool ended; /* an error ended it: SSL_shutdown must not be called */
    struct tls_session_key key;
    char text[120];
    char complaint[160];
};

/* What goes wrong, in plain words, and what a TLS report calls it (RFC 8460 section 4.3). */
static const struct {
    const char *text, *result;
} failures[] = {
    {"the certificate is for another name", "certificate-host-mismatch"},
    {"the certificate has expired", "certificate-expired"},
    {"the certificate is not valid yet", "certificate-expired"},
    {"the certificate is not from an authority that we trust", "certificate-not-trusted"},
    {"the certificate is self-signed", "certificate-not-trusted"},
    {"no TLSA record fits the certificate", "validation-failure"},
    {"the certificate cannot be verified", "validation-failure"},
    {"TLS handshake failed", "validation-failure"},
    {"does not offer STARTTLS", "starttls-not-supported"},
    {"refused STARTTLS", "starttls-not-supported"},
};
enum {
    SAYS_NAME, SAYS_EXPIRED, SAYS_EARLY, SAYS_UNTRUSTED, SAYS_SELF_SIGNED, SAYS_NO_TLSA, SAYS_UNVERIFIED, SAYS_HANDSHAKE,
};

const char *tls_client_failure_text(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(failures); i++)
        if (strstr(text, failures[i].text) != NULL)
            return failures[i].result;
    return "";
}

const char *tls_client_failure(const struct fail *why)
{
    return tls_client_failure_text(why->text);
}

/* ---- contexts ---- */

static int accept_any(X509_STORE_CTX *store, void *ctx)
{
    (void)store, (void)ctx;
    return 1;
}

static int no_passphrase(char *out, int size, int for_writing, void *ctx)
{
    (void)out, (void)size, (void)for_writing, (void)ctx;
    return -1;
}

static SSL_CTX *make_context(struct tls_client *c)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL)
        return NULL;
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    tls_sessions_watch(c->sessions, ctx);
    return ctx;
}

/* Debian's OpenSSL knows a folder of authorities; the one file is read now, so that no file need be opened later. */
static bool load_authorities(SSL_CTX *ctx, const char *authorities)
{
    static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";

    if (authorities != NULL)
        return SSL_CTX_load_verify_file(ctx, authorities) == 1;
    if (access(bundle, R_OK) != 0 || SSL_CTX_load_verify_file(ctx, bundle) != 1)
        (void)SSL_CTX_set_default_verify_paths(ctx); /* no authorities at all: PKIX fails, all else works */
    ERR_clear_error();
    return true;
}

bool tls_client_create(const char *authorities, struct tls_client **out, struct fail *why)
{
    struct tls_client *c = xcalloc(1, sizeof(*c));

    ERR_clear_error();
    c->sessions = tls_sessions_create();
    c->any = make_context(c);
    c->checking = make_context(c);
    if (c->any == NULL || c->checking == NULL || SSL_CTX_dane_enable(c->checking) != 1) {
        tls_client_destroy(&c);
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "TLS: OpenSSL cannot make a context");
    }
    SSL_CTX_set_cert_verify_callback(c->any, accept_any, NULL);
    SSL_CTX_set_verify(c->any, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_min_proto_version(c->checking, TLS1_2_VERSION);
    /* RFC 7672 section 3.1.1: with DANE-EE(3) neither names nor dates count. */
    (void)SSL_CTX_dane_set_flags(c->checking, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    if (!load_authorities(c->checking, authorities)) {
        ERR_clear_error();
        tls_client_destroy(&c);
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "TLS: %s holds no certificates of authorities", authorities);
    }
    *out = c;
    return true;
}

void tls_client_destroy(struct tls_client **c_)
{
    struct tls_client *c = *c_;

    if (c == NULL)
        return;
    SSL_CTX_free(c->any);
    SSL_CTX_free(c->checking);
    tls_sessions_destroy(&c->sessions);
    free(c);
    *c_ = NULL;
}

/* ---- the rule of one connection ---- */

/* RFC 6066 section 3: only host names, without the last dot. */
static bool is_host_name(const char *name)
{
    unsigned char address[16];
    size_t len = name != NULL ? strlen(name) : 0;

    return len > 0 && len <= 253 && name[0] != '[' && name[len - 1] != '.' && inet_pton(AF_INET, name, address) != 1 &&
           inet_pton(AF_INET6, name, address) != 1;
}

static bool add_names(SSL *ssl, const char *const *names)
{
    for (; names != NULL && *names != NULL; names++)
        if (SSL_add1_host(ssl, *names) != 1)
            return false;
    return true;
}

/* How many of the records can be used: usages 2 and 3 (RFC 7672 section 3.1.3), known selectors and digests. */
static size_t add_records(SSL *ssl, const struct tls_client_rule *rule)
{
    size_t added = 0;

    for (size_t i = 0; i < rule->tlsa_count; i++) {
        const struct dns_record *r = &rule->tlsa[i];

        if ((r->tlsa.usage == 2 || r->tlsa.usage == 3) && r->tlsa.selector <= 255 && r->tlsa.matching <= 255 && r->tlsa.data.len > 0 &&
            SSL_dane_tlsa_add(ssl, (uint8_t)r->tlsa.usage, (uint8_t)r->tlsa.selector, (uint8_t)r->tlsa.matching,
                              (const unsigned char *)r->tlsa.data.ptr, r->tlsa.data.len) > 0)
            added++;
    }
    ERR_clear_error();
    return added;
}

static bool has_name(const struct tls_client_rule *rule)
{
    return rule->names != NULL && rule->names[0] != NULL;
}

static bool set_rule(struct tls_link *l, const struct tls_client_rule *rule, struct fail *why)
{
    SSL *ssl = l->ssl;

    if (rule->check == TLS_CHECK_NOTHING)
        return true;
    if (!has_name(rule))
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "TLS: no name to check the certificate against");
    if (rule->check == TLS_CHECK_DANE) {
        if (SSL_dane_enable(ssl, rule->names[0]) != 1 || !add_names(ssl, rule->names + 1))
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "TLS: %s is no name that a certificate can have", rule->names[0]);
        if (add_records(ssl, rule) == 0)
            return true; /* verification stays off */
    } else {
        /* RFC 8461 section 4.1 and RFC 9525: what counts is the DNS-ID, never the common name. */
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (!add_names(ssl, rule->names))
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "TLS: %s is no name that a certificate can have", rule->names[0]);
    }
    /* Without SSL_VERIFY_PEER a certificate is verified as well, but nothing follows from it. */
    SSL_set_verify(ssl, rule->testing ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    l->checks = true;
    return true;
}

/* What a session may be resumed for: the host, and everything that was demanded of it. */
static bool make_key(const char *host, const struct tls_client_rule *rule, struct tls_session_key *out)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    const unsigned char check[2] = {(unsigned char)rule->check, rule->testing};
    bool ok = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(digest, host, strlen(host) + 1) == 1 && EVP_DigestUpdate(digest, check, sizeof(check)) == 1;

    if (rule->check != TLS_CHECK_NOTHING)
        for (const char *const *name = rule->names; ok && name != NULL && *name != NULL; name++)
            ok = EVP_DigestUpdate(digest, *name, strlen(*name) + 1) == 1;
    if (rule->check == TLS_CHECK_DANE)
        for (size_t i = 0; ok && i < rule->tlsa_count; i++) {
            const struct dns_record *r = &rule->tlsa[i];
            const uint64_t head[4] = {r->tlsa.usage, r->tlsa.selector, r->tlsa.matching, r->tlsa.data.len};
            ok = EVP_DigestUpdate(digest, head, sizeof(head)) == 1 &&
                 EVP_DigestUpdate(digest, r->tlsa.data.ptr, r->tlsa.data.len) == 1;
        }
    ok = ok && EVP_DigestFinal_ex(digest, out->bytes, NULL) == 1;
    EVP_MD_CTX_free(digest);
    return ok;
}

/* ---- what went wrong ---- */

static unsigned failure_of(long verify)
{
    switch (verify) {
    case X509_V_ERR_HOSTNAME_MISMATCH: return SAYS_NAME;
    case X509_V_ERR_CERT_HAS_EXPIRED: return SAYS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID: return SAYS_EARLY;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: return SAYS_SELF_SIGNED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_INVALID_CA: return SAYS_UNTRUSTED;
    case X509_V_ERR_DANE_NO_MATCH: return SAYS_NO_TLSA;
    default: return SAYS_UNVERIFIED;
    }
}

static const char *openssl_reason(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error != 0 ? ERR_reason_error_string(error) : NULL;

    return text;
}

/* `result`: of an SSL_ call that said <= 0.  Always false, but where waiting helps: then *events. */
static bool must_wait(struct tls_link *l, int result, short *events, bool handshake, struct fail *why)
{
    int saved = errno;
    int error = SSL_get_error(l->ssl, result);
    long verify = SSL_get_verify_result(l->ssl);
    const char *reason;

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        *events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        return true;
    }
    l->ended = true;
    reason = openssl_reason();
    if (handshake && verify != X509_V_OK && SSL_get_verify_mode(l->ssl) != SSL_VERIFY_NONE)
        fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.5", "TLS: %s (%s)", failures[failure_of(verify)].text,
                  X509_verify_cert_error_string(verify));
    else if (handshake)
        fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.5", "%s: %s", failures[SAYS_HANDSHAKE].text,
                  reason != NULL ? reason : saved != 0 ? errno_text(saved) : "the other side closed the connection");
    else
        fail_set(why, FAIL_TEMP, FAIL_OTHER, "TLS: %s", reason != NULL ? reason : saved != 0 ? errno_text(saved) : "connection lost");
    ERR_clear_error();
    return false;
}

/* ---- opening ---- */

static bool wait_for(int fd, short events, int64_t deadline_ms, struct fail *why)
{
    for (;;) {
        int64_t left = deadline_ms - clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int got = left > 0 ? poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left) : 0;

        if (got > 0)
            return true;
        if (got == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "timed out");
        if (errno != EINTR)
            return fail_errno(why, errno, "poll");
    }
}

static bool handshake(struct tls_link *l, int fd, int64_t deadline_ms, struct fail *why)
{
    short events = 0;

    for (;;) {
        ERR_clear_error();
        errno = 0;
        int result = SSL_connect(l->ssl);
        if (result == 1)
            return true;
        if (!must_wait(l, result, &events, true, why))
            return false;
        if (!wait_for(fd, events, deadline_ms, why)) {
            l->ended = true;
            return fail_at(why, "%s", failures[SAYS_HANDSHAKE].text);
        }
    }
}

static void note_result(struct tls_link *l, const struct tls_client_rule *rule)
{
    long verify = SSL_get_verify_result(l->ssl);
    const char *passed = !l->checks || verify != X509_V_OK ? "" : rule->check == TLS_CHECK_DANE ? ", DANE" : ", verified";

    (void)snprintf(l->text, sizeof(l->text), "%s %s%s", SSL_get_version(l->ssl), SSL_get_cipher_name(l->ssl), passed);
    if (rule->testing && l->checks && verify != X509_V_OK)
        (void)snprintf(l->complaint, sizeof(l->complaint), "TLS: %s (%s)", failures[failure_of(verify)].text,
                       X509_verify_cert_error_string(verify));
}

bool tls_link_open(struct tls_client *c, int fd, const char *sni, const char *key, const struct tls_client_rule *rule,
                   int64_t deadline_ms, struct tls_link **out, struct fail *why)
{
    static const struct tls_client_rule nothing = {.check = TLS_CHECK_NOTHING};
    struct tls_link *l = xcalloc(1, sizeof(*l));
    int flags = fcntl(fd, F_GETFL);

    if (rule == NULL)
        rule = &nothing;
    ERR_clear_error();
    l->sessions = c->sessions;
    l->ssl = SSL_new(rule->check == TLS_CHECK_NOTHING ? c->any : c->checking);
    l->ended = true;
    if (l->ssl == NULL || SSL_set_fd(l->ssl, fd) != 1 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        tls_link_close(&l);
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "TLS: OpenSSL cannot make a session");
    }
    if (!set_rule(l, rule, why)) {
        tls_link_close(&l);
        return false;
    }
    /* RFC 7672 section 8.1: the TLSA base domain, which SSL_dane_enable has set already, goes first. */
    if (rule->check != TLS_CHECK_DANE && is_host_name(sni))
        (void)SSL_ctrl(l->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)sni); /* the macro casts const away */
    l->has_key = key != NULL && make_key(key, rule, &l->key);
    if (l->has_key)
        tls_sessions_use(c->sessions, &l->key, l->ssl);
    l->ended = false;
    if (!handshake(l, fd, deadline_ms, why)) {
        tls_link_close(&l);
        return false;
    }
    note_result(l, rule);
    *out = l;
    return true;
}

void tls_link_close(struct tls_link **l_)
{
    struct tls_link *l = *l_;

    if (l == NULL)
        return;
    if (!l->ended) {
        ERR_clear_error();
        (void)SSL_shutdown(l->ssl);
        ERR_clear_error();
    }
    SSL_free(l->ssl);
    free(l);
    *l_ = NULL;
}

/* ---- bytes ---- */

ssize_t tls_link_try_read(struct tls_link *l, void *out, size_t n, short *events, struct fail *why)
{
    size_t got = 0;

    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(l->ssl, out, n, &got);
    if (result == 1)
        return (ssize_t)got;
    if (SSL_get_error(l->ssl, result) == SSL_ERROR_ZERO_RETURN)
        return 0;
    return must_wait(l, result, events, false, why) ? TLS_LINK_WAIT : -1;
}

ssize_t tls_link_try_write(struct tls_link *l, struct slice bytes, short *events, struct fail *why)
{
    size_t done = 0;

    if (bytes.len == 0)
        return 0;
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(l->ssl, bytes.ptr, bytes.len, &done);
    if (result == 1)
        return (ssize_t)done;
    return must_wait(l, result, events, false, why) ? TLS_LINK_WAIT : -1;
}

ssize_t tls_link_read(struct tls_link *l, void *out, size_t n, int64_t deadline_ms, struct fail *why)
{
    short events = 0;

    for (;;) {
        ssize_t got = tls_link_try_read(l, out, n, &events, why);
        if (got != TLS_LINK_WAIT)
            return got;
        if (!wait_for(SSL_get_fd(l->ssl), events, deadline_ms, why))
            return -1;
    }
}

bool tls_link_write(struct tls_link *l, struct slice bytes, int64_t deadline_ms, struct fail *why)
{
    short events = 0;

    while (bytes.len > 0) {
        ssize_t done = tls_link_try_write(l, bytes, &events, why);
        if (done == -1)
            return false;
        if (done == TLS_LINK_WAIT && !wait_for(SSL_get_fd(l->ssl), events, deadline_ms, why))
            return false;
        if (done > 0)
            bytes = slice_from(bytes, (size_t)done);
    }
    return true;
}

/* ---- what it is like ---- */

const char *tls_link_text(const struct tls_link *l)
{
    return l->text;
}

bool tls_link_resumed(const struct tls_link *l)
{
    return SSL_session_reused(l->ssl) == 1;
}

const char *tls_link_complaint(const struct tls_link *l)
{
    return l->complaint;
}

static void describe_certificate(X509 *certificate, BIO *text)
{
    (void)BIO_puts(text, "subject: ");
    (void)X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    (void)BIO_puts(text, "\nissuer: ");
    (void)X509_NAME_print_ex(text, X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253);
    (void)BIO_puts(text, "\nnot before: ");
    (void)ASN1_TIME_print(text, X509_get0_notBefore(certificate));
    (void)BIO_puts(text, "\nnot after: ");
    (void)ASN1_TIME_print(text, X509_get0_notAfter(certificate));
    (void)BIO_puts(text, "\n");
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        (void)BIO_puts(text, "name: ");
        (void)GENERAL_NAME_print(text, sk_GENERAL_NAME_value(names, i));
        (void)BIO_puts(text, "\n");
    }
    GENERAL_NAMES_free(names);
}

void tls_link_describe(const struct tls_link *l, struct buf *out)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(l->ssl);
    BIO *text = BIO_new(BIO_s_mem());
    char *data = NULL;

    for (int i = 0; text != NULL && chain != NULL && i < sk_X509_num(chain); i++)
        describe_certificate(sk_X509_value(chain, i), text);
    long len = text != NULL ? BIO_get_mem_data(text, &data) : 0;
    if (len > 0)
        buf_add(out, slice_make(data, (size_t)len));
    BIO_free(text);
    ERR_clear_error();
}
