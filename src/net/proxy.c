/*
 * net/proxy.c - the PROXY protocol's header, versions 1 and 2.
 *
 * Layer: net.  Section numbers are those of proxy-protocol.txt.
 */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum {
    V1_MAX = 107,  /* section 2.1: the longest line, CRLF included */
    V2_FIXED = 16, /* section 2.2: signature, version and command, family, length */
};

static const char v2_signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

/* What inet_pton() reads, from a slice. */
static bool read_address(int family, struct slice text, void *out)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, out) == 1;
}

/* "0" to "65535" without leading zeros. */
static bool read_port(struct slice text, in_port_t *out)
{
    uint64_t n;

    if (!slice_to_u64(text, 65535, &n) || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    *out = htons((uint16_t)n);
    return true;
}

/*
 * "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP port SP port CRLF
 * / "PROXY UNKNOWN" [anything] CRLF                               section 2.1
 */
static bool read_v1_line(struct slice line, struct proxy_header *out)
{
    struct slice rest = slice_from(line, 6); /* behind "PROXY " */
    struct slice family = slice_cut(&rest, ' ');
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct in6_addr to;
    in_port_t port, to_port;

    if (slice_eq(family, SLICE("UNKNOWN")))
        return true;
    struct slice from_text = slice_cut(&rest, ' ');
    struct slice to_text = slice_cut(&rest, ' ');
    struct slice port_text = slice_cut(&rest, ' ');
    if (!read_port(port_text, &port) || !read_port(rest, &to_port))
        return false;
    if (slice_eq(family, SLICE("TCP4"))) {
        four.sin_port = port;
        if (!read_address(AF_INET, from_text, &four.sin_addr) || !read_address(AF_INET, to_text, &to))
            return false;
        memcpy(&out->peer, &four, sizeof(four));
    } else if (slice_eq(family, SLICE("TCP6"))) {
        six.sin6_port = port;
        if (!read_address(AF_INET6, from_text, &six.sin6_addr) || !read_address(AF_INET6, to_text, &to))
            return false;
        memcpy(&out->peer, &six, sizeof(six));
    } else {
        return false;
    }
    out->has_peer = true;
    return true;
}

static enum proxy_verdict read_v1(struct slice input, struct proxy_header *out)
{
    struct slice window = slice_sub(input, 0, V1_MAX);
    size_t end = slice_find(window, SLICE("\r\n"));

    if (end == window.len)
        return window.len < V1_MAX ? PROXY_MORE : PROXY_BAD;
    out->length = end + 2;
    return read_v1_line(slice_sub(input, 0, end), out) ? PROXY_OK : PROXY_BAD;
}

static unsigned byte_at(struct slice s, size_t at)
{
    return (unsigned char)s.ptr[at];
}

/* Section 2.2: the addresses in network order, source before destination, then ports, then extensions. */
static bool read_v2_peer(unsigned family, struct slice body, struct proxy_header *out)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    switch (family) {
    case 0x11: /* TCP over IPv4 */
        if (body.len < 12)
            return false;
        memcpy(&four.sin_addr, body.ptr, 4);
        memcpy(&four.sin_port, body.ptr + 8, 2);
        memcpy(&out->peer, &four, sizeof(four));
        out->has_peer = true;
        return true;
    case 0x21: /* TCP over IPv6 */
        if (body.len < 36)
            return false;
        memcpy(&six.sin6_addr, body.ptr, 16);
        memcpy(&six.sin6_port, body.ptr + 32, 2);
        memcpy(&out->peer, &six, sizeof(six));
        out->has_peer = true;
        return true;
    default: /* unspecified, datagrams, Unix sockets: as if the proxy had said nothing */ return true;
    }
}

static enum proxy_verdict read_v2(struct slice input, struct proxy_header *out)
{
    enum { VERSION_2 = 0x20, COMMAND_LOCAL = 0x0, COMMAND_PROXY = 0x1 };

    if (input.len < V2_FIXED)
        return PROXY_MORE;
    unsigned version_command = byte_at(input, 12);
    size_t length = (size_t)byte_at(input, 14) << 8 | byte_at(input, 15);
    if ((version_command & 0xf0) != VERSION_2 || (version_command & 0x0f) > COMMAND_PROXY ||
        length > PROXY_MAX - V2_FIXED)
        return PROXY_BAD;
    if (input.len - V2_FIXED < length)
        return PROXY_MORE;
    out->length = V2_FIXED + length;
    if ((version_command & 0x0f) == COMMAND_LOCAL)
        return PROXY_OK; /* the proxy itself, asking whether we are well */
    return read_v2_peer(byte_at(input, 13), slice_sub(input, V2_FIXED, length), out) ? PROXY_OK : PROXY_BAD;
}

static bool may_begin(struct slice input, struct slice magic)
{
    size_t n = input.len < magic.len ? input.len : magic.len;

    return slice_eq(slice_sub(input, 0, n), slice_sub(magic, 0, n));
}

enum proxy_verdict proxy_header_read(struct slice input, struct proxy_header *out)
{
    struct slice v2 = slice_make(v2_signature, sizeof(v2_signature));
    struct proxy_header header = {0};
    enum proxy_verdict verdict = PROXY_BAD;

    if (may_begin(input, SLICE("PROXY ")))
        verdict = input.len < 6 ? PROXY_MORE : read_v1(input, &header);
    else if (may_begin(input, v2))
        verdict = read_v2(input, &header);
    if (verdict == PROXY_OK)
        *out = header;
    return verdict;
}
