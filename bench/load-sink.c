/*
 * bench/load-sink.c - a server that takes every message and counts recipients.
 *
 * For what smtp-sink cannot count: a message to many recipients comes in as many
 * transactions as the sending server likes.  Listens on all addresses of this machine, so that each of
 * 127.0.0.0/8 can be a destination of its own.  A number on standard input asks for a line when so many
 * recipients more have come; its end is the sink's.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

struct guest {
    int fd;
    struct buf in, out;
    bool content;        /* between 354 and the dot */
    unsigned recipients; /* of the transaction under way */
};

struct sink {
    const struct options *o;
    int epoll, listener;
    unsigned recipients, messages;
    unsigned target, messages_before; /* recipients that are waited for; 0: none */
};

static void leave(struct guest *g)
{
    (void)close(g->fd);
    buf_finish(&g->in);
    buf_finish(&g->out);
    free(g);
}

static void answer(struct guest *g, struct slice text)
{
    buf_add(&g->out, text);
    buf_add(&g->out, SLICE("\r\n"));
}

/* false: it is the last. */
static bool take_line(struct guest *g, struct slice line)
{
    if (slice_starts_nocase(line, SLICE("EHLO")) || slice_starts_nocase(line, SLICE("HELO"))) {
        answer(g, SLICE("250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES"));
    } else if (slice_starts_nocase(line, SLICE("RCPT"))) {
        g->recipients++;
        answer(g, SLICE("250 2.1.5 Ok"));
    } else if (slice_starts_nocase(line, SLICE("DATA"))) {
        g->content = true;
        answer(g, SLICE("354 Go on"));
    } else if (slice_starts_nocase(line, SLICE("QUIT"))) {
        answer(g, SLICE("221 2.0.0 Bye"));
        return false;
    } else {
        if (slice_starts_nocase(line, SLICE("MAIL")) || slice_starts_nocase(line, SLICE("RSET")))
            g->recipients = 0;
        answer(g, SLICE("250 2.0.0 Ok"));
    }
    return true;
}

static void end_message(struct sink *s, struct guest *g)
{
    s->messages++;
    s->recipients += g->recipients;
    g->recipients = 0;
    g->content = false;
    answer(g, SLICE("250 2.0.0 Ok"));
}

/* Content up to its dot; false: more is to come. */
static bool take_content(struct sink *s, struct guest *g)
{
    static const struct slice dot = SLICE("\r\n.\r\n");
    size_t at = slice_find(buf_slice(&g->in), dot);

    if (at == g->in.len) { /* the dot may be half there */
        buf_drop(&g->in, g->in.len > dot.len ? g->in.len - dot.len : 0);
        return false;
    }
    buf_drop(&g->in, at + dot.len);
    end_message(s, g);
    return true;
}

/* A line, or content to its dot; false: there is no whole one. */
static bool take_more(struct sink *s, struct guest *g, bool *stays)
{
    struct slice in = buf_slice(&g->in);
    size_t lf;

    if (g->content)
        return take_content(s, g);
    lf = slice_find_char(in, '\n');
    if (lf == in.len)
        return false;
    *stays = take_line(g, slice_sub(in, 0, lf));
    buf_drop(&g->in, lf + 1);
    return true;
}

/* false: the guest has left. */
static bool take_input(struct sink *s, struct guest *g)
{
    ssize_t n = recv(g->fd, buf_room(&g->in, 65536), 65536, MSG_DONTWAIT);
    bool stays = true;

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return false;
    buf_grew(&g->in, (size_t)n);
    while (stays && take_more(s, g, &stays))
        ;
    if (g->out.len > 0 && send(g->fd, g->out.data, g->out.len, MSG_NOSIGNAL) < 0)
        return false;
    buf_reset(&g->out);
    return stays;
}

static void greet(struct sink *s)
{
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
    struct guest *g;

    if (fd < 0)
        return;
    g = xcalloc(1, sizeof *g);
    g->fd = fd;
    buf_init(&g->in, 1 << 26);
    buf_init(&g->out, 1 << 26);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = g};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) != 0 ||
        send(fd, "220 sink.example.net ESMTP\r\n", 28, MSG_NOSIGNAL) < 0)
        leave(g);
}

static void listen_at(struct sink *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->o->port)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, input = {.events = EPOLLIN, .data.ptr = s};
    int on = 1;

    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s->listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(s->listener, 1024) != 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &e) != 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        die("cannot listen on port %u: %m", s->o->port);
}

static void take_target(struct sink *s)
{
    char line[32];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);

    if (n <= 0)
        exit(0);
    line[n] = '\0';
    s->target = s->recipients + (unsigned)strtoul(line, NULL, 10);
    s->messages_before = s->messages;
}

static void say_reached(struct sink *s)
{
    if (s->target == 0 || s->recipients < s->target)
        return;
    printf("{\"messages\": %u, \"at_us\": %lld}\n", s->messages - s->messages_before, (long long)now_us());
    (void)fflush(stdout);
    s->target = 0;
}

int load_sink(const struct options *o)
{
    struct sink s = {.o = o};
    struct epoll_event events[64];

    listen_at(&s);
    printf("ready\n");
    (void)fflush(stdout);
    for (;;) {
        int n = epoll_wait(s.epoll, events, (int)ARRAY_LEN(events), -1);
        for (int i = 0; i < n; i++) {
            struct guest *g = events[i].data.ptr;
            if (events[i].data.ptr == &s)
                take_target(&s);
            else if (g == NULL)
                greet(&s);
            else if (!take_input(&s, g))
                leave(g);
        }
        say_reached(&s);
    }
}
