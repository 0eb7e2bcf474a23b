/*
 * fuzz/proxy.c - PROXY headers: what is read does not depend on how the bytes
 * were cut, and waiting for more has an end.
 */
#include "net/proxy.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice        in = slice_make(data, size);
    struct proxy_header whole, part;
    enum proxy_verdict  verdict = proxy_header_read(in, &whole);

    if (verdict == PROXY_MORE)
        FUZZ_CHECK(size < PROXY_MAX);
    if (verdict == PROXY_OK) {
        FUZZ_CHECK(whole.length > 0 && whole.length <= size && whole.length <= PROXY_MAX);
        FUZZ_CHECK(proxy_header_read(slice_sub(in, 0, whole.length), &part) == PROXY_OK);
        FUZZ_CHECK(part.length == whole.length && part.has_peer == whole.has_peer);
        for (size_t cut = 0; cut < whole.length; cut++)
            FUZZ_CHECK(proxy_header_read(slice_sub(in, 0, cut), &part) == PROXY_MORE);
    }
    return 0;
}
