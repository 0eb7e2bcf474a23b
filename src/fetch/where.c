/*
 * fetch/where.c - see fetch/where.h.
 *
 * Layer: fetch.
 */
#include "fetch/where.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "base/fail.h"
#include "net/net.h"

enum { HOST_MAX = 253, PORT_MAX = 65535, PORT_HTTPS = 443, PORT_HTTP = 80 };

static bool invalid(struct fail *why, const char *what)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s", what);
}

/* ---- hosts ---- */

static bool read_ip(int family, struct slice host, struct sockaddr_storage *out)
{
    char                text[INET6_ADDRSTRLEN];
    struct sockaddr_in  four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    if (host.len == 0 || host.len >= sizeof text || slice_find_char(host, '\0') < host.len)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (family == AF_INET && inet_pton(AF_INET, text, &four.sin_addr) == 1)
        memcpy(out, &four, sizeof four);
    else if (family == AF_INET6 && inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
        memcpy(out, &six, sizeof six);
    else
        return false;
    return true;
}

/* The last label of a name is never a number (RFC 3696 section 2): "127.1" and "0x7f000001" are addresses in disguise. */
static bool ends_in_number(struct slice host)
{
    size_t       dot = slice_rfind_char(host, '.');
    struct slice last = dot < host.len ? slice_from(host, dot + 1) : host;

    return last.len == 0 || ascii_is_digit(last.ptr[0]);
}

static bool is_name(struct slice host)
{
    size_t label = 0;

    if (host.len == 0 || host.len > HOST_MAX || host.ptr[0] == '-' || ends_in_number(host))
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_') {
            return false;
        } else if (++label > 63) {
            return false;
        }
    }
    return true;
}

/* Host and port, as in "mail.example.org:443" and "[2001:db8::1]". */
static bool read_authority(struct slice text, struct fetch_url *u)
{
    uint64_t port = u->port;

    *u = (struct fetch_url){.https = u->https};
    if (slice_starts(text, SLICE("["))) {
        size_t end = slice_find_char(text, ']');
        u->host = slice_sub(text, 1, end - 1);
        if (end == text.len || !read_ip(AF_INET6, u->host, &u->address))
            return false;
        text = slice_from(text, end + 1);
    } else {
        u->host = slice_sub(text, 0, slice_find_char(text, ':'));
        if (!read_ip(AF_INET, u->host, &u->address) && !is_name(u->host))
            return false;
        text = slice_from(text, u->host.len);
    }
    if (text.len > 0 && (text.ptr[0] != ':' || !slice_to_u64(slice_from(text, 1), PORT_MAX, &port) || port == 0))
        return false;
    u->port = (unsigned)port;
    return true;
}

/* ---- URLs ---- */

/* What RFC 3986 lets stand in a URI, without the fragment's "#" (and "[" "]", which the authority alone has). */
static bool is_url_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("-._~:/?@!$&'()*+,;=%", c) != NULL);
}

bool fetch_url_parse(struct slice text, struct fetch_url *out, struct fail *why)
{
    struct fetch_url u = {.https = slice_starts_nocase(text, SLICE("https://"))};
    struct slice     rest;
    size_t           end = 0;

    if (u.https)
        rest = slice_from(text, strlen("https://"));
    else if (slice_starts_nocase(text, SLICE("http://")))
        rest = slice_from(text, strlen("http://"));
    else
        return invalid(why, "the URL begins with neither https:// nor http://");
    u.port = u.https ? PORT_HTTPS : PORT_HTTP;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    if (!read_authority(slice_sub(rest, 0, end), &u))
        return invalid(why, "the URL's host or port is not one");
    for (size_t i = end; i < rest.len; i++)
        if (!is_url_char(rest.ptr[i]))
            return invalid(why, "the URL has a character that must be encoded");
    *out = u;
    return true;
}

/* ---- helpers ---- */

/* port@host */
static bool read_inet(struct slice text, struct fetch_url *out)
{
    struct slice host = text, port = slice_cut(&host, '@');
    uint64_t     n;

    if (!slice_to_u64(port, PORT_MAX, &n) || n == 0)
        return false;
    if (host.len > 0 && host.ptr[0] != '[' && read_ip(AF_INET6, host, &out->address)) {
        out->host = host;
    } else {
        out->port = (unsigned)n;
        if (slice_starts(host, SLICE("[")) ? !slice_ends(host, SLICE("]")) : slice_find_char(host, ':') < host.len)
            return false;
        if (!read_authority(host, out))
            return false;
    }
    out->port = (unsigned)n;
    return true;
}

bool fetch_helper_parse(const char *text, struct fetch_helper *out, struct fail *why)
{
    struct fetch_helper h = {.text = slice_of(text)};

    if (slice_starts(h.text, SLICE("unix:"))) {
        h.kind = HELPER_UNIX;
        h.path = text + strlen("unix:");
        if (h.path[0] != '/' || strlen(h.path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
            return invalid(why, "the path of a Unix socket begins with / and has at most 107 bytes");
    } else if (slice_starts(h.text, SLICE("inet:")) || slice_starts(h.text, SLICE("inet6:"))) {
        h.kind = HELPER_INET;
        if (!read_inet(slice_from(h.text, slice_find_char(h.text, ':') + 1), &h.url))
            return invalid(why, "a helper at a TCP port is written inet:port@host");
    } else if (!fetch_url_parse(h.text, &h.url, why)) {
        return fail_at(why, "a helper is http://host:port, https://host:port, inet:port@host or unix:/path");
    }
    *out = h;
    return true;
}

bool fetch_helper_has(const struct fetch_helper *h, const struct fetch_url *url)
{
    return h->kind == HELPER_WEB && h->url.https == url->https && h->url.port == url->port &&
           slice_eq_nocase(h->url.host, url->host);
}

/* ---- addresses ---- */

/* RFC 6890 and its registry, but the blocks for documentation, which are nobody's. */
static const char *const special[] = {
    "0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10", "127.0.0.0/8",  "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",   "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    "::/128",         "::1/128",       "::/96",         "fc00::/7",     "fe80::/10",      "fec0::/10",
    "ff00::/8",       "2001::/32",     "64:ff9b:1::/48", "100::/64",
};

static bool is_special(const struct sockaddr_storage *address)
{
    struct net_block block;

    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (net_block_parse(slice_of(special[i]), &block, NULL) && net_block_contains(&block, address))
            return true;
    return false;
}

/* An IPv4 address `at` so many bytes into one of this IPv6 block. */
static bool is_wrapped(const struct sockaddr_storage *address, const char *in, size_t at, struct sockaddr_storage *out)
{
    struct net_block    block;
    struct sockaddr_in6 six;
    struct sockaddr_in  four = {.sin_family = AF_INET};

    if (!net_block_parse(slice_of(in), &block, NULL) || !net_block_contains(&block, address))
        return false;
    memcpy(&six, address, sizeof six);
    memcpy(&four.sin_addr, six.sin6_addr.s6_addr + at, sizeof four.sin_addr);
    *out = (struct sockaddr_storage){0};
    memcpy(out, &four, sizeof four);
    return true;
}

bool fetch_address_is_public(const struct sockaddr_storage *address)
{
    struct sockaddr_storage inner;

    if (address->ss_family != AF_INET && address->ss_family != AF_INET6)
        return false;
    /* A mapped address (::ffff:a.b.c.d) is compared as what it is by net_block_contains. */
    if (address->ss_family == AF_INET6 &&
        (is_wrapped(address, "64:ff9b::/96", 12, &inner) || is_wrapped(address, "2002::/16", 2, &inner)))
        return fetch_address_is_public(&inner);
    return !is_special(address);
}
