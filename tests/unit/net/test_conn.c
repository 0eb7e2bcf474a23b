/* net/conn: what a protocol may rely on, over a real socket, in clear. */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "tests/unit/check.h"

struct fixture {
    struct echo_service service;
    struct net *net;
    struct net_listener row;
    unsigned port;
};

static void set_up(struct fixture *f, void (*change)(struct net_limits *l), unsigned idle_seconds)
{
    struct net_limits limits;
    struct fail why;

    *f = (struct fixture){.row = {.name = "test",
                                  .protocol = &echo_protocol,
                                  .service = &f->service,
                                  .idle_seconds = idle_seconds}};
    net_limits_default(&limits);
    limits.connections_max = 1000;
    if (change != NULL)
        change(&limits);
    echo_start(&f->service);
    f->net = net_create(&limits, &why);
    f->row.fd = echo_listen(&f->port);
    if (f->net == NULL || !net_listen(f->net, &f->row, &why) || !net_start(f->net, &why))
        bug("net: %s", why.text);
}

static void tear_down(struct fixture *f)
{
    net_destroy(&f->net);
    echo_stop(&f->service);
    CHECK("every session closed", f->service.opened == f->service.closed);
    CHECK("every source released", f->service.sources == f->service.released);
}

static struct client *new_client(struct fixture *f)
{
    struct client *c = malloc(sizeof(*c));

    client_init(c, echo_connect(f->port));
    CHECK("greeting", client_expect(c, "hello"));
    return c;
}

static void drop_client(struct client *c)
{
    client_finish(c);
    free(c);
}

static void test_commands(struct fixture *f)
{
    struct client *c = new_client(f);

    CHECK("echo", client_send(c, "ECHO one\r\n") && client_expect(c, "one"));
    CHECK("pipelined", client_send(c, "ECHO two\r\nECHO three\r\nPEER\r\n") && client_expect(c, "two") &&
                           client_expect(c, "three") && client_expect(c, "127.0.0.1"));
    CHECK("in pieces", client_send(c, "EC") && client_send(c, "HO fo") && client_send(c, "ur\r") &&
                           client_send(c, "\nECHO five\nE") && client_expect(c, "four") &&
                           client_expect(c, "five") && client_send(c, "CHO six\r\n") &&
                           client_expect(c, "six"));
    CHECK("waker",
          client_send(c, "WAIT\r\nECHO after\r\n") && client_expect(c, "woken") && client_expect(c, "after"));
    CHECK("delay", client_send(c, "DELAY 5\r\nECHO after\r\n") && client_expect(c, "later") &&
                       client_expect(c, "after"));
    CHECK("again", client_send(c, "AGAIN 20\r\nECHO after\r\n") && client_expect(c, "done") &&
                       client_expect(c, "after"));
    CHECK("tick", client_send(c, "TICK 1\r\n") && client_expect(c, "tick") &&
                      client_send(c, "ECHO end\r\n") && client_expect(c, "end"));
    CHECK("quit", client_send(c, "QUIT\r\n") && client_expect(c, "bye") && client_at_end(c));
    drop_client(c);
}

static void test_pipelining(struct fixture *f)
{
    enum { COMMANDS = 2000 };
    struct client *c = new_client(f);
    char line[40];

    for (int i = 0; i < COMMANDS; i++) {
        (void)snprintf(line, sizeof(line), "ECHO %d\r\n", i);
        if (!client_send(c, line))
            break;
    }
    bool ok = true;
    for (int i = 0; i < COMMANDS && ok; i++) {
        (void)snprintf(line, sizeof(line), "%d", i);
        ok = client_expect(c, line);
    }
    CHECK("thousands of commands at once", ok);
    drop_client(c);
}

