/*
 * fuzz/address.c - base/address: the canonical form of an address is an address, and its own canonical form.
 */
#include "base/address.h"
#include "base/unicode.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    struct address_key key, again;
    struct domain_key domain;

    if (domain_key_parse(in, &domain)) {
        struct domain_key same;
        FUZZ_CHECK(domain.len <= DOMAIN_MAX && slice_is_ascii(domain_text(&domain)));
        FUZZ_CHECK(domain_key_parse(domain_text(&domain), &same) &&
                   slice_eq(domain_text(&same), domain_text(&domain)));
    }
    if (!address_key_parse(in, &key))
        return 0;
    FUZZ_CHECK(key.len <= ADDRESS_KEY_MAX && key.local_len > 0 && key.text[key.local_len] == '@');
    FUZZ_CHECK(key.given.ptr >= in.ptr && key.given.ptr + key.given.len <= in.ptr + in.len);
    FUZZ_CHECK(utf8_valid(key_text(&key)));
    if (key.len <= ADDRESS_MAX && key.local_len <= LOCAL_PART_MAX)
        FUZZ_CHECK(address_key_parse(key_text(&key), &again) && slice_eq(key_text(&again), key_text(&key)));
    return 0;
}
