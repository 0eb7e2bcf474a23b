/*
 * fuzz/maildrop.c - what any user of the machine may put into the maildrop.
 *
 * A head that is read is written again and read the same; a header that was completed has what it must have.
 */
#include "fuzz.h"
#include "main/intake_header.h"
#include "main/maildrop.h"
#include "message/header.h"

static void check_head(struct arena *a, const struct maildrop *d)
{
    struct maildrop again;
    struct buf      text;

    buf_init(&text, SIZE_MAX);
    maildrop_write(&text, d);
    FUZZ_CHECK(maildrop_read(a, buf_slice(&text), &again));
    FUZZ_CHECK(again.recipient_count == d->recipient_count && again.has_sender == d->has_sender);
    FUZZ_CHECK(slice_eq(again.sender, d->sender) && slice_eq(again.name, d->name));
    for (size_t i = 0; i < d->recipient_count; i++)
        FUZZ_CHECK(slice_eq(again.recipients[i].address, d->recipients[i].address));
    buf_finish(&text);
}

static void check_header(struct arena *a, struct slice header, struct slice name)
{
    const struct intake_author author = {.address = SLICE("ann@example.org"), .name = name, .domain = SLICE("example.org")};
    static const char *const needed[] = {"Date", "Message-ID", "From"};
    struct header_field field;
    struct buf          out;

    buf_init(&out, SIZE_MAX);
    intake_complete_header(&out, a, header, &author, "mail.example.org", 1795348800);
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        FUZZ_CHECK(header_find(buf_slice(&out), slice_of(needed[i]), &field));
    buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice    in = slice_make(data, size);
    size_t          end = slice_find(in, SLICE("\n\n"));
    struct maildrop drop = {0};
    struct arena    a;

    arena_init(&a, 64 << 20);
    if (maildrop_read(&a, slice_sub(in, 0, end + 1), &drop))
        check_head(&a, &drop);
    check_header(&a, end < in.len ? slice_from(in, end + 2) : in, drop.name);
    arena_finish(&a);
    return 0;
}
