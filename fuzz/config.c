/*
 * fuzz/config.c - posthorn.conf: whatever is in it, it is taken whole or refused with the place and the reason.
 */
#include "main/config.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL;
    struct fail why = {0};

    if (config_parse("t.conf", slice_make(data, size), &c, &why)) {
        FUZZ_CHECK(c->hostname != NULL && c->hostname[0] != '\0' && c->data[0] == '/');
        for (size_t i = 0; i < c->listener_count; i++)
            FUZZ_CHECK(c->listeners[i].port <= 65535 && c->listeners[i].address[0] != '\0');
        config_destroy(&c);
    } else {
        FUZZ_CHECK(c == NULL && slice_starts(slice_of(why.text), SLICE("t.conf:")));
    }
    return 0;
}
