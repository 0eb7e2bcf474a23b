/*
 * auth/sasl.c - see auth/sasl.h.
 *
 * Layer: auth.
 */
#include "auth/sasl.h"

struct sasl_mechanism {
    const char *name;
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
 * Acting for somebody else is not offered: authzid is empty or authcid again.
 */
static enum sasl_outcome plain_step(struct sasl *s, bool has_response, struct slice response,
                                    struct sasl_result *out)
{
    if (!has_response)
        return s->steps == 0 ? challenge(out, SLICE("")) : SASL_MALFORMED;

    size_t first = slice_find_char(response, '\0');
    struct slice behind = slice_from(response, first + 1);
    size_t second = slice_find_char(behind, '\0');
    struct slice authzid = slice_sub(response, 0, first);

    out->user = slice_sub(behind, 0, second);
    out->password = slice_from(behind, second + 1);
    if (first == response.len || second == behind.len || out->user.len == 0 ||
        out->user.len > SASL_USER_MAX || out->password.len == 0 ||
        slice_find_char(out->password, '\0') < out->password.len ||
        (authzid.len > 0 && !slice_eq(authzid, out->user)))
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

static const struct sasl_mechanism mechanisms[] = {
    {.name = "PLAIN", .step = plain_step},
    {.name = "LOGIN", .step = login_step},
};

bool sasl_begin(struct sasl *s, struct slice mechanism)
{
    *s = (struct sasl){0};
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
        if (slice_eq_nocase(mechanism, slice_of(mechanisms[i].name)))
            s->mechanism = &mechanisms[i];
    return s->mechanism != NULL;
}

enum sasl_outcome sasl_step(struct sasl *s, bool has_response, struct slice response, struct sasl_result *out)
{
    *out = (struct sasl_result){0};
    enum sasl_outcome outcome = s->mechanism->step(s, has_response, response, out);
    s->steps++;
    return outcome;
}
