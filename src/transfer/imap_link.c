/*
 * transfer/imap_link.c - a connection to an IMAP server.
 *
 * Layer: transfer.
 */
#include "transfer/imap_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { COMMAND_MAX = 256 * 1024, CAPABILITIES_MAX = 16 * 1024 };

/* ---- bytes ---- */

static int64_t deadline(const struct imap_link *l)
{
    return clock_mono_ms() + (int64_t)l->host->seconds * 1000;
}

/* Waits until the socket can be read or written. */
static bool wait_for(const struct imap_link *l, short events, int64_t until, struct fail *why)
{
    struct pollfd wait = {.fd = l->fd, .events = events};

    for (;;) {
        int64_t left = until - clock_mono_ms();
        int     n = left > 0 ? poll(&wait, 1, (int)left) : 0;
        if (n > 0)
            return true;
        if (n == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server was silent for %u seconds", l->host->seconds);
        if (errno != EINTR)
            return fail_errno(why, errno, "waiting");
    }
}

static ssize_t read_some(void *ctx, void *out, size_t n, struct fail *why)
{
    struct imap_link *l = ctx;
    int64_t           until = deadline(l);

    if (l->fd < 0)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "not connected") ? 0 : -1;
    if (l->tls != NULL)
        return tls_link_read(l->tls, out, n, until, why);
    for (;;) {
        ssize_t got = recv(l->fd, out, n, MSG_DONTWAIT);
        if (got >= 0)
            return got;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN) {
            (void)fail_errno(why, errno, "reading");
            return -1;
        }
        if (!wait_for(l, POLLIN, until, why))
            return -1;
    }
}

bool imap_link_write(struct imap_link *l, struct slice bytes, struct fail *why)
{
    int64_t until = deadline(l);

    if (l->fd < 0)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "not connected");
    if (l->tls != NULL)
        return tls_link_write(l->tls, bytes, until, why);
    while (bytes.len > 0) {
        ssize_t sent = send(l->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            bytes = slice_from(bytes, (size_t)sent);
        else if (errno == EAGAIN && !wait_for(l, POLLOUT, until, why))
            return false;
        else if (errno != EAGAIN && errno != EINTR)
            return fail_errno(why, errno, "writing");
    }
    return true;
}

/* ---- commands and answers ---- */

unsigned imap_link_tag(struct slice tag)
{
    uint64_t n;

    return slice_starts(tag, SLICE("A")) && slice_to_u64(slice_from(tag, 1), UINT32_MAX, &n) ? (unsigned)n : 0;
}

void imap_link_add_quoted(struct buf *out, struct slice text)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, text.ptr[i]);
    }
    buf_add_char(out, '"');
}

static bool vsend(struct imap_link *l, struct fail *why, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));
static bool vsend(struct imap_link *l, struct fail *why, const char *fmt, va_list ap)
{
    struct buf line;

    buf_init(&line, COMMAND_MAX);
    buf_addf(&line, "A%u ", ++l->tag);
    buf_vaddf(&line, fmt, ap);
    buf_add(&line, SLICE("\r\n"));
    bool ok = line.failed ? fail_set(why, FAIL_PERM, FAIL_LIMIT, "a command is too long") : imap_link_write(l, buf_slice(&line), why);
    buf_wipe(&line); /* a password may have been in it */
    if (!ok)
        imap_link_close(l);
    return ok;
}

bool imap_link_send(struct imap_link *l, struct fail *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    bool ok = vsend(l, why, fmt, ap);
    va_end(ap);
    return ok;
}

static void keep_capabilities(struct imap_link *l, struct slice words)
{
    buf_reset(&l->capabilities);
    buf_add_char(&l->capabilities, ' ');
    buf_add(&l->capabilities, slice_trim(words));
    buf_add_char(&l->capabilities, ' ');
}

bool imap_link_can(const struct imap_link *l, const char *capability)
{
    char word[100];

    (void)snprintf(word, sizeof word, " %s ", capability);
    return slice_find_nocase(buf_slice(&l->capabilities), slice_of(word)) < l->capabilities.len;
}

