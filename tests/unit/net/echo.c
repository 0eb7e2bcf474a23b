/* The echo protocol of the net tests. */
#include "echo.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"

struct echo {
    struct conn *conn;
    struct echo_service *service;
    uint64_t blocks;    /* MORE: still to be written */
    uint64_t body, sum; /* BODY: bytes still to come, their sum */
    uint64_t turns;     /* AGAIN: still to be had */
    enum { IDLE, WAITING, DELAYED } state;
    struct echo *next; /* on the service's list of those who wait, or are poked */
    bool on_list;
};

/* ---- commands ---- */

static uint64_t number(struct slice s)
{
    uint64_t n = 0;

    (void)slice_to_u64(s, UINT64_MAX, &n);
    return n;
}

static enum turn run_echo(struct echo *e, struct slice arg)
{
    conn_write(e->conn, arg);
    conn_write(e->conn, SLICE("\r\n"));
    return TURN_PARK;
}

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

static enum turn run_bytes(struct echo *e, struct slice arg)
{
    struct conn_source source = {.read = pattern_read, .release = pattern_release, .ctx = e->service};

    e->service->sources++;
    conn_send_source(e->conn, source, 0, number(arg));
    conn_write(e->conn, SLICE("done\r\n"));
    return TURN_PARK;
}

static enum turn run_more(struct echo *e, struct slice arg)
{
    e->blocks = number(arg);
    return TURN_MORE;
}

static enum turn run_body(struct echo *e, struct slice arg)
{
    e->body = number(arg);
    e->sum = 0;
    conn_set_phase(e->conn, CONN_BODY, e->body);
    return TURN_PARK;
}

static void put_on(struct echo *e, struct echo **list)
{
    struct echo_service *s = e->service;

    (void)pthread_mutex_lock(&s->lock);
    e->next = *list;
    *list = e;
    e->on_list = true;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

static enum turn run_wait(struct echo *e, struct slice arg)
{
    (void)arg;
    e->state = WAITING;
    put_on(e, &e->service->waiting);
    return TURN_WAIT;
}

static enum turn run_poke(struct echo *e, struct slice arg)
{
    (void)arg;
    put_on(e, &e->service->poked);
    return TURN_PARK;
}

static enum turn run_delay(struct echo *e, struct slice arg)
{
    e->state = DELAYED;
    conn_wake_after(e->conn, (unsigned)number(arg));
    return TURN_WAIT;
}

static enum turn run_tick(struct echo *e, struct slice arg)
{
    conn_set_ticks(e->conn, (unsigned)number(arg));
    return TURN_PARK;
}

static enum turn run_again(struct echo *e, struct slice arg)
{
    e->turns = number(arg);
    return TURN_AGAIN;
}

static void hold(struct echo_service *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->held++;
    (void)pthread_cond_broadcast(&s->changed);
    while (s->freed == 0)
        (void)pthread_cond_wait(&s->changed, &s->lock);
    s->freed--;
    s->held--;
    (void)pthread_mutex_unlock(&s->lock);
}

static enum turn run_hold(struct echo *e, struct slice arg)
{
    (void)arg;
    hold(e->service);
    conn_write(e->conn, SLICE("held\r\n"));
    return TURN_PARK;
}

static enum turn run_block(struct echo *e, struct slice arg)
{
    (void)arg;
    block_begin();
    hold(e->service);
    block_end();
    conn_write(e->conn, SLICE("held\r\n"));
    return TURN_PARK;
}

static enum turn run_free(struct echo *e, struct slice arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&e->service->lock);
    e->service->freed++;
    (void)pthread_cond_broadcast(&e->service->changed);
    (void)pthread_mutex_unlock(&e->service->lock);
    conn_write(e->conn, SLICE("freed\r\n"));
    return TURN_PARK;
}

