/* net/proxy: headers of both versions, whole, cut and wrong; address blocks. */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/fail.h"
#include "net/net.h"
#include "tests/unit/check.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define S(text)                                                                                              \
    {                                                                                                        \
        "" text, sizeof(text) - 1                                                                            \
    }

static const struct {
    const char *note;
    struct slice input;
    enum proxy_verdict verdict;
    size_t length;
    const char *peer; /* NULL: none */
    unsigned port;
} cases[] = {
    {"v1 over IPv4", S("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\nEHLO"), PROXY_OK, 43, "192.0.2.1", 4711},
    {"v1 over IPv6", S("PROXY TCP6 2001:db8::1 2001:db8::2 65535 25\r\n"), PROXY_OK, 45, "2001:db8::1",
     65535},
    {"v1 unknown", S("PROXY UNKNOWN\r\n"), PROXY_OK, 15, NULL, 0},
    {"v1 unknown with something", S("PROXY UNKNOWN ffff:: x 1 2\r\nrest"), PROXY_OK, 28, NULL, 0},
    {"v1 port 0", S("PROXY TCP4 192.0.2.1 198.51.100.2 0 0\r\n"), PROXY_OK, 39, "192.0.2.1", 0},
    {"v1 port too large", S("PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 port with zero", S("PROXY TCP4 192.0.2.1 198.51.100.2 025 25\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 port with sign", S("PROXY TCP4 192.0.2.1 198.51.100.2 +25 25\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 no destination port", S("PROXY TCP4 192.0.2.1 198.51.100.2 25\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 five ports", S("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 two blanks", S("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 wrong family", S("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 bad address", S("PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 bad destination", S("PROXY TCP4 192.0.2.1 nowhere 1 2\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 NUL in address", S("PROXY TCP4 192.0.2.1\0x 198.51.100.2 1 2\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 other protocol", S("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 lower case", S("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"), PROXY_BAD, 0, NULL, 0},
    {"v1 only LF", S("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"), PROXY_MORE, 0, NULL, 0},
    {"v1 nothing", S("PROXY \r\n"), PROXY_BAD, 0, NULL, 0},
    {"nothing yet", S(""), PROXY_MORE, 0, NULL, 0},
    {"no header", S("EHLO there\r\n"), PROXY_BAD, 0, NULL, 0},
    {"no header, first letter", S("Q"), PROXY_BAD, 0, NULL, 0},
    {"v2 over IPv4",
     S(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"
                 "EHLO"),
     PROXY_OK, 28, "192.0.2.1", 4711},
    {"v2 with extensions", S(SIGNATURE "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19\4\0\1x"),
     PROXY_OK, 32, "192.0.2.1", 4711},
    {"v2 over IPv6",
     S(SIGNATURE "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
                 "\x12\x67\0\x19"),
     PROXY_OK, 52, "2001:db8::1", 4711},
    {"v2 local", S(SIGNATURE "\x20\0\0\0"), PROXY_OK, 16, NULL, 0},
    {"v2 local with addresses", S(SIGNATURE "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"), PROXY_OK,
     28, NULL, 0},
    {"v2 Unix socket", S(SIGNATURE "\x21\x31\0\4abcd"), PROXY_OK, 20, NULL, 0},
    {"v2 IPv4, too short", S(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0"), PROXY_BAD, 0,
     NULL, 0},
    {"v2 IPv6, too short", S(SIGNATURE "\x21\x21\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"), PROXY_BAD, 0,
     NULL, 0},
    {"v2 version 3", S(SIGNATURE "\x31\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"), PROXY_BAD, 0, NULL,
     0},
    {"v2 command 2", S(SIGNATURE "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"), PROXY_BAD, 0, NULL,
     0},
    {"v2 too long", S(SIGNATURE "\x21\x11\xff\xff"), PROXY_BAD, 0, NULL, 0},
    {"v2 signature broken", S("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c"), PROXY_BAD, 0, NULL, 0},
};

static void check_peer(const char *note, const struct proxy_header *h, const char *want, unsigned want_port)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in four;
    struct sockaddr_in6 six;

    memcpy(&four, &h->peer, sizeof(four));
    memcpy(&six, &h->peer, sizeof(six));
    bool is_four = h->peer.ss_family == AF_INET;
    const void *address = is_four ? (const void *)&four.sin_addr : (const void *)&six.sin6_addr;
    CHECK(note, inet_ntop(h->peer.ss_family, address, text, sizeof(text)) != NULL);
    CHECK_SLICE(note, slice_of(text), slice_of(want));
    CHECK(note, ntohs(is_four ? four.sin_port : six.sin6_port) == want_port);
}

static void test_headers(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proxy_header h = {.length = 4711};
        enum proxy_verdict verdict = proxy_header_read(cases[i].input, &h);

        CHECK(cases[i].note, verdict == cases[i].verdict);
        if (verdict != PROXY_OK) {
            CHECK("untouched on failure", h.length == 4711);
            continue;
        }
        CHECK(cases[i].note, h.length == cases[i].length && h.has_peer == (cases[i].peer != NULL));
        if (h.has_peer && cases[i].peer != NULL)
            check_peer(cases[i].note, &h, cases[i].peer, cases[i].port);
        for (size_t cut = 0; cut < h.length; cut++)
            CHECK(cases[i].note, proxy_header_read(slice_sub(cases[i].input, 0, cut), &h) == PROXY_MORE);
    }
}

static void test_endless(void)
{
    static char line[PROXY_MAX];

    memset(line, ' ', sizeof(line));
    memcpy(line, "PROXY UNKNOWN", 13);
    struct proxy_header h;
    CHECK("a line without end: 106", proxy_header_read(slice_make(line, 106), &h) == PROXY_MORE);
    CHECK("a line without end: 107", proxy_header_read(slice_make(line, 107), &h) == PROXY_BAD);
    memcpy(line, SIGNATURE "\x20\0\x07\xf0", 16); /* 2032 bytes follow: the most there may be */
    CHECK("as long as may be, but for one byte",
          proxy_header_read(slice_make(line, PROXY_MAX - 1), &h) == PROXY_MORE);
    CHECK("as long as may be",
          proxy_header_read(slice_make(line, PROXY_MAX), &h) == PROXY_OK && h.length == PROXY_MAX);
    line[15] = '\xf1';
    CHECK("one longer", proxy_header_read(slice_make(line, PROXY_MAX), &h) == PROXY_BAD);
}

static void test_blocks(void)
{
    static const struct {
        const char *block, *address;
        bool in;
    } blocks[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.128/25", "192.0.2.129", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/32", "2001:db8:ffff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"192.0.2.0/24", "::ffff:192.0.2.7", true},
        {"::/0", "192.0.2.1", false},
        {"192.0.2.0/31", "192.0.2.1", true},
    };
    static const char *const bad[] = {"",
                                      "/",
                                      "192.0.2.0/",
                                      "192.0.2.0/33",
                                      "192.0.2/24",
                                      "::/129",
                                      "192.0.2.0/-1",
                                      "192.0.2.0/24/1",
                                      "example.org",
                                      "192.0.2.0 /24",
                                      "2001:db8::g/32"};
    struct net_block b, peer;
    struct fail why;

    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        CHECK(blocks[i].block, net_block_parse(slice_of(blocks[i].block), &b, &why) &&
                                   net_block_parse(slice_of(blocks[i].address), &peer, &why));
        CHECK(blocks[i].address, net_block_contains(&b, &peer.address) == blocks[i].in);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(bad[i], !net_block_parse(slice_of(bad[i]), &b, &why));
    struct sockaddr_storage local = {.ss_family = AF_UNIX};
    CHECK("a Unix socket is in no block",
          net_block_parse(SLICE("0.0.0.0/0"), &b, &why) && !net_block_contains(&b, &local));
}

int main(void)
{
    test_headers();
    test_endless();
    test_blocks();
    return check_done();
}
