/*
 * trust/dane.c - see trust/dane.h.
 *
 * Layer: trust.
 */
#include "trust/dane.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/fail.h"

enum { USAGE_DANE_TA = 2, USAGE_DANE_EE = 3, SELECTOR_CERT = 0, SELECTOR_KEY = 1, MATCH_FULL = 0, MATCH_SHA256 = 1, MATCH_SHA512 = 2 };

/* ---- records ---- */

/* The whole of it is one certificate, or one public key, in DER. */
static bool is_der(unsigned selector, struct slice data)
{
    const unsigned char *at = (const unsigned char *)data.ptr;
    bool                 whole = false;

    if (data.len == 0 || data.len > 64 * 1024)
        return false;
    if (selector == SELECTOR_CERT) {
        X509 *certificate = d2i_X509(NULL, &at, (long)data.len);
        whole = certificate != NULL && at == (const unsigned char *)data.ptr + data.len;
        X509_free(certificate);
    } else {
        EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)data.len);
        whole = key != NULL && at == (const unsigned char *)data.ptr + data.len;
        EVP_PKEY_free(key);
    }
    ERR_clear_error();
    return whole;
}

/*
 * Usages PKIX-TA(0) and PKIX-EE(1) are unusable for SMTP (RFC 7672 section 3.1.3); so is what nobody has defined, and a
 * digest that is as long as none (RFC 6698 section 4.1).
 */
static bool is_usable(const struct dns_record *r)
{
    if (r->tlsa.usage != USAGE_DANE_TA && r->tlsa.usage != USAGE_DANE_EE)
        return false;
    if (r->tlsa.selector != SELECTOR_CERT && r->tlsa.selector != SELECTOR_KEY)
        return false;
    switch (r->tlsa.matching) {
    case MATCH_FULL: return is_der(r->tlsa.selector, r->tlsa.data);
    case MATCH_SHA256: return r->tlsa.data.len == 32;
    case MATCH_SHA512: return r->tlsa.data.len == 64;
    default: return false;
    }
}

static void take_records(const struct dns_answer *found, struct arena *a, struct dane_answer *out)
{
    out->records = arena_new_array(a, struct dns_record, found->count);
    for (size_t i = 0; out->records != NULL && i < found->count; i++)
        if (is_usable(&found->records[i]))
            out->records[out->count++] = found->records[i];
    out->status = out->count > 0 ? DANE_USABLE : DANE_UNUSABLE;
}

/* ---- look-ups ---- */

static void failed(struct dane_answer *out, struct arena *a, const char *what, const char *name, const struct dns_answer *said)
{
    struct slice why = arena_printf(a, "%s of %s: %s", what, name, said->why != NULL && said->why[0] != '\0' ? said->why : "no answer");

    *out = (struct dane_answer){.status = DANE_FAILED, .base = name, .why = arena_cstr(a, why)};
}

/* "_25._tcp.host"                                                          RFC 7672 section 2.2.3 */
static void look_up(struct dns_client *dns, const char *base, unsigned port, struct arena *a, struct dane_answer *out)
{
    const char       *name = arena_cstr(a, arena_printf(a, "_%u._tcp.%s", port, base));
    struct dns_answer found = {0};

    *out = (struct dane_answer){.status = DANE_NONE, .base = base};
    dns_ask(dns, name, DNS_TLSA, a, &found);
    if (found.status == DNS_FAILED)
        failed(out, a, "TLSA", name, &found);
    else if (found.status == DNS_FOUND && found.count > 0 && found.secure)
        take_records(&found, a, out);
}

/* The addresses lie in an unsigned zone, but the alias that leads there need not (section 2.1.3). */
static bool alias_is_secure(struct dns_client *dns, const char *host, struct arena *a, struct dane_answer *out)
{
    struct dns_answer alias = {0};

    dns_ask(dns, host, DNS_CNAME, a, &alias);
    if (alias.status == DNS_FAILED)
        failed(out, a, "CNAME", host, &alias);
    return alias.status == DNS_FOUND && alias.secure;
}

void dane_find(struct dns_client *dns, const char *host, unsigned port, bool mx_secure, const struct dns_answer *addresses,
               struct arena *a, struct dane_answer *out)
{
    const char *end = addresses->canonical;
    bool        alias = end != NULL && end[0] != '\0' && !slice_eq_nocase(slice_of(end), slice_of(host));

    *out = (struct dane_answer){.status = DANE_NONE, .base = host};
    if (!mx_secure || (!addresses->secure && (!alias || !alias_is_secure(dns, host, a, out))))
        return;
    if (addresses->secure && alias) {
        look_up(dns, end, port, a, out);
        if (out->status != DANE_NONE)
            return;
    }
    look_up(dns, host, port, a, out);
}
