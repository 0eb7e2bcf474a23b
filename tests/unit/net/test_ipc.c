/* net/ipc: messages, both sides, and what a broken other side can do. */
#include "net/ipc.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "net/ipc_wire.h"
#include "tests/unit/check.h"

enum { ECHO = 1, REFUSE, MEET, NEVER, FILE_LENGTH, HUGE_ANSWER, TELL };

/* ---- messages ---- */

static struct ipc_reader reader_over(const struct ipc_message *m)
{
    return (struct ipc_reader){.type = m->type, .rest = buf_slice(&m->bytes)};
}

static void test_fields(void)
{
    struct ipc_message m;
    struct ipc_reader r;

    ipc_message_init(&m, ECHO);
    ipc_add_u64(&m, UINT64_MAX);
    ipc_add_i64(&m, INT64_MIN);
    ipc_add_bool(&m, true);
    ipc_add_bool(&m, false);
    ipc_add_bytes(&m, slice_make("a\0b", 3));
    ipc_add_bytes(&m, SLICE(""));
    r = reader_over(&m);
    CHECK("numbers", ipc_get_u64(&r) == UINT64_MAX && ipc_get_i64(&r) == INT64_MIN);
    CHECK("truths", ipc_get_bool(&r) && !ipc_get_bool(&r) && !r.failed);
    CHECK_SLICE("bytes", ipc_get_bytes(&r), slice_make("a\0b", 3));
    CHECK("not at the end", !ipc_at_end(&r));
    CHECK_SLICE("no bytes", ipc_get_bytes(&r), SLICE(""));
    CHECK("all read", ipc_at_end(&r) && ipc_end(&r));
    CHECK("nothing behind the end", ipc_get_u64(&r) == 0 && r.failed && !ipc_end(&r));

    r = reader_over(&m);
    CHECK("another type", ipc_get_i64(&r) == 0 && r.failed);
    CHECK("stays failed", ipc_get_u64(&r) == 0 && ipc_get_bytes(&r).len == 0 && ipc_at_end(&r));
    r = reader_over(&m);
    (void)ipc_get_u64(&r);
    CHECK("left over", !ipc_end(&r));
    r = reader_over(&m);
    CHECK("no descriptor", ipc_take_fd(&r) == -1 && r.failed);
    for (size_t cut = 0; cut < m.bytes.len; cut++) {
        r = (struct ipc_reader){.rest = slice_make(m.bytes.data, cut)};
        (void)ipc_get_u64(&r), (void)ipc_get_i64(&r), (void)ipc_get_bool(&r), (void)ipc_get_bool(&r);
        (void)ipc_get_bytes(&r), (void)ipc_get_bytes(&r);
        CHECK("cut short", !ipc_end(&r));
    }
    ipc_message_finish(&m);
}

static void test_failures(void)
{
    struct ipc_message m;
    struct ipc_reader r;
    struct fail in, out;

    fail_code(&in, FAIL_PERM, FAIL_AUTH, "5.7.8", "no\nsuch user");
    memcpy(in.text, "no\nsuch", 7);
    ipc_message_init(&m, ECHO);
    ipc_add_fail(&m, &in);
    r = reader_over(&m);
    ipc_get_fail(&r, &out);
    CHECK("kind and reason", out.kind == FAIL_PERM && out.reason == FAIL_AUTH);
    CHECK_SLICE("code", slice_of(out.code), SLICE("5.7.8"));
    CHECK_SLICE("cleaned text", slice_of(out.text), SLICE("no?such user"));
    ipc_message_finish(&m);

    ipc_message_init(&m, ECHO);
    ipc_add_u64(&m, 99);
    ipc_add_u64(&m, 99);
    ipc_add_bytes(&m, SLICE(""));
    ipc_add_bytes(&m, SLICE(""));
    r = reader_over(&m);
    ipc_get_fail(&r, &out);
    CHECK("unknown kinds are no failure of ours", out.kind == FAIL_TEMP && out.reason == FAIL_OTHER);
    ipc_message_finish(&m);
}

