/* bench/load-imap.c - mailboxes filled, read, searched, watched. */
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "load.h"

/* ---- the client ---- */

void imap_write(struct imap *c, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, text, (int)len) : send(c->fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            die("IMAP: cannot send");
        text += n;
        len -= (size_t)n;
    }
}

void imap_send(struct imap *c, const char *fmt, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    imap_write(c, text, (size_t)n);
}

static void imap_read(struct imap *c)
{
    if (c->at > 0) {
        buf_drop(&c->in, c->at);
        c->at = 0;
    }
    char *room = buf_room(&c->in, 65536);
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, room, 65536) : recv(c->fd, room, 65536, 0);
    if (n <= 0)
        die("IMAP: the server closed the session");
    buf_grew(&c->in, (size_t)n);
    c->bytes += (size_t)n;
}

const char *imap_line(struct imap *c)
{
    size_t looked = c->at;

    for (;;) {
        char *lf = looked < c->in.len ? memchr(c->in.data + looked, '\n', c->in.len - looked) : NULL;
        if (lf != NULL) {
            char *line = c->in.data + c->at;
            *lf = '\0';
            if (lf > line && lf[-1] == '\r')
                lf[-1] = '\0';
            c->at = (size_t)(lf + 1 - c->in.data);
            return line;
        }
        looked = c->in.len - c->at;
        imap_read(c);
    }
}

static void read_to_tag(struct imap *c, void (*each)(void *ctx, const char *line), void *ctx)
{
    char tag[16];
    size_t n = (size_t)snprintf(tag, sizeof tag, "t%u ", c->tag);

    for (;;) {
        const char *line = imap_line(c);
        if (strncmp(line, tag, n) == 0) {
            if (strncmp(line + n, "OK", 2) != 0)
                die("IMAP: %s", line);
            return;
        }
        if (each != NULL)
            each(ctx, line);
    }
}

void imap_run(struct imap *c, void (*each)(void *ctx, const char *line), void *ctx, const char *fmt, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    imap_send(c, "t%u %s\r\n", ++c->tag, text);
    read_to_tag(c, each, ctx);
}

static SSL_CTX *client_ctx;

static void make_client_ctx(void)
{
    client_ctx = SSL_CTX_new(TLS_client_method());
    if (client_ctx == NULL)
        die("TLS");
    (void)SSL_CTX_set_mode(client_ctx, SSL_MODE_RELEASE_BUFFERS);
}

static SSL_CTX *tls_client(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, make_client_ctx);
    return client_ctx;
}

struct imap *imap_open(const struct options *o, unsigned account)
{
    struct imap *c = xcalloc(1, sizeof *c);

    c->fd = connect_to(o->host, o->imap_port);
    buf_init(&c->in, (size_t)1 << 30);
    if (o->tls) {
        c->ssl = SSL_new(tls_client());
        if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
            die("IMAP: TLS failed");
    }
    (void)imap_line(c);
    imap_run(c, NULL, NULL, "LOGIN u%u@%s demo-u%u", account, o->domain, account);
    return c;
}

void imap_close(struct imap **c)
{
    SSL_free((*c)->ssl);
    (void)close((*c)->fd);
    buf_finish(&(*c)->in);
    free(*c);
    *c = NULL;
}

static void take_status(void *ctx, const char *line)
{
    const char *at = strstr(line, "MESSAGES ");

    if (strncmp(line, "* STATUS", 8) == 0 && at != NULL)
        *(unsigned *)ctx = (unsigned)strtoul(at + 9, NULL, 10);
}

unsigned imap_count(struct imap *c)
{
    unsigned n = 0;

    imap_run(c, take_status, &n, "STATUS INBOX (MESSAGES)");
    return n;
}

/* ---- scenarios ---- */

/* Fills INBOX of account 0 with LITERAL+ appends, a few ahead of their answers. */
int load_append(const struct options *o)
{
    enum { AHEAD = 32 };
    struct imap *c = imap_open(o, 0);
    struct buf text;
    int64_t start = now_us();

    buf_init(&text, (size_t)1 << 30);
    for (unsigned i = 0; i < o->messages + AHEAD; i++) {
        if (i < o->messages) {
            buf_reset(&text);
            message_write(&text, o, i, 0);
            imap_send(c, "t%u APPEND INBOX {%zu+}\r\n", i + 1, text.len);
            imap_write(c, text.data, text.len);
            imap_write(c, "\r\n", 2);
        }
        if (i >= AHEAD) {
            c->tag = i - AHEAD + 1;
            read_to_tag(c, NULL, NULL);
        }
    }
    double seconds = (double)(now_us() - start) / 1e6;
    printf("{\"messages\": %u, \"seconds\": %.3f, \"rate\": %.1f}\n", o->messages, seconds,
           o->messages / seconds);
    return 0;
}

static double timed(struct imap *c, const char *command)
{
    int64_t start = now_us();

    imap_run(c, NULL, NULL, "%s", command);
    return (double)(now_us() - start) / 1000;
}

struct numbers {
    unsigned long long uidvalidity, modseq;
    unsigned exists;
};

