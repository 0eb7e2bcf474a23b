/*
 * bench/load-pop3.c - a client that fetches a maildrop.
 *
 * Logs in, asks for UIDL and LIST of all, fetches `messages` one at a time, then all of them
 * with as many RETRs on the way as fit.  What comes is only looked at for its ends.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { ROOM = 256 * 1024, ON_THE_WAY = 200 };

struct pop {
    int fd;
    char *in;
    size_t len; /* of what is there and has not been taken */
    uint64_t bytes;
};

static void more(struct pop *p)
{
    if (p->len == ROOM)
        die("a line without an end");
    ssize_t n = recv(p->fd, p->in + p->len, ROOM - p->len, 0);
    if (n <= 0)
        die("the connection ended");
    p->len += (size_t)n;
    p->bytes += (uint64_t)n;
}

static void take(struct pop *p, size_t n)
{
    p->len -= n;
    memmove(p->in, p->in + n, p->len);
}

static void say(const struct pop *p, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(p->fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            die("sending: %m");
        text += n;
        len -= (size_t)n;
    }
}

static void line(struct pop *p)
{
    const char *lf;

    while ((lf = memchr(p->in, '\n', p->len)) == NULL)
        more(p);
    if (p->in[0] != '+')
        die("refused: %.*s", (int)(lf - p->in), p->in);
    take(p, (size_t)(lf - p->in) + 1);
}

/* Takes what has come of answers of many lines; how many of them ended. */
static unsigned ends(struct pop *p)
{
    static const char end[] = "\r\n.\r\n";
    unsigned count = 0;
    size_t at = 0;

    for (;;) {
        const char *hit = memmem(p->in + at, p->len - at, end, sizeof end - 1);
        if (hit == NULL)
            break;
        at = (size_t)(hit - p->in) + sizeof end - 1;
        count++;
    }
    size_t keep = p->len - at < sizeof end - 1 ? p->len - at : sizeof end - 2;
    take(p, p->len - keep);
    return count;
}

static void lines(struct pop *p)
{
    do
        more(p);
    while (ends(p) == 0);
}

static struct pop log_in(const struct options *o)
{
    struct pop p = {.fd = connect_to(o->host, o->port), .in = malloc(ROOM)};
    char text[200];
    int n;

    if (p.in == NULL)
        die("no memory");
    line(&p);
    n = snprintf(text, sizeof text, "USER u0@%s\r\n", o->domain);
    say(&p, text, (size_t)n);
    line(&p);
    say(&p, "PASS demo-u0\r\n", 14);
    line(&p);
    return p;
}

static void log_out(struct pop *p)
{
    say(p, "QUIT\r\n", 6);
    line(p);
    (void)close(p->fd);
    free(p->in);
}

static double one_by_one(struct pop *p, unsigned messages)
{
    int64_t began = now_us();

    for (unsigned n = 1; n <= messages; n++) {
        char text[40];
        int len = snprintf(text, sizeof text, "RETR %u\r\n", n);
        say(p, text, (size_t)len);
        lines(p);
    }
    return (double)(now_us() - began) / 1e6;
}

static double pipelined(struct pop *p, unsigned messages)
{
    int64_t began = now_us();
    unsigned asked = 0, got = 0;

    while (got < messages) {
        struct buf out;
        buf_init(&out, 64 * 1024);
        if (asked - got <= ON_THE_WAY / 2)
            for (; asked < messages && asked - got < ON_THE_WAY; asked++)
                buf_addf(&out, "RETR %u\r\n", asked + 1);
        say(p, out.data, out.len);
        buf_finish(&out);
        more(p);
        got += ends(p);
    }
    return (double)(now_us() - began) / 1e6;
}

int load_pop3(const struct options *o)
{
    int64_t began = now_us();
    struct pop p = log_in(o);
    double login = (double)(now_us() - began) / 1e3;

    say(&p, "UIDL\r\n", 6);
    lines(&p);
    double uidl = (double)(now_us() - began) / 1e3;
    began = now_us();
    say(&p, "LIST\r\n", 6);
    lines(&p);
    double list = (double)(now_us() - began) / 1e3;
    double single = o->messages > 0 ? one_by_one(&p, o->messages) : 0;
    uint64_t before = p.bytes;
    double piped = o->messages > 0 ? pipelined(&p, o->messages) : 0;
    uint64_t bytes = p.bytes - before;
    log_out(&p);
    printf("{\"logins\": 1, \"login_ms\": %.3f, \"uidl_ms\": %.3f, \"list_ms\": %.3f, \"single_s\": %.4f, \"pipelined_s\": %.4f,"
           " \"bytes\": %llu, \"load_cpu_s\": %.3f}\n",
           login, uidl, list, single, piped, (unsigned long long)bytes, own_cpu());
    return 0;
}
