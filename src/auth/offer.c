/*
 * auth/offer.c - see auth/offer.h.
 *
 * Layer: auth.
 */
#include "auth/offer.h"

#include "base/fail.h"

/* Beyond being named in the config: what a mechanism needs. */
static bool can_be_had(const struct auth_limits *l, struct slice mechanism, bool binding)
{
    if (slice_eq_nocase(mechanism, SLICE("SCRAM-SHA-256-PLUS")))
        return l->scram_iterations > 0 && binding;
    if (slice_eq_nocase(mechanism, SLICE("SCRAM-SHA-256")))
        return l->scram_iterations > 0;
    if (slice_eq_nocase(mechanism, SLICE("OAUTHBEARER")) || slice_eq_nocase(mechanism, SLICE("XOAUTH2")))
        return l->oauth_jwks[0] != '\0' || l->oauth_introspection[0] != '\0';
    return true;
}

bool offer_has(const struct auth_limits *l, struct slice mechanism, bool binding)
{
    struct slice left = slice_of(l->mechanisms);

    while (left.len > 0)
        if (slice_eq_nocase(slice_cut(&left, ' '), mechanism))
            return can_be_had(l, mechanism, binding);
    return false;
}

void offer_write(const struct auth_limits *l, bool binding, struct buf *out)
{
    struct slice left = slice_of(l->mechanisms);

    while (left.len > 0) {
        struct slice name = slice_cut(&left, ' ');
        if (name.len == 0 || !can_be_had(l, name, binding))
            continue;
        if (out->len > 0)
            buf_add_char(out, ' ');
        buf_add(out, name);
    }
}

static bool is_known(struct slice mechanism)
{
    static const char *const known[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER",
                                        "XOAUTH2",            "PLAIN",         "LOGIN"};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(mechanism, slice_of(known[i])))
            return true;
    return false;
}

static bool is_https(const char *text)
{
    return slice_starts(slice_of(text), SLICE("https://"));
}

static bool check_oauth(const struct auth_limits *l, struct fail *why)
{
    bool keys = l->oauth_jwks[0] != '\0', asks = l->oauth_introspection[0] != '\0';
    bool discovers = strcmp(l->oauth_jwks, "discover") == 0;
    const char *what = NULL;

    if (keys && l->oauth_jwks[0] != '/' && !discovers && !is_https(l->oauth_jwks))
        what = "oauth_jwks is a path from the root, an https URL or \"discover\"";
    else if (discovers && !is_https(l->oauth_issuer))
        what = "an oauth_issuer whose keys are discovered is an https URL";
    else if (asks && !is_https(l->oauth_introspection))
        what = "oauth_introspection is an https URL";
    else if (asks && (l->oauth_client[0] == '\0' || l->oauth_secret_file[0] != '/'))
        what = "oauth_introspection needs oauth_client and oauth_secret_file (a path from the root)";
    else if ((keys || asks || l->oauth_issuer[0] != '\0' || l->oauth_audience[0] != '\0') &&
             !((keys || asks) && l->oauth_issuer[0] != '\0' && l->oauth_audience[0] != '\0' && l->oauth_claim[0] != '\0'))
        what = "oauth_issuer, oauth_audience, oauth_claim and oauth_jwks or oauth_introspection go together";
    return what == NULL || fail_set(why, FAIL_PERM, FAIL_INVALID, "%s", what);
}

bool auth_limits_check(const struct auth_limits *l, struct fail *why)
{
    struct slice left = slice_of(l->mechanisms);

    while (left.len > 0) {
        struct slice name = slice_cut(&left, ' ');
        if (name.len > 0 && !is_known(name))
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "mechanisms: there is no \"" PRIslice "\"", SLICE_ARG(name));
    }
    return check_oauth(l, why);
}

bool auth_limits_need_fetch(const struct auth_limits *l)
{
    return l->oauth_introspection[0] != '\0' || (l->oauth_jwks[0] != '\0' && l->oauth_jwks[0] != '/');
}
