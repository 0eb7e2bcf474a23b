/*
 * fuzz/jwks.c - auth/jwks: whatever is in the file, it is a key set or none; with what is read nothing is verified
 * that was not signed.
 */
#include "auth/jwks.h"
#include "base/fail.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char nothing[256];
    struct fail why;
    struct jwks *k = jwks_parse(slice_make(data, size), &why);

    if (k != NULL) {
        FUZZ_CHECK(!jwks_verify(k, JWT_RS256, SLICE(""), SLICE("text"), slice_make(nothing, sizeof nothing)));
        FUZZ_CHECK(!jwks_verify(k, JWT_ES256, SLICE(""), SLICE("text"), slice_make(nothing, 64)));
    }
    jwks_destroy(&k);
    return 0;
}
