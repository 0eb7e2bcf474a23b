/*
 * tests/unit/content/test_role.c - the side that asks and the side that parses, and a
 * side that does not answer.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "content/client.h"
#include "content/protocol.h"
#include "tests/unit/check.h"

static struct content_limits limits;
static struct ipc_limits ipc;

static void expect(struct content_client *c, const char *note, struct slice html, enum content_result want,
                   struct slice text)
{
    struct buf out;

    buf_init(&out, 1 << 24);
    CHECK(note, content_html(c, html, SLICE("utf-8"), &out) == want);
    CHECK_SLICE(note, buf_slice(&out), text);
    buf_finish(&out);
}

static void test_together(struct content_client *c)
{
    struct content_server *server = NULL;
    struct fail why = {0};
    struct buf large, text;
    int ends[2];

    CHECK("a server", content_server_create(&limits, &server, &why));
    struct ipc_service service = content_server_service(server);
    struct ipc_server *role = ipc_server_create(&ipc, &service, &why);
    CHECK("a connection", role != NULL && ipc_socket_pair(ends, &why) && ipc_server_attach(role, ends[1], &why));
    content_client_attach(c, ends[0]);
    expect(c, "small", SLICE("<p>Hel<b>lo</b></p>"), CONTENT_MADE, SLICE("Hello"));
    expect(c, "empty", SLICE(""), CONTENT_MADE, SLICE(""));

    buf_init(&large, 1 << 24);
    buf_init(&text, 1 << 24);
    for (int i = 0; i < 100000; i++) {
        buf_add(&large, SLICE("<p>word</p>"));
        buf_add(&text, i > 0 ? SLICE("\nword") : SLICE("word"));
    }
    expect(c, "by descriptors", buf_slice(&large), CONTENT_MADE, buf_slice(&text));
    buf_reset(&large);
    for (int i = 0; i < 5000; i++)
        buf_add(&large, SLICE("<div>"));
    expect(c, "too deep", buf_slice(&large), CONTENT_REFUSED, SLICE(""));
    buf_finish(&large);
    buf_finish(&text);
    ipc_server_destroy(&role);
    content_server_destroy(&server);
    expect(c, "gone", SLICE("<p>Hel<b>lo</b></p>"), CONTENT_AWAY, SLICE(""));
}

/* A role that was taken over: answers what it likes. */
static bool lie(void *ctx, struct ipc_reader *request, struct ipc_message *answer, struct fail *why)
{
    int *pipe_end = ctx;

    (void)request, (void)why;
    ipc_add_bool(answer, true);
    ipc_add_u64(answer, 1 << 20);
    ipc_add_bytes(answer, SLICE(""));
    if (*pipe_end >= 0)
        ipc_add_fd(answer, dup(*pipe_end)); /* which never gives a byte */
    return true;
}

static void test_liar(struct content_client *c, int fd)
{
    struct ipc_service service = {.name = "liar", .handle = lie, .ctx = &fd};
    struct fail why = {0};
    int ends[2];

    struct ipc_server *role = ipc_server_create(&ipc, &service, &why);
    CHECK("a connection", role != NULL && ipc_socket_pair(ends, &why) && ipc_server_attach(role, ends[1], &why));
    content_client_attach(c, ends[0]);
    struct slice html = fd >= 0 ? SLICE("<p>pipe") : SLICE("<p>no descriptor");
    expect(c, "once", html, CONTENT_AWAY, SLICE(""));
    expect(c, "twice", html, CONTENT_REFUSED, SLICE(""));
    expect(c, "not sent a third time", html, CONTENT_REFUSED, SLICE(""));
    ipc_server_destroy(&role);
}

static void test_silent(struct content_client *c)
{
    int ends[2];
    struct fail why = {0};

    CHECK("a connection", ipc_socket_pair(ends, &why));
    content_client_attach(c, ends[0]);
    (void)close(ends[1]);
    expect(c, "dead", SLICE("<p>a"), CONTENT_AWAY, SLICE(""));
}

int main(void)
{
    struct content_client *c;
    struct fail why = {0};
    int ends[2];

    content_limits_default(&limits);
    ipc_limits_default(&ipc);
    c = content_client_create(&limits, &ipc, &why);
    CHECK("a client", c != NULL);
    expect(c, "nobody there", SLICE("<p>a"), CONTENT_AWAY, SLICE(""));
    test_together(c);
    CHECK("a pipe", pipe(ends) == 0);
    test_liar(c, ends[0]);
    test_liar(c, -1);
    test_silent(c);
    content_client_destroy(&c);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return check_done();
}
