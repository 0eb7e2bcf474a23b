/*
 * smtp/client_wire.h - the connection to another server: bytes out, replies in, with or without TLS.
 *
 * Layer: smtp, private to the client.  While it writes it also reads (up to WIRE_AHEAD bytes ahead), so that two sides that
 * both write cannot wait for each other (RFC 2920 section 3.1).
 */
#ifndef SMTP_CLIENT_WIRE_H
#define SMTP_CLIENT_WIRE_H

#include "base/fail.h"
#include "smtp/client.h"
#include "smtp/client_reply.h"

struct tls_link;

enum { WIRE_AHEAD = 64 * 1024 };

struct wire {
    int fd; /* non-blocking; -1: none */
    struct tls_link *tls;
    char *in; /* WIRE_AHEAD bytes; [in_at, in_end) are not read yet */
    size_t in_at, in_end;
    int64_t until; /* clock_mono_ms: nothing is waited for longer, however it drips; 0: no such end */
    bool ended; /* nothing more comes in */
    bool broken; /* writing failed, or a reply did not come: of no more use */
    const atomic_bool *stop; /* waiting ends when it becomes true; NULL: it does not */
    struct reply_reader reader;
};

void wire_init(struct wire *w, int fd, const struct smtp_client_limits *limits);
/* Closes it; fine when it was closed. */
void wire_finish(struct wire *w);

/* -1 and *why (FAIL_TEMP), or a connected non-blocking socket. */
int wire_connect(const struct smtp_peer *peer, unsigned seconds, struct fail *why);

/* All of it, each 64 KB of it within `seconds`.  false: broken; replies that had come already can still be read. */
bool wire_write(struct wire *w, struct slice bytes, unsigned seconds, struct fail *why);
/* The next reply, whole, within `seconds`. */
bool wire_reply(struct wire *w, unsigned seconds, struct smtp_reply_text *out, struct arena *a, struct fail *why);
/* Looks, without waiting, whether anything has come (or the end). */
bool wire_has_input(struct wire *w);

#endif
