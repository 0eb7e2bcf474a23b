/*
 * bench/load-smtp.c - messages in, over many sessions at once.
 *
 * A session is a small state machine around one buffer in each direction; all
 * are waited for with one epoll.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum step { GREETING, HELLO, ENVELOPE, CONTENT, QUITTING };

struct session {
    int fd;
    enum step step;
    struct buf out;
    size_t out_at;
    char in[8192];
    size_t in_len;
    unsigned replies; /* still to come before the next step */
    unsigned message, rcpts_sent;
    bool waits_to_write;
    int64_t dot_at;
};

struct run {
    const struct options *o;
    int epoll;
    unsigned started, done, refused, open;
    double *latencies; /* ms, final dot to reply */
};

static void flush(struct run *r, struct session *s)
{
    while (s->out_at < s->out.len) {
        ssize_t n = send(s->fd, s->out.data + s->out_at, s->out.len - s->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            die("send: %m");
        s->out_at += (size_t)n;
    }
    bool more = s->out_at < s->out.len;
    if (!more) {
        buf_reset(&s->out);
        s->out_at = 0;
    }
    if (more != s->waits_to_write) {
        struct epoll_event e = {.events = EPOLLIN | (more ? (unsigned)EPOLLOUT : 0u), .data.ptr = s};
        (void)epoll_ctl(r->epoll, EPOLL_CTL_MOD, s->fd, &e);
        s->waits_to_write = more;
    }
}

static void open_session(struct run *r, struct session *s)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};

    s->fd = connect_to(r->o->host, r->o->port);
    if (fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(r->epoll, EPOLL_CTL_ADD, s->fd, &e) != 0)
        die("epoll: %m");
    s->step = GREETING;
    s->replies = 1;
    s->in_len = 0;
    s->waits_to_write = false;
    r->open++;
}

/* The accounts take turns, as many at a time as a message has recipients, `stay` messages each. */
static unsigned account_of(const struct options *o, unsigned message, unsigned recipient)
{
    return (message / o->stay * o->recipients + recipient) % o->accounts;
}

static void send_rcpt(struct run *r, struct session *s)
{
    if (r->o->domains > 0)
        buf_addf(&s->out, "RCPT TO:<u%u@d%u.%s>\r\n", s->rcpts_sent, (s->message + s->rcpts_sent) % r->o->domains,
                 r->o->domain);
    else
        buf_addf(&s->out, "RCPT TO:<u%u@%s>\r\n", account_of(r->o, s->message, s->rcpts_sent), r->o->domain);
    s->rcpts_sent++;
}

/* The next message on this session, or its end. */
static void next_message(struct run *r, struct session *s)
{
    if (r->started == r->o->messages) {
        s->step = QUITTING;
        s->replies = 1;
        buf_add(&s->out, SLICE("QUIT\r\n"));
        return;
    }
    s->message = r->started++;
    s->step = ENVELOPE;
    s->rcpts_sent = 0;
    buf_addf(&s->out, "MAIL FROM:<sender%u@example.net> SIZE=%u\r\n", s->message % 50, r->o->size);
    s->replies = 1;
    if (r->o->pipeline) {
        while (s->rcpts_sent < r->o->recipients)
            send_rcpt(r, s);
        buf_add(&s->out, SLICE("DATA\r\n"));
        s->rcpts_sent++;
        s->replies = r->o->recipients + 2;
    }
}

static void end_message(struct run *r, struct session *s, bool ok)
{
    r->latencies[r->done + r->refused] = (double)(now_us() - s->dot_at) / 1000;
    if (ok)
        r->done++;
    else
        r->refused++;
    if (r->o->new_connection && r->started < r->o->messages) {
        s->step = QUITTING;
        s->replies = 1;
        buf_add(&s->out, SLICE("QUIT\r\n"));
    } else {
        next_message(r, s);
    }
}

/* The last reply that a step waited for. */
static void step_over(struct run *r, struct session *s, const char *reply)
{
    switch (s->step) {
    case GREETING:
        s->step = HELLO;
        s->replies = 1;
        buf_addf(&s->out, "%s load.example.net\r\n", r->o->lmtp ? "LHLO" : "EHLO");
        break;
    case HELLO: next_message(r, s); break;
    case ENVELOPE:
        s->replies = 1;
        if (s->rcpts_sent < r->o->recipients) {
            send_rcpt(r, s);
        } else if (s->rcpts_sent == r->o->recipients) {
            s->rcpts_sent++;
            buf_add(&s->out, SLICE("DATA\r\n"));
        } else {
            s->step = CONTENT;
            s->replies = r->o->lmtp ? r->o->recipients : 1;
            message_write(&s->out, r->o, s->message, account_of(r->o, s->message, 0));
            buf_add(&s->out, SLICE(".\r\n"));
            s->dot_at = now_us();
        }
        break;
    case CONTENT: end_message(r, s, reply[0] == '2'); break;
    case QUITTING: break; /* see read_replies */
    }
}

