/*
 * fuzz/sasl.c - auth/sasl: names and passwords are whole, and lie where they should.
 *
 * The input is responses, each ended by the byte 0xff; the first byte says which mechanism.
 */
#include "auth/sasl.h"
#include "fuzz.h"

static bool lies_in(struct slice s, struct slice where)
{
    return s.ptr >= where.ptr && s.ptr + s.len <= where.ptr + where.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size), response;
    unsigned which = fuzz_take(&in);
    enum sasl_outcome outcome = SASL_CHALLENGE;
    struct sasl_result r;
    struct sasl s;
    bool has = (which & 2) != 0;

    FUZZ_CHECK(sasl_begin(&s, which % 2 == 0 ? SLICE("PLAIN") : SLICE("LOGIN"), &(struct sasl_host){0}));
    for (unsigned steps = 0; outcome == SASL_CHALLENGE; steps++, has = true) {
        FUZZ_CHECK(steps < 3);
        response = has ? slice_cut(&in, (char)0xff) : slice_make(NULL, 0);
        outcome = sasl_step(&s, has, response, &r);
    }
    if (outcome == SASL_CREDENTIALS) {
        FUZZ_CHECK(r.user.len > 0 && r.user.len <= SASL_USER_MAX && r.password.len > 0);
        FUZZ_CHECK(slice_find_char(r.user, '\0') == r.user.len);
        FUZZ_CHECK(slice_find_char(r.password, '\0') == r.password.len);
        FUZZ_CHECK(lies_in(r.password, response));
        FUZZ_CHECK(lies_in(r.user, response) || lies_in(r.user, slice_make(s.user, s.user_len)));
    }
    return 0;
}