static void take_numbers(void *ctx, const char *line)
{
    struct numbers *n = ctx;
    const char *at;

    if ((at = strstr(line, "[UIDVALIDITY ")) != NULL)
        n->uidvalidity = strtoull(at + 13, NULL, 10);
    if ((at = strstr(line, "[HIGHESTMODSEQ ")) != NULL)
        n->modseq = strtoull(at + 15, NULL, 10);
    if (strncmp(line, "* ", 2) == 0 && (at = strstr(line, " EXISTS")) != NULL)
        n->exists = (unsigned)strtoul(line + 2, NULL, 10);
}

/* A client comes back: since it left, a hundred messages have got another flag. */
static double timed_qresync(const struct options *o)
{
    struct imap *c = imap_open(o, 0);
    struct numbers n = {0};
    char command[200];

    imap_run(c, NULL, NULL, "ENABLE QRESYNC");
    imap_run(c, take_numbers, &n, "SELECT INBOX");
    for (unsigned i = 0; i < 100 && n.exists >= 100; i++)
        imap_run(c, NULL, NULL, "STORE %u %sFLAGS.SILENT (\\Answered)", 1 + i * (n.exists / 100),
                 n.modseq % 2 == 0 ? "+" : "-");
    imap_run(c, NULL, NULL, "UNSELECT");
    (void)snprintf(command, sizeof command, "SELECT INBOX (QRESYNC (%llu %llu))", n.uidvalidity, n.modseq);
    double ms = timed(c, command);
    imap_close(&c);
    return ms;
}

/* What a client does with a large mailbox; milliseconds each. */
int load_commands(const struct options *o)
{
    struct imap *c = imap_open(o, 0);
    char subject[200], text[200];

    (void)snprintf(subject, sizeof subject, "UID SEARCH SUBJECT \"%s\"", o->word);
    (void)snprintf(text, sizeof text, "UID SEARCH TEXT \"%s\"", o->rare);
    const struct {
        const char *name, *command;
    } steps[] = {
        {"select", "SELECT INBOX"},
        {"fetch_flags", "FETCH 1:* (UID FLAGS)"},
        {"fetch_envelope", "FETCH 1:* (ENVELOPE)"},
        {"fetch_structure", "FETCH 1:* (BODYSTRUCTURE)"},
        {"search_unseen", "UID SEARCH UNSEEN"},
        {"search_from", "UID SEARCH FROM \"Number 7\""},
        {"search_subject", subject},
        {"search_header", "UID SEARCH HEADER Message-ID \"<7.1@\""},
        {"search_text", text},
        {"sort_date", "UID SORT (DATE) UTF-8 ALL"},
        {"sort_subject", "UID SORT (SUBJECT) UTF-8 ALL"},
        {"sort_from", "UID SORT (REVERSE FROM) UTF-8 ALL"},
        {"thread", "UID THREAD REFERENCES UTF-8 ALL"},
        {"store_flagged", "STORE 1:* +FLAGS.SILENT (\\Flagged)"},
        {"store_unflagged", "STORE 1:* -FLAGS.SILENT (\\Flagged)"},
        {"select_again", "SELECT INBOX"},
    };
    printf("{");
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        printf("\"%s\": %.2f, ", steps[i].name, timed(c, steps[i].command));
    imap_close(&c);
    printf("\"select_qresync\": %.2f}\n", timed_qresync(o));
    return 0;
}

/* ---- from the final dot's reply to EXISTS ---- */

struct smtp {
    int fd;
    char in[4096];
    size_t have;
};

static void smtp_expect(struct smtp *s, char want)
{
    for (;;) {
        char *lf = memchr(s->in, '\n', s->have);
        if (lf != NULL) {
            bool last = s->in[3] != '-';
            if (s->in[0] != want)
                die("SMTP: %.*s", (int)(lf - s->in), s->in);
            s->have -= (size_t)(lf + 1 - s->in);
            memmove(s->in, lf + 1, s->have);
            if (last)
                return;
            continue;
        }
        ssize_t n = recv(s->fd, s->in + s->have, sizeof s->in - s->have, 0);
        if (n <= 0)
            die("SMTP: the server closed the session");
        s->have += (size_t)n;
    }
}

