/*
 * bench/abuse-probe.c - somebody who only wants her mail: how long each thing takes her.
 *
 * Plain blocking code, one thing at a time with a pause between, as fast as a person's programs are at most.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abuse.h"

enum { PAUSE_US = 5000, TIMES_MAX = 100000, WAIT_S = 30 };

struct line {
    int fd;
    char in[65536];
    size_t len, at;
    char heard[120]; /* the line that was waited for */
};

struct times {
    const char *name;
    double ms[TIMES_MAX];
    unsigned count, failed;
};

static bool line_open(struct line *l, unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval wait = {.tv_sec = WAIT_S};
    int on = 1;

    l->len = l->at = 0;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connect(l->fd, (struct sockaddr *)&at, sizeof at) == 0;
}

static bool say(const struct line *l, const char *text)
{
    return send(l->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Reads to a line that begins with `start`; false: the other side has gone, or is silent. */
static bool hear(struct line *l, const char *start)
{
    for (;;) {
        char *lf;
        while ((lf = memchr(l->in + l->at, '\n', l->len - l->at)) != NULL) {
            const char *line = l->in + l->at;
            l->at = (size_t)(lf + 1 - l->in);
            if ((size_t)(lf - line) < strlen(start) || memcmp(line, start, strlen(start)) != 0)
                continue;
            (void)snprintf(l->heard, sizeof l->heard, "%.*s", (int)(lf - line), line);
            return true;
        }
        memmove(l->in, l->in + l->at, l->len - l->at);
        l->len -= l->at;
        l->at = 0;
        if (l->len == sizeof l->in)
            l->len = 0; /* a long line that nobody asked for */
        ssize_t n = recv(l->fd, l->in + l->len, sizeof l->in - l->len, 0);
        if (n <= 0)
            return false;
        l->len += (size_t)n;
    }
}

static void count(struct times *t, int64_t began, bool ok)
{
    if (!ok)
        t->failed++;
    else if (t->count < TIMES_MAX)
        t->ms[t->count++] = (double)(now_us() - began) / 1000;
}

static bool sign_in(struct line *l, const struct options *o)
{
    char text[200];

    (void)snprintf(text, sizeof text, "a LOGIN u0@%s demo-u0\r\n", o->domain);
    return line_open(l, o->imap) && hear(l, "* OK") && say(l, text) && hear(l, "a OK");
}

static bool deliver(struct line *l, const struct options *o)
{
    char text[400];

    (void)snprintf(text, sizeof text, "MAIL FROM:<probe@example.net>\r\nRCPT TO:<u0@%s>\r\nDATA\r\n", o->domain);
    return say(l, text) && hear(l, "354") &&
           say(l, "From: probe@example.net\r\nSubject: still there?\r\n\r\nA letter.\r\n.\r\n") && hear(l, "250");
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void show(struct times *t, bool last)
{
    qsort(t->ms, t->count, sizeof t->ms[0], compare);
    double median = t->count > 0 ? t->ms[t->count / 2] : 0, p95 = t->count > 0 ? t->ms[t->count * 95 / 100] : 0;
    printf("\"%s\": {\"median\": %.4f, \"p95\": %.4f, \"most\": %.4f, \"count\": %u, \"failed\": %u}%s", t->name, median, p95,
           t->count > 0 ? t->ms[t->count - 1] : 0, t->count, t->failed, last ? "}\n" : ", ");
}

/* The letter that was delivered before is in the mailbox, and it is open. */
static bool open_inbox(struct line *l)
{
    do {
        if (!say(l, "m STATUS INBOX (MESSAGES)\r\n") || !hear(l, "* STATUS"))
            return false;
    } while (strstr(l->heard, "MESSAGES 0)") != NULL);
    return say(l, "s SELECT INBOX\r\n") && hear(l, "s OK");
}

/* Once more where the connection was lost: what failed is counted, and the next may go well. */
static void again(struct line *l, const struct options *o, bool imap)
{
    (void)close(l->fd);
    if (imap ? sign_in(l, o) && open_inbox(l)
             : line_open(l, o->smtp) && hear(l, "220") && say(l, "EHLO probe.example.net\r\n") && hear(l, "250 "))
        return;
    (void)usleep(100000);
}

int probe_run(const struct options *o)
{
    static struct times noop = {.name = "noop"}, fetch = {.name = "fetch"}, smtp = {.name = "delivery"}, login = {.name = "login"};
    static struct line imap_line, smtp_line, fresh;
    struct line *imap = &imap_line, *mail = &smtp_line;
    imap->fd = mail->fd = -1;
    again(mail, o, false);
    if (!deliver(mail, o))
        die("no message can be delivered");
    again(imap, o, true);
    for (int64_t end = now_us() + (int64_t)o->seconds * 1000000; now_us() < end;) {
        int64_t at = now_us();
        bool ok = say(imap, "n NOOP\r\n") && hear(imap, "n OK");
        count(&noop, at, ok);
        (void)usleep(PAUSE_US);

        at = now_us();
        ok = ok && say(imap, "f FETCH 1 (FLAGS BODY.PEEK[])\r\n") && hear(imap, "f OK");
        count(&fetch, at, ok);
        if (!ok)
            again(imap, o, true);
        (void)usleep(PAUSE_US);

        at = now_us();
        ok = deliver(mail, o);
        count(&smtp, at, ok);
        if (!ok)
            again(mail, o, false);
        (void)usleep(PAUSE_US);

        at = now_us();
        ok = sign_in(&fresh, o);
        count(&login, at, ok);
        (void)close(fresh.fd);
        (void)usleep(PAUSE_US);
    }
    printf("{");
    show(&noop, false);
    show(&fetch, false);
    show(&smtp, false);
    show(&login, true);
    return 0;
}
