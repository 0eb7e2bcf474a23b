/* The echo protocol of the net tests, and its client. */
#include "echo.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct echo {
    struct conn *conn;
    struct echo_service *service;
    uint64_t blocks;    /* MORE: still to be written */
    uint64_t body, sum; /* BODY: bytes still to come, their sum */
    unsigned turns;     /* AGAIN */
    enum { IDLE, WAITING, WOKEN, DELAYED } state;
    struct echo *next; /* on the service's list of those who wait */
    bool on_list;
};

static bool pattern_read(void *ctx, uint64_t offset, void *out, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)out)[i] = (unsigned char)((offset + i) % 251);
    return true;
}

static void pattern_release(void *ctx)
{
    struct echo_service *s = ctx;

    s->released++;
}

static void *echo_open(void *service, struct conn *c)
{
    struct echo *e = xcalloc(1, sizeof(*e));

    e->conn = c;
    e->service = service;
    e->service->opened++;
    if (e->service->early_ready)
        conn_set_phase(c, CONN_READY, 0);
    conn_printf(c, "hello\r\n");
    return e;
}

static void wait_for_waker(struct echo *e)
{
    struct echo_service *s = e->service;

    e->state = WAITING;
    (void)pthread_mutex_lock(&s->lock);
    e->next = s->waiting;
    s->waiting = e;
    e->on_list = true;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

static uint64_t number(struct slice s)
{
    uint64_t n = 0;

    (void)slice_to_u64(s, UINT64_MAX, &n);
    return n;
}

static enum turn run(struct echo *e, struct slice line)
{
    struct conn *c = e->conn;
    struct slice arg = line;
    struct slice word = slice_cut(&arg, ' ');

    conn_set_ticks(c, 0);
    if (slice_eq(word, SLICE("ECHO"))) {
        conn_write(c, arg);
        conn_write(c, SLICE("\r\n"));
    } else if (slice_eq(word, SLICE("BYTES"))) {
        struct conn_source source = {.read = pattern_read, .release = pattern_release, .ctx = e->service};
        e->service->sources++;
        conn_send_source(c, source, 0, number(arg));
        conn_write(c, SLICE("done\r\n"));
    } else if (slice_eq(word, SLICE("MORE"))) {
        e->blocks = number(arg);
        return TURN_MORE;
    } else if (slice_eq(word, SLICE("BODY"))) {
        e->body = number(arg);
        e->sum = 0;
        conn_set_phase(c, CONN_BODY, e->body);
    } else if (slice_eq(word, SLICE("WAIT"))) {
        wait_for_waker(e);
        return TURN_WAIT;
    } else if (slice_eq(word, SLICE("DELAY"))) {
        e->state = DELAYED;
        conn_wake_after(c, (unsigned)number(arg));
        return TURN_WAIT;
    } else if (slice_eq(word, SLICE("TICK"))) {
        conn_set_ticks(c, (unsigned)number(arg));
    } else if (slice_eq(word, SLICE("AGAIN"))) {
        e->turns = (unsigned)number(arg);
        return TURN_AGAIN;
    } else if (slice_eq(word, SLICE("STARTTLS"))) {
        conn_write(c, SLICE("go\r\n"));
        conn_start_tls(c);
    } else if (slice_eq(word, SLICE("LABEL"))) {
        conn_set_label(c, arg);
        conn_set_account(c, 7);
        conn_write(c, SLICE("ok\r\n"));
    } else if (slice_eq(word, SLICE("READY"))) {
        conn_set_phase(c, CONN_READY, 0);
        conn_write(c, SLICE("ok\r\n"));
    } else if (slice_eq(word, SLICE("PEER"))) {
        struct conn_address a = conn_peer_text(c);
        conn_printf(c, "%s%s\r\n", a.text, conn_has_tls(c) ? " tls" : "");
    } else if (slice_eq(word, SLICE("QUIT"))) {
        conn_write(c, SLICE("bye\r\n"));
        return TURN_CLOSE;
    } else if (slice_eq(word, SLICE("ABORT"))) {
        conn_write(c, SLICE("never seen\r\n"));
        return TURN_ABORT;
    } else {
        conn_write(c, SLICE("what?\r\n"));
    }
    return TURN_PARK;
}

/* What was begun goes on; true when it is done and commands may follow. */
static bool go_on(struct echo *e, enum turn *turn)
{
    static const char block[4096] = {[0 ... 4093] = 'x', '\r', '\n'};
    struct conn *c = e->conn;

    if (e->state == WAITING || e->state == DELAYED) {
        (void)pthread_mutex_lock(&e->service->lock);
        bool woken = e->state == DELAYED || !e->on_list;
        (void)pthread_mutex_unlock(&e->service->lock);
        if (!woken)
            return *turn = TURN_WAIT, false;
        conn_write(c, e->state == DELAYED ? SLICE("later\r\n") : SLICE("woken\r\n"));
        e->state = IDLE;
    }
    for (; e->blocks > 0; e->blocks--) {
        if (conn_is_full(c))
            return *turn = TURN_MORE, false;
        conn_write(c, slice_make(block, sizeof(block)));
        if (e->blocks == 1)
            conn_write(c, SLICE("done\r\n"));
    }
    if (e->turns > 0 && --e->turns > 0)
        return *turn = TURN_AGAIN, false;
    if (e->turns == 0 && *turn == TURN_AGAIN)
        conn_write(c, SLICE("done\r\n"));
    while (e->body > 0) {
        struct slice in = slice_sub(conn_input(c), 0, e->body);
        if (in.len == 0)
            return *turn = TURN_PARK, false;
        for (size_t i = 0; i < in.len; i++)
            e->sum += (unsigned char)in.ptr[i];
        conn_consume(c, in.len);
        e->body -= in.len;
        if (e->body == 0) {
            conn_set_phase(c, CONN_READY, 0);
            conn_printf(c, "sum %llu\r\n", (unsigned long long)e->sum);
        }
    }
    return true;
}

static enum turn echo_input(void *session)
{
    struct echo *e = session;
    struct slice line;
    bool too_long;
    enum turn turn = e->turns > 0 ? TURN_AGAIN : TURN_PARK;

    if (conn_take_tick(e->conn))
        conn_write(e->conn, SLICE("tick\r\n"));
    while (go_on(e, &turn)) {
        turn = TURN_PARK;
        if (!conn_take_line(e->conn, 1000, &line, NULL, &too_long)) {
            if (too_long) {
                conn_write(e->conn, SLICE("too long\r\n"));
                return TURN_CLOSE;
            }
            return TURN_PARK;
        }
        turn = run(e, line);
        if (turn != TURN_PARK && turn != TURN_MORE)
            return turn;
        if (conn_is_full(e->conn))
            return TURN_MORE;
        if (conn_turn_over(e->conn) && conn_input(e->conn).len > 0)
            return TURN_AGAIN;
        if (!conn_can_start_tls(e->conn) && slice_starts(line, SLICE("STARTTLS")))
            return TURN_PARK; /* what follows is to be dropped by net */
    }
    return turn;
}

static void echo_last_words(void *session, enum conn_close why)
{
    struct echo *e = session;

    conn_printf(e->conn, "ended: %s\r\n", conn_close_text(why));
}

static void echo_close(void *session, enum conn_close why)
{
    struct echo *e = session;
    struct echo_service *s = e->service;

    (void)pthread_mutex_lock(&s->lock);
    for (struct echo **at = &s->waiting; *at != NULL; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    s->reasons[why]++;
    s->closed++;
    free(e);
}

const struct conn_protocol echo_protocol = {
    .name = "echo",
    .open = echo_open,
    .input = echo_input,
    .last_words = echo_last_words,
    .close = echo_close,
    .refusal = "go away\r\n",
};

/* Wakes whoever waits, from a thread that is no worker. */
static void *wake_them(void *arg)
{
    struct echo_service *s = arg;

    (void)pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct echo *e = s->waiting;
        if (e == NULL) {
            (void)pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->waiting = e->next;
        e->on_list = false;
        waker_wake(conn_waker(e->conn)); /* under the lock: close() takes it before it goes */
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

void echo_start(struct echo_service *s)
{
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->waker_thread, NULL, wake_them, s) != 0)
        bug("no thread");
}

void echo_stop(struct echo_service *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->stop = true;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->waker_thread, NULL);
}

/* ---- sockets ---- */

static socklen_t loopback(unsigned port, struct sockaddr_storage *out)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};

    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *out = (struct sockaddr_storage){0};
    memcpy(out, &four, sizeof(four));
    return sizeof(four);
}