static void smtp_say(struct smtp *s, const char *text, size_t len, char want)
{
    if (send(s->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("SMTP: cannot send");
    smtp_expect(s, want);
}

/* Sends one message; gives when its final reply came and when EXISTS did. */
static void send_and_watch(struct smtp *s, struct imap *c, const struct options *o, unsigned number,
                           int64_t *replied, int64_t *existed)
{
    struct buf text;
    struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = c->fd, .events = POLLIN}};

    buf_init(&text, (size_t)1 << 24);
    message_write(&text, o, number, 0);
    buf_add(&text, SLICE(".\r\n"));
    smtp_say(s, "MAIL FROM:<a@example.net>\r\n", 27, '2');
    char rcpt[200];
    int n = snprintf(rcpt, sizeof rcpt, "RCPT TO:<u0@%s>\r\n", o->domain);
    smtp_say(s, rcpt, (size_t)n, '2');
    smtp_say(s, "DATA\r\n", 6, '3');
    if (send(s->fd, text.data, text.len, MSG_NOSIGNAL) != (ssize_t)text.len)
        die("SMTP: cannot send");
    buf_finish(&text);
    *replied = *existed = 0;
    while (*replied == 0 || *existed == 0) {
        if (poll(fds, 2, 30000) <= 0)
            die("no EXISTS came");
        if (fds[0].revents != 0 && *replied == 0) {
            smtp_expect(s, '2');
            *replied = now_us();
            fds[0].fd = -1;
        }
        if (fds[1].revents != 0) {
            while (*existed == 0 || c->at < c->in.len) {
                if (strstr(imap_line(c), "EXISTS") != NULL)
                    *existed = now_us();
            }
        }
    }
}

int load_exists(const struct options *o)
{
    struct imap *c = imap_open(o, 0);
    struct smtp s = {.fd = connect_to(o->host, o->port)};
    double *delays = xcalloc(o->messages, sizeof *delays);

    smtp_expect(&s, '2');
    smtp_say(&s, "EHLO load.example.net\r\n", 23, '2');
    imap_run(c, NULL, NULL, "SELECT INBOX");
    imap_send(c, "i IDLE\r\n");
    while (imap_line(c)[0] != '+')
        continue;
    for (unsigned i = 0; i < o->messages; i++) {
        int64_t replied, existed;
        send_and_watch(&s, c, o, i, &replied, &existed);
        delays[i] = existed > replied ? (double)(existed - replied) / 1000 : 0;
        (void)usleep(20000);
    }
    printf("{\"messages\": %u, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n", o->messages,
           percentile(delays, o->messages, 50), percentile(delays, o->messages, 99),
           percentile(delays, o->messages, 100));
    return 0;
}

/* What a session says to idle, deflated: the same for all, as each has a stream of its own. */
static struct slice idle_packed(void)
{
    static char packed[200];
    char text[] = "s SELECT INBOX\r\ni IDLE\r\n";
    z_stream z = {.next_in = (Bytef *)text, .avail_in = sizeof text - 1};

    z.next_out = (Bytef *)packed;
    z.avail_out = sizeof packed;
    if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK || deflate(&z, Z_SYNC_FLUSH) != Z_OK)
        die("deflate");
    (void)deflateEnd(&z);
    return slice_make(packed, sizeof packed - z.avail_out);
}

/* Until the invitation has come; what is left of our side's state is freed. */
static void idle_compressed(struct imap *c)
{
    struct slice said = idle_packed();
    char text[16384];
    z_stream z = {0};
    bool invited = false;

    imap_run(c, NULL, NULL, "COMPRESS DEFLATE");
    imap_write(c, said.ptr, said.len);
    if (inflateInit2(&z, -15) != Z_OK)
        die("inflate");
    while (!invited) {
        if (c->at == c->in.len)
            imap_read(c);
        z.next_in = (Bytef *)c->in.data + c->at;
        z.avail_in = (uInt)(c->in.len - c->at);
        z.next_out = (Bytef *)text;
        z.avail_out = sizeof text;
        if (inflate(&z, Z_SYNC_FLUSH) != Z_OK)
            die("inflate");
        c->at = c->in.len - z.avail_in;
        struct slice more = slice_make(text, sizeof text - z.avail_out);
        invited = slice_starts(more, SLICE("+ ")) || slice_find(more, SLICE("\r\n+ ")) < more.len;
    }
    (void)inflateEnd(&z);
}

/* Opens the sessions, says so, and holds them until its input ends. */
int load_idle(const struct options *o)
{
    struct imap **all = xcalloc(o->sessions, sizeof(struct imap *));
    char line[16];

    for (unsigned i = 0; i < o->sessions; i++) {
        all[i] = imap_open(o, i % o->accounts);
        if (o->compress) {
            idle_compressed(all[i]);
        } else {
            imap_run(all[i], NULL, NULL, "SELECT INBOX");
            imap_send(all[i], "i IDLE\r\n");
            while (imap_line(all[i])[0] != '+')
                continue;
        }
        buf_finish(&all[i]->in);
        all[i]->at = 0;
    }
    printf("{\"sessions\": %u}\n", o->sessions);
    (void)fflush(stdout);
    (void)!fgets(line, sizeof line, stdin);
    return 0;
}

int load_logins(const struct options *o)
{
    double cpu = own_cpu();
    int64_t start = now_us();

    for (unsigned i = 0; i < o->messages; i++) {
        struct imap *c = imap_open(o, i % o->accounts);
        imap_run(c, NULL, NULL, "LOGOUT");
        imap_close(&c);
    }
    double seconds = (double)(now_us() - start) / 1e6;
    printf("{\"logins\": %u, \"seconds\": %.3f, \"rate\": %.1f, \"load_cpu_ms\": %.4f}\n", o->messages,
           seconds, o->messages / seconds, (own_cpu() - cpu) * 1000 / o->messages);
    return 0;
}
