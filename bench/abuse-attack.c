/*
 * bench/abuse-attack.c - the attacks.
 *
 * Each is a row: what a connection says when it stands, and what it does when it hears something.  Attackers come
 * from many addresses, by a PROXY header: what limits on addresses and networks do not refuse is what the server
 * has to bear.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abuse.h"

enum { DRIP_US = 10 * 1000000, SETTLE_US = 40 * 1000000 };

struct foe;
struct gang;

struct attack {
    const char *name;
    unsigned (*port)(const struct options *o);
    bool tls;   /* with a whole handshake */
    bool deaf;  /* never reads */
    /* It is connected (and has shaken hands): what it says; false: give this connection up. */
    bool (*begin)(struct gang *g, struct foe *f);
    /* It has heard something (at most a read of it, NUL-terminated); false: done with this connection. */
    bool (*heard)(struct gang *g, struct foe *f, const char *text);
    const char *stream; /* said again and again once it stands; answers are thrown away */
};

struct foe {
    int fd;
    SSL *ssl;
    unsigned number; /* of the connection, ever: makes its address */
    unsigned index;
    enum { CONNECTING, SHAKING, STANDS } step;
    bool streams;
    size_t stream_at;
};

struct gang {
    const struct options *o;
    const struct attack *how;
    struct foe *foes, **idle; /* idle: without a connection */
    unsigned idle_count;
    int epoll;
    unsigned next_number, opening, standing;
    unsigned long long opened, closed, sent, received, done;
    SSL_CTX *tls;
    char hello[2048]; /* a ClientHello */
    size_t hello_len;
    char *stream; /* many times how->stream */
    size_t stream_len;
    int64_t dripped_at;
    unsigned drip_next;
};

/* ---- what is said ---- */

static bool say(struct gang *g, const struct foe *f, const char *text, size_t len)
{
    ssize_t n = send(f->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n > 0)
        g->sent += (unsigned long long)n;
    return n >= 0 || errno == EAGAIN;
}

static bool say_text(struct gang *g, const struct foe *f, const char *text)
{
    return say(g, f, text, strlen(text));
}

static bool nothing(struct gang *g, struct foe *f)
{
    (void)g, (void)f;
    return true;
}

static bool drop(struct gang *g, struct foe *f, const char *text)
{
    (void)g, (void)f, (void)text;
    return true;
}

/* Half of the connections stop in the middle of the ClientHello, half behind it, with the server's answer on its way. */
static bool half_hello(struct gang *g, struct foe *f)
{
    return say(g, f, g->hello, f->index % 2 == 0 ? g->hello_len / 2 : g->hello_len);
}

static bool half_record(struct gang *g, struct foe *f)
{
    char record[8 * 1024] = {0x17, 0x03, 0x03, 0x40, 0x11}; /* says 16,401 bytes, brings half */

    return say(g, f, record, sizeof record);
}

static unsigned account_of(const struct gang *g, const struct foe *f)
{
    return 1 + f->index % g->o->accounts;
}

/* Signs in and asks for everything, many times. */
static bool ask_and_leave(struct gang *g, struct foe *f)
{
    char text[2000];
    unsigned n = account_of(g, f);
    int len = snprintf(text, sizeof text, "a LOGIN u%u@%s demo-u%u\r\nb SELECT INBOX\r\n", n, g->o->domain, n);

    for (unsigned i = 0; i < 40; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "c FETCH 1:* BODY.PEEK[]\r\n");
    return say(g, f, text, (size_t)len);
}

static bool guess(struct gang *g, const struct foe *f)
{
    char text[200];

    (void)snprintf(text, sizeof text, "a LOGIN u%u@%s guess-%llu\r\n", account_of(g, f), g->o->domain, g->done);
    return say_text(g, f, text);
}

static bool guess_again(struct gang *g, struct foe *f, const char *text)
{
    if (strstr(text, "* BYE") != NULL)
        return false;
    if (strstr(text, "a NO") != NULL)
        g->done++;
    else if (strncmp(text, "* OK", 4) != 0)
        return true;
    return guess(g, f);
}

static bool sign_in(struct gang *g, const struct foe *f, unsigned n)
{
    char text[200];

    (void)snprintf(text, sizeof text, "a LOGIN u%u@%s demo-u%u\r\n", n, g->o->domain, n);
    return say_text(g, f, text);
}

static bool in_and_out(struct gang *g, struct foe *f, const char *text)
{
    if (strstr(text, "a OK") != NULL) {
        g->done++;
        return false;
    }
    return strncmp(text, "* OK", 4) != 0 || sign_in(g, f, account_of(g, f));
}

/* Everybody in u1's INBOX. */
static bool begin_stream(struct gang *g, struct foe *f, const char *text)
{
    if (f->streams)
        return true;
    if (strncmp(text, "* OK", 4) == 0)
        return sign_in(g, f, 1) && say_text(g, f, "s SELECT INBOX\r\n");
    if (strstr(text, "s OK") != NULL) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = f};
        f->streams = true;
        (void)epoll_ctl(g->epoll, EPOLL_CTL_MOD, f->fd, &e);
    }
    return true;
}

