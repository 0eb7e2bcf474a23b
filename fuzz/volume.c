/*
 * fuzz/volume.c - a damaged volume is noticed, and never more than that.
 *
 * A volume of real records is written once.  The input changes it: the first byte says whether all CRCs are made right
 * again (then the damage goes as deep as the codec); six bytes each are a change: what, where (a record and an offset in
 * it, or anywhere), how much.  With CRCs as they were, a record that is called whole is what was written, and one that
 * the scan does not tell of any more is counted as damage while the volume's end is there.
 */

#include "base/body.h"
#include "base/encode.h"
#include "base/log.h"
#include "fuzz.h"
#include "room.h"
#include "storage/format.h"
#include "storage/volume.h"

enum { RECORDS = 6, CHANGE_BYTES = 6, OCTETS_MAX = 200000 };

static struct { volume_ref ref; size_t at, bytes; struct slice message; } records[RECORDS];
static struct slice pristine;
static size_t end_at; /* of the END record */
static struct room_path folder, file;
static struct volume_limits limits;

static struct slice make_message(unsigned i)
{
    static const size_t sizes[RECORDS] = {0, 30, 4000, 70000, 200000, 9};
    char *text = xmalloc(sizes[i] + 1);

    for (size_t at = 0; at < sizes[i]; at++)
        text[at] = i == 3 ? (char)(at * 2654435761u >> 13) : "Subject: hello\r\n"[at % 16];
    return slice_make(text, sizes[i]);
}

static void append(struct volumes *v, unsigned i)
{
    const struct record_target targets[] = {
        {.kind = RECORD_LOCAL, .account = 7, .flags = 1, .keywords = SLICE("a b"), .recipient = SLICE("u@example.test"),
         .prefix = SLICE("Return-Path: <>\r\n")},
        {.kind = RECORD_OUTBOUND, .recipient = SLICE("x@far.example"), .options = SLICE("N=SUCCESS"), .sender = SLICE("s@a")},
    };
    const struct record rec = {.kind = i % 2 == 0 ? RECORD_DELIVERY : RECORD_APPEND, .sender = SLICE("s@a.example"),
                               .internal_date = 1700000000, .trace = SLICE("abc"), .targets = targets, .target_count = i % 3};
    const struct body_limits bodies = {.memory_max = 1 << 20, .size_max = 1 << 20, .spool_dir = "/tmp"};
    struct body *body = body_create(&bodies);
    struct fail why;

    records[i].message = make_message(i);
    room_must(body_add(body, records[i].message, &why), "body", &why);
    room_must(volume_append(v, &rec, body, &records[i].ref, &why), "append", &why);
    body_destroy(&body);
}

/* Where records lie, by their own lengths. */
static void find_records(void)
{
    for (size_t at = VOLUME_HEADER_BYTES; at + RECORD_BYTES_MIN <= pristine.len;) {
        const unsigned char *p = (const unsigned char *)pristine.ptr + at;
        size_t bytes = (size_t)get_u64(p + 32);
        for (unsigned i = 0; i < RECORDS; i++)
            if (get_u64(p + 16) == records[i].ref) {
                records[i].at = at;
                records[i].bytes = bytes;
            }
        if (p[70] == STORED_END)
            end_at = at;
        FUZZ_CHECK(bytes >= RECORD_BYTES_MIN);
        at += bytes;
    }
    FUZZ_CHECK(end_at > 0 && records[RECORDS - 1].at > 0);
}

static void set_up(void)
{
    struct volumes *v;
    struct fail why;

    log_set_level(LOG_ERROR + 1);
    volume_limits_default(&limits);
    limits.volume_bytes = 4 << 20;
    limits.prewrite_bytes = 1 << 20;
    limits.reserve_percent = 0;
    limits.reserve_bytes = 0;
    folder = room_path("volumes");
    room_must(volumes_open(folder.text, &limits, &v, &why), "volumes", &why);
    for (unsigned i = 0; i < RECORDS; i++)
        append(v, i);
    volumes_close(&v);
    file = room_path("volumes/00000001.vol");
    pristine = room_read(file.text);
    find_records();
}

static size_t place(const unsigned char *change, size_t len)
{
    unsigned which = change[0] >> 3 & 7;
    size_t offset = (size_t)change[1] | (size_t)change[2] << 8;
    size_t at = which < RECORDS ? records[which].at + offset : which == RECORDS ? end_at + offset : offset * 8;

    return len == 0 ? 0 : at % len;
}

static void apply(const unsigned char *change, unsigned char *bytes, size_t *len)
{
    size_t at = place(change, *len), n = change[3], left = *len - at;

    if (n > left)
        n = left;
    switch (change[0] & 7) {
    case 0: bytes[at] = change[4]; break;
    case 1: bytes[at] = (unsigned char)(bytes[at] ^ 1u << (change[4] & 7)); break;
    case 2: memset(bytes + at, change[4], n); break;
    case 3: memset(bytes + at, 0, n * 256 < left ? n * 256 : left); break;
    case 4: memmove(bytes + at, bytes + (size_t)change[4] * 64 % *len, n < *len - (size_t)change[4] * 64 % *len ? n : 0); break;
    case 5: *len = at; break;
    case 6: put_u32(bytes + (left >= 4 ? at : 0), (uint32_t)change[4] << change[5] % 25); break;
    case 7: put_u64(bytes + (left >= 8 ? at : 0), (uint64_t)change[4] << change[5] % 57); break;
    }
}

