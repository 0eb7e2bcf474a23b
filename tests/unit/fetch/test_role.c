/*
 * tests/unit/fetch/test_role.c - requests through the role, to a web server in a child process; connections to helpers.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/io.h"
#include "fetch/server.h"
#include "net/fetch_wire.h"
#include "tests/unit/check.h"
#include "tests/unit/net/fake_dns.h"

/* ---- the web server ---- */

struct web { pid_t pid; unsigned port; };

static const char pages[] = "{\"*/fresh\": {\"body\": \"f\", \"fields\": {\"Cache-Control\": \"max-age=77\"}},"
                            " \"*/stall\": {\"stall\": true}, \"*/loop\": {\"status\": 302, \"fields\": {\"Location\": \"/loop\"}},"
                            " \"*/down\": {\"status\": 301, \"fields\": {\"Location\": \"http://localhost/\"}},"
                            " \"*/away\": {\"status\": 307, \"fields\": {\"Location\": \"https://10.0.0.1/\"}}}";

static struct web web_start(const char *folder, const char *option)
{
    struct web w = {0};
    int        in[2], out[2];
    char       text[20] = "";

    if (pipe(in) != 0 || pipe(out) != 0)
        return w;
    w.pid = fork();
    if (w.pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)close(in[1]);
        execlp("python3", "python3", WEB, option, "--name", "good.example", "--name", "localhost", folder, (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    if (write(in[1], pages, strlen(pages)) < 0 || close(in[1]) != 0 || read(out[0], text, sizeof text - 1) <= 0)
        return w;
    (void)close(out[0]);
    w.port = (unsigned)atoi(text);
    return w;
}

static void web_stop(struct web *w)
{
    (void)kill(w->pid, SIGKILL);
    (void)waitpid(w->pid, NULL, 0);
}

/* ---- asking ---- */

static struct fetch_limits limits;
static struct ipc_limits   ipc;
static struct web          secure, plain, old;

struct world {
    struct fake_dns     *dns;
    struct fetch_server *server;
    struct ipc_server   *role;
    struct fetch_client *client;
};

static struct arena  arena;
static struct buf    out;
static struct fail   why;
static struct fetch_answer answer;

static bool ask(struct world *w, const char *scheme, const char *host, unsigned port, const char *path, struct fetch_request q)
{
    arena_reset(&arena);
    buf_reset(&out);
    why = (struct fail){0};
    answer = (struct fetch_answer){0};
    q.url = arena_printf(&arena, "%s://%s:%u%s", scheme, host, port, path);
    return fetch_ask(w->client, &q, &arena, &answer, &out, &why);
}

#define GET(...) ((struct fetch_request){.url = {0}, __VA_ARGS__})

static void test_requests(struct world *w)
{
    CHECK("a page", ask(w, "https", "good.example", secure.port, "/fresh", GET()) && answer.status == 200 && answer.fresh == 77);
    CHECK_SLICE("its text", buf_slice(&out), SLICE("f"));
    CHECK_SLICE("its type", answer.content_type, SLICE("text/plain"));
    CHECK("a page that is not there", ask(w, "https", "good.example", secure.port, "/no", GET()) && answer.status == 404 && answer.fresh == -1);
    CHECK("plain http to a helper", ask(w, "http", "127.0.0.1", plain.port, "/bytes/3", GET()) && out.len == 3);
    CHECK("localhost", ask(w, "https", "localhost", secure.port, "/bytes/4", GET()) && out.len == 4);

    CHECK("a post", ask(w, "http", "127.0.0.1", plain.port, "/echo",
                        GET(.post = true, .body = SLICE("abc"), .content_type = SLICE("text/x"), .authorization = SLICE("Bearer t"),
                            .fields = SLICE("Rcpt: b@example.org\r\nIP: 192.0.2.1\r\n"))));
    static const char *const lines[] = {"POST 127.0.0.1\n", "Content-Type: text/x\n", "Authorization: Bearer t\n",
                                        "Rcpt: b@example.org\n", "IP: 192.0.2.1\n", "Content-Length: 3\n", "\n\nabc"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        CHECK(lines[i], slice_find(buf_slice(&out), slice_of(lines[i])) < out.len);
    CHECK("nothing of ours it does not need", slice_find(buf_slice(&out), SLICE("Expect")) == out.len &&
                                                  slice_find(buf_slice(&out), SLICE("Cookie")) == out.len);
}

static void test_bodies(struct world *w)
{
    struct buf large;
    int        fd = memfd_create("body", MFD_CLOEXEC), ends[2];

    buf_init(&large, 1 << 20);
    for (int i = 0; i < 20000; i++)
        buf_addf(&large, "line %05d\r\n", i);
    CHECK("a large body", ask(w, "http", "127.0.0.1", plain.port, "/echo", GET(.post = true, .body = buf_slice(&large))));
    CHECK("arrives", slice_ends(buf_slice(&out), buf_slice(&large)));
    CHECK("a file", fd >= 0 && io_pwrite_all(fd, buf_slice(&large), 0, NULL));
    CHECK("as body", ask(w, "http", "127.0.0.1", plain.port, "/echo", GET(.post = true, .has_body_fd = true, .body_fd = fd)));
    CHECK("arrives too", slice_ends(buf_slice(&out), buf_slice(&large)));
    CHECK("and again", ask(w, "http", "127.0.0.1", plain.port, "/echo", GET(.post = true, .has_body_fd = true, .body_fd = fd)) &&
                           slice_ends(buf_slice(&out), buf_slice(&large)));
    CHECK("empty", ftruncate(fd, 0) == 0 &&
                       ask(w, "http", "127.0.0.1", plain.port, "/echo", GET(.post = true, .has_body_fd = true, .body_fd = fd)));
    CHECK("a pipe is none", pipe(ends) == 0 && !ask(w, "http", "127.0.0.1", plain.port, "/echo",
                                                    GET(.post = true, .has_body_fd = true, .body_fd = ends[0])));
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(fd);
    buf_finish(&large);
}

static void test_limits(struct world *w)
{
    CHECK("by descriptor", ask(w, "https", "good.example", secure.port, "/bytes/300000", GET()) && out.len == 300000);
    CHECK("just so long", ask(w, "https", "good.example", secure.port, "/bytes/100", GET(.most = 100)) && out.len == 100);
    /* limit: fetch.answer_bytes */
    CHECK("too long", !ask(w, "https", "good.example", secure.port, "/bytes/101", GET(.most = 100)) && why.reason == FAIL_TOO_BIG &&
                          why.kind == FAIL_TEMP);
    CHECK("the server's own limit", !ask(w, "https", "good.example", secure.port, "/bytes/2000000", GET()) && why.reason == FAIL_TOO_BIG);
    CHECK("too slow", !ask(w, "https", "good.example", secure.port, "/stall", GET(.seconds = 1)) && why.kind == FAIL_TEMP);
}

static void test_redirects(struct world *w)
{
    CHECK("not asked for", ask(w, "https", "good.example", secure.port, "/redirect/bytes/3", GET()) && answer.status == 302 && out.len == 0);
    CHECK("asked for", ask(w, "https", "good.example", secure.port, "/redirect/bytes/3", GET(.redirects = true)) && answer.status == 200 &&
                           out.len == 3);
    CHECK("round and round", !ask(w, "https", "good.example", secure.port, "/loop", GET(.redirects = true)) && why.reason == FAIL_LIMIT);
    CHECK("down to http", !ask(w, "https", "good.example", secure.port, "/down", GET(.redirects = true)) && why.reason == FAIL_NOT_ALLOWED);
    CHECK("into our network", !ask(w, "https", "good.example", secure.port, "/away", GET(.redirects = true)) &&
                                  why.reason == FAIL_NOT_ALLOWED);
    CHECK("a post is not sent on", ask(w, "https", "good.example", secure.port, "/redirect/echo",
                                       GET(.post = true, .redirects = true, .body = SLICE("x"))) && answer.status == 302);
}

static void test_refusals(struct world *w)
{
    static const struct { const char *note, *scheme, *host; unsigned port; enum fail_reason reason; } cases[] = {
        {"http to anybody", "http", "good.example", 80, FAIL_NOT_ALLOWED},
        {"a private address", "https", "10.0.0.1", 443, FAIL_NOT_ALLOWED},
        {"loopback that is no helper", "https", "127.0.0.1", 443, FAIL_NOT_ALLOWED},
        {"a name that leads into our network", "https", "inside.example", 443, FAIL_NOT_ALLOWED},
        {"... by IPv6", "https", "inside6.example", 443, FAIL_NOT_ALLOWED},
        {"localhost that is no helper", "https", "localhost", 443, FAIL_NOT_ALLOWED},
        {"another service's port", "https", "outside.example", 25, FAIL_NOT_ALLOWED},
        {"no such name", "https", "nobody.example", 443, FAIL_NOT_FOUND},
        {"DNS does not answer", "https", "broken.example", 443, FAIL_OTHER},
        {"no URL", "https", "a@b", 443, FAIL_INVALID},
        {"no protocol of ours", "gopher", "good.example", 443, FAIL_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK(cases[i].note, !ask(w, cases[i].scheme, cases[i].host, cases[i].port, "/", GET()) && why.reason == cases[i].reason);
    CHECK("a name that the certificate has not", !ask(w, "https", "other.example", secure.port, "/", GET()) && why.reason == FAIL_AUTH);
    CHECK("a field that would be two", !ask(w, "https", "good.example", secure.port, "/", GET(.fields = SLICE("A: b\r\nHost: x\r\n"))));
    CHECK("an Authorization that would be two", !ask(w, "https", "good.example", secure.port, "/", GET(.authorization = SLICE("a\r\nB: c"))));
    CHECK("a GET with a body", !ask(w, "https", "good.example", secure.port, "/", GET(.body = SLICE("x"))));
}

/* ---- connections ---- */

static int listen_unix(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(at.sun_path, path, strnlen(path, sizeof at.sun_path - 1));
    (void)unlink(path);
    return bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0 ? fd : -1;
}

static void test_connections(struct world *w, const char *unix_helper, const char *inet_helper)
{
    char letter = 0;
    int  listening = listen_unix(unix_helper + strlen("unix:"));
    int  fd = fetch_connect(w->client, slice_of(unix_helper), 5, &why);
    int  other = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

    CHECK("a Unix socket", fd >= 0 && other >= 0 && write(fd, "a", 1) == 1 && read(other, &letter, 1) == 1 && letter == 'a');
    (void)close(fd);
    (void)close(other);
    (void)close(listening);
    (void)unlink(unix_helper + strlen("unix:"));
    CHECK("nobody listens", fetch_connect(w->client, slice_of(unix_helper), 5, &why) == -1 && why.kind == FAIL_TEMP);
    fd = fetch_connect(w->client, slice_of(inet_helper), 5, &why);
    CHECK("a TCP port", fd >= 0 && write(fd, "GET /bytes/1 HTTP/1.0\r\n\r\n", 25) == 25 && read(fd, &letter, 1) == 1 && letter == 'H');
    (void)close(fd);
    CHECK("one the config does not name", fetch_connect(w->client, SLICE("inet:25@127.0.0.1"), 5, &why) == -1 && why.kind == FAIL_PERM &&
                                              why.reason == FAIL_NOT_ALLOWED);
    CHECK("a web server is none", fetch_connect(w->client, SLICE("http://127.0.0.1:1"), 5, &why) == -1 && why.kind == FAIL_PERM);
}

/* ---- a role that was taken over ---- */

static bool lie(void *ctx, struct ipc_reader *request, struct ipc_message *m, struct fail *reason)
{
    int *pipe_end = ctx;

    (void)reason;
    if (request->type == FETCH_MSG_REQUEST) {
        ipc_add_u64(m, 200);
        ipc_add_bytes(m, SLICE("text/plain"));
        ipc_add_i64(m, -1);
        ipc_add_u64(m, 1 << 30);
        ipc_add_bytes(m, SLICE(""));
    }
    ipc_add_fd(m, dup(*pipe_end));
    return true;
}

static void test_liar(void)
{
    int                ends[2], hole[2];
    struct ipc_service service = {.name = "liar", .handle = lie, .ctx = &hole[0]};
    struct world       w = {.role = ipc_server_create(&ipc, &service, NULL), .client = fetch_client_create(&limits, &ipc, NULL)};

    CHECK("nobody there", !ask(&w, "https", "good.example", 443, "/", GET()) && why.kind == FAIL_TEMP);
    CHECK("a connection", pipe(hole) == 0 && ipc_socket_pair(ends, NULL) && ipc_server_attach(w.role, ends[1], NULL));
    fetch_client_attach(w.client, ends[0]);
    CHECK("an answer from a pipe", !ask(&w, "https", "good.example", 443, "/", GET()) && why.kind == FAIL_TEMP && out.len == 0);
    CHECK("a socket that is a pipe", fetch_connect(w.client, SLICE("unix:/x"), 1, &why) == -1 && why.kind == FAIL_TEMP);
    fetch_client_destroy(&w.client);
    ipc_server_destroy(&w.role);
    (void)close(hole[0]);
    (void)close(hole[1]);
}

static void remove_folder(const char *folder)
{
    static const char *const files[] = {"ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "server.csr", "server.ext"};
    char path[200];

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

int main(void)
{
    static const struct fake_dns_row rows[] = {
        {"good.example", DNS_A, .records = {"127.0.0.1"}},     {"other.example", DNS_A, .records = {"127.0.0.1"}},
        {"inside.example", DNS_A, .records = {"192.168.1.1"}}, {"inside6.example", DNS_AAAA, .records = {"::1"}},
        {"outside.example", DNS_A, .records = {"192.0.2.1"}},  {"broken.example", DNS_A, .status = DNS_FAILED},
        {"broken.example", DNS_AAAA, .status = DNS_FAILED},
    };
    char         folder[] = "/tmp/test_fetch_XXXXXX", helper[7][100], authorities[100];
    const char  *helpers[] = {helper[0], helper[1], helper[2], helper[3], helper[4], helper[5], helper[6], NULL};
    int          ends[2];
    struct world w = {0};

    CHECK("a folder", mkdtemp(folder) != NULL);
    fetch_limits_default(&limits);
    ipc_limits_default(&ipc);
    arena_init(&arena, 1 << 20);
    buf_init(&out, 4 << 20);
    secure = web_start(folder, "--port=0");
    plain = web_start(folder, "--http");
    old = web_start(folder, "--expired");
    CHECK("web servers", secure.port != 0 && plain.port != 0 && old.port != 0);
    (void)snprintf(helper[0], sizeof helper[0], "https://good.example:%u", secure.port);
    (void)snprintf(helper[1], sizeof helper[1], "http://127.0.0.1:%u", plain.port);
    (void)snprintf(helper[2], sizeof helper[2], "unix:%s/milter", folder);
    (void)snprintf(helper[3], sizeof helper[3], "inet:%u@localhost", plain.port);
    (void)snprintf(helper[4], sizeof helper[4], "https://localhost:%u", secure.port);
    (void)snprintf(authorities, sizeof authorities, "%s/ca.pem", folder);
    (void)snprintf(helper[5], sizeof helper[5], "https://other.example:%u", secure.port);
    (void)snprintf(helper[6], sizeof helper[6], "https://good.example:%u", old.port);

    w.dns = fake_dns_start(rows, ARRAY_LEN(rows));
    const struct fetch_setting setting = {.limits = limits, .helpers = helpers, .authorities = authorities, .dns = w.dns->client};
    CHECK("a server", fetch_server_create(&setting, &w.server, &why));
    struct ipc_service service = fetch_server_service(w.server);
    w.role = ipc_server_create(&ipc, &service, &why);
    w.client = fetch_client_create(&limits, &ipc, &why);
    CHECK("a connection", ipc_socket_pair(ends, &why) && ipc_server_attach(w.role, ends[1], &why));
    fetch_client_attach(w.client, ends[0]);

    test_requests(&w);
    test_bodies(&w);
    test_limits(&w);
    test_redirects(&w);
    test_refusals(&w);
    test_connections(&w, helper[2], helper[3]);
    CHECK("an expired certificate", !ask(&w, "https", "good.example", old.port, "/", GET()) && why.reason == FAIL_AUTH);

    fetch_client_destroy(&w.client);
    ipc_server_destroy(&w.role);
    fetch_server_destroy(&w.server);
    fake_dns_stop(&w.dns);
    web_stop(&secure);
    web_stop(&plain);
    web_stop(&old);
    remove_folder(folder);
    test_liar();
    buf_finish(&out);
    arena_finish(&arena);
    return check_done();
}
