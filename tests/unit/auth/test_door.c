/* The auth door: what a `mail` role that was taken over may send, and what comes of it. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/client.h"
#include "auth/protocol.h"
#include "auth/server.h"
#include "base/log.h"
#include "net/ipc_wire.h"
#include "tests/unit/check.h"

static struct fail why;
static struct auth_limits limits;
static struct auth_server *server;
static struct ipc_service service;

static void open_server(void)
{
    if (!auth_server_open(":memory:", &limits, &server, &why) ||
        !auth_server_set_password(server, 1, SLICE("ann@a.test"), SLICE("secret"), &why))
        bug("%s", why.text);
    service = auth_server_service(server);
}

/* One message as it came; its answer's state, 0: refused as malformed. */
static uint64_t give(struct ipc_message *m, uint16_t type, struct ipc_message *answer)
{
    struct ipc_reader r = {.type = type, .rest = buf_slice(&m->bytes)}, said;

    ipc_message_init(answer, type);
    bool ok = service.handle(service.ctx, &r, answer, &why);
    ipc_message_finish(m);
    if (!ok) {
        CHECK("refused with a reason", why.kind == FAIL_PERM && why.reason == FAIL_INVALID && answer->bytes.len == 0);
        return 0;
    }
    said = (struct ipc_reader){.type = type, .rest = buf_slice(&answer->bytes)};
    return ipc_get_u64(&said);
}

static uint64_t give_and_forget(struct ipc_message *m, uint16_t type)
{
    struct ipc_message answer;
    uint64_t state = give(m, type, &answer);

    ipc_message_finish(&answer);
    return state;
}

static void begin(struct ipc_message *m, struct slice peer)
{
    ipc_message_init(m, 1);
    ipc_add_bytes(m, SLICE("imap"));
    ipc_add_bytes(m, peer);
    ipc_add_bytes(m, SLICE("s1"));
    ipc_add_bytes(m, SLICE("a.test"));
    ipc_add_bytes(m, SLICE(""));
    ipc_add_bool(m, true);
}

static uint64_t password(struct slice peer, struct slice user, struct slice text)
{
    struct ipc_message m;

    begin(&m, peer);
    ipc_add_bytes(&m, user);
    ipc_add_bytes(&m, text);
    return give_and_forget(&m, AUTH_MSG_PASSWORD);
}

/* Begins LOGIN; the id of the exchange. */
static uint64_t start_login(void)
{
    struct ipc_message m, answer;

    begin(&m, SLICE("192.0.2.1"));
    ipc_add_bytes(&m, SLICE("LOGIN"));
    ipc_add_bool(&m, false);
    ipc_add_bytes(&m, SLICE(""));
    CHECK("begun", give(&m, AUTH_MSG_START, &answer) == AUTH_CONTINUE);
    struct ipc_reader said = {.rest = buf_slice(&answer.bytes)};
    (void)ipc_get_u64(&said);
    uint64_t id = ipc_get_u64(&said);
    ipc_message_finish(&answer);
    return id;
}

/* The next challenge has another id; 0 if there is none. */
static uint64_t respond(uint64_t id, struct slice text, uint64_t *state)
{
    struct ipc_message m, answer;
    uint64_t next = 0;

    ipc_message_init(&m, 1);
    ipc_add_u64(&m, id);
    ipc_add_bytes(&m, text);
    *state = give(&m, AUTH_MSG_RESPOND, &answer);
    if (*state == AUTH_CONTINUE) {
        struct ipc_reader said = {.rest = buf_slice(&answer.bytes)};
        (void)ipc_get_u64(&said);
        next = ipc_get_u64(&said);
    }
    ipc_message_finish(&answer);
    return next;
}

static void test_types(void)
{
    struct ipc_message m;

    for (unsigned type = 0; type < 40; type++) {
        ipc_message_init(&m, 1);
        if (type != AUTH_MSG_ABANDON)
            CHECK("nothing in it", give_and_forget(&m, (uint16_t)type) == 0);
        begin(&m, SLICE("192.0.2.1"));
        ipc_add_bytes(&m, SLICE("ann"));
        ipc_add_bytes(&m, SLICE("secret"));
        ipc_add_bytes(&m, SLICE("and more"));
        CHECK("something left over", give_and_forget(&m, (uint16_t)type) == 0);
    }
    /* What the administrator's socket takes is not taken here. */
    static const uint16_t admins[] = {AUTH_MSG_SET_PASSWORD, AUTH_MSG_SET_HASH, AUTH_MSG_REMOVE, AUTH_MSG_LIST,
                                      AUTH_MSG_APP_ADD, AUTH_MSG_APP_REMOVE, AUTH_MSG_APP_LIST, AUTH_MSG_COPY};
    for (size_t i = 0; i < ARRAY_LEN(admins); i++) {
        ipc_message_init(&m, 1);
        ipc_add_u64(&m, 1);
        ipc_add_bytes(&m, SLICE("ann@a.test"));
        ipc_add_bytes(&m, SLICE("mine now"));
        CHECK("another's door", give_and_forget(&m, admins[i]) == 0);
    }
    CHECK("and nothing was done", password(SLICE("192.0.2.1"), SLICE("ann"), SLICE("secret")) == AUTH_OK);
}

