/*
 * fuzz/sasl.c - auth/sasl: names, passwords and tokens are whole, and lie where they should; nobody
 * proves what there are no right keys for.
 *
 * The input is responses, each ended by the byte 0xff; the first byte says which mechanism.
 */
#include "auth/sasl.h"
#include "base/fail.h"
#include "fuzz.h"

static const char *const names[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "XOAUTH2"};

static bool lies_in(struct slice s, struct slice where)
{
    return s.len == 0 || (s.ptr >= where.ptr && s.ptr + s.len <= where.ptr + where.len);
}

static bool no_keys(void *ctx, struct slice user, struct scram_keys *out)
{
    (void)ctx;
    *out = (struct scram_keys){.iterations = 4096, .stored_key = {1}, .server_key = {2}};
    return user.len % 7 != 6; /* now and then they cannot be had */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scram_library *library;
    struct slice in = slice_make(data, size), response;
    unsigned which = fuzz_take(&in);
    enum sasl_outcome outcome = SASL_CHALLENGE;
    struct sasl_result r;
    struct sasl s;
    struct fail why;
    bool has = (which & 8) != 0;

    if (library == NULL)
        library = scram_library_create(&why);
    struct sasl_host host = {.scram = library, .keys = {.keys = no_keys}, .binding = (which & 16) != 0 ? SLICE("b") : SLICE("")};
    FUZZ_CHECK(sasl_begin(&s, slice_of(names[which % 8 % ARRAY_LEN(names)]), &host));
    for (unsigned steps = 0; outcome == SASL_CHALLENGE; steps++, has = true) {
        FUZZ_CHECK(steps < 4);
        response = has ? slice_cut(&in, (char)0xff) : slice_make(NULL, 0);
        outcome = sasl_step(&s, has, response, &r);
    }
    struct slice room = slice_make(s.user, sizeof s.user);
    switch (outcome) {
    case SASL_CREDENTIALS:
        FUZZ_CHECK(r.user.len > 0 && r.user.len <= SASL_USER_MAX && r.password.len > 0);
        FUZZ_CHECK(slice_find_char(r.user, '\0') == r.user.len);
        FUZZ_CHECK(slice_find_char(r.password, '\0') == r.password.len);
        FUZZ_CHECK(lies_in(r.password, response));
        FUZZ_CHECK(lies_in(r.user, response) || lies_in(r.user, room));
        break;
    case SASL_TOKEN:
        FUZZ_CHECK(r.token.len > 0 && lies_in(r.token, response));
        FUZZ_CHECK(lies_in(r.authzid, response) || lies_in(r.authzid, room));
        FUZZ_CHECK(slice_find_char(r.authzid, '\0') == r.authzid.len);
        break;
    case SASL_PROOF: FUZZ_CHECK(!r.right && r.user.len > 0 && r.user.len <= SASL_USER_MAX); break;
    case SASL_CHALLENGE:
    case SASL_MALFORMED:
    case SASL_UNAVAILABLE: break;
    }
    sasl_finish(&s);
    return 0;
}
