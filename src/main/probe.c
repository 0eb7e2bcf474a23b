/*
 * main/probe.c - speaks with any mail server: the connection, TLS, and what all protocols share.
 *
 * Layer: main.
 */
#include "main/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unicode.h"
#include "net/tls_client.h"

enum { LINE_LIMIT = 64 * 1024, SHOWN_MAX = 500 };

/* ---- saying ---- */

/* UTF-8 stays, control characters become "?". */
static void add_shown(struct buf *out, struct slice text)
{
    for (size_t at = 0; at < text.len && out->len < SHOWN_MAX;) {
        uint32_t c = utf8_next(text, &at);
        utf8_add(out, c < ' ' || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ? '?' : c);
    }
}

static void put(struct probe *p, const char *mark, int ok, struct slice text)
{
    struct buf shown;

    buf_init(&shown, SIZE_MAX);
    add_shown(&shown, text);
    if (p->steps == NULL) {
        printf("%s" PRIslice "\n", mark, SLICE_ARG(buf_slice(&shown)));
        (void)fflush(stdout);
    } else if (ok >= 0) {
        (void)json_array_append_new(p->steps, json_pack("{s:b, s:s%, s:[]}", "ok", ok, "step", shown.data != NULL ? shown.data : "",
                                                        shown.len, "details"));
    } else {
        json_t *details = json_object_get(json_array_get(p->steps, json_array_size(p->steps) - 1), "details");
        (void)json_array_append_new(details, json_stringn(shown.data != NULL ? shown.data : "", shown.len));
    }
    buf_finish(&shown);
}

static void vput(struct probe *p, const char *mark, int ok, const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));
static void vput(struct probe *p, const char *mark, int ok, const char *fmt, va_list ap)
{
    struct buf text;

    buf_init(&text, LINE_LIMIT);
    buf_vaddf(&text, fmt, ap);
    put(p, mark, ok, buf_slice(&text));
    buf_finish(&text);
}

bool probe_say(struct probe *p, bool ok, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vput(p, ok ? "ok      " : "FAILED  ", ok, fmt, ap);
    va_end(ap);
    p->failed = p->failed || !ok;
    return ok;
}

void probe_tell(struct probe *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vput(p, "          ", -1, fmt, ap);
    va_end(ap);
}

void probe_quote(struct probe *p, struct slice line, const char *meaning)
{
    probe_tell(p, "%-28.*s%s%s", (int)(line.len < SHOWN_MAX ? line.len : SHOWN_MAX), line.ptr != NULL ? line.ptr : "",
               meaning[0] != '\0' ? "  " : "", meaning);
}

/* ---- the connection ---- */

static int64_t deadline(const struct probe *p)
{
    return clock_mono_ms() + (int64_t)p->seconds * 1000;
}

/* -1 with errno. */
static int connect_to(const struct addrinfo *a, int64_t until)
{
    int           fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    socklen_t     len = sizeof error;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};

    if (fd < 0)
        return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            int64_t left = until - clock_mono_ms();
            if (poll(&wait, 1, left > 0 ? (int)left : 0) <= 0)
                error = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
                error = errno;
        }
    }
    if (error != 0) {
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool open_connection(struct probe *p)
{
    struct addrinfo  hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int              error = getaddrinfo(p->host, p->port, &hints, &all);
    char             text[NI_MAXHOST];

    if (error != 0)
        return probe_say(p, false, "the address of %s: %s", p->host, gai_strerror(error));
    for (const struct addrinfo *a = all; a != NULL && p->fd < 0; a = a->ai_next) {
        int64_t began = clock_mono_ms();
        (void)getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        p->fd = connect_to(a, began + (int64_t)p->seconds * 1000);
        if (p->fd >= 0)
            (void)probe_say(p, true, "connected to %s (%s) port %s in %lld ms", p->host, text, p->port,
                            (long long)(clock_mono_ms() - began));
        else if (a->ai_next != NULL) /* the next address may do */
            (void)probe_say(p, true, "no connection to %s port %s: %s", text, p->port, errno_text(errno));
        else
            (void)probe_say(p, false, "no connection to %s port %s: %s", text, p->port, errno_text(errno));
    }
    freeaddrinfo(all);
    return p->fd >= 0;
}

static bool is_loopback(int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t               len = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return false;
    if (peer.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)&peer)->sin_addr.s_addr) >> 24 == 127;
    return peer.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)&peer)->sin6_addr);
}

bool probe_is_private(const struct probe *p)
{
    return is_loopback(p->fd) || (p->link != NULL && (p->insecure || tls_link_complaint(p->link)[0] == '\0'));
}

/* ---- lines ---- */

static ssize_t read_some(struct probe *p, char *out, size_t n, int64_t until, struct fail *why)
{
    struct pollfd wait = {.fd = p->fd, .events = POLLIN};

    if (p->link != NULL)
        return tls_link_read(p->link, out, n, until, why);
    for (;;) {
        ssize_t got = read(p->fd, out, n);
        if (got >= 0)
            return got;
        int64_t left = until - clock_mono_ms();
        if (errno == EAGAIN && left > 0)
            (void)poll(&wait, 1, (int)left);
        else if (errno == EAGAIN)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "nothing came for %u seconds", p->seconds) ? 0 : -1;
        else if (errno != EINTR)
            return fail_errno(why, errno, "reading") ? 0 : -1;
    }
}

static void show_wire(struct probe *p, const char *mark, struct slice line)
{
    if (p->wire && p->steps == NULL)
        put(p, mark, -1, line);
}