/* A record's CRCs as if it had been written so. */
static void mend_record(unsigned char *p, size_t left)
{
    uint32_t header = get_u32(p + 28), frames = get_u32(p + 76);
    uint64_t at = header;

    if (header < RECORD_FIXED_BYTES || header > left)
        return;
    for (uint32_t i = 0; i < frames && RECORD_FIXED_BYTES + 8 * ((uint64_t)i + 1) <= header; i++) {
        uint32_t bytes = get_u32(p + RECORD_FIXED_BYTES + 8 * i) & 0x7fffffff;
        if (bytes > left - at)
            break;
        put_u32(p + RECORD_FIXED_BYTES + 8 * i + 4, crc32c(0, p + at, bytes));
        at += bytes;
    }
    put_u32(p + 24, crc32c(crc32c(0, p, 24), p + 28, header - 28));
}

static void mend(unsigned char *bytes, size_t len)
{
    if (len < VOLUME_HEADER_BYTES)
        return;
    uint64_t table = get_u64(bytes + 40), entries = get_u32(bytes + 48);
    if (table > 0 && table < len && entries * TABLE_ENTRY_BYTES <= len - table)
        put_u32(bytes + 52, crc32c(0, bytes + table, (size_t)entries * TABLE_ENTRY_BYTES));
    put_u32(bytes + 60, crc32c(0, bytes, 60));
    for (unsigned i = 0; i < RECORDS; i++)
        if (records[i].at + RECORD_BYTES_MIN <= len)
            mend_record(bytes + records[i].at, len - records[i].at);
    if (end_at + RECORD_BYTES_MIN <= len)
        mend_record(bytes + end_at, len - end_at);
}

struct told { bool seen[RECORDS]; unsigned others; };

static bool each(void *ctx, volume_ref ref, const struct record *rec)
{
    struct told *t = ctx;

    FUZZ_CHECK(rec->kind == RECORD_DELIVERY || rec->kind == RECORD_APPEND);
    for (unsigned i = 0; i < RECORDS; i++)
        if (records[i].ref == ref) {
            t->seen[i] = true;
            return true;
        }
    return ++t->others < 100;
}

/* One record, read in all ways; is it whole? */
static bool read_record(struct volumes *v, unsigned i, bool mended)
{
    static char octets[OCTETS_MAX];
    struct record rec;
    struct arena a;
    struct fail why;
    size_t n = records[i].message.len;

    arena_init(&a, 1 << 20);
    bool described = volume_describe(v, records[i].ref, &a, &rec, &why), whole = volume_verify(v, records[i].ref, &why);
    bool got = volume_read(v, records[i].ref, 0, octets, n, &why);
    (void)volume_read(v, records[i].ref, n / 2, octets + n / 2, n - n / 2, &why);
    if (described)
        (void)volume_read(v, records[i].ref, rec.size > 10 ? rec.size - 10 : 0, octets, rec.size > 10 ? 10 : (size_t)rec.size, &why);
    if (!mended && whole) {
        FUZZ_CHECK(described && rec.size == n && got && volume_read(v, records[i].ref, 0, octets, n, &why));
        FUZZ_CHECK(n == 0 || memcmp(octets, records[i].message.ptr, n) == 0);
    }
    arena_finish(&a);
    return whole;
}

static void read_volume(bool mended, bool end_is_there)
{
    struct told t = {0};
    struct volumes *v;
    uint64_t damaged = 0;
    struct fail why;

    if (!volumes_open_read_only(folder.text, &limits, &v, &why))
        return;
    bool scanned = volume_scan(v, 0, each, &t, &damaged, &why);
    for (unsigned i = 0; i < RECORDS; i++) {
        bool whole = read_record(v, i, mended);
        if (mended)
            continue;
        FUZZ_CHECK(t.seen[i] || !whole || !scanned);
        FUZZ_CHECK(t.seen[i] || !scanned || damaged > 0 || !end_is_there);
    }
    FUZZ_CHECK(mended || t.others == 0);
    volumes_close(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (pristine.ptr == NULL)
        set_up();
    bool mended = size > 0 && (data[0] & 1) != 0;
    size_t len = pristine.len;
    unsigned char *bytes = xmalloc(len + 8);

    memcpy(bytes, pristine.ptr, len);
    for (size_t at = 1; at + CHANGE_BYTES <= size && len > 8; at += CHANGE_BYTES)
        apply(data + at, bytes, &len);
    if (mended)
        mend(bytes, len);
    bool end_is_there = len == pristine.len && memcmp(bytes + end_at, pristine.ptr + end_at, len - end_at) == 0 &&
                        memcmp(bytes, pristine.ptr, VOLUME_HEADER_BYTES) == 0;
    room_write(file.text, slice_make(bytes, len));
    free(bytes);
    read_volume(mended, end_is_there);
    return 0;
}
