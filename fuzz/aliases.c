/*
 * fuzz/aliases.c - files in the form of /etc/aliases.
 *
 * Whatever comes out is not empty, has no quotes around it and no line in it that the file does not have.
 */
#include "directory/aliases_text.h"
#include "fuzz.h"

static unsigned lines;

static void value(void *ctx, unsigned line, struct slice name, enum alias_value kind, struct slice v)
{
    (void)ctx;
    (void)kind;
    FUZZ_CHECK(line >= 1 && line <= lines && name.len > 0 && v.len > 0);
}

static void wrong(void *ctx, unsigned line, const char *text)
{
    (void)ctx;
    FUZZ_CHECK(line >= 1 && line <= lines && text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct aliases_reader r = {.value = value, .wrong = wrong};
    struct arena a;

    lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    arena_init(&a, 16 << 20);
    aliases_read(slice_make(data, size), &a, &r);
    aliases_read_list(slice_make(data, size), SLICE("list"), &a, &r);
    arena_finish(&a);
    return 0;
}
