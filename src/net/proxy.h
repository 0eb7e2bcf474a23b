/*
 * net/proxy.h - the PROXY protocol's header, versions 1 and 2.
 *
 * Layer: net, private.  A load balancer in front of us says in it who the client
 * is: https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt.  Pure parsing;
 * whether the one who sent it is believed is decided elsewhere.
 */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include <sys/socket.h>

#include "base/slice.h"

enum proxy_verdict {
    PROXY_MORE, /* so far it may be one */
    PROXY_OK,
    PROXY_BAD,
};

struct proxy_header {
    size_t                  length; /* bytes of `input` it takes */
    bool                    has_peer; /* false: UNKNOWN or LOCAL, the address of the connection counts */
    struct sockaddr_storage peer;
};

#define PROXY_MAX ((size_t)2048) /* longer ones (version 2 may carry 64 KB of extensions) are refused */

/* *out is written only on PROXY_OK.  Never PROXY_MORE for PROXY_MAX bytes or more. */
enum proxy_verdict proxy_header_read(struct slice input, struct proxy_header *out);

#endif