static void test_lengths(void)
{
    static char room[60000];
    const struct slice huge = slice_make(room, sizeof room);

    memset(room, 'a', sizeof room);
    CHECK("a peer that is none", password(huge, SLICE("ann"), SLICE("secret")) == 0);
    CHECK("a peer of two lines", password(SLICE("192.0.2.1\nx"), SLICE("ann"), SLICE("secret")) == 0);
    CHECK("a huge name", password(SLICE("192.0.2.1"), slice_sub(huge, 0, 30000), SLICE("x")) == AUTH_FAILED);
    CHECK("a huge password", password(SLICE("192.0.2.1"), SLICE("ann"), huge) == AUTH_FAILED);
    CHECK("a NUL in the name", password(SLICE("192.0.2.1"), slice_make("ann\0", 4), SLICE("secret")) == AUTH_FAILED);
    CHECK("nothing at all", password(SLICE(""), SLICE(""), SLICE("")) == AUTH_FAILED);
    CHECK("all is well after it", password(SLICE("192.0.2.2"), SLICE("ann"), SLICE("secret")) == AUTH_OK);
}

static void test_exchanges(void)
{
    uint64_t state, id, first = start_login();

    (void)respond(first + 1, SLICE("ann"), &state);
    CHECK("an id that nobody gave out", state == AUTH_FAILED);
    (void)respond(0, SLICE("ann"), &state);
    CHECK("nor 0", state == AUTH_FAILED);
    id = respond(first, SLICE("ann"), &state);
    CHECK("it goes on", state == AUTH_CONTINUE && id != 0);
    (void)respond(id, SLICE("secret"), &state);
    CHECK("to its end", state == AUTH_OK);
    (void)respond(id, SLICE("secret"), &state);
    CHECK("which comes once", state == AUTH_FAILED);
    (void)respond(first, SLICE("secret"), &state);
    CHECK("under no id", state == AUTH_FAILED);

    first = start_login();
    for (unsigned i = 0; i < limits.exchanges; i++)
        id = start_login();
    (void)respond(first, SLICE("ann"), &state);
    CHECK("who waits longest gives way", state == AUTH_FAILED);
    (void)respond(id, SLICE("ann"), &state);
    CHECK("who came last does not", state == AUTH_CONTINUE);

    struct ipc_message m;
    id = start_login();
    ipc_message_init(&m, 1);
    ipc_add_u64(&m, id);
    (void)give_and_forget(&m, AUTH_MSG_ABANDON);
    (void)respond(id, SLICE("ann"), &state);
    CHECK("abandoned", state == AUTH_FAILED);
}

static void test_signing(void)
{
    struct ipc_message m;

    for (uint64_t kind = 0; kind < 5; kind++) {
        ipc_message_init(&m, 1);
        ipc_add_u64(&m, kind << 32 | 1);
        ipc_add_u64(&m, 0x0403);
        ipc_add_bytes(&m, SLICE("k"));
        ipc_add_bytes(&m, SLICE("i"));
        struct ipc_reader r = {.type = AUTH_MSG_SIGN, .rest = buf_slice(&m.bytes)};
        struct ipc_message answer;
        ipc_message_init(&answer, AUTH_MSG_SIGN);
        CHECK("no number is cut to fit", !service.handle(service.ctx, &r, &answer, &why) &&
                                             why.reason == (kind == 0 ? FAIL_NOT_FOUND : FAIL_INVALID));
        CHECK("nothing is signed", answer.bytes.len == 0);
        ipc_message_finish(&answer);
        ipc_message_finish(&m);
    }
}

/* From a peer that signed in lately: there a login stays open that others are shut out from, but not without end. */
static void test_guessing(void)
{
    const struct slice known = SLICE("192.0.2.7");
    unsigned tried = 0;
    char guess[20];

    CHECK("signed in", password(known, SLICE("ann"), SLICE("secret")) == AUTH_OK);
    for (; tried < 100 * limits.login_failures; tried++) {
        struct ipc_message m, answer;
        (void)snprintf(guess, sizeof guess, "guess %u", tried);
        begin(&m, known);
        ipc_add_bytes(&m, SLICE("ann"));
        ipc_add_bytes(&m, slice_of(guess));
        CHECK("wrong", give(&m, AUTH_MSG_PASSWORD, &answer) == AUTH_FAILED);
        struct ipc_reader said = {.rest = buf_slice(&answer.bytes)};
        (void)ipc_get_u64(&said);
        (void)ipc_get_bytes(&said);
        (void)ipc_get_u64(&said);
        bool for_now = ipc_get_bool(&said);
        ipc_message_finish(&answer);
        if (for_now)
            break;
    }
    CHECK("ten times as many as others", tried >= 9 * limits.login_failures && tried <= 10 * limits.login_failures);
}

