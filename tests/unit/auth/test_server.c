/* auth: client, server and control socket over real sockets, in one process. */
#include "auth/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "auth/client.h"
#include "auth/control.h"
#include "base/log.h"
#include "tests/unit/check.h"

static char path[64];
static struct fail why;
static struct auth_limits limits;
static struct ipc_limits ipc;
static struct auth_server *server;
static struct ipc_server *mail_server, *control_server;
static struct auth_client *client;
static struct ipc_client *control;

/* ---- a session that can be woken ---- */

struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    unsigned times, heard;
};

static void ring(void *ctx)
{
    struct bell *b = ctx;

    (void)pthread_mutex_lock(&b->lock);
    b->times++;
    (void)pthread_cond_signal(&b->rung);
    (void)pthread_mutex_unlock(&b->lock);
}

static void hear(struct bell *b)
{
    (void)pthread_mutex_lock(&b->lock);
    while (b->heard == b->times)
        (void)pthread_cond_wait(&b->rung, &b->lock);
    b->heard = b->times;
    (void)pthread_mutex_unlock(&b->lock);
}

static struct bell bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};
static struct waker bell_waker = {.wake = ring, .ctx = &bell};

static enum auth_state wait_for(struct auth_exchange *x, struct auth_answer *out)
{
    enum auth_state state;

    while ((state = auth_poll(x, out)) == AUTH_PENDING)
        hear(&bell);
    return state;
}

static const struct auth_context about = {.service = {"imap", 4},
                                          .peer = {"192.0.2.1", 9},
                                          .session = {"k1", 2},
                                          .domain = {"example.org", 11},
                                          .tls = true};

/* ---- both ends ---- */

static int connected(struct ipc_server *to)
{
    int ends[2];

    if (!ipc_socket_pair(ends, &why) || !ipc_server_attach(to, ends[1], &why))
        bug("%s", why.text);
    return ends[0];
}

static void start_server(void)
{
    struct ipc_service service, control_service;

    if (!auth_server_open(path, &limits, &server, &why))
        bug("%s", why.text);
    service = auth_server_service(server);
    control_service = auth_server_control(server);
    mail_server = ipc_server_create(&ipc, &service, &why);
    control_server = ipc_server_create(&ipc, &control_service, &why);
    if (mail_server == NULL || control_server == NULL)
        bug("%s", why.text);
    auth_server_tell(server, mail_server);
}

static void stop_server(void)
{
    ipc_server_destroy(&control_server);
    auth_server_tell(server, NULL);
    ipc_server_destroy(&mail_server);
    auth_server_close(&server);
}

/* ---- tests ---- */

static _Atomic uint64_t changed_account;

static void changed(void *ctx, uint64_t account)
{
    (void)ctx;
    changed_account = account;
    ring(&bell);
}

static void hear_of(uint64_t account)
{
    while (changed_account != account)
        hear(&bell);
    changed_account = 0;
}

static void test_without_server(void)
{
    struct auth_answer a;
    struct auth_exchange *x = auth_password(client, &about, SLICE("ann"), SLICE("secret"), bell_waker);

    CHECK("the session is woken", bell.times > 0);
    CHECK("nobody there", wait_for(x, &a) == AUTH_FAILED && a.why.kind == FAIL_TEMP);
    auth_exchange_destroy(&x);
    auth_exchange_destroy(&x);
}

static void test_passwords(void)
{
    CHECK("set", auth_control_set_password(control, 1, SLICE("Ann@example.org"), SLICE("secret"), &why));
    hear_of(1);
    CHECK("set", auth_control_set_password(control, 2, SLICE("bob@example.org"), SLICE("x"), &why));
    hear_of(2);
    CHECK("refused with the reason",
          !auth_control_set_password(control, 1, SLICE("bob@example.org"), SLICE("y"), &why) &&
              why.kind == FAIL_PERM && why.reason == FAIL_EXISTS);
    CHECK("empty", !auth_control_set_password(control, 3, SLICE("eve@example.org"), SLICE(""), &why) &&
                       why.reason == FAIL_INVALID);
    CHECK("not there", !auth_control_remove(control, 9, &why) && why.reason == FAIL_NOT_FOUND);
}

