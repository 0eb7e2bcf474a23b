/*
 * fuzz/header.c - fields, encoded words, dates, message ids, references, base subjects.
 *
 * Fields stand in their block in order; decoded text is valid UTF-8; a base
 * subject is no longer than its subject.
 */
#include "message/header.h"
#include "base/unicode.h"
#include "fuzz.h"
#include "message/references.h"

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

/* As a whole header, and as its References field. */
static void check_references(struct arena *a, struct slice header)
{
    struct message_references refs;

    message_references_read(a, header, &refs);
    size_t count = references_count(refs.ids);
    FUZZ_CHECK(count >= 1 && count <= REFERENCES_MAX + 1 && refs.key_count <= THREAD_KEYS_MAX);
    for (size_t i = 1; i < count; i++)
        FUZZ_CHECK(references_at(refs.ids, i) != 0);
    for (size_t i = 0; i < refs.key_count; i++)
        for (size_t k = 0; k < i; k++)
            FUZZ_CHECK(refs.keys[i] != refs.keys[k]);
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
    check_references(&a, in);
    buf_reset(&text);
    buf_add(&text, SLICE("Message-ID: <a@b>\r\nReferences: "));
    buf_add(&text, in);
    check_references(&a, buf_slice(&text));
    buf_finish(&text);
    buf_finish(&base);
    arena_finish(&a);
    return 0;
}