/* The next line; it stays at the front of `in` until drop_line. */
static bool next_line(struct probe *p, struct slice *out, struct fail *why)
{
    int64_t until = deadline(p);

    for (;;) {
        size_t end = slice_find_char(buf_slice(&p->in), '\n');
        if (end < p->in.len) {
            *out = slice_sub(buf_slice(&p->in), 0, end);
            if (out->len > 0 && out->ptr[out->len - 1] == '\r')
                out->len--;
            return true;
        }
        char *room = buf_room(&p->in, 4096);
        if (room == NULL)
            return fail_set(why, FAIL_PERM, FAIL_LIMIT, "a line of more than %d bytes", LINE_LIMIT);
        ssize_t n = read_some(p, room, 4096, until, why);
        if (n < 0)
            return false;
        if (n == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server closed the connection");
        buf_grew(&p->in, (size_t)n);
    }
}

/* The line that was given out last is over. */
static void drop_line(struct probe *p)
{
    size_t end = slice_find_char(buf_slice(&p->in), '\n');

    if (end < p->in.len)
        buf_drop(&p->in, end + 1);
}

bool probe_line(struct probe *p, struct slice *out)
{
    struct fail why = {0};

    if (p->line_out)
        drop_line(p);
    p->line_out = false;
    if (!next_line(p, out, &why))
        return probe_say(p, false, "%s", why.text);
    p->line_out = true;
    show_wire(p, "    S: ", *out);
    return true;
}

static bool write_all(struct probe *p, struct slice bytes, struct fail *why)
{
    struct pollfd wait = {.fd = p->fd, .events = POLLOUT};
    int64_t       until = deadline(p);

    if (p->link != NULL)
        return tls_link_write(p->link, bytes, until, why);
    while (bytes.len > 0) {
        ssize_t n = send(p->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        int64_t left = until - clock_mono_ms();
        if (n >= 0)
            bytes = slice_from(bytes, (size_t)n);
        else if (errno == EAGAIN && left > 0)
            (void)poll(&wait, 1, (int)left);
        else if (errno != EINTR)
            return fail_errno(why, errno, "writing");
    }
    return true;
}

bool probe_send(struct probe *p, bool secret, const char *fmt, ...)
{
    struct fail why = {0};
    struct buf  line;
    va_list     ap;

    buf_init(&line, LINE_LIMIT);
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    show_wire(p, "    C: ", secret ? SLICE("(not shown)") : buf_slice(&line));
    buf_add(&line, SLICE("\r\n"));
    bool ok = !line.failed && write_all(p, buf_slice(&line), &why);
    buf_wipe(&line);
    return ok || probe_say(p, false, "%s", why.text);
}

/* ---- TLS ---- */

static void tell_lines(struct probe *p, struct slice text)
{
    while (text.len > 0) {
        struct slice line = slice_cut(&text, '\n');
        probe_tell(p, PRIslice, SLICE_ARG(line));
    }
}

/* Any certificate is taken, so that there is something to look at; what is wrong with it is a step of its own. */
bool probe_start_tls(struct probe *p)
{
    const char *const            names[] = {p->host, NULL};
    const struct tls_client_rule strict = {.check = TLS_CHECK_PKIX, .names = names, .testing = true};
    struct fail why = {0};
    struct buf  about;

    if (p->line_out)
        drop_line(p);
    p->line_out = false;
    if (p->in.len > 0) /* what came before TLS is nobody's word (RFC 3207 section 5) */
        (void)probe_say(p, false, "the server sent more before TLS began: such bytes must not be believed");
    buf_reset(&p->in);
    if (p->client == NULL && !tls_client_create(NULL, &p->client, &why))
        return probe_say(p, false, "TLS: %s", why.text);
    if (!tls_link_open(p->client, p->fd, p->host, NULL, &strict, deadline(p), &p->link, &why))
        return probe_say(p, false, "TLS: %s", why.text);
    (void)probe_say(p, true, "TLS: %s", tls_link_text(p->link));
    buf_init(&about, LINE_LIMIT);
    tls_link_describe(p->link, &about);
    tell_lines(p, buf_slice(&about));
    buf_finish(&about);
    const char *complaint = tls_link_complaint(p->link);
    if (complaint[0] != '\0')
        (void)probe_say(p, false, "the certificate is not right for %s: %s", p->host, complaint);
    else
        (void)probe_say(p, true, "the certificate is right for %s, and trusted", p->host);
    return true;
}

/* ---- the whole ---- */

static enum probe_protocol guess(struct slice greeting)
{
    if (slice_starts(greeting, SLICE("* ")))
        return PROBE_IMAP;
    if (slice_find(greeting, SLICE(" LMTP ")) < greeting.len)
        return PROBE_LMTP;
    return slice_starts(greeting, SLICE("+OK")) || slice_starts(greeting, SLICE("-ERR")) ? PROBE_POP3 : PROBE_SMTP;
}

static void talk(struct probe *p)
{
    struct slice greeting = {0};

    if (p->tls && !probe_start_tls(p))
        return;
    if (!probe_line(p, &greeting)) {
        if (!p->tls)
            probe_tell(p, "a server that waits for TLS says nothing: try --tls");
        return;
    }
    if (p->protocol == PROBE_GUESS)
        p->protocol = guess(greeting);
    switch (p->protocol) {
    case PROBE_SMTP:
    case PROBE_LMTP: probe_smtp(p, greeting); return;
    case PROBE_IMAP: probe_imap(p, greeting); return;
    case PROBE_POP3: probe_pop3(p, greeting); return;
    case PROBE_GUESS: break;
    }
}

bool probe_run(struct probe *p)
{
    p->fd = -1;
    buf_init(&p->in, LINE_LIMIT);
    if (open_connection(p))
        talk(p);
    tls_link_close(&p->link);
    tls_client_destroy(&p->client);
    if (p->fd >= 0)
        (void)close(p->fd);
    buf_finish(&p->in);
    return !p->failed;
}
