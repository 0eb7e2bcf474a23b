/* bench/load-common.c - clocks, connections, messages. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("load: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

double own_cpu(void)
{
    struct rusage r;

    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

int connect_to(const char *host, unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || inet_pton(AF_INET, host, &at.sin_addr) != 1)
        die("%s: not an IPv4 address", host);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("cannot connect to %s port %u: %m", host, port);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double percentile(double *values, size_t count, double percent)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, compare);
    size_t at = (size_t)((double)count * percent / 100);
    return values[at < count ? at : count - 1];
}

/* Words enough that no two lines are alike, the same in every run. */
static void make_text(struct buf *out, size_t bytes, unsigned seed)
{
    static const char *const words[] = {
        "letter", "station", "harbour", "morning", "window", "paper",  "answer", "garden", "river",  "people",
        "money",  "meeting", "travel",  "kitchen", "number", "summer", "friend", "report", "ticket", "music"};
    size_t end = out->len + bytes, line = out->len;

    while (out->len + 2 < end) {
        seed = seed * 1103515245u + 12345u;
        const char *word = words[(seed >> 16) % ARRAY_LEN(words)];
        if (out->len - line > 66) {
            buf_add(out, SLICE("\r\n"));
            line = out->len;
        }
        buf_addf(out, "%s%x ", word, (seed >> 8) & 0xff);
    }
    buf_add(out, SLICE("\r\n"));
}

/* Made once, in a few variants: the generator's time is not what is to be measured. */
static void write_text(struct buf *out, size_t bytes, unsigned number)
{
    static struct buf variants[4];
    static size_t made;

    if (made != bytes) {
        for (unsigned i = 0; i < ARRAY_LEN(variants); i++) {
            buf_init(&variants[i], (size_t)1 << 30);
            make_text(&variants[i], bytes, i + 1);
        }
        made = bytes;
    }
    buf_add(out, buf_slice(&variants[number % ARRAY_LEN(variants)]));
}

void message_write(struct buf *out, const struct options *o, unsigned number, unsigned recipient)
{
    buf_addf(out,
             "Date: Sun, 22 Nov 2026 10:%02u:%02u +0000\r\n"
             "From: \"Sender Number %u\" <sender%u@example.net>\r\n"
             "To: u%u@%s\r\n"
             "Subject: Report %u about the %s\r\n"
             "Message-ID: <%u.%u@load.example.net>\r\n"
             "MIME-Version: 1.0\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n"
             "\r\n",
             number / 60 % 60, number % 60, number % 50, number % 50, recipient, o->domain, number,
             number % 10 == 0 ? "harbour" : "station", number, (unsigned)getpid());
    write_text(out, o->size > 500 ? o->size - 400 : 100, number); /* the header has about 400 bytes */
}
