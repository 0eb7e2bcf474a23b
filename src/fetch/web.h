/*
 * fetch/web.h - one HTTP exchange, by libcurl.
 *
 * Layer: fetch.  The library is loaded, not linked, so that only the role that speaks with web servers has it in its
 * address space, and only once it is needed: it brings a dozen others along.
 */
#ifndef FETCH_WEB_H
#define FETCH_WEB_H

#include "base/buf.h"
#include "fetch/where.h"

struct fail;

/* libcurl, loaded; used by any number of threads.  NULL and FAIL_PERM if it is not installed. */
struct web_library;
struct web_library *web_library_open(struct fail *why);
/* Fine on NULL; leaves *x NULL. */
void web_library_close(struct web_library **x);

struct web_request {
    struct slice            url; /* parsed: `to` */
    const struct fetch_url *to;
    const struct sockaddr_storage *addresses; /* of its host: no other is connected to */
    size_t                  address_count;
    const char             *authorities; /* a PEM file, "": the system's */
    struct slice            content_type, authorization, fields;
    bool                    post;
    struct slice            body; /* ... or, if body_fd >= 0, that file from its start */
    int                     body_fd;
    uint64_t                body_len;
    size_t                  most; /* of the answer's body */
    int64_t                 deadline_ms; /* clock_mono_ms */
};
struct web_answer {
    unsigned     status;
    int64_t      fresh;
    struct buf   content_type, location; /* location: where a redirect leads, absolute */
    struct buf  *out; /* the body */
};

void web_answer_init(struct web_answer *a, struct buf *out);
void web_answer_finish(struct web_answer *a);

/* Follows no redirect.  false: no answer; the failures are those of fetch_ask (net/fetch.h). */
bool web_run(const struct web_library *x, const struct web_request *q, struct web_answer *answer, struct fail *why);

/* "Name: value" lines, each ended by CRLF: may they go into a request as they are? */
bool web_fields_are_fit(struct slice fields);
/* max-age of a Cache-Control field's value (RFC 9111 section 5.2.2.1); 0 for no-store and no-cache; -1: not said. */
int64_t web_max_age(struct slice value);

#endif
