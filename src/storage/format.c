/*
 * storage/format.c - volume and record headers to bytes and back.
 *
 * Layer: storage.  The layout is described in format.h.
 */
#include "storage/format.h"

#include "base/encode.h"

static const char volume_magic[16] = "Posthorn volume\n";

enum {
    AT_REF = 16,
    AT_CRC = 24,
    AT_HEADER_BYTES = 28,
    AT_RECORD_BYTES = 32,
    AT_SIZE = 40,
    AT_SYNCED = 48,
    AT_DATE = 56,
    AT_ZONE = 64,
    AT_VERSION = 68,
    AT_KIND = 70,
    AT_TARGETS = 72,
    AT_FRAMES = 76
};

#define FRAME_PACKED UINT32_C(0x80000000)

void put_u32(unsigned char *out, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(n >> (8 * i));
}

void put_u64(unsigned char *out, uint64_t n)
{
    put_u32(out, (uint32_t)n);
    put_u32(out + 4, (uint32_t)(n >> 32));
}

uint32_t get_u32(const unsigned char *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

uint64_t get_u64(const unsigned char *in)
{
    return get_u32(in) | (uint64_t)get_u32(in + 4) << 32;
}

void volume_header_put(const struct volume_header *h, unsigned char out[VOLUME_HEADER_BYTES])
{
    memset(out, 0, VOLUME_HEADER_BYTES);
    memcpy(out, volume_magic, sizeof volume_magic);
    put_u32(out + 16, VOLUME_FORMAT);
    put_u32(out + 20, h->id);
    memcpy(out + 24, h->tag.bytes, VOLUME_TAG_BYTES);
    put_u64(out + 40, h->table_at);
    put_u32(out + 48, h->table_count);
    put_u32(out + 52, h->table_crc);
    put_u32(out + 60, crc32c(0, out, 60));
}

bool volume_header_get(const unsigned char in[VOLUME_HEADER_BYTES], struct volume_header *out)
{
    if (memcmp(in, volume_magic, sizeof volume_magic) != 0 || get_u32(in + 16) != VOLUME_FORMAT ||
        get_u32(in + 60) != crc32c(0, in, 60))
        return false;
    *out = (struct volume_header){.id = get_u32(in + 20),
                                  .table_at = get_u64(in + 40),
                                  .table_count = get_u32(in + 48),
                                  .table_crc = get_u32(in + 52)};
    memcpy(out->tag.bytes, in + 24, VOLUME_TAG_BYTES);
    return true;
}

uint64_t record_header_bytes(const struct record *rec, uint64_t frame_count)
{
    uint64_t bytes = RECORD_FIXED_BYTES + frame_count * 8 + 4 + rec->sender.len + 4 + rec->trace.len + 4 +
                     rec->options.len;

    for (size_t i = 0; i < rec->target_count; i++) {
        const struct record_target *t = &rec->targets[i];
        bytes += 1 + 8 + 8 + 4 + 4 + t->keywords.len + 4 + t->recipient.len + 4 + t->prefix.len + 4 +
                 t->options.len + 4 + t->sender.len;
    }
    return bytes;
}

static void add_u32(struct buf *out, uint32_t n)
{
    unsigned char bytes[4];

    put_u32(bytes, n);
    buf_add(out, slice_make(bytes, sizeof bytes));
}

static void add_u64(struct buf *out, uint64_t n)
{
    add_u32(out, (uint32_t)n);
    add_u32(out, (uint32_t)(n >> 32));
}

static void add_text(struct buf *out, struct slice text)
{
    add_u32(out, (uint32_t)text.len);
    buf_add(out, text);
}

static void add_target(struct buf *out, const struct record_target *t)
{
    buf_add_char(out, (char)t->kind);
    add_u64(out, t->account);
    add_u64(out, t->mailbox);
    add_u32(out, t->flags);
    add_text(out, t->keywords);
    add_text(out, t->recipient);
    add_text(out, t->prefix);
    add_text(out, t->options);
    add_text(out, t->sender);
}

static uint32_t header_crc(const unsigned char *header, uint32_t header_bytes)
{
    uint32_t crc = crc32c(0, header, AT_CRC);

    return crc32c(crc, header + AT_HEADER_BYTES, header_bytes - AT_HEADER_BYTES);
}

void record_header_put(struct buf *out, const struct volume_tag *tag, const struct record_header *h,
                       const struct record *rec, const struct frame *frames)
{
    unsigned char fixed[RECORD_FIXED_BYTES] = {0};
    size_t at = out->len;

    memcpy(fixed, tag->bytes, VOLUME_TAG_BYTES);
    put_u64(fixed + AT_REF, h->ref);
    put_u32(fixed + AT_HEADER_BYTES, h->header_bytes);
    put_u64(fixed + AT_RECORD_BYTES, h->record_bytes);
    put_u64(fixed + AT_SIZE, h->size);
    put_u64(fixed + AT_SYNCED, h->synced);
    put_u64(fixed + AT_DATE, (uint64_t)h->internal_date);
    put_u32(fixed + AT_ZONE, (uint32_t)h->internal_zone);
    fixed[AT_VERSION] = RECORD_FORMAT;
    fixed[AT_KIND] = h->kind;
    put_u32(fixed + AT_TARGETS, h->target_count);
    put_u32(fixed + AT_FRAMES, h->frame_count);
    buf_add(out, slice_make(fixed, sizeof fixed));
    for (uint32_t i = 0; i < h->frame_count; i++) {
        add_u32(out, frames[i].bytes | (frames[i].packed ? FRAME_PACKED : 0));
        add_u32(out, frames[i].crc);
    }
    if (rec != NULL) {
        add_text(out, rec->sender);
        add_text(out, rec->trace);
        add_text(out, rec->options);
        for (size_t i = 0; i < rec->target_count; i++)
            add_target(out, &rec->targets[i]);
    }
    if (out->failed)
        return;
    if (out->len - at != h->header_bytes)
        bug("a record header of %zu bytes was announced as %u", out->len - at, h->header_bytes);
    unsigned char *header = (unsigned char *)out->data + at;
    put_u32(header + AT_CRC, header_crc(header, h->header_bytes));
}

bool record_header_get(const unsigned char in[RECORD_FIXED_BYTES], const struct volume_tag *tag,
                       struct record_header *out)
{
    if (memcmp(in, tag->bytes, VOLUME_TAG_BYTES) != 0 || in[AT_VERSION] < RECORD_FORMAT_MIN ||
        in[AT_VERSION] > RECORD_FORMAT || in[AT_VERSION + 1] != 0)
        return false;

    struct record_header h = {
        .ref = get_u64(in + AT_REF),
        .crc = get_u32(in + AT_CRC),
        .header_bytes = get_u32(in + AT_HEADER_BYTES),
        .record_bytes = get_u64(in + AT_RECORD_BYTES),
        .size = get_u64(in + AT_SIZE),
        .synced = get_u64(in + AT_SYNCED),
        .internal_date = (int64_t)get_u64(in + AT_DATE),
        .internal_zone = (int32_t)get_u32(in + AT_ZONE),
        .format = in[AT_VERSION],
        .kind = in[AT_KIND],
        .target_count = get_u32(in + AT_TARGETS),
        .frame_count = get_u32(in + AT_FRAMES),
    };
    uint64_t needed = RECORD_FIXED_BYTES + (uint64_t)h.frame_count * 8;
    if (h.kind < RECORD_DELIVERY || h.kind > STORED_END || h.frame_count != frames_for(h.size) ||
        h.header_bytes < needed || h.header_bytes > RECORD_HEADER_MAX || h.record_bytes % RECORD_ALIGN != 0 ||
        h.record_bytes < h.header_bytes + (uint64_t)RECORD_TRAILER_BYTES)
        return false;
    *out = h;
    return true;
}

bool record_header_intact(const unsigned char *in, const struct record_header *h)
{
    return header_crc(in, h->header_bytes) == h->crc;
}

struct frame record_frame(const unsigned char *header, uint32_t i)
{
    const unsigned char *entry = header + RECORD_FIXED_BYTES + (size_t)i * 8;
    uint32_t bytes = get_u32(entry);

    return (struct frame){
        .bytes = bytes & ~FRAME_PACKED, .crc = get_u32(entry + 4), .packed = bytes & FRAME_PACKED};
}

/* Reads on until something does not fit; then every further read gives zeros. */
struct reader {
    const unsigned char *at;
    size_t left;
    bool failed;
};

static const unsigned char *take(struct reader *r, size_t n)
{
    static const unsigned char zeros[8];

    if (r->failed || n > r->left) {
        r->failed = true;
        return zeros;
    }
    const unsigned char *at = r->at;
    r->at += n;
    r->left -= n;
    return at;
}

static struct slice take_text(struct reader *r)
{
    size_t len = get_u32(take(r, 4));
    const unsigned char *at = take(r, len);

    return slice_make(at, r->failed ? 0 : len);
}

bool record_get(const unsigned char *header, const struct record_header *h, struct arena *a,
                struct record *out)
{
    enum { TARGET_BYTES_MIN = 1 + 8 + 8 + 4 + 3 * 4 };
    size_t from = RECORD_FIXED_BYTES + (size_t)h->frame_count * 8;
    struct reader r = {.at = header + from, .left = h->header_bytes - from};

    *out = (struct record){.kind = (enum record_kind)h->kind,
                           .internal_date = h->internal_date,
                           .internal_zone = h->internal_zone,
                           .size = h->size};
    out->sender = take_text(&r);
    out->trace = take_text(&r);
    if (h->format >= 2)
        out->options = take_text(&r);
    if (h->target_count > r.left / TARGET_BYTES_MIN)
        return false;
    struct record_target *targets = arena_new_array(a, struct record_target, h->target_count);
    if (targets == NULL && h->target_count > 0)
        return false;
    for (uint32_t i = 0; i < h->target_count; i++) {
        struct record_target *t = &targets[i];
        t->kind = *take(&r, 1) == RECORD_OUTBOUND ? RECORD_OUTBOUND : RECORD_LOCAL;
        t->account = get_u64(take(&r, 8));
        t->mailbox = get_u64(take(&r, 8));
        t->flags = get_u32(take(&r, 4));
        t->keywords = take_text(&r);
        t->recipient = take_text(&r);
        t->prefix = take_text(&r);
        if (h->format >= 2) {
            t->options = take_text(&r);
            t->sender = take_text(&r);
        }
    }
    out->targets = targets;
    out->target_count = h->target_count;
    return !r.failed && r.left == 0;
}