static void test_flood(void)
{
    unsigned refused = 0, asked = 0;

    limits.requests = 20;
    auth_server_close(&server);
    open_server();
    for (; asked < 2000 && refused < 5; asked++) {
        struct ipc_message m, answer;
        begin(&m, SLICE("192.0.2.9"));
        ipc_add_bytes(&m, SLICE("NOSUCH"));
        ipc_add_bool(&m, false);
        ipc_add_bytes(&m, SLICE(""));
        CHECK("answered", give(&m, AUTH_MSG_START, &answer) == AUTH_FAILED);
        refused += slice_find(buf_slice(&answer.bytes), SLICE("too many logins at once")) < answer.bytes.len;
        ipc_message_finish(&answer);
    }
    CHECK("more than the limit in a second is refused", refused == 5 && asked >= 25);
    limits.requests = 0;
    auth_server_close(&server);
    open_server();
}

/* ---- over the socket ---- */

static bool is_closed(int fd)
{
    char byte[16];
    ssize_t n = recv(fd, byte, sizeof byte, 0);

    return n <= 0;
}

/* Bytes that are no message of ours end the connection they came over, and no other. */
static void test_bytes(struct ipc_server *s)
{
    static const struct { const char *note; const void *bytes; size_t n; } broken[] = {
        {"a byte", "x", 1},
        {"a header of zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16},
        {"another magic", "\x01\x02\x01\0\x01\0\0\0\x01\0\0\0\0\0\0\0", 16},
        {"an answer to no question", "\x48\x50\x01\0\x02\0\0\0\x01\0\0\0\0\0\0\0", 16},
        {"a request without an id", "\x48\x50\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0", 16},
        {"type 0", "\x48\x50\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0", 16},
    };

    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        int ends[2];
        CHECK("connected", ipc_socket_pair(ends, &why) && ipc_server_attach(s, ends[1], &why));
        CHECK("sent", send(ends[0], broken[i].bytes, broken[i].n, 0) == (ssize_t)broken[i].n);
        CHECK(broken[i].note, is_closed(ends[0]));
        (void)close(ends[0]);
    }
}

static bool client_signs_in(struct auth_client *c)
{
    static const struct auth_context about = {.service = {"imap", 4}, .peer = {"192.0.2.3", 9}, .session = {"k1", 2}, .domain = {"a.test", 6}};
    struct auth_exchange *x = auth_password(c, &about, SLICE("ann"), SLICE("secret"), (struct waker){0});
    struct auth_answer a;
    enum auth_state state;

    while ((state = auth_poll(x, &a)) == AUTH_PENDING)
        (void)usleep(100);
    auth_exchange_destroy(&x);
    return state == AUTH_OK;
}

/* One that asks and never reads: its answers have no room, its connection ends, and others are served. */
static void test_deaf(struct ipc_server *s, struct auth_client *c)
{
    struct ipc_message m;
    int ends[2], sent = 0;

    CHECK("connected", ipc_socket_pair(ends, &why) && ipc_server_attach(s, ends[1], &why));
    for (; sent < 100000; sent++) {
        begin(&m, SLICE("192.0.2.1"));
        ipc_add_bytes(&m, SLICE("NOSUCH"));
        ipc_add_bool(&m, false);
        ipc_add_bytes(&m, SLICE(""));
        m.type = AUTH_MSG_START;
        bool ok = ipc_send(ends[0], IPC_REQUEST, (uint64_t)sent + 1, &m, 5000, &why);
        ipc_message_finish(&m);
        if (!ok)
            break;
    }
    CHECK("it is shut out", sent < 100000);
    CHECK("and another is not", client_signs_in(c));
    (void)close(ends[0]);
}

static void test_socket(void)
{
    struct ipc_limits ipc;
    int ends[2];

    ipc_limits_default(&ipc);
    struct ipc_server *s = ipc_server_create(&ipc, &service, &why);
    struct auth_client *c = auth_client_create(&ipc, &why);
    CHECK("made", s != NULL && c != NULL && ipc_socket_pair(ends, &why) && ipc_server_attach(s, ends[1], &why));
    auth_client_attach(c, ends[0]);
    CHECK("it serves", client_signs_in(c));
    test_bytes(s);
    CHECK("still", client_signs_in(c));
    test_deaf(s, c);
    auth_client_destroy(&c);
    ipc_server_destroy(&s);
}

int main(void)
{
    log_set_level(LOG_ERROR + 1);
    auth_limits_cheap(&limits);
    limits.delay_ms = limits.delay_ms_max = 0;
    limits.exchanges = 50;
    limits.login_failures = 20;
    limits.peer_failures = 1000000; /* it may say that each comes from elsewhere */
    limits.requests = 0;
    open_server();
    test_types();
    test_lengths();
    test_exchanges();
    test_signing();
    test_flood();
    test_socket();
    test_guessing();
    auth_server_close(&server);
    return check_done();
}
