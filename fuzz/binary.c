/*
 * fuzz/binary.c - binary parts as base64.
 *
 * What comes out holds nothing that was to be taken away, whatever went in; what
 * holds none of it comes out as it is.
 */
#include "fuzz.h"
#include "message/binary.h"

static bool has_lone_line_end(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r'))
            return true;
        if (s.ptr[i] == '\r' && (i + 1 == s.len || s.ptr[i + 1] != '\n'))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct body_limits limits = {.memory_max = 64 << 20, .size_max = 64 << 20, .spool_dir = "/tmp"};
    struct slice in = slice_make(data, size), text;
    bool lines = fuzz_take(&in) % 2 != 0;
    struct body *body = body_create(&limits), *out = NULL;

    FUZZ_CHECK(body_add(body, in, NULL));
    bool clean = slice_find_char(in, '\0') == in.len && (!lines || !has_lone_line_end(in));
    if (binary_encode(body, &limits, lines, &out, NULL)) {
        FUZZ_CHECK(body_in_memory(out, &text));
        FUZZ_CHECK(slice_find_char(text, '\0') == text.len);
        FUZZ_CHECK(!lines || !has_lone_line_end(text));
        (void)clean;
    } else {
        FUZZ_CHECK(!clean);
    }
    body_destroy(&out);
    body_destroy(&body);
    return 0;
}