int echo_listen(unsigned *port)
{
    struct sockaddr_storage a;
    struct sockaddr_in four;
    socklen_t len = loopback(0, &a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 512) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        bug("cannot listen");
    memcpy(&four, &a, sizeof(four));
    *port = ntohs(four.sin_port);
    return fd;
}

int echo_try_connect(unsigned port)
{
    struct sockaddr_storage a;
    socklen_t len = loopback(port, &a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, len) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int echo_connect(unsigned port)
{
    int fd = echo_try_connect(port);

    if (fd < 0)
        bug("cannot connect");
    return fd;
}

void client_init(struct client *c, int fd)
{
    c->fd = fd;
    c->ssl = NULL;
    c->have = c->at = 0;
}

void client_finish(struct client *c)
{
    SSL_free(c->ssl);
    (void)close(c->fd);
}

bool client_tls(struct client *c, SSL_CTX *ctx)
{
    c->ssl = SSL_new(ctx);
    return c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 && SSL_connect(c->ssl) == 1;
}

bool client_write(struct client *c, const void *data, size_t n)
{
    const char *at = data;

    while (n > 0) {
        ssize_t done = c->ssl != NULL ? SSL_write(c->ssl, at, (int)n) : send(c->fd, at, n, MSG_NOSIGNAL);
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool client_send(struct client *c, const char *text)
{
    return client_write(c, text, strlen(text));
}

bool client_fill(struct client *c)
{
    if (c->at > 0) {
        memmove(c->bytes, c->bytes + c->at, c->have - c->at);
        c->have -= c->at;
        c->at = 0;
    }
    size_t room = sizeof(c->bytes) - c->have;
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, c->bytes + c->have, (int)room)
                               : recv(c->fd, c->bytes + c->have, room, 0);
    if (n <= 0)
        return false;
    c->have += (size_t)n;
    return true;
}

const char *client_line(struct client *c)
{
    for (;;) {
        char *line = c->bytes + c->at;
        char *end = c->have > c->at ? memchr(line, '\n', c->have - c->at) : NULL;
        if (end != NULL) {
            c->at = (size_t)(end - c->bytes) + 1;
            end[end > line && end[-1] == '\r' ? -1 : 0] = '\0';
            return line;
        }
        if (!client_fill(c))
            return NULL;
    }
}

bool client_expect(struct client *c, const char *want)
{
    const char *got = client_line(c);

    if (got != NULL && strcmp(got, want) == 0)
        return true;
    fprintf(stderr, "got %s, want %s\n", got != NULL ? got : "the end", want);
    return false;
}

bool client_pattern(struct client *c, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        if (c->at == c->have && !client_fill(c))
            return false;
        if ((unsigned char)c->bytes[c->at++] != i % 251)
            return false;
    }
    return true;
}

bool client_at_end(struct client *c)
{
    return c->at == c->have && !client_fill(c);
}
