/*
 * fuzz/envelope.c - address lists, ENVELOPE written and read back.
 *
 * Group ends pair with starts; an envelope holds no NUL; its fields read back as
 * what the header said; reading any bytes at all as an envelope is harmless.
 */
#include "message/envelope.h"
#include "fuzz.h"
#include "message/header.h"

static void check_groups(const struct address *list, size_t count)
{
    bool open = false;

    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(!list[i].is_group_start || !open);
        FUZZ_CHECK(!list[i].is_group_end || open);
        open = list[i].is_group_start || (open && !list[i].is_group_end);
    }
    FUZZ_CHECK(!open);
}

/* NUL is written as "?". */
static bool same(struct slice got, struct slice want)
{
    for (size_t i = 0; got.len == want.len && i < got.len; i++)
        if (got.ptr[i] != (want.ptr[i] != '\0' ? want.ptr[i] : '?'))
            return false;
    return got.len == want.len;
}

static void check_addresses(struct arena *a, struct slice body)
{
    struct message_limits limits;
    struct address *want, *got;
    struct buf header, envelope;

    message_limits_default(&limits);
    size_t count = address_list_parse(a, body, 50, &want);
    FUZZ_CHECK(count <= 50);
    check_groups(want, count);
    if (slice_find_char(body, '\n') < body.len)
        return;

    buf_init(&header, SIZE_MAX / 2);
    buf_init(&envelope, SIZE_MAX / 2);
    buf_addf(&header, "Bcc: ");
    buf_add(&header, body);
    buf_addf(&header, "\r\n");
    limits.addresses = 50;
    envelope_write(&envelope, buf_slice(&header), &limits);
    FUZZ_CHECK(memchr(envelope.data, '\0', envelope.len) == NULL);
    FUZZ_CHECK(envelope_addresses(a, buf_slice(&envelope), ENVELOPE_BCC, &got) == count);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(same(got[i].name, want[i].name) && same(got[i].mailbox, want[i].mailbox) &&
                   same(got[i].host, want[i].host) && same(got[i].route, want[i].route) &&
                   got[i].is_group_start == want[i].is_group_start &&
                   got[i].is_group_end == want[i].is_group_end);
    buf_finish(&header);
    buf_finish(&envelope);
}

static void check_header(struct arena *a, struct slice block)
{
    struct message_limits limits;
    struct header_field field;
    struct buf envelope;
    struct slice subject;

    message_limits_default(&limits);
    buf_init(&envelope, SIZE_MAX / 2);
    envelope_write(&envelope, block, &limits);
    FUZZ_CHECK(memchr(envelope.data, '\0', envelope.len) == NULL);
    bool has = envelope_string(a, buf_slice(&envelope), ENVELOPE_SUBJECT, &subject);
    if (has)
        FUZZ_CHECK(header_find(block, SLICE("subject"), &field) &&
                   same(subject, header_unfold(a, field.body)));
    buf_finish(&envelope);
}

/* All fields in one pass say what each says by itself, whatever the bytes are. */
static void check_texts(struct arena *a, struct slice envelope)
{
    struct slice texts[ENVELOPE_MESSAGE_ID + 1], one, other;
    struct address first, *all;

    envelope_texts(envelope, ENVELOPE_MESSAGE_ID, texts);
    for (unsigned i = 0; i <= ENVELOPE_MESSAGE_ID; i++) {
        enum envelope_field field = (enum envelope_field)i;
        if (envelope_string(a, envelope, field, &one) && envelope_text_string(a, texts[i], &other))
            FUZZ_CHECK(slice_eq(one, other));
        if (envelope_addresses(a, envelope, field, &all) > 0)
            FUZZ_CHECK(envelope_text_address(a, texts[i], &first) && slice_eq(first.mailbox, all[0].mailbox));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size), s;
    struct arena a;

    arena_init(&a, SIZE_MAX / 2);
    check_addresses(&a, in);
    check_header(&a, in);
    check_texts(&a, in);
    for (unsigned i = ENVELOPE_DATE; i <= ENVELOPE_MESSAGE_ID; i++) {
        struct address *list;

        (void)envelope_string(&a, in, (enum envelope_field)i, &s);
        (void)envelope_addresses(&a, in, (enum envelope_field)i, &list);
        (void)envelope_text(in, (enum envelope_field)i);
    }
    arena_finish(&a);
    return 0;
}
