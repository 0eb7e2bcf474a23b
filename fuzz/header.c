/*
 * fuzz/header.c - fields, encoded words, dates, message ids, base subjects.
 *
 * Fields stand in their block in order; decoded text is valid UTF-8; a base
 * subject is no longer than its subject.
 */
#include "message/header.h"
#include "base/unicode.h"
#include "fuzz.h"

static void check_fields(struct slice block)
{
    struct header_field field;
    const char *behind = block.ptr;

    for (size_t at = 0; header_next(block, &at, &field);) {
        FUZZ_CHECK(field.raw.ptr >= behind && field.name.len > 0);
        FUZZ_CHECK(field.name.ptr == field.raw.ptr && field.body.ptr > field.name.ptr);
        FUZZ_CHECK(field.body.ptr + field.body.len <= field.raw.ptr + field.raw.len);
        behind = field.raw.ptr + field.raw.len;
        FUZZ_CHECK(behind == block.ptr + at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    struct arena a;
    struct buf text, base;
    struct slice *ids;
    int64_t seconds;
    int zone;

    arena_init(&a, SIZE_MAX / 2);
    buf_init(&text, SIZE_MAX / 2);
    buf_init(&base, SIZE_MAX / 2);
    check_fields(in);
    FUZZ_CHECK(header_unfold(&a, in).len <= in.len);
    header_decode_text(&text, in);
    FUZZ_CHECK(!text.failed && utf8_valid(buf_slice(&text)));
    header_base_subject(&base, in);
    FUZZ_CHECK(!base.failed && utf8_valid(buf_slice(&base)) && base.len <= text.len);
    if (header_parse_date(in, &seconds, &zone))
        FUZZ_CHECK(seconds > -2300000000 && seconds < 253500000000 && zone > -1440 && zone < 1440);
    size_t count = header_message_ids(&a, in, &ids);
    FUZZ_CHECK((count > 0) == (header_message_id(in).len > 0));
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(slice_starts(ids[i], SLICE("<")) && slice_ends(ids[i], SLICE(">")));
    buf_finish(&text);
    buf_finish(&base);
    arena_finish(&a);
    return 0;
}
