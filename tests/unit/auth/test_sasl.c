/* auth/sasl: what PLAIN and LOGIN take and what they refuse. */
#include "auth/sasl.h"
#include "tests/unit/check.h"

enum { STEPS = 3 };

static const struct sasl_host host = {0}; /* SCRAM is not in here: test_scram.c */

/* Responses in order; a first one of NULL means no initial response. */
static const struct {
    const char *note, *mechanism;
    struct slice responses[STEPS];
    const char *challenge;     /* of the first step, if that is one */
    enum sasl_outcome outcome; /* of the last */
    struct slice user, password;
} cases[] = {
    {"PLAIN", "PLAIN", {SLICE("\0ann\0secret")}, NULL, SASL_CREDENTIALS, SLICE("ann"), SLICE("secret")},
    {"PLAIN in lower case",
     "plain",
     {SLICE("\0ann\0secret")},
     NULL,
     SASL_CREDENTIALS,
     SLICE("ann"),
     SLICE("secret")},
    {"PLAIN for itself", "PLAIN", {SLICE("ann\0ann\0x")}, NULL, SASL_CREDENTIALS, SLICE("ann"), SLICE("x")},
    {"PLAIN without initial response",
     "PLAIN",
     {{NULL, 0}, SLICE("\0ann\0x")},
     "",
     SASL_CREDENTIALS,
     SLICE("ann"),
     SLICE("x")},
    {"PLAIN for somebody else", "PLAIN", {SLICE("bob\0ann\0x")}, NULL, SASL_CREDENTIALS, SLICE("ann"), SLICE("x")},
    {"PLAIN, empty", "PLAIN", {SLICE("")}, NULL, SASL_MALFORMED, {0}, {0}},
    {"PLAIN, one NUL", "PLAIN", {SLICE("ann\0x")}, NULL, SASL_MALFORMED, {0}, {0}},
    {"PLAIN, no NUL", "PLAIN", {SLICE("ann")}, NULL, SASL_MALFORMED, {0}, {0}},
    {"PLAIN, three NULs", "PLAIN", {SLICE("\0ann\0x\0y")}, NULL, SASL_MALFORMED, {0}, {0}},
    {"PLAIN, NUL last", "PLAIN", {SLICE("\0ann\0x\0")}, NULL, SASL_MALFORMED, {0}, {0}},
    {"PLAIN, no name", "PLAIN", {SLICE("\0\0x")}, NULL, SASL_MALFORMED, {0}, {0}},
    {"PLAIN, no password", "PLAIN", {SLICE("\0ann\0")}, NULL, SASL_MALFORMED, {0}, {0}},
    {"PLAIN, nothing said to the challenge", "PLAIN", {{NULL, 0}, SLICE("")}, "", SASL_MALFORMED, {0}, {0}},
    {"LOGIN",
     "LOGIN",
     {{NULL, 0}, SLICE("ann"), SLICE("x")},
     "Username:",
     SASL_CREDENTIALS,
     SLICE("ann"),
     SLICE("x")},
    {"LOGIN with initial response",
     "LOGIN",
     {SLICE("ann"), SLICE("x")},
     "Password:",
     SASL_CREDENTIALS,
     SLICE("ann"),
     SLICE("x")},
    {"LOGIN, no name", "LOGIN", {{NULL, 0}, SLICE("")}, "Username:", SASL_MALFORMED, {0}, {0}},
    {"LOGIN, no password",
     "LOGIN",
     {{NULL, 0}, SLICE("ann"), SLICE("")},
     "Username:",
     SASL_MALFORMED,
     {0},
     {0}},
    {"LOGIN, NUL in the name", "LOGIN", {{NULL, 0}, SLICE("a\0b")}, "Username:", SASL_MALFORMED, {0}, {0}},
    {"LOGIN, NUL in the password",
     "LOGIN",
     {SLICE("ann"), SLICE("a\0b")},
     "Password:",
     SASL_MALFORMED,
     {0},
     {0}},
};

int main(void)
{
    struct sasl s;
    char long_name[SASL_USER_MAX + 4] = {0};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sasl_result r;
        enum sasl_outcome outcome = SASL_CHALLENGE;
        unsigned step = 0;

        CHECK(cases[i].note, sasl_begin(&s, slice_of(cases[i].mechanism), &host));
        for (; step < STEPS && outcome == SASL_CHALLENGE; step++) {
            struct slice response = cases[i].responses[step];
            outcome = sasl_step(&s, response.ptr != NULL, response, &r);
            if (step == 0 && outcome == SASL_CHALLENGE)
                CHECK_SLICE(cases[i].note, r.challenge, slice_of(cases[i].challenge));
        }
        CHECK(cases[i].note, outcome == cases[i].outcome);
        if (outcome == SASL_CREDENTIALS) {
            CHECK_SLICE(cases[i].note, r.user, cases[i].user);
            CHECK_SLICE(cases[i].note, r.password, cases[i].password);
        }
    }

    static const char *const others[] = {"", "PLAI", "PLAINT", "ANONYMOUS", "NTLM", "DIGEST-MD5", "EXTERNAL"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        CHECK(others[i], !sasl_begin(&s, slice_of(others[i]), &host));

    struct sasl_result r;
    memset(long_name, 'a', sizeof long_name);
    CHECK("LOGIN", sasl_begin(&s, SLICE("LOGIN"), &host));
    CHECK("LOGIN, a name too long",
          sasl_step(&s, true, slice_make(long_name, SASL_USER_MAX + 1), &r) == SASL_MALFORMED);
    CHECK("LOGIN, the longest name",
          sasl_step(&s, true, slice_make(long_name, SASL_USER_MAX), &r) == SASL_CHALLENGE);
    CHECK("PLAIN", sasl_begin(&s, SLICE("PLAIN"), &host));
    long_name[0] = '\0';
    long_name[SASL_USER_MAX + 2] = '\0';
    CHECK("PLAIN, a name too long",
          sasl_step(&s, true, slice_make(long_name, sizeof long_name), &r) == SASL_MALFORMED);
    return check_done();
}