static void test_password_logins(void)
{
    struct auth_answer a;
    struct auth_exchange *x = auth_password(client, &about, SLICE("ANN"), SLICE("secret"), bell_waker);

    CHECK("right", wait_for(x, &a) == AUTH_OK && a.account == 1);
    CHECK_SLICE("right", a.login, SLICE("ann@example.org"));
    CHECK("asked again", auth_poll(x, &a) == AUTH_OK && a.account == 1);
    auth_exchange_destroy(&x);

    x = auth_password(client, &about, SLICE("bob"), SLICE("secret"), bell_waker);
    CHECK("wrong", wait_for(x, &a) == AUTH_FAILED && a.why.kind == FAIL_PERM && a.why.reason == FAIL_AUTH);
    CHECK("after a while", a.delay_ms > 0);
    CHECK_SLICE("wrong", a.login, SLICE("bob@example.org"));
    CHECK("5.7.8", strcmp(a.why.code, "5.7.8") == 0);
    auth_exchange_destroy(&x);
}

static void test_sasl(void)
{
    static const struct {
        const char *note, *mechanism;
        struct slice first, second;
        enum auth_state end;
        enum fail_reason reason;
    } cases[] = {
        {"PLAIN", "PLAIN", SLICE("\0ann\0secret"), {0}, AUTH_OK, FAIL_OTHER},
        {"PLAIN, asked", "PLAIN", {0}, SLICE("\0ann\0secret"), AUTH_OK, FAIL_OTHER},
        {"LOGIN", "LOGIN", SLICE("ann"), SLICE("secret"), AUTH_OK, FAIL_OTHER},
        {"LOGIN, wrong", "LOGIN", SLICE("ann"), SLICE("Secret"), AUTH_FAILED, FAIL_AUTH},
        {"PLAIN, malformed", "PLAIN", SLICE("ann"), {0}, AUTH_FAILED, FAIL_INVALID},
        {"unknown mechanism", "CRAM-MD5", {0}, {0}, AUTH_FAILED, FAIL_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_answer a;
        struct auth_exchange *x = auth_start(client, &about, slice_of(cases[i].mechanism),
                                             cases[i].first.ptr != NULL, cases[i].first, bell_waker);
        enum auth_state state = wait_for(x, &a);
        CHECK(cases[i].note, (state == AUTH_CONTINUE) == (cases[i].second.ptr != NULL));
        if (state == AUTH_CONTINUE) {
            auth_respond(x, cases[i].second);
            state = wait_for(x, &a);
        }
        CHECK(cases[i].note, state == cases[i].end);
        CHECK(cases[i].note, state == AUTH_OK ? a.account == 1 : a.why.reason == cases[i].reason);
        auth_exchange_destroy(&x);
    }
    CHECK_SLICE("mechanisms", auth_mechanisms(client, true), SLICE("PLAIN LOGIN"));
}

/* Exchanges do not meet. */
static void test_two_at_once(void)
{
    struct auth_answer a;
    struct auth_exchange *ann = auth_start(client, &about, SLICE("LOGIN"), true, SLICE("ann"), bell_waker);
    struct auth_exchange *bob = auth_start(client, &about, SLICE("LOGIN"), true, SLICE("bob"), bell_waker);

    CHECK("both are asked", wait_for(ann, &a) == AUTH_CONTINUE && wait_for(bob, &a) == AUTH_CONTINUE);
    auth_respond(ann, SLICE("secret"));
    auth_respond(bob, SLICE("x"));
    CHECK("ann", wait_for(ann, &a) == AUTH_OK && a.account == 1);
    CHECK("bob", wait_for(bob, &a) == AUTH_OK && a.account == 2);
    auth_exchange_destroy(&ann);
    auth_exchange_destroy(&bob);
}

static void test_many_at_once(void)
{
    enum { MANY = 40 };
    struct auth_exchange *x[MANY];
    struct auth_answer a;

    for (unsigned i = 0; i < MANY; i++)
        x[i] = auth_password(client, &about, i % 2 == 0 ? SLICE("ann") : SLICE("bob"),
                             i % 2 == 0 ? SLICE("secret") : SLICE("x"), bell_waker);
    auth_exchange_destroy(&x[7]); /* while pending */
    for (unsigned i = 0; i < MANY; i++) {
        if (x[i] != NULL)
            CHECK("each its own answer", wait_for(x[i], &a) == AUTH_OK && a.account == 1 + i % 2);
        auth_exchange_destroy(&x[i]);
    }
}

static bool show(void *ctx, const struct auth_credential *k)
{
    struct buf *out = ctx;

    buf_addf(out, "%llu " PRIslice " %s " PRIslice " " PRIslice "\n", (unsigned long long)k->account,
             SLICE_ARG(k->login), k->changed > 0 && k->last_used >= k->changed ? "used" : "unused",
             SLICE_ARG(k->last_service), SLICE_ARG(k->last_peer));
    return true;
}

static bool count_two(void *ctx, const struct auth_credential *k)
{
    (void)k;
    return ++*(unsigned *)ctx < 2;
}

static bool count_all(void *ctx, const struct auth_credential *k)
{
    (void)k;
    ++*(unsigned *)ctx;
    return true;
}

static void test_list(void)
{
    struct buf text;
    unsigned n = 0;

    buf_init(&text, 4096);
    CHECK("list", auth_control_list(control, show, &text, &why));
    CHECK_SLICE("list", buf_slice(&text),
                SLICE("1 ann@example.org used imap 192.0.2.1\n2 bob@example.org used imap 192.0.2.1\n"));
    buf_finish(&text);
    for (uint64_t id = 100; id < 230; id++) {
        char login[32];
        (void)snprintf(login, sizeof login, "n%u@example.org", (unsigned)id);
        CHECK("more", auth_server_set_password(server, id, slice_of(login), SLICE("x"), &why));
    }
    CHECK("several pages", auth_control_list(control, count_all, &n, &why) && n == 132);
    n = 0;
    CHECK("stopped", auth_control_list(control, count_two, &n, &why) && n == 2);
    hear_of(229);
}

/* What was begun with one `auth` process means nothing to the next. */
static void test_restart(void)
{
    struct auth_answer a;
    struct auth_exchange *x = auth_start(client, &about, SLICE("LOGIN"), true, SLICE("ann"), bell_waker);

    CHECK("begun", wait_for(x, &a) == AUTH_CONTINUE);
    CHECK_SLICE("begun", a.challenge, SLICE("Password:"));
    stop_server();
    start_server();
    auth_client_attach(client, connected(mail_server));
    auth_respond(x, SLICE("secret"));
    CHECK("lost, for now", wait_for(x, &a) == AUTH_FAILED && a.why.kind == FAIL_TEMP);
    auth_exchange_destroy(&x);
    x = auth_password(client, &about, SLICE("ann"), SLICE("secret"), bell_waker);
    CHECK("a new one works", wait_for(x, &a) == AUTH_OK);
    auth_exchange_destroy(&x);
    x = auth_start(client, &about, SLICE("LOGIN"), true, SLICE("ann"), bell_waker);
    CHECK("begun", wait_for(x, &a) == AUTH_CONTINUE);
    auth_exchange_destroy(&x); /* abandoned */
}

static void test_removal(void)
{
    struct auth_answer a;
    struct auth_exchange *x;

    ipc_client_attach(control, connected(control_server));
    CHECK("removed", auth_control_remove(control, 1, &why));
    hear_of(1);
    x = auth_password(client, &about, SLICE("ann"), SLICE("secret"), bell_waker);
    CHECK("no more", wait_for(x, &a) == AUTH_FAILED && a.why.reason == FAIL_AUTH);
    auth_exchange_destroy(&x);
}

/* Whatever the other role sends: an answer that it was wrong, and nothing else. */
static void test_garbage(void)
{
    static const uint16_t types[] = {1, 2, 3, 4, 5, 6, 7, 8, 99};
    struct ipc_client *c = ipc_client_create(&ipc, "auth", NULL, NULL, &why);

    ipc_client_attach(c, connected(mail_server));
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct ipc_message m;
        struct ipc_reader r;
        ipc_message_init(&m, types[i]);
        ipc_add_bool(&m, true);
        struct ipc_call *call = ipc_call_start(c, &m, (struct waker){0}, &why);
        if (call != NULL) {
            ipc_call_wait(call);
            CHECK("refused", !ipc_call_answer(call, &r, &why));
        }
        ipc_call_end(&call);
        ipc_message_finish(&m);
    }
    ipc_client_destroy(&c);
}

int main(void)
{
    char dir[] = "/tmp/auth-XXXXXX";

    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/auth.db", dir);
    auth_limits_cheap(&limits);
    log_set_level(LOG_ERROR);
    ipc_limits_default(&ipc);
    client = auth_client_create(&ipc, &why);
    control = ipc_client_create(&ipc, "auth", NULL, NULL, &why);
    if (client == NULL || control == NULL)
        return 1;
    auth_client_on_change(client, changed, NULL);
    test_without_server();
    start_server();
    auth_client_attach(client, connected(mail_server));
    ipc_client_attach(control, connected(control_server));
    test_passwords();
    test_password_logins();
    test_sasl();
    test_two_at_once();
    test_many_at_once();
    test_list();
    test_restart();
    test_removal();
    test_garbage();
    auth_client_destroy(&client);
    ipc_client_destroy(&control);
    stop_server();
    (void)unlink(path);
    (void)rmdir(dir);
    return check_done();
}
