/*
 * auth/sasl.c - see auth/sasl.h.
 *
 * Layer: auth.
 */
#include "auth/sasl.h"

#include <sodium.h>

#include "auth/oauth.h"

struct sasl_mechanism {
    const char *name;
    bool scram, plus;
    enum sasl_outcome (*step)(struct sasl *s, bool has_response, struct slice response,
                              struct sasl_result *out);
};

static enum sasl_outcome challenge(struct sasl_result *out, struct slice text)
{
    out->challenge = text;
    return SASL_CHALLENGE;
}

/*
 * message = [authzid] NUL authcid NUL passwd                              RFC 4616 section 2
 *
 * authzid says for whom to act: whether that is the same account, auth/server.c finds out.
 */
static enum sasl_outcome plain_step(struct sasl *s, bool has_response, struct slice response,
                                    struct sasl_result *out)
{
    if (!has_response)
        return s->steps == 0 ? challenge(out, SLICE("")) : SASL_MALFORMED;

    size_t first = slice_find_char(response, '\0');
    struct slice behind = slice_from(response, first + 1);
    size_t second = slice_find_char(behind, '\0');

    out->authzid = slice_sub(response, 0, first);
    out->user = slice_sub(behind, 0, second);
    out->password = slice_from(behind, second + 1);
    if (first == response.len || second == behind.len || out->user.len == 0 ||
        out->user.len > SASL_USER_MAX || out->password.len == 0 ||
        slice_find_char(out->password, '\0') < out->password.len)
        return SASL_MALFORMED;
    return SASL_CREDENTIALS;
}

/* Two questions, asked in English whatever the client thinks of them. */
static enum sasl_outcome login_step(struct sasl *s, bool has_response, struct slice response,
                                    struct sasl_result *out)
{
    if (!has_response)
        return s->steps == 0 ? challenge(out, SLICE("Username:")) : SASL_MALFORMED;
    if (response.len == 0 || slice_find_char(response, '\0') < response.len)
        return SASL_MALFORMED;
    if (s->user_len == 0) {
        if (response.len > SASL_USER_MAX)
            return SASL_MALFORMED;
        memcpy(s->user, response.ptr, response.len);
        s->user_len = response.len;
        return challenge(out, SLICE("Password:"));
    }
    out->user = slice_make(s->user, s->user_len);
    out->password = response;
    return SASL_CREDENTIALS;
}

/* The client speaks first (RFC 5802 section 5); without an initial response it is asked to. */
static enum sasl_outcome scram_mechanism_step(struct sasl *s, bool has_response, struct slice response,
                                              struct sasl_result *out)
{
    if (!has_response)
        return s->steps == 0 ? challenge(out, SLICE("")) : SASL_MALFORMED;

    enum scram_outcome said = scram_step(s->scram, response, &out->challenge);
    out->user = scram_user(s->scram);
    out->authzid = scram_authzid(s->scram);
    out->keys = scram_used(s->scram);
    switch (said) {
    case SCRAM_CHALLENGE: return out->user.len <= SASL_USER_MAX ? SASL_CHALLENGE : SASL_MALFORMED;
    case SCRAM_RIGHT: out->right = true; return SASL_PROOF;
    case SCRAM_WRONG: return SASL_PROOF;
    case SCRAM_MALFORMED: return SASL_MALFORMED;
    case SCRAM_UNAVAILABLE: return SASL_UNAVAILABLE;
    }
    bug("scram outcome %d", (int)said);
}

static enum sasl_outcome bearer_step(struct sasl *s, bool has_response, struct slice response,
                                     struct sasl_result *out)
{
    _Static_assert(OAUTH_USER_MAX <= sizeof s->user, "a name fits");
    if (!has_response)
        return s->steps == 0 ? challenge(out, SLICE("")) : SASL_MALFORMED;
    return oauth_read_bearer(response, s->user, &out->authzid, &out->token) ? SASL_TOKEN : SASL_MALFORMED;
}

static enum sasl_outcome xoauth2_step(struct sasl *s, bool has_response, struct slice response,
                                      struct sasl_result *out)
{
    if (!has_response)
        return s->steps == 0 ? challenge(out, SLICE("")) : SASL_MALFORMED;
    return oauth_read_xoauth2(response, &out->authzid, &out->token) ? SASL_TOKEN : SASL_MALFORMED;
}

static const struct sasl_mechanism mechanisms[] = {
    {.name = "OAUTHBEARER", .step = bearer_step},
    {.name = "XOAUTH2", .step = xoauth2_step},
    {.name = "SCRAM-SHA-256-PLUS", .step = scram_mechanism_step, .scram = true, .plus = true},
    {.name = "SCRAM-SHA-256", .step = scram_mechanism_step, .scram = true},
    {.name = "PLAIN", .step = plain_step},
    {.name = "LOGIN", .step = login_step},
};

bool sasl_begin(struct sasl *s, struct slice mechanism, const struct sasl_host *host)
{
    *s = (struct sasl){0};
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
        if (slice_eq_nocase(mechanism, slice_of(mechanisms[i].name)))
            s->mechanism = &mechanisms[i];
    if (s->mechanism == NULL)
        return false;
    if (s->mechanism->scram)
        s->scram = scram_create(host->scram, s->mechanism->plus, host->binding, host->keys);
    return !s->mechanism->scram || s->scram != NULL;
}

bool sasl_is(const struct sasl *s, const char *mechanism)
{
    return strcmp(s->mechanism->name, mechanism) == 0;
}

void sasl_finish(struct sasl *s)
{
    scram_destroy(&s->scram);
    sodium_memzero(s->user, sizeof s->user);
}

enum sasl_outcome sasl_step(struct sasl *s, bool has_response, struct slice response, struct sasl_result *out)
{
    *out = (struct sasl_result){0};
    enum sasl_outcome outcome = s->mechanism->step(s, has_response, response, out);
    s->steps++;
    return outcome;
}