static unsigned port_imap(const struct options *o)
{
    return o->imap;
}

static unsigned port_imaps(const struct options *o)
{
    return o->imaps;
}

#define MESSAGE "From: a@example.net\r\nSubject: x\r\n\r\nA short message for the storm.\r\n"
static const struct attack attacks[] = {
    {.name = "drip", .port = port_imap, .begin = nothing, .heard = drop},
    {.name = "deaf", .port = port_imap, .begin = ask_and_leave, .deaf = true},
    {.name = "hello", .port = port_imaps, .begin = half_hello, .deaf = true},
    {.name = "record", .port = port_imaps, .tls = true, .begin = half_record, .heard = drop},
    {.name = "wrong", .port = port_imap, .begin = nothing, .heard = guess_again},
    {.name = "right", .port = port_imap, .begin = nothing, .heard = in_and_out},
    {.name = "noop", .port = port_imap, .begin = nothing, .heard = begin_stream, .stream = "n NOOP\r\n"},
    {.name = "fetch", .port = port_imap, .begin = nothing, .heard = begin_stream,
     .stream = "f FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])\r\n"},
    {.name = "search", .port = port_imap, .begin = nothing, .heard = begin_stream,
     .stream = "f SEARCH TEXT zeppelin NOT BODY airship\r\n"},
    {.name = "expunge", .port = port_imap, .begin = nothing, .heard = begin_stream,
     .stream = "x APPEND INBOX {67+}\r\n" MESSAGE "\r\ny STORE 1:* +FLAGS.SILENT (\\Deleted)\r\nz EXPUNGE\r\n"},
};

/* ---- connections ---- */

/* The address it says it comes from: `network` of them in one /24, at most `sources` in all. */
static bool say_proxy(struct gang *g, const struct foe *f)
{
    unsigned n = f->number % g->o->sources, net = n / g->o->network;
    char text[120];

    (void)snprintf(text, sizeof text, "PROXY TCP4 198.%u.%u.%u 127.0.0.1 %u 143\r\n", 18 + net / 256 % 2, net % 256,
                   1 + n % g->o->network, 1024 + f->number % 60000);
    return say_text(g, f, text);
}