static enum turn run_starttls(struct echo *e, struct slice arg)
{
    (void)arg;
    conn_write(e->conn, SLICE("go\r\n"));
    conn_start_tls(e->conn);
    return TURN_PARK;
}

static enum turn run_compress(struct echo *e, struct slice arg)
{
    (void)arg;
    if (conn_compresses(e->conn)) {
        conn_write(e->conn, SLICE("already\r\n"));
        return TURN_PARK;
    }
    conn_write(e->conn, SLICE("go\r\n"));
    conn_start_compress(e->conn);
    return TURN_PARK;
}

static enum turn run_ready(struct echo *e, struct slice arg)
{
    (void)arg;
    conn_set_phase(e->conn, CONN_READY, 0);
    conn_write(e->conn, SLICE("ok\r\n"));
    return TURN_PARK;
}

static enum turn run_label(struct echo *e, struct slice arg)
{
    conn_set_label(e->conn, arg);
    conn_set_account(e->conn, 7);
    conn_write(e->conn, SLICE("ok\r\n"));
    return TURN_PARK;
}

static enum turn run_peer(struct echo *e, struct slice arg)
{
    struct conn_address a = conn_peer_text(e->conn);

    (void)arg;
    conn_printf(e->conn, "%s%s\r\n", a.text, conn_has_tls(e->conn) ? " tls" : "");
    return TURN_PARK;
}

static enum turn run_quit(struct echo *e, struct slice arg)
{
    (void)arg;
    conn_write(e->conn, SLICE("bye\r\n"));
    return TURN_CLOSE;
}

static enum turn run_abort(struct echo *e, struct slice arg)
{
    (void)arg;
    conn_write(e->conn, SLICE("never seen\r\n"));
    return TURN_ABORT;
}

static const struct {
    const char *word;
    enum turn (*run)(struct echo *e, struct slice arg);
} commands[] = {
    {"ECHO", run_echo},   {"BYTES", run_bytes},       {"MORE", run_more},   {"BODY", run_body},
    {"WAIT", run_wait},   {"POKE", run_poke},         {"DELAY", run_delay}, {"TICK", run_tick},
    {"AGAIN", run_again}, {"HOLD", run_hold},         {"BLOCK", run_block}, {"FREE", run_free},
    {"READY", run_ready}, {"STARTTLS", run_starttls}, {"LABEL", run_label}, {"PEER", run_peer},
    {"QUIT", run_quit},   {"ABORT", run_abort},
    {"COMPRESS", run_compress},
};

static enum turn run(struct echo *e, struct slice line)
{
    struct slice arg = line;
    struct slice word = slice_cut(&arg, ' ');

    conn_set_ticks(e->conn, 0);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (slice_eq(word, slice_of(commands[i].word)))
            return commands[i].run(e, arg);
    }
    conn_write(e->conn, SLICE("what?\r\n"));
    return TURN_PARK;
}

/* ---- what was begun goes on: TURN_PARK when it is done and commands may follow ---- */

static enum turn waiting_goes_on(struct echo *e)
{
    if (e->state == IDLE)
        return TURN_PARK;
    (void)pthread_mutex_lock(&e->service->lock);
    bool woken = e->state == DELAYED || !e->on_list;
    (void)pthread_mutex_unlock(&e->service->lock);
    if (!woken)
        return TURN_WAIT;
    conn_write(e->conn, e->state == DELAYED ? SLICE("later\r\n") : SLICE("woken\r\n"));
    e->state = IDLE;
    return TURN_PARK;
}

static enum turn blocks_go_on(struct echo *e)
{
    static const char block[4096] = {[0 ... 4093] = 'x', '\r', '\n'};

    for (; e->blocks > 0; e->blocks--) {
        if (conn_is_full(e->conn))
            return TURN_MORE;
        conn_write(e->conn, slice_make(block, sizeof(block)));
        if (e->blocks == 1)
            conn_write(e->conn, SLICE("done\r\n"));
    }
    return TURN_PARK;
}

