/*
 * tests/unit/smtp/peer.h - a server that follows a script, for the SMTP client.
 *
 *     "> 220 hello"      says the line and CRLF
 *     ">>250 a\n250 b"   says it as it stands, byte by byte if the peer is `slow`
 *     "< EHLO *"         hears a line; "*" at its end: whatever follows
 *     "<."               hears a message up to its final dot, kept in `message`
 *     "<# 12"            hears so many bytes, kept in `message` behind what is there
 *     "< BDAT * LAST"    hears such a chunk as well, kept in `message`
 *     "!"                closes the connection
 * After the script it hears QUIT or the end.  The first line that does not fit ends it and is told.
 */
#ifndef TESTS_UNIT_SMTP_PEER_H
#define TESTS_UNIT_SMTP_PEER_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fail.h"
#include "smtp/client_session.h"
#include "tests/unit/check.h"

struct peer {
    const char *const *script;
    int fd, client_fd;
    bool slow, closed;
    pthread_t thread;
    struct buf message; /* as it went over the wire, dots still doubled */
    char wrong[2300];    /* what did not fit; "" */
    char in[65536];
    size_t at, end;
};

static bool peer_fill(struct peer *p)
{
    if (p->at < p->end)
        return true;
    ssize_t got = recv(p->fd, p->in, sizeof(p->in), 0);
    p->at = 0;
    p->end = got > 0 ? (size_t)got : 0;
    return got > 0;
}

static int peer_byte(struct peer *p)
{
    return peer_fill(p) ? (unsigned char)p->in[p->at++] : -1;
}

static bool peer_line(struct peer *p, char *line, size_t size)
{
    size_t n = 0;

    for (int c = peer_byte(p); c >= 0; c = peer_byte(p)) {
        if (c == '\n' && n > 0 && line[n - 1] == '\r') {
            line[n - 1] = '\0';
            return true;
        }
        if (n + 1 < size)
            line[n++] = (char)c;
    }
    line[n] = '\0';
    return false;
}

static void peer_say(struct peer *p, struct slice text)
{
    size_t step = p->slow ? 1 : text.len;

    for (size_t at = 0; at < text.len; at += step)
        if (send(p->fd, text.ptr + at, step < text.len - at ? step : text.len - at, MSG_NOSIGNAL) < 0)
            return;
}

static bool peer_message(struct peer *p)
{
    for (int c = peer_byte(p); c >= 0; c = peer_byte(p)) {
        buf_add_char(&p->message, (char)c);
        if (slice_ends(buf_slice(&p->message), SLICE("\r\n.\r\n")) || slice_eq(buf_slice(&p->message), SLICE(".\r\n")))
            return true;
    }
    return false;
}

static bool peer_bytes(struct peer *p, size_t n)
{
    for (; n > 0; n--) {
        int c = peer_byte(p);
        if (c < 0)
            return false;
        buf_add_char(&p->message, (char)c);
    }
    return true;
}

static bool peer_fits(const char *pattern, const char *line)
{
    size_t n = strlen(pattern);

    if (n > 0 && pattern[n - 1] == '*')
        return strncmp(pattern, line, n - 1) == 0;
    return strcmp(pattern, line) == 0;
}

static bool peer_hears(struct peer *p, const char *pattern)
{
    char line[2000];

    if (!peer_line(p, line, sizeof(line)) || (strncmp(pattern, "BDAT *", 6) != 0 && !peer_fits(pattern, line))) {
        (void)snprintf(p->wrong, sizeof(p->wrong), "want \"%.200s\", got \"%s\"", pattern, line);
        return false;
    }
    return strncmp(pattern, "BDAT *", 6) != 0 ||
           (strncmp(line, "BDAT ", 5) == 0 && (strstr(line, " LAST") != NULL) == (strstr(pattern, " LAST") != NULL) &&
            peer_bytes(p, strtoul(line + 5, NULL, 10)));
}

static bool peer_step(struct peer *p, const char *step)
{
    if (strncmp(step, ">>", 2) == 0) {
        peer_say(p, slice_of(step + 2));
    } else if (step[0] == '>') {
        struct buf line;
        buf_init(&line, 4 << 20);
        buf_addf(&line, "%s\r\n", step + 2);
        peer_say(p, buf_slice(&line));
        buf_finish(&line);
    } else if (strncmp(step, "<.", 2) == 0) {
        if (!peer_message(p))
            (void)snprintf(p->wrong, sizeof(p->wrong), "no final dot");
    } else if (strncmp(step, "<#", 2) == 0) {
        if (!peer_bytes(p, strtoul(step + 2, NULL, 10)))
            (void)snprintf(p->wrong, sizeof(p->wrong), "too few bytes");
    } else if (step[0] == '<') {
        (void)peer_hears(p, step + 2);
    } else if (step[0] == '!') {
        (void)shutdown(p->fd, SHUT_RDWR);
        p->closed = true;
    }
    return p->wrong[0] == '\0';
}

static void *peer_run(void *arg)
{
    struct peer *p = arg;
    char line[2000];

    for (const char *const *step = p->script; *step != NULL; step++)
        if (!peer_step(p, *step))
            break;
    while (!p->closed && p->wrong[0] == '\0' && peer_line(p, line, sizeof(line)))
        if (strcmp(line, "QUIT") != 0)
            (void)snprintf(p->wrong, sizeof(p->wrong), "after the script: \"%s\"", line);
    (void)shutdown(p->fd, SHUT_RDWR);
    return NULL;
}

static void peer_start(struct peer *p, const char *const *script, bool slow)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        bug("socketpair");
    *p = (struct peer){.script = script, .fd = fds[0], .client_fd = fds[1], .slow = slow};
    buf_init(&p->message, 64 << 20);
    if (pthread_create(&p->thread, NULL, peer_run, p) != 0)
        bug("no thread");
}

/* Waits until the script is over; then `message` may be looked at.  The client must have been closed. */
static void peer_join(struct peer *p, const char *note)
{
    (void)pthread_join(p->thread, NULL);
    (void)close(p->fd);
    if (p->wrong[0] != '\0')
        fprintf(stderr, "%s: the peer: %s\n", note, p->wrong);
    CHECK(note, p->wrong[0] == '\0');
}

#endif
