/*
 * fuzz/base.c - encodings of base/: what is read is written back the same.
 */
#include "base/encode.h"
#include "base/unicode.h"
#include "fuzz.h"

/* A name in modified UTF-7 that is accepted is the one encoding of what it means. */
static void modified_utf7(struct slice in, struct arena *a, struct buf *b)
{
    struct slice name, again;

    if (utf7_decode(a, in, &name)) {
        FUZZ_CHECK(utf8_valid(name));
        utf7_encode(b, name);
        FUZZ_CHECK(slice_eq(buf_slice(b), in));
    }
    if (utf8_valid(in)) {
        buf_reset(b);
        utf7_encode(b, in);
        FUZZ_CHECK(slice_is_ascii(buf_slice(b)));
        FUZZ_CHECK(utf7_decode(a, buf_slice(b), &again) && slice_eq(again, in));
    }
}

static void utf8(struct slice in, struct arena *a, struct buf *b)
{
    struct slice composed;

    utf8_add_clean(b, in);
    FUZZ_CHECK(utf8_valid(buf_slice(b)));
    FUZZ_CHECK(!utf8_valid(in) || slice_eq(buf_slice(b), in));
    buf_reset(b);
    unicode_casefold(b, in);
    FUZZ_CHECK(utf8_valid(buf_slice(b)));
    FUZZ_CHECK(unicode_nfc(a, in, &composed) == utf8_valid(in));
}

/* Strict decoders: two texts never mean the same bytes (hexadecimal's letters aside). */
static void binary(struct slice in, struct buf *b, struct buf *again)
{
    if (base64_decode(b, in)) {
        base64_encode(again, buf_slice(b));
        FUZZ_CHECK(slice_eq(buf_slice(again), in));
    }
    buf_reset(b);
    buf_reset(again);
    if (hex_decode(b, in)) {
        hex_encode(again, buf_slice(b));
        FUZZ_CHECK(slice_eq_nocase(buf_slice(again), in));
    }
    FUZZ_CHECK(crc32c(7, in.ptr, in.len) == crc32c_by_table(7, in.ptr, in.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    unsigned     which = fuzz_take(&in);
    struct arena a;
    struct buf   b, again;

    arena_init(&a, SIZE_MAX / 2);
    buf_init(&b, SIZE_MAX / 2);
    buf_init(&again, SIZE_MAX / 2);
    switch (which % 3) {
    case 0: modified_utf7(in, &a, &b); break;
    case 1: utf8(in, &a, &b); break;
    case 2: binary(in, &b, &again); break;
    }
    arena_finish(&a);
    buf_finish(&b);
    buf_finish(&again);
    return 0;
}