static void end_session(struct run *r, struct session *s)
{
    (void)close(s->fd);
    r->open--;
    if (r->started < r->o->messages)
        open_session(r, s);
}

static void take_reply(struct run *r, struct session *s, const char *line)
{
    if (line[0] != '2' && line[0] != '3' && s->step != CONTENT)
        die("unexpected reply: %s", line);
    if (line[0] != '2' && s->step == CONTENT && r->refused < 3)
        (void)fprintf(stderr, "load: refused: %s\n", line);
    if (line[3] != '-' && --s->replies == 0)
        step_over(r, s, line);
}

static void read_replies(struct run *r, struct session *s)
{
    ssize_t n = recv(s->fd, s->in + s->in_len, sizeof s->in - s->in_len, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the server closed a session");
    s->in_len += (size_t)n;
    size_t at = 0;
    for (char *lf; (lf = memchr(s->in + at, '\n', s->in_len - at)) != NULL;) {
        *lf = '\0';
        if (s->step == QUITTING) { /* closed, and perhaps another one in its place */
            end_session(r, s);
            return;
        }
        take_reply(r, s, s->in + at);
        at = (size_t)(lf + 1 - s->in);
    }
    s->in_len -= at;
    memmove(s->in, s->in + at, s->in_len);
}

/* ---- when are they visible? ---- */

/* Mailboxes that are asked how many messages they hold, and how many they should. */
struct boxes {
    struct imap **all;
    unsigned *wanted;
};

static struct boxes open_boxes(const struct options *o)
{
    struct boxes b = {.all = xcalloc(o->accounts, sizeof(struct imap *)),
                      .wanted = xcalloc(o->accounts, sizeof(unsigned))};

    for (unsigned i = 0; i < o->accounts; i++) {
        b.all[i] = imap_open(o, i);
        b.wanted[i] = imap_count(b.all[i]);
    }
    for (unsigned m = 0; m < o->messages; m++)
        for (unsigned r = 0; r < o->recipients; r++)
            b.wanted[account_of(o, m, r)]++;
    return b;
}

/* Asks seldom, and one mailbox until it is complete: asking is not what is to be measured. */
static void wait_until_visible(const struct options *o, const struct boxes *b, int64_t start)
{
    int64_t answered = now_us();

    for (unsigned i = 0; i < o->accounts; i++) {
        while (imap_count(b->all[i]) < b->wanted[i]) {
            int64_t pause = (now_us() - start) / 200;
            if (now_us() - answered > 300 * 1000000LL)
                die("not all messages became visible");
            (void)usleep(pause < 1000 ? 1000 : (useconds_t)pause);
        }
    }
}

/* Says what happens next and waits until it may: whoever measures the server looks at it now. */
static void pause_for(const struct options *o, const char *what)
{
    char line[16];

    if (!o->steps)
        return;
    printf("%s\n", what);
    (void)fflush(stdout);
    (void)!fgets(line, sizeof line, stdin);
}

static void run_sessions(struct run *r, struct session *sessions)
{
    struct epoll_event events[64];

    for (unsigned i = 0; i < r->o->sessions && i < r->o->messages; i++) {
        buf_init(&sessions[i].out, 1u << 30);
        open_session(r, &sessions[i]);
    }
    while (r->open > 0) {
        int n = epoll_wait(r->epoll, events, (int)ARRAY_LEN(events), 60000);
        if (n == 0)
            die("nothing happened for a minute");
        for (int i = 0; i < n; i++) {
            struct session *s = events[i].data.ptr;
            if ((events[i].events & (EPOLLIN | EPOLLHUP)) != 0)
                read_replies(r, s);
            if (s->out.len > 0)
                flush(r, s);
        }
    }
}

int load_smtp(const struct options *o)
{
    struct run r = {.o = o, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct session *sessions = xcalloc(o->sessions, sizeof *sessions);
    struct boxes boxes = {0};

    r.latencies = xcalloc(o->messages, sizeof *r.latencies);
    if (o->see)
        boxes = open_boxes(o);
    pause_for(o, "ready");
    double cpu = own_cpu();
    int64_t start = now_us();
    run_sessions(&r, sessions);
    double answered = (double)(now_us() - start) / 1e6;
    cpu = own_cpu() - cpu;
    if (o->see && r.refused == 0)
        wait_until_visible(o, &boxes, start);
    double visible = (double)(now_us() - start) / 1e6;
    pause_for(o, "done");

    unsigned count = r.done + r.refused;
    printf(
        "{\"messages\": %u, \"refused\": %u, \"seconds\": %.3f, \"visible_seconds\": %.3f, \"rate\": %.1f, "
        "\"visible_rate\": %.1f, \"load_cpu_ms\": %.4f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": "
        "%.3f}\n",
        r.done, r.refused, answered, visible, r.done / answered, r.done / visible,
        cpu * 1000 / (r.done > 0 ? r.done : 1), percentile(r.latencies, count, 50),
        percentile(r.latencies, count, 99), percentile(r.latencies, count, 100));
    return r.refused == 0 ? 0 : 1;
}
