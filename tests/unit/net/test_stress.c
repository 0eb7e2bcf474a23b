/*
 * net under load: many clients that pipeline, wait, read slowly, vanish, with
 * TLS and without, while the administrator lists and kicks; then a stop in the
 * middle of it.  What is checked is that every answer is right and nothing is
 * left over; the sanitizers check the rest.
 */
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "tests/unit/check.h"

enum { CLIENTS = 12, ROUNDS = 40 };

struct fixture {
    struct echo_service service;
    struct tls_context *tls;
    struct net *net;
    struct net_listener plain, secure;
    unsigned plain_port, secure_port;
    char dir[40], cert[60], key[60];
    SSL_CTX *client_ctx;
    _Atomic bool over; /* the server is stopping: the end may come at any time */
    _Atomic unsigned wrong;
};

struct actor {
    struct fixture *f;
    uint64_t seed;
    pthread_t thread;
};

static unsigned next_random(struct actor *a, unsigned n)
{
    a->seed ^= a->seed << 13;
    a->seed ^= a->seed >> 7;
    a->seed ^= a->seed << 17;
    return (unsigned)(a->seed % n);
}

static bool pipelined(struct actor *a, struct client *c)
{
    unsigned n = 1 + next_random(a, 150);
    char line[40], *text = malloc(150 * sizeof(line));
    size_t len = 0;
    bool ok;

    for (unsigned i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof(line), "ECHO %u\r\n", i);
    ok = client_write(c, text, len);
    free(text);
    for (unsigned i = 0; i < n && ok; i++) {
        (void)snprintf(line, sizeof(line), "%u", i);
        const char *got = client_line(c);
        ok = got != NULL && strcmp(got, line) == 0;
    }
    return ok;
}

static bool expect(struct client *c, const char *want)
{
    const char *got = client_line(c);

    return got != NULL && strcmp(got, want) == 0;
}

/* Reads with pauses that let the socket fill: a slow phone. */
static bool slow_reader(struct actor *a, struct client *c)
{
    unsigned bytes = next_random(a, 600000);
    char line[40];

    (void)snprintf(line, sizeof(line), "BYTES %u\r\nECHO x\r\n", bytes);
    if (!client_send(c, line))
        return false;
    (void)poll(NULL, 0, 1);
    bool ok = client_pattern(c, 0, bytes / 2);
    (void)poll(NULL, 0, 1);
    ok = ok && client_pattern(c, bytes / 2, bytes);
    return ok && expect(c, "done") && expect(c, "x");
}

static bool body(struct actor *a, struct client *c)
{
    static const char zeros[10000];
    unsigned n = 1 + next_random(a, 200000);
    char line[40];

    (void)snprintf(line, sizeof(line), "BODY %u\r\n", n);
    bool ok = client_send(c, line);
    for (unsigned left = n; left > 0 && ok;) {
        unsigned piece = left < sizeof(zeros) ? left : (unsigned)sizeof(zeros);
        ok = client_write(c, zeros, piece);
        left -= piece;
    }
    return ok && expect(c, "sum 0");
}

static bool blocks(struct client *c)
{
    bool ok = client_send(c, "MORE 60\r\nAGAIN 5\r\n");

    for (int i = 0; i < 60 && ok; i++) {
        const char *line = client_line(c);
        ok = line != NULL && strlen(line) == 4094;
    }
    return ok && expect(c, "done") && expect(c, "done");
}

static bool act(struct actor *a, struct client *c)
{
    switch (next_random(a, 6)) {
    case 0: return pipelined(a, c);
    case 1: return slow_reader(a, c);
    case 2: return body(a, c);
    case 3: return blocks(c);
    case 4:
        return client_send(c, "WAIT\r\nWAIT\r\nECHO x\r\n") && expect(c, "woken") && expect(c, "woken") &&
               expect(c, "x");
    default: return client_send(c, "DELAY 1\r\nECHO x\r\n") && expect(c, "later") && expect(c, "x");
    }
}

/* One connection; false: an answer was not what it should be. */
static bool converse(struct actor *a)
{
    struct fixture *f = a->f;
    bool secure = next_random(a, 2) == 0;
    struct client *c = malloc(sizeof(*c));
    int fd = echo_try_connect(secure ? f->secure_port : f->plain_port);

    if (fd < 0) {
        free(c);
        return false;
    }
    client_init(c, fd);
    bool ok = (!secure || client_tls(c, f->client_ctx)) && expect(c, "hello");
    if (ok && next_random(a, 2) == 0) {
        ok = client_send(c, "COMPRESS\r\n") && expect(c, "go");
        client_compress(c, (int)next_random(a, 10));
    }
    unsigned acts = next_random(a, 8);
    for (unsigned i = 0; i < acts && ok; i++)
        ok = act(a, c);
    if (ok && next_random(a, 3) == 0) /* vanishes in the middle of something */
        ok = client_send(c, "BYTES 5000000\r\nWAIT\r\nDELAY 1\r\n");
    else if (ok && next_random(a, 2) == 0)
        ok = client_send(c, "QUIT\r\n") && expect(c, "bye") && client_at_end(c);
    client_finish(c);
    free(c);
    return ok;
}

