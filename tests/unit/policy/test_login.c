/* policy/login: who signs in, who does not, and what the log says of it. */
#include "policy/login.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "auth/server.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/unit/check.h"

static struct fail why;

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
static struct auth_context about = {
    .service = {"imap", 4}, .peer = {"192.0.2.1", 9}, .session = {"k1", 2}, .tls = true};

static enum login_state wait_for(struct login *l, struct login_answer *out)
{
    enum login_state state;

    while ((state = login_poll(l, out)) == LOGIN_PENDING)
        hear(&bell);
    return state;
}

/* Through the delay, as a session would: a wake-up in between does not shorten it. */
static enum login_state wait_through_delay(struct login *l, struct login_answer *out, bool *delayed)
{
    enum login_state state = wait_for(l, out);

    *delayed = state == LOGIN_DELAY;
    while ((state = login_poll(l, out)) == LOGIN_DELAY) {
        CHECK("a delay says how long", out->delay_ms > 0 && out->delay_ms <= 100);
        (void)usleep(out->delay_ms * 1000);
    }
    return state;
}

static const struct {
    const char *note, *user, *password;
    enum login_state state;
    const char *code, *log; /* what the line of the log holds */
} cases[] = {
    {"right", "ann@example.org", "secret", LOGIN_OK, "",
     "info login.ok session=k1 service=imap peer=192.0.2.1 user=ann@example.org account=1"},
    {"without domain", "Ann", "secret", LOGIN_OK, "",
     "info login.ok session=k1 service=imap peer=192.0.2.1 user=ann@example.org account=1"},
    {"wrong", "ann@example.org", "x", LOGIN_FAILED, "5.7.8",
     "info login.failed session=k1 service=imap peer=192.0.2.1 user=ann@example.org error=\"wrong name or "
     "password\""},
    {"nobody", "a b", "x", LOGIN_FAILED, "5.7.8",
     "info login.failed session=k1 service=imap peer=192.0.2.1 user=\"a b\" error=\"wrong name or "
     "password\""},
    {"disabled", "off@example.org", "secret", LOGIN_FAILED, "5.7.13",
     "info login.failed session=k1 service=imap peer=192.0.2.1 user=off@example.org error=\"the account is "
     "disabled\""},
    {"in auth but not in the directory", "gone@example.org", "secret", LOGIN_FAILED, "5.7.8",
     "info login.failed session=k1 service=imap peer=192.0.2.1 user=gone@example.org error=\"the account has "
     "been removed\""},
};

static void test_logins(const struct login_service *s, int log_fd)
{
    char text[4096];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct login_answer a;
        bool delayed;
        off_t from = lseek(log_fd, 0, SEEK_END);
        struct login *l =
            login_password(s, &about, slice_of(cases[i].user), slice_of(cases[i].password), bell_waker);

        CHECK(cases[i].note, wait_through_delay(l, &a, &delayed) == cases[i].state);
        CHECK(cases[i].note, login_poll(l, &a) == cases[i].state);
        CHECK(cases[i].note, delayed == (strcmp(cases[i].code, "5.7.8") == 0 && i < 4));
        if (a.account.id != 0 && cases[i].state == LOGIN_OK)
            CHECK_SLICE(cases[i].note, a.account.address, SLICE("ann@example.org"));
        if (cases[i].state == LOGIN_FAILED)
            CHECK(cases[i].note, a.why.reason == FAIL_AUTH && strcmp(a.why.code, cases[i].code) == 0);
        login_destroy(&l);
        login_destroy(&l);

        ssize_t n = pread(log_fd, text, sizeof text, from);
        struct slice line = slice_make(text, n > 0 ? (size_t)n : 0);
        CHECK(cases[i].note, slice_find(line, slice_of(cases[i].log)) < line.len);
        CHECK("one line", slice_find_char(line, '\n') + 1 == line.len);
    }
}