/* ---- a server to ask ---- */

struct world {
    struct ipc_server *server;
    struct ipc_client *client;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned met, told, heard, woken;
};

static bool handle(void *ctx, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct world *w = ctx;
    struct slice text;
    int fd;

    switch (r->type) {
    case ECHO:
        text = ipc_get_bytes(r);
        if (!ipc_end(r))
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "bad fields");
        ipc_add_bytes(answer, text);
        return true;
    case REFUSE: return fail_code(why, FAIL_PERM, FAIL_NOT_FOUND, "5.1.1", "nobody of that name");
    case MEET: /* two requests that wait for each other: both must be running */
        (void)pthread_mutex_lock(&w->lock);
        w->met++;
        (void)pthread_cond_broadcast(&w->changed);
        while (w->met < 2)
            (void)pthread_cond_wait(&w->changed, &w->lock);
        (void)pthread_mutex_unlock(&w->lock);
        return true;
    case FILE_LENGTH:
        fd = ipc_take_fd(r);
        ipc_add_u64(answer, (uint64_t)lseek(fd, 0, SEEK_END));
        ipc_add_fd(answer, fd);
        return true;
    case HUGE_ANSWER:
        for (unsigned i = 0; i < 70; i++) {
            static const char kilobyte[1024];
            ipc_add_bytes(answer, slice_make(kilobyte, sizeof(kilobyte)));
        }
        return true;
    case TELL:
        (void)pthread_mutex_lock(&w->lock);
        w->told++;
        (void)pthread_cond_broadcast(&w->changed);
        (void)pthread_mutex_unlock(&w->lock);
        return true;
    }
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "no such request");
}

static void heard(void *ctx, struct ipc_reader *r)
{
    struct world *w = ctx;

    (void)pthread_mutex_lock(&w->lock);
    if (r->type == TELL && ipc_get_u64(r) == 42 && ipc_end(r))
        w->heard++;
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
}

static void woken(void *ctx)
{
    struct world *w = ctx;

    (void)pthread_mutex_lock(&w->lock);
    w->woken++;
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
}

