/*
 * fuzz/policy_access.c - access files: any bytes make a table or a reason, and lookups in it end.
 */
#include "fuzz.h"
#include "policy/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct policy_access config = {.name = "f", .stage = ACCESS_SENDER, .action = ACCESS_REJECT, .text = "", .file = "", .to = ""};
    const struct slice in = slice_make(data, size);
    struct access_table *t = NULL;
    struct access_answer answer;
    struct in6_addr address = {0};
    struct fail why = {0};
    struct arena a;

    arena_init(&a, 1 << 20);
    if (access_table_of_text(&config, in, 1000, &t, &why)) {
        memcpy(&address, data, size < sizeof address ? size : sizeof address);
        const struct access_subject path = {.is_path = true, .path = slice_sub(in, 0, slice_find_char(in, '\n'))};
        const struct access_subject client = {.address = &address, .name = slice_sub(in, 0, 300)};
        if (access_table_ask(t, &path, &a, &answer))
            FUZZ_CHECK(answer.action != ACCESS_REDIRECT || slice_find_char(answer.to, '@') < answer.to.len);
        (void)access_table_ask(t, &client, &a, &answer);
    } else {
        FUZZ_CHECK(why.text[0] != '\0');
    }
    access_table_close(&t);
    arena_finish(&a);
    return 0;
}