static void test_sasl(const struct login_service *s)
{
    struct login_answer a;
    struct login *l = login_start(s, &about, SLICE("LOGIN"), false, SLICE(""), bell_waker);

    CHECK("asked for a name", wait_for(l, &a) == LOGIN_CONTINUE);
    CHECK_SLICE("asked for a name", a.challenge, SLICE("Username:"));
    login_respond(l, SLICE("ann"));
    CHECK("asked for a password", wait_for(l, &a) == LOGIN_CONTINUE);
    CHECK_SLICE("asked for a password", a.challenge, SLICE("Password:"));
    login_respond(l, SLICE("secret"));
    CHECK("in", wait_for(l, &a) == LOGIN_OK && a.account.id == 1);
    login_destroy(&l);

    l = login_start(s, &about, SLICE("X"), false, SLICE(""), bell_waker);
    CHECK("no such mechanism", wait_for(l, &a) == LOGIN_FAILED && a.why.reason == FAIL_INVALID);
    login_destroy(&l);
}

static void test_allowed(struct login_service s)
{
    static const struct {
        bool tls, loopback, plaintext, allowed;
    } rows[] = {
        {false, false, false, false},
        {true, false, false, true},
        {false, true, false, true},
        {false, false, true, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        s.allow_plaintext = rows[i].plaintext;
        CHECK("allowed", login_allowed(&s, rows[i].tls, rows[i].loopback) == rows[i].allowed);
    }
}

static void fill(struct directory *d, struct auth_server *auth)
{
    uint64_t id = 0;

    CHECK("domain", directory_domain_add(d, SLICE("example.org"), &why));
    CHECK("ann", directory_account_add(d, SLICE("ann@example.org"), &id, &why) &&
                     auth_server_set_password(auth, id, SLICE("ann@example.org"), SLICE("secret"), &why));
    CHECK("off", directory_account_add(d, SLICE("off@example.org"), &id, &why) &&
                     directory_account_disable(d, id, true, &why) &&
                     auth_server_set_password(auth, id, SLICE("off@example.org"), SLICE("secret"), &why));
    CHECK("gone", auth_server_set_password(auth, 99, SLICE("gone@example.org"), SLICE("secret"), &why));
}

int main(void)
{
    char dir[] = "/tmp/login-XXXXXX", path[3][64];
    struct directory_limits directory_limits;
    struct auth_limits auth_limits;
    struct ipc_limits ipc_limits;
    struct directory *d;
    struct auth_server *auth;
    int ends[2];

    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(path[0], sizeof path[0], "%s/directory.db", dir);
    (void)snprintf(path[1], sizeof path[1], "%s/auth.db", dir);
    (void)snprintf(path[2], sizeof path[2], "%s/log", dir);
    directory_limits_default(&directory_limits);
    auth_limits_cheap(&auth_limits);
    ipc_limits_default(&ipc_limits);
    if (!directory_open(path[0], &directory_limits, &d, &why) ||
        !auth_server_open(path[1], &auth_limits, &auth, &why) || !ipc_socket_pair(ends, &why))
        bug("%s", why.text);

    struct ipc_service service = auth_server_service(auth);
    struct ipc_server *server = ipc_server_create(&ipc_limits, &service, &why);
    struct auth_client *client = auth_client_create(&ipc_limits, &why);
    if (server == NULL || client == NULL || !ipc_server_attach(server, ends[1], &why))
        bug("%s", why.text);
    auth_client_attach(client, ends[0]);

    struct login_service s = {.auth = client, .directory = d};
    int log_fd = open(path[2], O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_set_fd(log_fd);
    fill(d, auth);
    test_logins(&s, log_fd);
    test_sasl(&s);
    test_allowed(s);

    auth_client_destroy(&client);
    ipc_server_destroy(&server);
    auth_server_close(&auth);
    directory_close(&d);
    (void)close(log_fd);
    for (size_t i = 0; i < ARRAY_LEN(path); i++)
        (void)unlink(path[i]);
    (void)rmdir(dir);
    return check_done();
}