static void wait_for(struct world *w, const unsigned *what, unsigned want)
{
    (void)pthread_mutex_lock(&w->lock);
    while (*what < want)
        (void)pthread_cond_wait(&w->changed, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
}

static struct ipc_call *start(struct world *w, uint16_t type, struct slice text, struct fail *why)
{
    struct ipc_message m;

    ipc_message_init(&m, type);
    if (text.ptr != NULL)
        ipc_add_bytes(&m, text);
    struct ipc_call *call = ipc_call_start(w->client, &m, (struct waker){woken, w}, why);
    ipc_message_finish(&m);
    return call;
}

static void connect_them(struct world *w)
{
    int ends[2];
    struct fail why;

    CHECK("pair", ipc_socket_pair(ends, &why) && ipc_server_attach(w->server, ends[0], &why));
    ipc_client_attach(w->client, ends[1]);
}

static void set_up(struct world *w, unsigned timeout)
{
    struct ipc_limits limits;
    struct ipc_service service = {.name = "test", .handle = handle, .ctx = w};
    struct fail why;

    *w = (struct world){0};
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    ipc_limits_default(&limits);
    limits.timeout_seconds = timeout;
    limits.calls_max = 100;
    w->server = ipc_server_create(&limits, &service, &why);
    w->client = ipc_client_create(&limits, "the server", heard, w, &why);
    if (w->server == NULL || w->client == NULL)
        bug("%s", why.text);
}

static void tear_down(struct world *w)
{
    ipc_client_destroy(&w->client);
    ipc_server_destroy(&w->server);
}

static void test_calls(void)
{
    struct world w;
    struct fail why;
    struct ipc_reader r;
    struct ipc_call *call, *other;

    set_up(&w, 30);
    CHECK("nobody there", start(&w, ECHO, SLICE("x"), &why) == NULL && why.kind == FAIL_TEMP);
    connect_them(&w);

    call = start(&w, ECHO, SLICE("hello"), &why);
    wait_for(&w, &w.woken, 1);
    CHECK("done when woken", ipc_call_done(call) && ipc_call_answer(call, &r, &why));
    CHECK_SLICE("answer", ipc_get_bytes(&r), SLICE("hello"));
    CHECK("whole", ipc_end(&r));
    ipc_call_end(&call);
    ipc_call_end(&call);

    call = start(&w, REFUSE, (struct slice){0}, &why);
    ipc_call_wait(call);
    CHECK("refused",
          !ipc_call_answer(call, &r, &why) && why.kind == FAIL_PERM && why.reason == FAIL_NOT_FOUND);
    CHECK_SLICE("story", slice_of(why.text), SLICE("nobody of that name"));
    CHECK_SLICE("code", slice_of(why.code), SLICE("5.1.1"));
    ipc_call_end(&call);

    call = start(&w, HUGE_ANSWER, (struct slice){0}, &why);
    ipc_call_wait(call);
    /* limit: a message between roles */
    CHECK("answer too long", !ipc_call_answer(call, &r, &why) && why.kind == FAIL_TEMP);
    ipc_call_end(&call);

    call = start(&w, MEET, (struct slice){0}, &why);
    other = start(&w, MEET, (struct slice){0}, &why);
    ipc_call_wait(call);
    ipc_call_wait(other);
    CHECK("side by side", ipc_call_answer(call, &r, &why) && ipc_call_answer(other, &r, &why));
    ipc_call_end(&other);
    ipc_call_end(&call);

    for (unsigned i = 0; i < 50; i++) { /* given back before the answer is there */
        call = start(&w, ECHO, SLICE("nobody reads this"), &why);
        ipc_call_end(&call);
    }
    call = start(&w, ECHO, SLICE("still alive"), &why);
    ipc_call_wait(call);
    CHECK("after those", ipc_call_answer(call, &r, &why));
    ipc_call_end(&call);
    tear_down(&w);
}

static void test_descriptors(void)
{
    struct world w;
    struct fail why;
    struct ipc_reader r;
    struct ipc_message m;
    FILE *f = tmpfile();

    set_up(&w, 30);
    connect_them(&w);
    CHECK("file", f != NULL && fputs("12345", f) >= 0 && fflush(f) == 0);
    ipc_message_init(&m, FILE_LENGTH);
    ipc_add_fd(&m, fileno(f));
    struct ipc_call *call = ipc_call_start(w.client, &m, (struct waker){0}, &why);
    ipc_message_finish(&m);
    ipc_call_wait(call);
    CHECK("answered", ipc_call_answer(call, &r, &why) && ipc_get_u64(&r) == 5);
    int back = ipc_take_fd(&r);
    CHECK("came back", back >= 0 && lseek(back, 0, SEEK_END) == 5);
    CHECK("only once", ipc_take_fd(&r) == -1);
    ipc_call_end(&call);
    CHECK("ours after the call", fcntl(back, F_GETFD) == FD_CLOEXEC);
    (void)close(back);
    (void)fclose(f);
    tear_down(&w);
}

static void test_notices(void)
{
    struct world w;
    struct fail why;
    struct ipc_message m;

    set_up(&w, 30);
    ipc_message_init(&m, TELL);
    ipc_add_u64(&m, 42);
    CHECK("nobody there", !ipc_client_notify(w.client, &m, &why));
    connect_them(&w);
    CHECK("to the server", ipc_client_notify(w.client, &m, &why));
    wait_for(&w, &w.told, 1);
    ipc_server_notify(w.server, &m);
    wait_for(&w, &w.heard, 1);
    ipc_message_finish(&m);
    CHECK("both heard", w.told == 1 && w.heard == 1);
    tear_down(&w);
}

/* A server that does nothing: the other end of the pair is ours. */
static void test_silence(void)
{
    struct world w;
    struct fail why;
    struct ipc_reader r;
    int ends[2];

    set_up(&w, 1);
    CHECK("pair", ipc_socket_pair(ends, &why));
    ipc_client_attach(w.client, ends[1]);
    struct ipc_call *call = start(&w, NEVER, (struct slice){0}, &why);
    ipc_call_wait(call);
    CHECK("too late", !ipc_call_answer(call, &r, &why) && why.kind == FAIL_TEMP);
    ipc_call_end(&call);

    call = start(&w, NEVER, (struct slice){0}, &why);
    struct ipc_header h;
    CHECK("the late one", recv(ends[0], &h, sizeof(h), 0) == sizeof(h));
    h.kind = IPC_ANSWER;
    CHECK("its answer comes after all", send(ends[0], &h, sizeof(h), 0) == sizeof(h));
    CHECK("the next request", recv(ends[0], &h, sizeof(h), 0) == sizeof(h));
    h.kind = IPC_ANSWER;
    h.type = ECHO;
    CHECK("and its answer", send(ends[0], &h, sizeof(h), 0) == sizeof(h));
    ipc_call_wait(call);
    CHECK("is not taken for the other", ipc_call_answer(call, &r, &why) && r.type == ECHO);
    ipc_call_end(&call);

    call = start(&w, NEVER, (struct slice){0}, &why);
    (void)close(ends[0]);
    ipc_call_wait(call);
    CHECK("gone", !ipc_call_answer(call, &r, &why) && why.kind == FAIL_TEMP);
    CHECK_SLICE("says so", slice_of(why.text), SLICE("the server has gone"));
    ipc_call_end(&call);
    CHECK("at once from then on", start(&w, ECHO, SLICE("x"), &why) == NULL);

    CHECK("pair", ipc_socket_pair(ends, &why));
    ipc_client_attach(w.client, ends[1]);
    call = start(&w, NEVER, (struct slice){0}, &why);
    connect_them(&w);
    ipc_call_wait(call);
    CHECK("another socket", !ipc_call_answer(call, &r, &why));
    ipc_call_end(&call);
    call = start(&w, ECHO, SLICE("again"), &why);
    ipc_call_wait(call);
    CHECK("works again", ipc_call_answer(call, &r, &why));
    ipc_call_end(&call);
    (void)close(ends[0]);
    tear_down(&w);
}

/* Raw bytes to either side; each must end that connection and nothing else. */
static void test_attacks(void)
{
    static const struct ipc_header good = {.magic = 0x5048, .type = ECHO, .kind = IPC_REQUEST, .id = 1};
    struct attack {
        const char *note;
        struct ipc_header h;
        size_t n;
        bool to_client;
    } attacks[] = {
        {"short", good, 10, false},
        {"magic", {.magic = 1, .type = ECHO, .kind = IPC_REQUEST, .id = 1}, sizeof(good), false},
        {"kind 0", {.magic = 0x5048, .type = ECHO, .kind = 0, .id = 1}, sizeof(good), false},
        {"kind 9", {.magic = 0x5048, .type = ECHO, .kind = 9, .id = 1}, sizeof(good), false},
        {"an answer to a server",
         {.magic = 0x5048, .type = ECHO, .kind = IPC_ANSWER, .id = 1},
         sizeof(good),
         false},
        {"a request without id",
         {.magic = 0x5048, .type = ECHO, .kind = IPC_REQUEST, .id = 0},
         sizeof(good),
         false},
        {"a notice with id",
         {.magic = 0x5048, .type = ECHO, .kind = IPC_NOTICE, .id = 1},
         sizeof(good),
         false},
        {"type 0", {.magic = 0x5048, .type = 0, .kind = IPC_REQUEST, .id = 1}, sizeof(good), false},
        {"a request to a client", good, sizeof(good), true},
        {"magic to a client", {.magic = 1, .type = ECHO, .kind = IPC_ANSWER, .id = 1}, sizeof(good), true},
    };
    struct world w;
    struct fail why;

    set_up(&w, 30);
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        int ends[2];
        char byte;
        CHECK(attacks[i].note, ipc_socket_pair(ends, &why));
        if (attacks[i].to_client)
            ipc_client_attach(w.client, ends[1]);
        else
            CHECK(attacks[i].note, ipc_server_attach(w.server, ends[1], &why));
        CHECK(attacks[i].note, send(ends[0], &attacks[i].h, attacks[i].n, 0) == (ssize_t)attacks[i].n);
        CHECK(attacks[i].note, recv(ends[0], &byte, 1, 0) <= 0);
        (void)close(ends[0]);
    }
    connect_them(&w);
    struct ipc_call *call = start(&w, ECHO, SLICE("x"), &why);
    struct ipc_reader r;
    ipc_call_wait(call);
    CHECK("all goes on", ipc_call_answer(call, &r, &why));
    ipc_call_end(&call);
    tear_down(&w);
}