static void *actor_main(void *arg)
{
    struct actor *a = arg;
    sigset_t pipe_only;

    (void)sigemptyset(&pipe_only); /* for the client's OpenSSL alone: net must do without */
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, NULL);
    for (unsigned i = 0; i < ROUNDS && !a->f->over; i++) {
        if (!converse(a) && !a->f->over)
            a->f->wrong++;
    }
    return NULL;
}

static bool count_sessions(void *ctx, const struct net_session_info *s)
{
    (*(unsigned *)ctx)++;
    return s->since > 0;
}

/* Lists all the time, and kicks sessions of an account that nobody has and an id that is nobody's. */
static void *administrator_main(void *arg)
{
    struct fixture *f = arg;
    unsigned seen = 0;

    while (!f->over) {
        net_each_session(f->net, count_sessions, &seen);
        (void)net_kick_account(f->net, 999);
        (void)net_kick_session(f->net, SLICE("nobody"));
        struct fail why;
        (void)tls_context_reload(f->tls, &why);
        (void)poll(NULL, 0, 2);
    }
    return NULL;
}

static void set_up(struct fixture *f)
{
    struct net_limits limits;
    struct fail why;

    *f = (struct fixture){.dir = "/tmp/posthorn-stress-XXXXXX"};
    if (mkdtemp(f->dir) == NULL)
        bug("no folder");
    (void)snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
    (void)snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
    if (!tls_self_sign("localhost", f->cert, f->key, &why) ||
        (f->tls = tls_context_create(f->cert, f->key, &why)) == NULL)
        bug("%s", why.text);
    f->plain = (struct net_listener){
        .name = "plain", .protocol = &echo_protocol, .service = &f->service, .idle_seconds = 60};
    f->secure = f->plain;
    f->secure.tls = NET_TLS_IMPLICIT;
    f->secure.tls_context = f->tls;
    net_limits_default(&limits);
    limits.connections_max = 1000;
    limits.workers = 4; /* more than cores: more ways to meet */
    limits.turn_commands = 10;
    limits.turn_ms = 2;
    echo_start(&f->service);
    f->net = net_create(&limits, &why);
    f->plain.fd = echo_listen(&f->plain_port);
    f->secure.fd = echo_listen(&f->secure_port);
    f->client_ctx = SSL_CTX_new(TLS_client_method());
    if (f->net == NULL || !net_listen(f->net, &f->plain, &why) || !net_listen(f->net, &f->secure, &why) ||
        !net_start(f->net, &why))
        bug("net: %s", why.text);
}

static void run(bool stop_in_the_middle)
{
    static struct fixture f;
    struct actor actors[CLIENTS];
    pthread_t administrator;

    set_up(&f);
    for (unsigned i = 0; i < CLIENTS; i++) {
        actors[i] = (struct actor){.f = &f, .seed = 0x9e3779b97f4a7c15u * (i + 1)};
        (void)pthread_create(&actors[i].thread, NULL, actor_main, &actors[i]);
    }
    (void)pthread_create(&administrator, NULL, administrator_main, &f);
    if (stop_in_the_middle) {
        while (f.service.opened < CLIENTS * 3)
            (void)poll(NULL, 0, 1);
        f.over = true;
        (void)pthread_join(administrator, NULL);
        net_stop(f.net, 1);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        (void)pthread_join(actors[i].thread, NULL);
    if (!stop_in_the_middle) {
        f.over = true;
        (void)pthread_join(administrator, NULL);
    }
    net_destroy(&f.net);
    echo_stop(&f.service);
    tls_context_destroy(&f.tls);
    SSL_CTX_free(f.client_ctx);
    CHECK("every answer was right", f.wrong == 0);
    CHECK("every session closed", f.service.opened == f.service.closed && f.service.opened > CLIENTS);
    CHECK("every source released", f.service.sources == f.service.released);
    (void)unlink(f.cert);
    (void)unlink(f.key);
    (void)rmdir(f.dir);
}

int main(void)
{
    log_set_level(LOG_WARNING);
    run(false);
    run(true);
    return check_done();
}