struct imap_answer imap_link_hear(struct imap_link *l, struct fail *why)
{
    struct imap_answer a = imap_in_answer(&l->in);

    if (a.kind == IMAP_DATA && slice_eq_nocase(a.word, SLICE("CAPABILITY"))) {
        keep_capabilities(l, imap_in_text(&l->in));
        imap_in_end(&l->in);
        a.kind = l->in.failed ? IMAP_FAILED : IMAP_STATUS;
        a.status = IMAP_OK;
    }
    if ((a.kind == IMAP_STATUS || a.kind == IMAP_TAGGED) && slice_starts_nocase(a.code, SLICE("CAPABILITY ")))
        keep_capabilities(l, slice_from(a.code, 11));
    if (a.kind == IMAP_STATUS && a.status == IMAP_BYE && !l->in.failed) {
        l->in.failed = true;
        (void)fail_set(&l->in.why, FAIL_TEMP, FAIL_OTHER, "the server says goodbye: " PRIslice, SLICE_ARG(slice_sub(a.text, 0, 150)));
        a.kind = IMAP_FAILED;
    }
    if (a.kind == IMAP_FAILED) {
        *why = l->in.why;
        imap_link_close(l);
    }
    return a;
}

bool imap_link_run(struct imap_link *l, imap_data *data, void *ctx, struct imap_result *result, struct fail *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    bool ok = vsend(l, why, fmt, ap);
    va_end(ap);
    if (!ok)
        return false;
    for (unsigned tag = l->tag;;) {
        struct imap_answer a = imap_link_hear(l, why);
        if (a.kind == IMAP_FAILED)
            return false;
        if (a.kind == IMAP_TAGGED && imap_link_tag(a.tag) == tag) {
            *result = (struct imap_result){a.status, a.code, a.text};
            return true;
        }
        if (a.kind == IMAP_STATUS && data != NULL)
            (void)data(ctx, l, &a);
        if (a.kind == IMAP_DATA && (data == NULL || !data(ctx, l, &a)))
            imap_in_end(&l->in);
    }
}

bool imap_refused(const struct imap_result *r, enum fail_reason reason, const char *what, struct fail *why)
{
    bool later = slice_eq_nocase(r->code, SLICE("UNAVAILABLE")) || slice_eq_nocase(r->code, SLICE("INUSE"));
    char text[160];

    size_t n = r->text.len < sizeof text - 1 ? r->text.len : sizeof text - 1;
    for (size_t i = 0; i < n; i++)
        text[i] = (unsigned char)r->text.ptr[i] < ' ' || r->text.ptr[i] == 0x7f ? '?' : r->text.ptr[i];
    text[n] = '\0';
    return fail_set(why, later ? FAIL_TEMP : FAIL_PERM, reason, "%s: the server says %s: %s", what, r->status == IMAP_BAD ? "BAD" : "NO", text);
}

/* ---- opening ---- */

static bool connect_to(struct imap_link *l, const struct addrinfo *a, struct fail *why)
{
    int       error = 0;
    socklen_t len = sizeof error;

    l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return fail_errno(why, errno, "socket");
    if (connect(l->fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)
        error = errno;
    else if (!wait_for(l, POLLOUT, clock_mono_ms() + 30 * 1000, why))
        error = ETIMEDOUT;
    else if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0)
        return true;
    (void)close(l->fd);
    l->fd = -1;
    return fail_errno(why, error, "connecting");
}

static bool connect_any(struct imap_link *l, struct fail *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int             error = getaddrinfo(l->host->host, l->host->port, &hints, &all);

    if (error != 0)
        return fail_set(why, error == EAI_NONAME ? FAIL_PERM : FAIL_TEMP, FAIL_OTHER, "no address of it: %s", gai_strerror(error));
    for (const struct addrinfo *a = all; a != NULL && l->fd < 0; a = a->ai_next)
        (void)connect_to(l, a, why);
    freeaddrinfo(all);
    return l->fd >= 0;
}

