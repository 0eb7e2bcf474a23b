/*
 * fuzz/policy_rspamd.c - rspamd's JSON.
 */
#include "base/fail.h"
#include "fuzz.h"
#include "policy/rspamd_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rspamd_answer *r = xcalloc(1, sizeof *r);
    struct fail why = {0};
    struct arena a;

    arena_init(&a, 1 << 20);
    if (rspamd_read_answer(slice_make(data, size), &a, r, &why))
        FUZZ_CHECK(r->add_count <= RSPAMD_HEADERS && r->remove_count <= RSPAMD_HEADERS);
    else
        FUZZ_CHECK(why.text[0] != '\0');
    arena_finish(&a);
    free(r);
    return 0;
}
