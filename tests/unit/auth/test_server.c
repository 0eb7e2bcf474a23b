/* auth: client, server and control socket over real sockets, in one process. */
#include "auth/server.h"

#include <gsasl.h>
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
    CHECK_SLICE("mechanisms", auth_mechanisms(client, false), SLICE("SCRAM-SHA-256 PLAIN LOGIN"));
    CHECK_SLICE("mechanisms", auth_mechanisms(client, true),
                SLICE("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"));
}

/* Acting for oneself, by whatever name, and for nobody else. */
static void test_authzid(void)
{
    static const struct {
        const char *note;
        struct slice message;
        enum auth_state end;
    } cases[] = {
        {"the same", SLICE("ann\0ann\0secret"), AUTH_OK},
        {"the same, whole", SLICE("ann@example.org\0ann\0secret"), AUTH_OK},
        {"the same, capitals", SLICE("ANN@Example.ORG\0ann\0secret"), AUTH_OK},
        {"somebody else", SLICE("bob\0ann\0secret"), AUTH_FAILED},
        {"no name at all", SLICE("@\0ann\0secret"), AUTH_FAILED},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_answer a;
        struct auth_exchange *x =
            auth_start(client, &about, SLICE("PLAIN"), true, cases[i].message, bell_waker);
        CHECK(cases[i].note, wait_for(x, &a) == cases[i].end);
        CHECK(cases[i].note, cases[i].end == AUTH_OK || a.why.reason == FAIL_NO_PERMISSION);
        auth_exchange_destroy(&x);
    }
}

/* A change between the yes and its use is seen. */
static void test_stands(void)
{
    struct auth_answer a;
    struct auth_exchange *x = auth_password(client, &about, SLICE("ann"), SLICE("secret"), bell_waker);

    CHECK("right", wait_for(x, &a) == AUTH_OK && auth_stands(x, 1));
    CHECK("another's password", auth_server_set_password(server, 2, SLICE("bob@example.org"), SLICE("x"), &why));
    hear_of(2);
    CHECK("does not matter", auth_stands(x, 1) && !auth_stands(x, 2));
    CHECK("its own", auth_server_set_password(server, 1, SLICE("ann@example.org"), SLICE("secret"), &why));
    hear_of(1);
    CHECK("does", !auth_stands(x, 1));
    auth_exchange_destroy(&x);
    x = auth_password(client, &about, SLICE("ann"), SLICE("secret"), bell_waker);
    CHECK("not for who comes later", wait_for(x, &a) == AUTH_OK && auth_stands(x, 1));
    for (unsigned i = 0; i < 257; i++) {
        CHECK("many", auth_server_set_password(server, 2, SLICE("bob@example.org"), SLICE("x"), &why));
        hear_of(2);
    }
    CHECK("so many that it cannot be known", !auth_stands(x, 1));
    auth_exchange_destroy(&x);
    x = auth_password(client, &about, SLICE("bob"), SLICE("x"), bell_waker);
    CHECK("bob", wait_for(x, &a) == AUTH_OK);
    auth_exchange_destroy(&x);
}

/* ---- app passwords ---- */

static bool show_app(void *ctx, const struct auth_app_password *p)
{
    struct buf *out = ctx;

    buf_addf(out, PRIslice "|" PRIslice "|%s|" PRIslice "|" PRIslice "\n", SLICE_ARG(p->name), SLICE_ARG(p->services),
             p->last_used >= p->created && p->created > 0 ? "used" : "unused", SLICE_ARG(p->last_service),
             SLICE_ARG(p->last_peer));
    return true;
}

static enum auth_state by_password(const char *service, const char *user, struct slice password)
{
    struct auth_context context = about;
    struct auth_answer a;

    context.service = slice_of(service);
    struct auth_exchange *x = auth_password(client, &context, slice_of(user), password, bell_waker);
    enum auth_state state = wait_for(x, &a);
    auth_exchange_destroy(&x);
    return state;
}

