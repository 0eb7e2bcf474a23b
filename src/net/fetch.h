/*
 * net/fetch.h - HTTPS requests to the outside, and connections to configured helpers: asked of the fetch role.
 *
 * Layer: net.  The role (fetch/: libcurl, loaded there and nowhere else) holds nothing.  Names are resolved by the resolver role.
 */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/ipc.h"

struct fetch_limits {
    uint64_t answer_bytes; /* of one answer, at most; default 1 MB */
    unsigned seconds;      /* of one request, at most; default 30 */
    unsigned requests;     /* at once, of each role that asks; default 16 */
};
void fetch_limits_default(struct fetch_limits *l);

struct fetch_client;
/* Starts ipc's one thread. */
struct fetch_client *fetch_client_create(const struct fetch_limits *limits, const struct ipc_limits *ipc, struct fail *why);
/* Nobody may be asking any more.  Fine on NULL; leaves *c NULL. */
void fetch_client_destroy(struct fetch_client **c);
/* The socket to the role; owned by the client from now on. */
void fetch_client_attach(struct fetch_client *c, int fd);
/* Before the end: who waits for an answer waits no longer, and who asks gets none. */
void fetch_client_leave(struct fetch_client *c);

struct fetch_request {
    struct slice url;          /* https only, but for addresses that the config names; names as A-labels */
    struct slice content_type; /* of `body` */
    struct slice body;         /* of a POST */
    struct slice authorization;/* of the Authorization field ("Bearer ..."); empty: none */
    struct slice fields;       /* more header fields, "Name: value" in lines that end in CRLF; empty: none */
    int          body_fd;      /* has_body_fd: instead of `body`: a regular file, read from its start; lent */
    bool         has_body_fd;
    bool         post;         /* else GET, without a body */
    bool         redirects;    /* of a GET may be followed, to https only (RFC 8461 section 3.3 forbids them) */
    size_t       most;         /* bytes of the answer; 0: as many as the limit says */
    unsigned     seconds;      /* 0: as many as the limit says */
};
struct fetch_answer {
    unsigned     status;       /* HTTP's */
    struct slice content_type; /* in the arena */
    int64_t      fresh;        /* seconds, of Cache-Control; -1: not said */
};
/*
 * Waits (between block_begin and block_end).  The body goes to `out`, whose max holds too.
 *
 * false: no answer at all.  FAIL_TEMP, with FAIL_AUTH where the server's certificate is not good, FAIL_NOT_FOUND where its
 * name has no address, FAIL_TOO_BIG where the answer was too long; FAIL_PERM and FAIL_INVALID or FAIL_NOT_ALLOWED where it
 * can never be asked like this.
 */
bool fetch_ask(struct fetch_client *c, const struct fetch_request *q, struct arena *a, struct fetch_answer *answer, struct buf *out,
               struct fail *why);

/*
 * A connected socket to a helper that the config names (a milter): "unix:/path", "inet:port@host" or "inet6:port@host", letter
 * by letter as it stands there.  The mail role opens no connections itself.  Blocking; the caller's.  -1 and FAIL_TEMP;
 * FAIL_PERM FAIL_NOT_ALLOWED if the config does not name it.
 */
int fetch_connect(struct fetch_client *c, struct slice where, unsigned seconds, struct fail *why);

#endif