static enum turn turns_go_on(struct echo *e)
{
    if (e->turns == 0)
        return TURN_PARK;
    if (--e->turns > 0)
        return TURN_AGAIN;
    conn_write(e->conn, SLICE("done\r\n"));
    return TURN_PARK;
}

/* false: more of the body must come. */
static bool body_goes_on(struct echo *e)
{
    if (e->body == 0)
        return true;
    struct slice in = slice_sub(conn_input(e->conn), 0, e->body);
    for (size_t i = 0; i < in.len; i++)
        e->sum += (unsigned char)in.ptr[i];
    conn_consume(e->conn, in.len);
    e->body -= in.len;
    if (e->body > 0)
        return false;
    conn_set_phase(e->conn, CONN_READY, 0);
    conn_printf(e->conn, "sum %llu\r\n", (unsigned long long)e->sum);
    return true;
}

/* ---- the session ---- */

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

/* One command, or what is left of it. */
static enum turn step(struct echo *e, bool *idle)
{
    struct slice line;
    bool too_long;
    enum turn turn = waiting_goes_on(e);

    if (turn == TURN_PARK)
        turn = blocks_go_on(e);
    if (turn == TURN_PARK)
        turn = turns_go_on(e);
    *idle = true;
    if (turn != TURN_PARK || !body_goes_on(e))
        return turn;
    if (conn_take_line(e->conn, 1000, &line, NULL, &too_long)) {
        *idle = false;
        return run(e, line);
    }
    if (!too_long)
        return TURN_PARK;
    conn_write(e->conn, SLICE("too long\r\n"));
    return TURN_CLOSE;
}

static enum turn echo_input(void *session)
{
    struct echo *e = session;
    bool idle = false;

    e->service->calls++;
    if (conn_take_tick(e->conn))
        conn_write(e->conn, SLICE("tick\r\n"));
    for (;;) {
        enum turn turn = step(e, &idle);
        if (turn != TURN_PARK || idle)
            return turn;
        if (conn_is_full(e->conn))
            return TURN_MORE;
        if (conn_turn_over(e->conn) && conn_input(e->conn).len > 0)
            return TURN_AGAIN;
    }
}

static void echo_last_words(void *session, enum conn_close why)
{
    struct echo *e = session;

    conn_printf(e->conn, "ended: %s\r\n", conn_close_text(why));
}

static void take_off(struct echo *e, struct echo **list)
{
    for (struct echo **at = list; *at != NULL; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            return;
        }
    }
}

static void echo_close(void *session, enum conn_close why)
{
    struct echo *e = session;
    struct echo_service *s = e->service;

    (void)pthread_mutex_lock(&s->lock);
    take_off(e, &s->waiting);
    take_off(e, &s->poked);
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

/* ---- the thread that wakes ---- */

/* Wakers are called under the lock: close() takes it before a session goes. */
static void wake_all(struct echo_service *s)
{
    for (; s->waiting != NULL; s->waiting = s->waiting->next) {
        s->waiting->on_list = false;
        waker_wake(conn_waker(s->waiting->conn));
    }
    for (struct echo *e = s->poked; e != NULL; e = e->next)
        waker_wake(conn_waker(e->conn));
}

static void *waker_main(void *arg)
{
    struct echo_service *s = arg;

    (void)pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct timespec soon;
        wake_all(s);
        (void)clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec += soon.tv_nsec >= 995000000;
        soon.tv_nsec = (soon.tv_nsec + 5000000) % 1000000000;
        if (s->poked != NULL)
            (void)pthread_cond_timedwait(&s->changed, &s->lock, &soon);
        else if (!s->stop)
            (void)pthread_cond_wait(&s->changed, &s->lock);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

void echo_start(struct echo_service *s)
{
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->waker_thread, NULL, waker_main, s) != 0)
        bug("no thread");
}

void echo_stop(struct echo_service *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->stop = true;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->waker_thread, NULL);
}