static void test_app_passwords(void)
{
    struct buf phone, all, loose, text;
    const struct slice long_name = SLICE("0123456789012345678901234567890123456789012345678901234567890123456789");

    buf_init(&phone, 100);
    buf_init(&all, 100);
    buf_init(&loose, 100);
    buf_init(&text, 1000);
    CHECK("made", auth_control_app_add(control, 1, SLICE("phone"), SLICE("imap smtp"), &phone, &why));
    CHECK("made", auth_control_app_add(control, 1, SLICE("laptop"), SLICE(""), &all, &why));
    CHECK("its form", phone.len == 30 && !slice_eq(buf_slice(&phone), buf_slice(&all)));
    CHECK("the name is taken", !auth_control_app_add(control, 1, SLICE("phone"), SLICE(""), &text, &why) &&
                                   why.reason == FAIL_EXISTS);
    CHECK("no such service", !auth_control_app_add(control, 1, SLICE("x"), SLICE("imap gopher"), &text, &why) &&
                                 why.reason == FAIL_INVALID);
    CHECK("no name", !auth_control_app_add(control, 1, SLICE(""), SLICE(""), &text, &why) && why.reason == FAIL_INVALID);
    CHECK("too long a name",
          !auth_control_app_add(control, 1, long_name, SLICE(""), &text, &why) && why.reason == FAIL_INVALID);
    CHECK("no such account", !auth_control_app_add(control, 99, SLICE("x"), SLICE(""), &text, &why) &&
                                 why.reason == FAIL_NOT_FOUND);

    CHECK("in scope", by_password("imap", "ann", buf_slice(&phone)) == AUTH_OK);
    CHECK("out of scope", by_password("pop3", "ann", buf_slice(&phone)) == AUTH_FAILED);
    CHECK("all", by_password("pop3", "ann", buf_slice(&all)) == AUTH_OK);
    CHECK("another's", by_password("imap", "bob", buf_slice(&phone)) == AUTH_FAILED);
    CHECK("nobody's", by_password("imap", "nobody", buf_slice(&phone)) == AUTH_FAILED);
    CHECK("the main one too", by_password("imap", "ann", SLICE("secret")) == AUTH_OK);
    for (size_t i = 0; i < phone.len; i++)
        if (phone.data[i] != '-') {
            char c = phone.data[i];
            buf_add_char(&loose, c >= 'a' && c <= 'z' ? (char)(c - 32) : c);
            buf_add_char(&loose, ' ');
        }
    CHECK("as people type it", by_password("smtp", "ann", buf_slice(&loose)) == AUTH_OK);
    loose.data[0] = loose.data[0] == 'A' ? 'B' : 'A';
    CHECK("a letter off", by_password("smtp", "ann", buf_slice(&loose)) == AUTH_FAILED);

    CHECK("list", auth_control_app_list(control, 1, show_app, &text, &why));
    CHECK_SLICE("list", buf_slice(&text),
                SLICE("laptop||used|pop3|192.0.2.1\nphone|imap smtp|used|smtp|192.0.2.1\n"));
    CHECK("removed", auth_control_app_remove(control, 1, SLICE("phone"), &why));
    hear_of(1); /* its sessions end */
    CHECK("once", !auth_control_app_remove(control, 1, SLICE("phone"), &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("of no use any more", by_password("imap", "ann", buf_slice(&phone)) == AUTH_FAILED);
    CHECK("the other is", by_password("imap", "ann", buf_slice(&all)) == AUTH_OK);
    CHECK("another main password", auth_server_set_password(server, 1, SLICE("ann@example.org"), SLICE("secret"), &why));
    CHECK("leaves it", by_password("imap", "ann", buf_slice(&all)) == AUTH_OK);
    hear_of(1);
    for (unsigned i = 0; i < limits.app_passwords - 1; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%u", i);
        CHECK("many", auth_control_app_add(control, 1, slice_of(name), SLICE(""), &loose, &why));
        buf_reset(&loose);
    }
    CHECK("too many", !auth_control_app_add(control, 1, SLICE("one more"), SLICE(""), &loose, &why) &&
                          why.reason == FAIL_LIMIT);
    buf_reset(&text);
    text.max = 100000;
    CHECK("a long list", auth_control_app_list(control, 1, show_app, &text, &why));
    buf_finish(&phone);
    buf_finish(&all);
    buf_finish(&loose);
    buf_finish(&text);
}

/* ---- SCRAM, with libgsasl's client at the other end ---- */

static const char binding_text[] = "0123456789abcdef0123456789abcdef";
static const char binding_base64[] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

struct scram_try {
    const char *note, *mechanism, *user, *password, *authzid;
    const char *client_binding; /* base64; NULL: the client has none */
    bool bound;                 /* the server's channel has one */
    enum auth_state end;
    enum fail_reason reason;
};

/* AUTH_PENDING: the client itself gave up. */
static enum auth_state scram(const struct scram_try *t, Gsasl *lib, struct auth_answer *a, struct buf *first)
{
    struct auth_context context = about;
    struct auth_exchange *x = NULL;
    Gsasl_session *session;
    enum auth_state state = AUTH_CONTINUE;
    char *said = NULL;
    size_t length = 0;

    context.binding = t->bound ? slice_of(binding_text) : SLICE("");
    if (gsasl_client_start(lib, t->mechanism, &session) != GSASL_OK)
        bug("no %s", t->mechanism);
    (void)gsasl_property_set(session, GSASL_AUTHID, t->user);
    (void)gsasl_property_set(session, GSASL_PASSWORD, t->password);
    if (t->authzid != NULL)
        (void)gsasl_property_set(session, GSASL_AUTHZID, t->authzid);
    if (t->client_binding != NULL)
        (void)gsasl_property_set(session, GSASL_CB_TLS_EXPORTER, t->client_binding);
    int status = gsasl_step(session, NULL, 0, &said, &length);
    if (status == GSASL_NEEDS_MORE)
        x = auth_start(client, &context, slice_of(t->mechanism), true, slice_make(said, length), bell_waker);
    for (unsigned round = 0; x != NULL; round++) {
        gsasl_free(said);
        said = NULL;
        state = wait_for(x, a);
        if (state != AUTH_CONTINUE)
            break;
        if (round == 0 && first != NULL)
            buf_add(first, a->challenge);
        status = gsasl_step(session, a->challenge.ptr, a->challenge.len, &said, &length);
        if (status != GSASL_OK && status != GSASL_NEEDS_MORE) {
            state = AUTH_PENDING;
            break;
        }
        auth_respond(x, slice_make(said, length));
    }
    if (state == AUTH_OK)
        CHECK(t->note, status == GSASL_OK && a->account == 1); /* and the server has proved itself */
    if (state == AUTH_FAILED)
        CHECK(t->note, a->why.reason == t->reason);
    auth_exchange_destroy(&x);
    gsasl_finish(session);
    return state;
}

static void test_scram(void)
{
    static const struct scram_try tries[] = {
        {.note = "right", .mechanism = "SCRAM-SHA-256", .user = "ann", .password = "secret", .end = AUTH_OK},
        {.note = "whole name", .mechanism = "SCRAM-SHA-256", .user = "ann@example.org", .password = "secret", .end = AUTH_OK},
        {.note = "for itself", .mechanism = "SCRAM-SHA-256", .user = "ann", .password = "secret", .authzid = "ann@example.org",
         .end = AUTH_OK},
        {.note = "for somebody else", .mechanism = "SCRAM-SHA-256", .user = "ann", .password = "secret", .authzid = "bob",
         .end = AUTH_FAILED, .reason = FAIL_NO_PERMISSION},
        {.note = "wrong", .mechanism = "SCRAM-SHA-256", .user = "ann", .password = "Secret", .end = AUTH_FAILED,
         .reason = FAIL_AUTH},
        {.note = "nobody", .mechanism = "SCRAM-SHA-256", .user = "nobody", .password = "secret", .end = AUTH_FAILED,
         .reason = FAIL_AUTH},
        {.note = "no name", .mechanism = "SCRAM-SHA-256", .user = "a@b@c@", .password = "secret", .end = AUTH_FAILED,
         .reason = FAIL_AUTH},
        {.note = "bound", .mechanism = "SCRAM-SHA-256-PLUS", .user = "ann", .password = "secret",
         .client_binding = binding_base64, .bound = true, .end = AUTH_OK},
        {.note = "bound to another channel", .mechanism = "SCRAM-SHA-256-PLUS", .user = "ann", .password = "secret",
         .client_binding = "AAAA", .bound = true, .end = AUTH_FAILED, .reason = FAIL_AUTH},
        {.note = "no channel to bind to", .mechanism = "SCRAM-SHA-256-PLUS", .user = "ann", .password = "secret",
         .client_binding = binding_base64, .end = AUTH_FAILED, .reason = FAIL_INVALID},
        {.note = "not bound though it could be", .mechanism = "SCRAM-SHA-256", .user = "ann", .password = "secret",
         .bound = true, .end = AUTH_OK},
    };
    struct auth_answer a;
    Gsasl *lib;

    CHECK("libgsasl", gsasl_init(&lib) == GSASL_OK);
    for (size_t i = 0; i < ARRAY_LEN(tries); i++)
        CHECK(tries[i].note, scram(&tries[i], lib, &a, NULL) == tries[i].end);
    gsasl_done(lib);
}

/* What a client sends that is no SCRAM, or pretends that -PLUS was not offered (RFC 5802 section 6). */
static void test_scram_messages(void)
{
    static const struct {
        const char *note, *message;
        bool bound;
        enum auth_state end;
    } cases[] = {
        {"as it should be", "n,,n=ann,r=abcdefgh", false, AUTH_CONTINUE},
        {"the client could bind, the server not", "y,,n=ann,r=abcdefgh", false, AUTH_CONTINUE},
        {"somebody took the offer out", "y,,n=ann,r=abcdefgh", true, AUTH_FAILED},
        {"bound without -PLUS", "p=tls-exporter,,n=ann,r=abcdefgh", true, AUTH_FAILED},
        {"no name", "n,,r=abcdefgh", false, AUTH_FAILED},
        {"empty name", "n,,n=,r=abcdefgh", false, AUTH_FAILED},
        {"no nonce", "n,,n=ann", false, AUTH_FAILED},
        {"an extension that must be understood", "n,,m=x,n=ann,r=abcdefgh", false, AUTH_FAILED},
        {"nothing", "", false, AUTH_FAILED},
        {"rubbish", "\xff\xff,,,", false, AUTH_FAILED},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth_context context = about;
        struct auth_answer a;
        context.binding = cases[i].bound ? slice_of(binding_text) : SLICE("");
        struct auth_exchange *x = auth_start(client, &context, SLICE("SCRAM-SHA-256"), true,
                                             slice_of(cases[i].message), bell_waker);
        CHECK(cases[i].note, wait_for(x, &a) == cases[i].end);
        CHECK(cases[i].note, cases[i].end == AUTH_CONTINUE || a.why.reason == FAIL_INVALID);
        auth_exchange_destroy(&x);
    }
    struct auth_answer a;
    struct auth_exchange *x = auth_start(client, &about, SLICE("scram-sha-256"), false, SLICE(""), bell_waker);
    CHECK("asked to begin", wait_for(x, &a) == AUTH_CONTINUE && a.challenge.len == 0);
    auth_respond(x, SLICE("n,,n=ann,r=abcdefgh"));
    CHECK("and it begins", wait_for(x, &a) == AUTH_CONTINUE && slice_starts(a.challenge, SLICE("r=abcdefgh")));
    auth_respond(x, SLICE("c=biws,r=abcdefgh,p=AAAA"));
    CHECK("another nonce", wait_for(x, &a) == AUTH_FAILED);
    auth_exchange_destroy(&x);
}

/* From "s=": salt and count. */
static void salt_of(const char *user, struct buf *out)
{
    struct auth_answer a;
    struct buf message;

    buf_init(&message, 200);
    buf_addf(&message, "n,,n=%s,r=abcdefgh", user);
    struct auth_exchange *x =
        auth_start(client, &about, SLICE("SCRAM-SHA-256"), true, buf_slice(&message), bell_waker);
    if (wait_for(x, &a) == AUTH_CONTINUE)
        buf_add(out, slice_from(a.challenge, slice_find_char(a.challenge, '=') + 1 +
                                                 slice_find_char(slice_from(a.challenge, slice_find_char(a.challenge, '=') + 1), ',')));
    auth_exchange_destroy(&x);
    buf_finish(&message);
}

/* Who is not there cannot be told from who is: a salt that stays, and the same count. */
static void test_scram_nobody(void)
{
    struct buf ann, nobody, again, other, alias;

    buf_init(&ann, 200);
    buf_init(&nobody, 200);
    buf_init(&again, 200);
    buf_init(&other, 200);
    buf_init(&alias, 200);
    salt_of("ann", &ann);
    salt_of("nobody", &nobody);
    salt_of("somebody", &other);
    stop_server();
    start_server();
    auth_client_attach(client, connected(mail_server));
    ipc_client_attach(control, connected(control_server));
    salt_of("nobody", &again);
    salt_of("NOBODY@example.org", &alias);
    CHECK("a salt", ann.len > 20 && nobody.len == ann.len);
    CHECK("the same after a restart", slice_eq(buf_slice(&nobody), buf_slice(&again)));
    CHECK("and for the same name written otherwise", slice_eq(buf_slice(&nobody), buf_slice(&alias)));
    CHECK("but another for others", !slice_eq(buf_slice(&nobody), buf_slice(&other)));
    CHECK("the same count", slice_eq(slice_from(buf_slice(&ann), ann.len - 7), slice_from(buf_slice(&nobody), nobody.len - 7)) &&
                                slice_ends(buf_slice(&ann), SLICE(",i=4096")));
    buf_finish(&ann);
    buf_finish(&nobody);
    buf_finish(&again);
    buf_finish(&other);
    buf_finish(&alias);
}

/* A database without keys gets them with the first password that is right. */
static void test_scram_later(void)
{
    static const struct scram_try ann = {
        .note = "ann", .mechanism = "SCRAM-SHA-256", .user = "carl", .password = "secret", .reason = FAIL_AUTH};
    struct auth_answer a;
    Gsasl *lib;

    CHECK("libgsasl", gsasl_init(&lib) == GSASL_OK);
    stop_server();
    limits.scram_iterations = 0;
    start_server();
    auth_client_attach(client, connected(mail_server));
    CHECK("set", auth_server_set_password(server, 1, SLICE("carl@example.org"), SLICE("secret"), &why));
    CHECK("no SCRAM without keys", scram(&(struct scram_try){.note = "none",
                                                             .mechanism = "SCRAM-SHA-256",
                                                             .user = "carl",
                                                             .password = "secret",
                                                             .reason = FAIL_INVALID},
                                         lib, &a, NULL) == AUTH_FAILED);
    stop_server();
    limits.scram_iterations = 4096;
    start_server();
    auth_client_attach(client, connected(mail_server));
    ipc_client_attach(control, connected(control_server));
    CHECK("no keys yet", scram(&ann, lib, &a, NULL) == AUTH_FAILED);
    struct auth_exchange *x = auth_password(client, &about, SLICE("carl"), SLICE("secret"), bell_waker);
    CHECK("by password", wait_for(x, &a) == AUTH_OK);
    auth_exchange_destroy(&x);
    CHECK("and now", scram(&ann, lib, &a, NULL) == AUTH_OK);
    CHECK("back", auth_server_set_password(server, 1, SLICE("ann@example.org"), SLICE("secret"), &why));
    gsasl_done(lib);
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
    static const uint16_t types[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99};
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
    limits.mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN";
    log_set_level(LOG_ERROR);
    ipc_limits_default(&ipc);
    client = auth_client_create(&ipc, &why);
    control = ipc_client_create(&ipc, "auth", NULL, NULL, &why);
    if (client == NULL || control == NULL)
        return 1;
    auth_client_offer(client, &limits);
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
    test_authzid();
    test_stands();
    test_app_passwords();
    test_scram();
    test_scram_messages();
    test_scram_nobody();
    test_scram_later();
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