static bool start_tls(struct imap_link *l, struct fail *why)
{
    const char *const      names[] = {l->host->host, NULL};
    struct tls_client_rule rule = {.check = l->host->insecure ? TLS_CHECK_NOTHING : TLS_CHECK_PKIX, .names = names};

    if (l->client == NULL && !tls_client_create(l->host->authorities, &l->client, why))
        return false;
    if (tls_link_open(l->client, l->fd, l->host->host, NULL, &rule, deadline(l), &l->tls, why))
        return true;
    if (tls_client_failure(why)[0] != '\0') /* the certificate, not the network */
        why->kind = FAIL_PERM;
    return fail_at(why, "TLS");
}

/* RFC 9051 section 6.2.1: what came behind the OK in the clear may be anybody's. */
static bool take_starttls(struct imap_link *l, struct fail *why)
{
    struct imap_result r;

    if (!imap_link_run(l, NULL, NULL, &r, why, "STARTTLS"))
        return false;
    if (r.status != IMAP_OK)
        return imap_refused(&r, FAIL_OTHER, "STARTTLS", why);
    if (l->in.at < l->in.len)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "the server spoke on in the clear after STARTTLS");
    buf_reset(&l->capabilities);
    return start_tls(l, why);
}

static bool ask_capabilities(struct imap_link *l, struct fail *why)
{
    struct imap_result r;

    return l->capabilities.len > 0 || imap_link_run(l, NULL, NULL, &r, why, "CAPABILITY");
}

static bool greet(struct imap_link *l, bool *signed_in, struct fail *why)
{
    struct imap_answer a = imap_link_hear(l, why);

    if (a.kind == IMAP_FAILED)
        return false;
    *signed_in = a.kind == IMAP_STATUS && a.status == IMAP_PREAUTH;
    return *signed_in || (a.kind == IMAP_STATUS && a.status == IMAP_OK) ||
           fail_set(why, FAIL_PERM, FAIL_INVALID, "it does not greet as an IMAP server does");
}

static bool open_all(struct imap_link *l, struct fail *why)
{
    bool signed_in = false;

    if (!connect_any(l, why) || (l->host->tls == IMAP_TLS && !start_tls(l, why)) || !greet(l, &signed_in, why) || !ask_capabilities(l, why))
        return false;
    if (l->host->tls == IMAP_STARTTLS && (signed_in || !imap_link_can(l, "STARTTLS")))
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "it offers no STARTTLS, and passwords are not sent in the clear (--tls, or --plaintext)");
    if (l->host->tls == IMAP_STARTTLS && (!take_starttls(l, why) || !ask_capabilities(l, why)))
        return false;
    if (!signed_in && !imap_sign_in(l, why))
        return false;
    return ask_capabilities(l, why);
}

void imap_link_init(struct imap_link *l, const struct imap_host *host)
{
    l->host = host;
    l->fd = -1;
    l->client = NULL;
    l->tls = NULL;
    l->tag = 0;
    buf_init(&l->capabilities, CAPABILITIES_MAX);
    imap_in_init(&l->in, read_some, l);
}

bool imap_link_open(struct imap_link *l, struct fail *why)
{
    imap_link_close(l);
    l->in.failed = false;
    l->in.at = l->in.len = 0;
    buf_reset(&l->capabilities);
    if (open_all(l, why))
        return true;
    imap_link_close(l);
    return fail_at(why, "%s", l->host->host);
}

void imap_link_close(struct imap_link *l)
{
    tls_link_close(&l->tls);
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
}

bool imap_link_is_open(const struct imap_link *l)
{
    return l->fd >= 0;
}

void imap_link_finish(struct imap_link *l)
{
    imap_link_close(l);
    tls_client_destroy(&l->client);
    buf_finish(&l->capabilities);
    imap_in_finish(&l->in);
}
