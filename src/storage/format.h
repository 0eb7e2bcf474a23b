/*
 * storage/format.h - what the bytes of a volume mean.
 *
 * Layer: storage.  All numbers are little-endian.
 *
 * A volume begins with a header of 64 bytes:
 *
 *     0  16  "Posthorn volume\n"
 *    16   4  format version
 *    20   4  volume number
 *    24  16  tag: random, never shown outside; scanning trusts nothing else
 *    40   8  where the offset table begins; 0: never compacted
 *    48   4  entries in the offset table
 *    52   4  CRC32C of the offset table
 *    56   4  0
 *    60   4  CRC32C of the 60 bytes before
 *
 * Then records, each at a multiple of 8:
 *
 *     0  16  tag
 *    16   8  reference: volume number << 32 | offset it was written at
 *    24   4  CRC32C of the header, all of it but this field
 *    28   4  bytes of the header (everything up to the frames)
 *    32   8  bytes of the record, a multiple of 8
 *    40   8  bytes of the message
 *    48   8  synced: everything in this volume below this offset was on disk
 *            before this record was begun
 *    56   8  internal date, seconds since 1970
 *    64   4  its zone, minutes east of UTC
 *    68   2  version of the record format
 *    70   1  kind
 *    71   1  0
 *    72   4  number of targets
 *    76   4  number of frames
 *    80   .  frame table: for each frame its stored bytes (4; the upper bit says
 *            zstd) and the CRC32C of them (4)
 *     .   .  sender, trace, options; for each target: kind (1), account (8), mailbox
 *            (8), flags (4), keywords, recipient, prefix, options, sender.  Texts:
 *            length (4), bytes.  Format 1 knew neither options nor a target's sender
 *     .   .  frames: 64 KB of the message each (the last: what is left)
 *     .   .  zeros
 *     -8   8  the reference again, so that a record never ends in zeros
 *
 * Two more kinds have no message: VOID covers bytes that are nobody's (a delivery
 * given up, a record given back), END closes a volume that was finished in order.
 *
 * What a crash leaves unfinished lies at or above the last `synced` that a later
 * record or END tells; what is broken below it was acknowledged, and is damage.
 *
 * A compacted volume holds the records that were left, as they were, and behind
 * them the offset table: original offset (4), offset in this file (4), ascending.
 */
#ifndef STORAGE_FORMAT_H
#define STORAGE_FORMAT_H

#include "base/buf.h"
#include "storage/volume.h"

enum {
    VOLUME_FORMAT = 1,
    VOLUME_HEADER_BYTES = 64,
    VOLUME_TAG_BYTES = 16,
    RECORD_FORMAT = 2,     /* written */
    RECORD_FORMAT_MIN = 1, /* still read */
    RECORD_FIXED_BYTES = 80,
    RECORD_TRAILER_BYTES = 8,
    RECORD_ALIGN = 8,
    RECORD_BYTES_MIN = RECORD_FIXED_BYTES + RECORD_TRAILER_BYTES, /* a VOID or END */
    RECORD_HEADER_MAX = 64 << 20,
    FRAME_BYTES = 64 << 10,
    TABLE_ENTRY_BYTES = 8,
};

/* Kinds beside those of enum record_kind. */
enum { STORED_VOID = 3, STORED_END = 4 };

struct volume_tag {
    unsigned char bytes[VOLUME_TAG_BYTES];
};

struct volume_header {
    uint32_t id;
    struct volume_tag tag;
    uint64_t table_at;
    uint32_t table_count;
    uint32_t table_crc;
};

struct record_header {
    volume_ref ref;
    uint32_t crc;
    uint32_t header_bytes;
    uint64_t record_bytes;
    uint64_t size;
    uint64_t synced;
    int64_t internal_date;
    int32_t internal_zone;
    uint8_t format, kind;
    uint32_t target_count;
    uint32_t frame_count;
};

struct frame {
    uint32_t bytes; /* as stored */
    uint32_t crc;   /* of the stored bytes */
    bool packed;
};

static inline uint32_t ref_volume(volume_ref ref)
{
    return (uint32_t)(ref >> 32);
}

static inline uint32_t ref_offset(volume_ref ref)
{
    return (uint32_t)ref;
}

static inline volume_ref ref_make(uint32_t volume, uint64_t offset)
{
    return (uint64_t)volume << 32 | offset;
}

static inline uint64_t record_align(uint64_t bytes)
{
    return (bytes + (RECORD_ALIGN - 1)) & ~(uint64_t)(RECORD_ALIGN - 1);
}

/* How many bytes of the message frame `i` stands for. */
static inline size_t frame_size(uint64_t size, uint32_t i)
{
    uint64_t left = size - (uint64_t)i * FRAME_BYTES;

    return left < FRAME_BYTES ? (size_t)left : FRAME_BYTES;
}

static inline uint64_t frames_for(uint64_t size)
{
    return size / FRAME_BYTES + (size % FRAME_BYTES != 0);
}

void volume_header_put(const struct volume_header *h, unsigned char out[VOLUME_HEADER_BYTES]);
/* false: no volume, a newer one, or a damaged one. */
bool volume_header_get(const unsigned char in[VOLUME_HEADER_BYTES], struct volume_header *out);

/* The length of a record's header; more than RECORD_HEADER_MAX: too many targets. */
uint64_t record_header_bytes(const struct record *rec, uint64_t frame_count);
/* The whole header, CRC and all, appended to `out`.  `rec` may be NULL (VOID, END). */
void record_header_put(struct buf *out, const struct volume_tag *tag, const struct record_header *h,
                       const struct record *rec, const struct frame *frames);

/* The fixed part: false unless tag, version and lengths make sense.  The CRC is not looked at. */
bool record_header_get(const unsigned char in[RECORD_FIXED_BYTES], const struct volume_tag *tag,
                       struct record_header *out);
/* Is all of a header (h->header_bytes of it) what was written? */
bool record_header_intact(const unsigned char *in, const struct record_header *h);
struct frame record_frame(const unsigned char *header, uint32_t i);
/* Everything else; false if the texts do not add up or the arena is full.  The slices point into `header`. */
bool record_get(const unsigned char *header, const struct record_header *h, struct arena *a,
                struct record *out);

void put_u32(unsigned char *out, uint32_t n);
void put_u64(unsigned char *out, uint64_t n);
uint32_t get_u32(const unsigned char *in);
uint64_t get_u64(const unsigned char *in);

#endif
