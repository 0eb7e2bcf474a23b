/*
 * base/crc32c.c - CRC32C (Castagnoli), by the CPU's instruction where there is one.
 *
 * Layer: base.  The polynomial of iSCSI (RFC 3720 section 12.1), reflected:
 * 0x82f63b78.  The instruction (SSE4.2 on x86-64) does eight bytes
 * at a time; elsewhere a table of 16 entries does half a byte.
 */
#include "base/encode.h"

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc, const unsigned char *p,
                                                                     size_t len)
{
    uint64_t wide = crc;

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t eight;
        memcpy(&eight, p, sizeof eight);
        wide = _mm_crc32_u64(wide, eight);
    }
    crc = (uint32_t)wide;
    for (; len > 0; p++, len--)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#endif

/* half_byte[n]: what four zero bits do to the remainder n. */
static const uint32_t half_byte[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *p = data;

    crc = ~crc;
    for (; len > 0; p++, len--) {
        crc ^= *p;
        crc = crc >> 4 ^ half_byte[crc & 15];
        crc = crc >> 4 ^ half_byte[crc & 15];
    }
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_by_instruction(~crc, data, len);
#endif
    return crc32c_by_table(crc, data, len);
}