static void test_path(void)
{
    struct world w;
    struct fail why;
    char path[] = "/tmp/posthorn-ipc-XXXXXX", long_path[300];

    set_up(&w, 30);
    int file = mkstemp(path);
    CHECK("a file is in the way", file >= 0 && ipc_socket_listen(path, 0600, &why) == -1);
    (void)close(file);
    (void)unlink(path);
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    CHECK("path too long",
          ipc_socket_listen(long_path, 0600, &why) == -1 && ipc_socket_connect(long_path, &why) == -1);
    CHECK("nobody listens", ipc_socket_connect(path, &why) == -1);
    int fd = ipc_socket_listen(path, 0600, &why);
    CHECK("listens", fd >= 0);
    (void)close(fd);
    fd = ipc_socket_listen(path, 0600, &why);
    CHECK("again, over the old one", fd >= 0 && ipc_server_listen(w.server, fd, &why));
    ipc_client_attach(w.client, ipc_socket_connect(path, &why));
    struct ipc_call *call = start(&w, ECHO, SLICE("x"), &why);
    struct ipc_reader r;
    ipc_call_wait(call);
    CHECK("answered", ipc_call_answer(call, &r, &why));
    ipc_call_end(&call);
    (void)unlink(path);
    tear_down(&w);
}

struct asker {
    struct world *w;
    unsigned good;
};

static void *ask_much(void *arg)
{
    struct asker *a = arg;

    for (unsigned i = 0; i < 500; i++) {
        struct fail why;
        struct ipc_reader r;
        char text[20];
        (void)snprintf(text, sizeof(text), "%p %u", arg, i);
        struct ipc_call *call = start(a->w, ECHO, slice_of(text), &why);
        if (call == NULL)
            continue;
        ipc_call_wait(call);
        if (ipc_call_answer(call, &r, &why) && slice_eq(ipc_get_bytes(&r), slice_of(text)))
            a->good++;
        ipc_call_end(&call);
    }
    return NULL;
}

static void test_many(void)
{
    struct world w;
    struct asker askers[4];
    pthread_t threads[4];

    set_up(&w, 30);
    connect_them(&w);
    for (unsigned i = 0; i < 4; i++) {
        askers[i] = (struct asker){.w = &w};
        (void)pthread_create(&threads[i], NULL, ask_much, &askers[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK("each its own answers", askers[i].good == 500);
    }
    tear_down(&w);
}

int main(void)
{
    test_fields();
    test_failures();
    test_calls();
    test_descriptors();
    test_notices();
    test_silence();
    test_attacks();
    test_path();
    test_many();
    return check_done();
}
