/*
 * tests/unit/storage/test_format.c - record headers of this format and of the one before.
 */
#include "base/encode.h"
#include "storage/format.h"
#include "tests/unit/check.h"

static const struct volume_tag tag = {"0123456789abcdef"};

static const struct record_target targets[] = {
    {.kind = RECORD_LOCAL, .account = 7, .mailbox = 3, .recipient = {"ann@example.org", 15}},
    {.kind = RECORD_OUTBOUND,
     .recipient = {"bob@example.net", 15},
     .prefix = {"X: y\r\n", 6},
     .options = {"notify=8", 8},
     .sender = {"owner-l@example.org", 19}},
};
static const struct record record = {
    .kind = RECORD_DELIVERY,
    .sender = {"carl@example.com", 16},
    .trace = {"k3f9", 4},
    .options = {"envid=q", 7},
    .targets = targets,
    .target_count = ARRAY_LEN(targets),
};

static struct record_header header_of(const struct record *rec)
{
    return (struct record_header){.ref = ref_make(1, 64),
                                  .header_bytes = (uint32_t)record_header_bytes(rec, 0),
                                  .record_bytes = record_align(record_header_bytes(rec, 0) + RECORD_TRAILER_BYTES),
                                  .internal_date = 1700000000,
                                  .kind = RECORD_DELIVERY,
                                  .target_count = (uint32_t)rec->target_count};
}

static void test_round(void)
{
    struct record_header h = header_of(&record), got;
    struct record back;
    struct arena a;
    struct buf out;

    arena_init(&a, 4096);
    buf_init(&out, 4096);
    record_header_put(&out, &tag, &h, &record, NULL);
    const unsigned char *bytes = (const unsigned char *)out.data;
    CHECK("header", record_header_get(bytes, &tag, &got) && record_header_intact(bytes, &got));
    CHECK("format", got.format == RECORD_FORMAT);
    CHECK("record", record_get(bytes, &got, &a, &back));
    CHECK_SLICE("options", back.options, record.options);
    CHECK_SLICE("a target's options", back.targets[1].options, targets[1].options);
    CHECK_SLICE("a target's sender", back.targets[1].sender, targets[1].sender);
    CHECK("none", back.targets[0].options.len == 0 && back.targets[0].sender.len == 0);
    buf_finish(&out);
    arena_finish(&a);
}

static void text(struct buf *out, struct slice s)
{
    unsigned char len[4];

    put_u32(len, (uint32_t)s.len);
    buf_add(out, slice_make(len, sizeof len));
    buf_add(out, s);
}

/* What a program of format 1 wrote: sender and trace; kind, account, mailbox, flags, three texts. */
static void write_format_1(struct buf *out)
{
    struct record plain = {.kind = RECORD_DELIVERY};
    struct record_header h = header_of(&plain);
    unsigned char fixed[21] = {RECORD_LOCAL};

    record_header_put(out, &tag, &h, &plain, NULL);
    out->len = RECORD_FIXED_BYTES;
    text(out, SLICE("carl@example.com"));
    text(out, SLICE("k3f9"));
    put_u64(fixed + 1, 7);
    buf_add(out, slice_make(fixed, sizeof fixed));
    text(out, SLICE("$Junk"));
    text(out, SLICE("ann@example.org"));
    text(out, SLICE("Return-Path: <>\r\n"));

    unsigned char *bytes = (unsigned char *)out->data;
    put_u32(bytes + 28, (uint32_t)out->len);
    put_u64(bytes + 32, record_align(out->len + RECORD_TRAILER_BYTES));
    bytes[68] = 1;
    put_u32(bytes + 72, 1);
    put_u32(bytes + 24, crc32c(crc32c(0, bytes, 24), bytes + 28, out->len - 28));
}

static void test_format_1(void)
{
    struct record_header got;
    struct record back;
    struct arena a;
    struct buf out;

    arena_init(&a, 4096);
    buf_init(&out, 4096);
    write_format_1(&out);
    unsigned char *bytes = (unsigned char *)out.data;
    CHECK("header", record_header_get(bytes, &tag, &got) && record_header_intact(bytes, &got));
    CHECK("format", got.format == 1);
    CHECK("record", record_get(bytes, &got, &a, &back) && back.target_count == 1);
    CHECK_SLICE("sender", back.sender, SLICE("carl@example.com"));
    CHECK_SLICE("options", back.options, SLICE(""));
    CHECK("account", back.targets[0].account == 7);
    CHECK_SLICE("prefix", back.targets[0].prefix, SLICE("Return-Path: <>\r\n"));
    CHECK_SLICE("a target's options", back.targets[0].options, SLICE(""));
    bytes[68] = RECORD_FORMAT + 1;
    CHECK("a newer format", !record_header_get(bytes, &tag, &got));
    bytes[68] = 0;
    CHECK("no format", !record_header_get(bytes, &tag, &got));
    buf_finish(&out);
    arena_finish(&a);
}

int main(void)
{
    test_round();
    test_format_1();
    return check_done();
}
