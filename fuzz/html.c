/*
 * fuzz/html.c - HTML into text.
 *
 * Whatever comes in, what comes out is UTF-8 without control characters and without
 * white space at its ends or twice; what fails, fails at a limit.
 */
#include "base/fail.h"
#include "base/unicode.h"
#include "content/html.h"
#include "fuzz.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n';
}

static void check(struct slice text)
{
    FUZZ_CHECK(utf8_valid(text));
    FUZZ_CHECK(text.len == 0 || (!is_space(text.ptr[0]) && !is_space(text.ptr[text.len - 1])));
    for (size_t i = 0; i < text.len; i++) {
        FUZZ_CHECK((unsigned char)text.ptr[i] >= 0x20 || text.ptr[i] == '\n');
        FUZZ_CHECK(i == 0 || !is_space(text.ptr[i]) || !is_space(text.ptr[i - 1]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const charsets[] = {"", "utf-8", "iso-8859-1", "iso-2022-jp", "utf-16le", "us-ascii"};
    static const struct html_limits limits = {.depth = 200, .ms = 5000};
    static struct html_library *library;
    struct slice in = slice_make(data, size);
    struct slice charset = slice_of(charsets[fuzz_take(&in) % ARRAY_LEN(charsets)]);
    struct buf out;
    struct fail why = {0};

    if (library == NULL)
        library = html_library_open(&why);
    FUZZ_CHECK(library != NULL);
    buf_init(&out, 1 << 20);
    if (html_to_text(library, in, charset, &limits, &out, &why))
        check(buf_slice(&out));
    else
        FUZZ_CHECK(why.reason == FAIL_LIMIT);
    buf_finish(&out);
    return 0;
}