static void test_output(struct fixture *f)
{
    struct client *c = new_client(f);

    CHECK("source",
          client_send(c, "BYTES 1000000\r\n") && client_pattern(c, 0, 1000000) && client_expect(c, "done"));
    CHECK("sources in order",
          client_send(c, "ECHO a\r\nBYTES 10\r\nECHO b\r\nBYTES 0\r\nBYTES 100000\r\nECHO c\r\n") &&
              client_expect(c, "a") && client_pattern(c, 0, 10) && client_expect(c, "done") &&
              client_expect(c, "b") && client_expect(c, "done") && client_pattern(c, 0, 100000) &&
              client_expect(c, "done") && client_expect(c, "c"));
    CHECK("empty source alone", client_send(c, "BYTES 0\r\n") && client_expect(c, "done"));
    CHECK("more", client_send(c, "MORE 1000\r\n"));
    bool ok = true;
    for (int i = 0; i < 1000 && ok; i++) {
        const char *line = client_line(c);
        ok = line != NULL && strlen(line) == 4094;
    }
    CHECK("all blocks", ok && client_expect(c, "done"));
    unsigned calls = f->service.calls;
    CHECK("more, for a reader that pauses", client_send(c, "MORE 2000\r\n") && poll(NULL, 0, 50) == 0);
    for (int i = 0; i < 2000 && ok; i++) {
        const char *line = client_line(c);
        ok = line != NULL && strlen(line) == 4094;
    }
    CHECK("all blocks", ok && client_expect(c, "done"));
    CHECK("called only when there was room", f->service.calls - calls < 2000);
    for (int i = 0; i < 200; i++)
        ok = ok && client_send(c, "BYTES 100\r\n");
    for (int i = 0; i < 200 && ok; i++)
        ok = client_pattern(c, 0, 100) && client_expect(c, "done");
    CHECK("more pieces than one write takes", ok);
    drop_client(c);
}

static void test_body(struct fixture *f)
{
    struct client *c = new_client(f);
    static char body[300000];
    uint64_t sum = 0;
    char want[40];

    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (char)(i % 100);
        sum += (unsigned char)body[i];
    }
    (void)snprintf(want, sizeof(want), "sum %llu", (unsigned long long)sum);
    CHECK("a body larger than the buffer",
          client_send(c, "BODY 300000\r\n") && client_write(c, body, sizeof(body)) &&
              client_send(c, "ECHO after\r\n") && client_expect(c, want) && client_expect(c, "after"));
    drop_client(c);
}

static void test_ends(struct fixture *f)
{
    struct client *c = new_client(f);
    static char line[3000];

    CHECK("abort", client_send(c, "ABORT\r\n") && client_at_end(c));
    drop_client(c);

    c = new_client(f);
    memset(line, 'x', sizeof(line));
    CHECK("too long a line",
          client_write(c, line, sizeof(line)) && client_expect(c, "too long") && client_at_end(c));
    drop_client(c);

    c = new_client(f);
    CHECK("half closed: answers still come", client_send(c, "ECHO one\r\nWAIT\r\nECHO two\r\nEC") &&
                                                 shutdown(c->fd, SHUT_WR) == 0 && client_expect(c, "one") &&
                                                 client_expect(c, "woken") && client_expect(c, "two") &&
                                                 client_at_end(c));
    drop_client(c);

    c = new_client(f);
    memcpy(line, "QUIT\r\n", 6);
    bool sent = client_write(c, line, sizeof(line));
    for (int i = 0; i < 30; i++)
        sent = sent && client_write(c, line + 6, sizeof(line) - 6);
    CHECK("says more after QUIT: no reset", sent && client_expect(c, "bye") && client_ends_cleanly(c));
    drop_client(c);

    c = new_client(f); /* goes while the server has much to send it */
    CHECK("vanishes", client_send(c, "BYTES 100000000\r\n") && client_pattern(c, 0, 10));
    drop_client(c);
    c = new_client(f);
    CHECK("vanishes while waited for", client_send(c, "DELAY 20\r\n"));
    drop_client(c);
}

static bool count_one(void *ctx, const struct net_session_info *s)
{
    if (strcmp(s->label, "somebody") == 0 && s->account_id == 7 && strcmp(s->protocol, "echo") == 0 &&
        strcmp(s->peer.text, "127.0.0.1") == 0 && s->in > 0 && s->out > 0)
        *(struct log_id *)ctx = s->id;
    return true;
}

