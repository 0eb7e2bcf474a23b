/*
 * fetch/where.h - where a request goes: URLs, helpers that the config names, addresses that are nobody's business.
 *
 * Layer: fetch.  Nothing here waits.
 */
#ifndef FETCH_WHERE_H
#define FETCH_WHERE_H

#include <sys/socket.h>

#include "base/slice.h"

struct fail;

/*
 * http-URI / https-URI without userinfo and fragment                   RFC 9110 section 4.2
 *
 * Strict, so that nobody can read it in another way: printable ASCII, a name of letters, digits, hyphens, underscores
 * and dots, or an address as inet_pton reads it.
 */
struct fetch_url {
    bool         https;
    struct slice host; /* without the brackets of an IPv6 address; slices are the text's */
    unsigned     port;
    struct sockaddr_storage address; /* ss_family AF_UNSPEC: `host` is a name */
};
/* FAIL_PERM FAIL_INVALID. */
bool fetch_url_parse(struct slice text, struct fetch_url *out, struct fail *why);

/*
 * A helper: "http://host:port", "https://host:port" (a path behind it says nothing), "unix:/path", "inet:port@host",
 * "inet6:port@host".  The host is a name or an address; "localhost" is loopback.
 */
struct fetch_helper {
    enum fetch_helper_kind { HELPER_WEB, HELPER_UNIX, HELPER_INET } kind;
    struct slice     text; /* as the config has it */
    struct fetch_url url;  /* HELPER_WEB; HELPER_INET: host, port and address of it */
    const char      *path; /* HELPER_UNIX: inside `text`, up to its end */
};
/* `text` must outlive it.  FAIL_PERM FAIL_INVALID. */
bool fetch_helper_parse(const char *text, struct fetch_helper *out, struct fail *why);
/* The same scheme, host and port? */
bool fetch_helper_has(const struct fetch_helper *h, const struct fetch_url *url);

/*
 * May everybody's address be reached there?  Not loopback, private, link-local, multicast or otherwise special ones
 * (RFC 6890), also not where they are wrapped in IPv6 (mapped, NAT64, 6to4).
 */
bool fetch_address_is_public(const struct sockaddr_storage *address);

#endif
