/*
 * net/netblock.c - address blocks such as 192.0.2.0/24.
 *
 * Layer: net.
 */
#include <arpa/inet.h>

#include "net/loop.h"

/* The bytes of an address in network order; how many there are, 0 for what is no IP address. */
static size_t address_bytes(const struct sockaddr_storage *address, unsigned char out[16])
{
    struct sockaddr_in four;
    struct sockaddr_in6 six;

    switch (address->ss_family) {
    case AF_INET:
        memcpy(&four, address, sizeof(four));
        memcpy(out, &four.sin_addr, 4);
        return 4;
    case AF_INET6:
        memcpy(&six, address, sizeof(six));
        memcpy(out, &six.sin6_addr, 16);
        return 16;
    default: return 0;
    }
}

static bool read_address(struct slice text, struct sockaddr_storage *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, copy, &four.sin_addr) == 1)
        memcpy(out, &four, sizeof(four));
    else if (inet_pton(AF_INET6, copy, &six.sin6_addr) == 1)
        memcpy(out, &six, sizeof(six));
    else
        return false;
    return true;
}

bool net_block_parse(struct slice text, struct net_block *out, struct fail *why)
{
    struct slice rest = text;
    struct slice address = slice_cut(&rest, '/');
    bool has_prefix = address.len < text.len;
    struct net_block block = {0};
    unsigned char bytes[16];

    if (!read_address(address, &block.address))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"" PRIslice "\" is no IP address or block",
                        SLICE_ARG(text));
    size_t bits = address_bytes(&block.address, bytes) * 8;
    uint64_t prefix = bits;
    if (has_prefix && !slice_to_u64(rest, bits, &prefix))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"" PRIslice "\": the prefix goes from 0 to %zu",
                        SLICE_ARG(text), bits);
    block.prefix = (unsigned)prefix;
    *out = block;
    return true;
}

bool net_block_contains(const struct net_block *b, const struct sockaddr_storage *address)
{
    struct sockaddr_storage a = *address;
    unsigned char have[16], want[16];

    address_unmap(&a);
    size_t len = address_bytes(&b->address, want);
    if (len == 0 || address_bytes(&a, have) != len || b->prefix > len * 8)
        return false;
    size_t whole = b->prefix / 8;
    if (memcmp(have, want, whole) != 0)
        return false;
    unsigned rest = b->prefix % 8;
    return rest == 0 || ((have[whole] ^ want[whole]) >> (8 - rest)) == 0;
}
