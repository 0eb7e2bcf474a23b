/* net/compress: nothing is lost however a client cuts and flushes, and little is kept while it is silent. */
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/encode.h"
#include "echo.h"
#include "tests/unit/check.h"

struct fixture {
    struct echo_service service;
    struct net *net;
    struct net_listener row;
    unsigned port;
};

static void set_up(struct fixture *f)
{
    struct net_limits limits;
    struct fail why;

    *f = (struct fixture){
        .row = {.name = "test", .protocol = &echo_protocol, .service = &f->service, .idle_seconds = 60}};
    net_limits_default(&limits);
    limits.connections_max = 1000;
    limits.connections_per_address = 1000;
    limits.connections_per_second_per_address = 100000;
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

static struct client *compressed(struct fixture *f, int level)
{
    struct client *c = malloc(sizeof(*c));

    client_init(c, echo_connect(f->port));
    CHECK("greeting", client_expect(c, "hello"));
    CHECK("asked", client_send(c, "COMPRESS\r\n") && client_expect(c, "go"));
    client_compress(c, level);
    return c;
}

static void drop(struct client *c)
{
    client_finish(c);
    free(c);
}

static void test_commands(struct fixture *f)
{
    struct client *c = compressed(f, 6);

    CHECK("one", client_send(c, "ECHO one\r\n") && client_expect(c, "one"));
    CHECK("twice", client_send(c, "COMPRESS\r\n") && client_expect(c, "already"));
    CHECK("a delay", client_send(c, "DELAY 1\r\nECHO x\r\n") && client_expect(c, "later") && client_expect(c, "x"));
    CHECK("woken", client_send(c, "WAIT\r\n") && client_expect(c, "woken"));
    CHECK("a source", client_send(c, "BYTES 3000000\r\n") && client_pattern(c, 0, 3000000) && client_expect(c, "done"));
    CHECK("empty source", client_send(c, "BYTES 0\r\n") && client_expect(c, "done"));
    CHECK("quit", client_send(c, "QUIT\r\n") && client_expect(c, "bye") && client_at_end(c));
    drop(c);
}

/* Every kind of flush leaves the stream at another bit. */
static void test_flushes(struct fixture *f)
{
    static const int flushes[] = {Z_PARTIAL_FLUSH, Z_SYNC_FLUSH, Z_FULL_FLUSH};
    char text[120], want[80];

    for (int level = 0; level < 10; level += 3) {
        struct client *c = compressed(f, level);
        bool ok = true;
        for (unsigned i = 0; i < 300 && ok; i++) {
            (void)snprintf(want, sizeof want, "%.*s %u", (int)(random_u64() % 50), "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", i);
            (void)snprintf(text, sizeof text, "ECHO %s\r\n", want);
            ok = client_deflate(c, text, strlen(text), flushes[random_u64() % 3]) && client_expect(c, want);
        }
        CHECK("each line comes back", ok);
        drop(c);
    }
}

/* The compressed stream, byte by byte or in random pieces, with what is not flushed yet in between. */
static void test_pieces(struct fixture *f)
{
    enum { LINES = 2000 };
    struct client *c = compressed(f, 9);
    z_stream z = {0};
    size_t length = 0, room = 200000;
    unsigned char *packed = malloc(room);
    char line[100];
    bool ok = deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK;

    for (unsigned i = 0; i < LINES; i++) {
        (void)snprintf(line, sizeof line, "ECHO %u %llu\r\n", i, (unsigned long long)random_u64() % 1000);
        z.next_in = (Bytef *)line;
        z.avail_in = (uInt)strlen(line);
        z.next_out = packed + length;
        z.avail_out = (uInt)(room - length);
        (void)deflate(&z, i == LINES - 1 ? Z_SYNC_FLUSH : i % 7 == 0 ? Z_PARTIAL_FLUSH : Z_NO_FLUSH);
        length = room - z.avail_out;
    }
    (void)deflateEnd(&z);
    for (size_t at = 0; at < length && ok;) {
        size_t n = random_u64() % 3 == 0 ? 1 : 1 + random_u64() % 40;
        n = n < length - at ? n : length - at;
        ok = client_write_raw(c, packed + at, n);
        at += n;
    }
    for (unsigned i = 0; i < LINES && ok; i++) {
        const char *got = client_line(c);
        char *end = NULL;
        ok = got != NULL && strtoul(got, &end, 10) == i && *end == ' ';
    }
    CHECK("all of it", ok);
    free(packed);
    drop(c);
}

/* A slow reader: what is compressed waits, what is not is read from its source later. */
static void test_slow_reader(struct fixture *f)
{
    struct client *c = compressed(f, 1);
    int small = 4096;

    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    CHECK("asked", client_send(c, "BYTES 20000000\r\nMORE 100\r\nECHO end\r\n"));
    (void)poll(NULL, 0, 5);
    CHECK("the source", client_pattern(c, 0, 20000000) && client_expect(c, "done"));
    bool ok = true;
    for (int i = 0; i < 100 && ok; i++) {
        const char *line = client_line(c);
        ok = line != NULL && strlen(line) == 4094;
    }
    CHECK("the blocks", ok && client_expect(c, "done") && client_expect(c, "end"));
    drop(c);
}

/* 50 MB of one letter from 50 KB: only ever as much as the limit on input, and the line is too long. */
/* limit: what COMPRESS=DEFLATE inflates at one time */
static void test_bomb(struct fixture *f)
{
    static char zeros[100000];
    struct client *c = compressed(f, 9);
    bool ok = true;

    memset(zeros, 'x', sizeof zeros);
    for (int i = 0; i < 500 && ok; i++)
        ok = client_deflate(c, zeros, sizeof zeros, Z_NO_FLUSH);
    (void)client_deflate(c, "\r\n", 2, Z_SYNC_FLUSH);
    CHECK("refused", client_expect(c, "too long"));
    drop(c);

    /* As a body it is welcome, and comes through the same 64 KB. */
    c = compressed(f, 9);
    memset(zeros, 1, sizeof zeros);
    ok = client_send(c, "BODY 20000000\r\n");
    for (int i = 0; i < 200 && ok; i++)
        ok = client_deflate(c, zeros, sizeof zeros, i == 199 ? Z_SYNC_FLUSH : Z_NO_FLUSH);
    CHECK("a body", ok && client_expect(c, "sum 20000000"));
    drop(c);

    /* Blocks of nothing, without end. */
    c = compressed(f, 9);
    for (int i = 0; i < 20000; i++)
        (void)client_deflate(c, "", 0, Z_FULL_FLUSH);
    CHECK("nothing comes of nothing", client_send(c, "ECHO x\r\n") && client_expect(c, "x"));
    drop(c);
}

static void test_garbage(struct fixture *f)
{
    struct client *c = compressed(f, 9);

    CHECK("no deflate", client_write_raw(c, "ECHO plain\r\nECHO plain\r\n", 24) && client_at_end(c));
    drop(c);
    c = compressed(f, 9);
    CHECK("an end of the stream is the client's end",
          client_deflate(c, "ECHO x\r\n", 8, Z_FINISH) && client_expect(c, "x") && client_at_end(c));
    drop(c);
}

/* Compressed commands right behind the one that asks for it are read; plain ones are not deflate. */
static void test_pipelined(struct fixture *f)
{
    struct client *c = malloc(sizeof(*c));
    char text[200] = "COMPRESS\r\n";
    size_t length = strlen(text);
    z_stream z = {0};

    client_init(c, echo_connect(f->port));
    CHECK("greeting", client_expect(c, "hello"));
    (void)deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (Bytef *)(uintptr_t)"ECHO x\r\n";
    z.avail_in = 8;
    z.next_out = (Bytef *)text + length;
    z.avail_out = (uInt)(sizeof text - length);
    (void)deflate(&z, Z_SYNC_FLUSH);
    CHECK("sent", client_write(c, text, sizeof text - z.avail_out));
    CHECK("answered", recv(c->fd, text, 4, MSG_WAITALL) == 4 && memcmp(text, "go\r\n", 4) == 0);
    (void)deflateEnd(&z);
    client_compress(c, 6);
    CHECK("read", client_expect(c, "x"));
    drop(c);
}

static size_t in_use(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* What a silent session keeps: its window, which is no longer than what it has said. */
static void test_memory(struct fixture *f, size_t said, size_t most)
{
    enum { MANY = 50 };
    static char line[60000], packed[70000], answer[70000];
    int fd[MANY];
    z_stream z = {0};

    for (size_t at = 0; at < said; at += 1000) { /* lines of 1000 bytes that do not shrink */
        memcpy(line + at, "ECHO ", 5);
        for (size_t i = at + 5; i < at + 998; i++)
            line[i] = (char)('0' + random_u64() % 75);
        memcpy(line + at + 998, "\r\n", 2);
    }
    (void)deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (Bytef *)line;
    z.avail_in = (uInt)said;
    z.next_out = (Bytef *)packed;
    z.avail_out = sizeof packed;
    (void)deflate(&z, Z_SYNC_FLUSH);
    size_t length = sizeof packed - z.avail_out;
    (void)deflateEnd(&z);

    size_t before = in_use(), now = SIZE_MAX;
    for (int i = 0; i < MANY; i++) {
        fd[i] = echo_connect(f->port);
        (void)send(fd[i], "COMPRESS\r\n", 10, 0);
        for (size_t got = 0; got < 11;) /* "hello" and "go" */
            got += (size_t)recv(fd[i], answer, 11 - got, 0);
        (void)send(fd[i], packed, length, 0);
        for (size_t got = 0; got < said / 2;)
            got += (size_t)recv(fd[i], answer, sizeof answer, 0);
    }
    for (int tries = 0; tries < 2000 && now > before + MANY * most; tries++) {
        (void)poll(NULL, 0, 1); /* until they are parked */
        now = in_use();
    }
    printf("a silent compressed session that has said %zu bytes: %zd bytes\n", said, ((ssize_t)now - (ssize_t)before) / MANY);
    CHECK("as little as can be", now <= before + MANY * most);
    for (int i = 0; i < MANY; i++)
        (void)close(fd[i]);
}

int main(void)
{
    static struct fixture f;

    log_set_level(LOG_WARNING);
    set_up(&f);
    test_commands(&f);
    test_flushes(&f);
    test_pieces(&f);
    test_slow_reader(&f);
    test_bomb(&f);
    test_garbage(&f);
    test_pipelined(&f);
    test_memory(&f, 1000, 3 * 1024);
    test_memory(&f, 60000, 36 * 1024);
    tear_down(&f);
    return check_done();
}
