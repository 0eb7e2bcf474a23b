/*
 * base/encode.h - base64, hex, CRC32C and random bytes.
 *
 * Layer: base.
 */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include "base/arena.h"
#include "base/buf.h"

/* RFC 4648 section 4, padded, no line breaks. */
void base64_encode(struct buf *out, struct slice in);
/*
 * Strict: alphabet and padding exactly as RFC 4648 section 4 (what SASL needs).
 * false leaves `out` as it was.
 */
bool base64_decode(struct buf *out, struct slice in);

void hex_encode(struct buf *out, struct slice in); /* lower case */
bool hex_decode(struct buf *out, struct slice in);

/* CRC32C (Castagnoli), by the CPU's instruction where there is one.  Start with crc = 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same without the instruction: what crc32c() uses on other machines. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t len);

/* From the kernel; never fails (a machine without randomness ends the process). */
void     random_bytes(void *out, size_t len);
uint64_t random_u64(void);

#endif