static void test_administrator(struct fixture *f)
{
    struct client *a = new_client(f), *b = new_client(f);
    struct log_id id = {""};

    CHECK("label", client_send(a, "LABEL somebody\r\n") && client_expect(a, "ok"));
    net_each_session(f->net, count_one, &id);
    CHECK("listed", id.text[0] != '\0');
    CHECK("kick one", net_kick_session(f->net, slice_of(id.text)) == 1);
    CHECK("told", client_expect(a, "ended: ended by the administrator") && client_at_end(a));
    CHECK("kick nobody", net_kick_session(f->net, SLICE("nobody")) == 0 && net_kick_account(f->net, 0) == 0);
    CHECK("the other stays", client_send(b, "LABEL other\r\n") && client_expect(b, "ok"));
    CHECK("kick an account",
          net_kick_account(f->net, 7) == 1 && client_expect(b, "ended: ended by the administrator"));
    drop_client(a);
    drop_client(b);
}

static void test_adopt(struct fixture *f)
{
    int ends[2];
    struct fail why;
    struct client c;
    struct net_listener row = {
        .name = "adopted", .protocol = &echo_protocol, .service = &f->service, .idle_seconds = 60};

    CHECK("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK("adopt", net_adopt(f->net, ends[0], &row, &why));
    client_init(&c, ends[1]);
    CHECK("served", client_expect(&c, "hello") && client_send(&c, "PEER\r\nECHO x\r\n") &&
                        client_expect(&c, "local") && client_expect(&c, "x"));
    CHECK("sends all and goes", client_send(&c, "WAIT\r\nECHO y\r\n"));
    client_finish(&c);
}

static void *stop_main(void *arg)
{
    net_stop(arg, 1);
    return NULL;
}

static void test_stop(void)
{
    enum { PARKED, SLOW, WAITING, BODY, HALF_BODY, COUNT };
    struct fixture f;
    struct client *c[COUNT];
    pthread_t stopper;

    set_up(&f, NULL, 60);
    for (int i = 0; i < COUNT; i++)
        c[i] = new_client(&f);
    CHECK("slow", client_send(c[SLOW], "BYTES 100000000\r\n") && client_pattern(c[SLOW], 0, 10));
    CHECK("waits", client_send(c[WAITING], "ECHO x\r\nDELAY 30\r\n") && client_expect(c[WAITING], "x"));
    for (int i = BODY; i <= HALF_BODY; i++)
        CHECK("a body on its way", client_send(c[i], "ECHO x\r\nBODY 2\r\na") && client_expect(c[i], "x"));
    (void)pthread_create(&stopper, NULL, stop_main, f.net);
    CHECK("parked: last words",
          client_expect(c[PARKED], "ended: server is stopping") && client_at_end(c[PARKED]));
    CHECK("the rest of a body is taken", client_send(c[BODY], "b") && client_expect(c[BODY], "sum 195"));
    CHECK("then the end", client_expect(c[BODY], "ended: server is stopping") && client_at_end(c[BODY]));
    CHECK("waiting: its answer first", client_expect(c[WAITING], "later"));
    CHECK("then the end",
          client_expect(c[WAITING], "ended: server is stopping") && client_at_end(c[WAITING]));
    CHECK("no rest: last words in time",
          client_expect(c[HALF_BODY], "ended: server is stopping") && client_at_end(c[HALF_BODY]));
    (void)pthread_join(stopper, NULL);
    for (int i = 0; i < COUNT; i++)
        drop_client(c[i]);
    tear_down(&f);
}

static void tiny(struct net_limits *l)
{
    l->before_login_seconds = 1;
    l->command_seconds = 1;
    l->body_seconds = 1;
}

/* A byte every 50 ms, up to 500 of them, until the server has had enough. */
static bool drip(struct client *c)
{
    struct pollfd answer = {.fd = c->fd, .events = POLLIN};

    for (int i = 0; i < 500; i++) {
        if (poll(&answer, 1, 50) != 0)
            return true;
        if (!client_send(c, "x"))
            return false;
    }
    return false;
}

static void test_deadlines(void)
{
    struct fixture f;
    struct client *silent, *partial, *body, *stalled, *dripping;

    set_up(&f, tiny, 60);
    f.service.early_ready = 0;
    silent = new_client(&f);
    partial = new_client(&f);
    body = new_client(&f);
    stalled = new_client(&f);
    CHECK("ready", client_send(partial, "READY\r\nECH") && client_expect(partial, "ok"));
    CHECK("body", client_send(body, "READY\r\nBODY 100000000\r\nxxx") && client_expect(body, "ok"));
    CHECK("stalled", client_send(stalled, "READY\r\nBYTES 100000000\r\n") && client_expect(stalled, "ok"));
    dripping = new_client(&f);
    CHECK("dripping", client_send(dripping, "READY\r\n") && client_expect(dripping, "ok") && drip(dripping) &&
                          client_expect(dripping, "ended: took too long"));
    CHECK("before login", client_expect(silent, "ended: took too long") && client_at_end(silent));
    CHECK("half a command", client_expect(partial, "ended: took too long") && client_at_end(partial));
    CHECK("half a body", client_expect(body, "ended: took too long") && client_at_end(body));
    while (f.service.closed < 5) /* who does not read hears nothing */
        (void)usleep(1000);
    CHECK("all for that reason", f.service.reasons[CONN_CLOSE_DEADLINE] == 5);
    drop_client(dripping);
    drop_client(silent);
    drop_client(partial);
    drop_client(body);
    drop_client(stalled);
    tear_down(&f);
}

static void test_idle(void)
{
    struct fixture f;

    set_up(&f, NULL, 1);
    struct client *silent = new_client(&f), *ticking = new_client(&f);
    CHECK("ready", client_send(silent, "READY\r\nPOKE\r\n") && client_expect(silent, "ok"));
    CHECK("ticking", client_send(ticking, "READY\r\nTICK 1\r\n") && client_expect(ticking, "ok"));
    CHECK("woken by others is silent all the same", client_expect(silent, "ended: took too long"));
    CHECK("who gets ticks may be silent",
          client_expect(ticking, "tick") && client_expect(ticking, "tick") && client_expect(ticking, "tick"));
    drop_client(silent);
    drop_client(ticking);
    tear_down(&f);
}

static void one_worker(struct net_limits *l)
{
    l->workers = 1;
}

static void wait_held(struct fixture *f, unsigned want)
{
    (void)pthread_mutex_lock(&f->service.lock);
    while (f->service.held < want)
        (void)pthread_cond_wait(&f->service.changed, &f->service.lock);
    (void)pthread_mutex_unlock(&f->service.lock);
}

/* With a single token, others can be served only if one that waits gives up its own, or the back-stop sees
 * it. */
static void test_tokens(void)
{
    struct fixture f;

    set_up(&f, one_worker, 60);
    struct client *a = new_client(&f), *b = new_client(&f), *c = new_client(&f);
    CHECK("two say that they wait", client_send(a, "BLOCK\r\n") && client_send(b, "BLOCK\r\n"));
    wait_held(&f, 2);
    CHECK("another is served",
          client_send(c, "FREE\r\nFREE\r\n") && client_expect(c, "freed") && client_expect(c, "freed"));
    CHECK("they go on", client_expect(a, "held") && client_expect(b, "held"));
    CHECK("one waits and does not say so", client_send(a, "HOLD\r\n"));
    wait_held(&f, 1);
    CHECK("another is served",
          client_send(c, "FREE\r\n") && client_expect(c, "freed") && client_expect(a, "held"));
    CHECK("one has much to do", client_send(a, "AGAIN 1000000000\r\n"));
    CHECK("another is served", client_send(c, "ECHO x\r\n") && client_expect(c, "x"));
    drop_client(a);
    drop_client(b);
    drop_client(c);
    tear_down(&f);
}

int main(void)
{
    struct fixture f;

    set_up(&f, NULL, 60);
    test_commands(&f);
    test_pipelining(&f);
    test_output(&f);
    test_body(&f);
    test_ends(&f);
    test_administrator(&f);
    test_adopt(&f);
    tear_down(&f);
    test_stop();
    test_deadlines();
    test_idle();
    test_tokens();
    return check_done();
}
