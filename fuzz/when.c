/*
 * fuzz/when.c - base/when: what is taken for a time is written as one that is the same.
 */
#include "base/when.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t now = 1795183260;
    int64_t at, again;

    if (!when_parse(slice_make(data, size), now, &at, NULL))
        return 0;
    struct when_text text = when_text(at);
    if (at >= 0 && at < INT64_C(253402214400) && when_parse(slice_of(text.text), now, &again, NULL))
        FUZZ_CHECK(again == at || again == at - 3600 || again == at + 3600); /* the hour that comes twice */
    return 0;
}