static void foe_open(struct gang *g, struct foe *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)g->how->port(g->o))};
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = f};
    int on = 1, small = 4096;

    f->number = g->next_number++;
    f->step = CONNECTING;
    f->streams = false;
    f->stream_at = 0;
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->fd < 0)
        die("socket: %m");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(0x7f010000u + 1 + f->number % 200); /* 127.1.0.0/16: ports enough */
    (void)setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(f->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (g->how->deaf)
        (void)setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (g->o->sources > 0 && bind(f->fd, (struct sockaddr *)&from, sizeof from) != 0)
        die("bind: %m");
    if (connect(f->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        die("connect: %m");
    (void)epoll_ctl(g->epoll, EPOLL_CTL_ADD, f->fd, &e);
    g->opening++;
    g->opened++;
}

static void foe_close(struct gang *g, struct foe *f)
{
    if (f->step != STANDS)
        g->opening--;
    else
        g->standing--;
    SSL_free(f->ssl);
    f->ssl = NULL;
    /* Nobody waits for a goodbye, and ports come back at once. */
    (void)setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    (void)close(f->fd);
    f->fd = -1;
    g->idle[g->idle_count++] = f;
    g->closed++;
}

static bool listen_for(struct gang *g, struct foe *f)
{
    struct epoll_event e = {.events = g->how->deaf ? EPOLLRDHUP : EPOLLIN, .data.ptr = f};

    return epoll_ctl(g->epoll, EPOLL_CTL_MOD, f->fd, &e) == 0;
}

static bool shake(struct gang *g, struct foe *f)
{
    int r = SSL_connect(f->ssl), error = r == 1 ? SSL_ERROR_NONE : SSL_get_error(f->ssl, r);

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return listen_for(g, f);
    if (r != 1)
        return false;
    f->step = STANDS;
    g->opening--;
    g->standing++;
    return g->how->begin(g, f);
}

static bool connected(struct gang *g, struct foe *f)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return false;
    if (!listen_for(g, f) || (g->o->sources > 0 && !say_proxy(g, f)))
        return false;
    if (g->how->tls) {
        f->step = SHAKING;
        f->ssl = SSL_new(g->tls);
        return f->ssl != NULL && SSL_set_fd(f->ssl, f->fd) == 1 && shake(g, f);
    }
    f->step = STANDS;
    g->opening--;
    g->standing++;
    return g->how->begin(g, f);
}

static bool pump(struct gang *g, struct foe *f)
{
    unsigned long long most = (unsigned long long)g->o->megabytes << 20;

    if (most > 0 && g->sent >= most)
        return listen_for(g, f);
    ssize_t n = send(f->fd, g->stream + f->stream_at, g->stream_len - f->stream_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN;
    g->sent += (unsigned long long)n;
    f->stream_at = (f->stream_at + (size_t)n) % g->stream_len;
    return true;
}

static bool hear(struct gang *g, struct foe *f)
{
    char text[16384];
    static char thrown[1 << 20];

    /* MSG_TRUNC: the kernel throws it away without copying */
    ssize_t n = f->streams ? recv(f->fd, thrown, sizeof thrown, MSG_DONTWAIT | MSG_TRUNC)
                           : recv(f->fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return false;
    g->received += (unsigned long long)n;
    if (f->streams)
        return true;
    text[n] = '\0';
    return g->how->heard(g, f, text);
}

static void serve(struct gang *g, struct foe *f, uint32_t events)
{
    bool ok = true;

    switch (f->step) {
    case CONNECTING: ok = connected(g, f); break;
    case SHAKING: ok = shake(g, f); break;
    case STANDS:
        if ((events & EPOLLIN) != 0)
            ok = hear(g, f);
        if (ok && f->streams && (events & EPOLLOUT) != 0)
            ok = pump(g, f);
        if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0)
            ok = false;
        break;
    }
    if (!ok)
        foe_close(g, f);
}

/* A byte from each, spread over the ten seconds. */
static void drip(struct gang *g, int64_t now)
{
    unsigned due = (unsigned)((now - g->dripped_at) * g->o->connections / DRIP_US);

    if (due == 0)
        return;
    for (unsigned i = 0; i < due && i < g->o->connections; i++) {
        struct foe *f = &g->foes[g->drip_next++ % g->o->connections];
        if (f->fd >= 0 && f->step == STANDS)
            (void)say_text(g, f, "x");
    }
    g->dripped_at = now;
}

/* ---- the whole ---- */

static void make_hello(struct gang *g)
{
    SSL *ssl = SSL_new(g->tls);
    BIO *out = BIO_new(BIO_s_mem());

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    (void)SSL_connect(ssl);
    int n = BIO_read(out, g->hello, sizeof g->hello);
    if (n <= 0)
        die("no ClientHello");
    g->hello_len = (size_t)n;
    SSL_free(ssl);
}

static void make_stream(struct gang *g)
{
    size_t one = strlen(g->how->stream), times = (256 * 1024) / one;

    g->stream = malloc(one * times);
    if (g->stream == NULL)
        die("no memory");
    for (size_t i = 0; i < times; i++)
        memcpy(g->stream + i * one, g->how->stream, one);
    g->stream_len = one * times;
}

static void run(struct gang *g)
{
    struct epoll_event events[256], input = {.events = EPOLLIN, .data.ptr = NULL};
    int64_t began = now_us();
    bool ready = false;

    (void)epoll_ctl(g->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    g->dripped_at = began;
    for (;;) {
        while (g->idle_count > 0 && g->opening < g->o->opening)
            foe_open(g, g->idle[--g->idle_count]);
        int64_t now = now_us();
        if (!ready && (g->standing >= g->o->connections || now - began > SETTLE_US)) {
            ready = true;
            printf("ready\n");
            (void)fflush(stdout);
        }
        if (strcmp(g->how->name, "drip") == 0)
            drip(g, now);
        int n = epoll_wait(g->epoll, events, (int)ARRAY_LEN(events), 100);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                return;
            serve(g, events[i].data.ptr, events[i].events);
        }
    }
}

int attack_run(const char *name, const struct options *o)
{
    static struct gang g;
    int64_t began = now_us();

    g.o = o;
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        if (strcmp(attacks[i].name, name) == 0)
            g.how = &attacks[i];
    }
    if (g.how == NULL || o->connections == 0 || o->accounts == 0 || o->network == 0)
        return -1;
    g.epoll = epoll_create1(EPOLL_CLOEXEC);
    g.tls = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_mode(g.tls, SSL_MODE_RELEASE_BUFFERS);
    make_hello(&g);
    if (g.how->stream != NULL)
        make_stream(&g);
    g.foes = xcalloc(o->connections, sizeof *g.foes);
    g.idle = xcalloc(o->connections, sizeof(struct foe *));
    for (unsigned i = o->connections; i-- > 0;) {
        g.foes[i].fd = -1;
        g.foes[i].index = i;
        g.idle[g.idle_count++] = &g.foes[i];
    }
    run(&g);
    printf("{\"opened\": %llu, \"closed\": %llu, \"standing\": %u, \"done\": %llu, \"sent\": %llu, \"received\": %llu, "
           "\"cpu\": %.3f, \"seconds\": %.3f}\n",
           g.opened, g.closed, g.standing, g.done, g.sent, g.received, own_cpu(), (double)(now_us() - began) / 1e6);
    return 0;
}
