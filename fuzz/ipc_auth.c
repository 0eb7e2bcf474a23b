/*
 * fuzz/ipc_auth.c - what `mail` and the administrator say to `auth`, and what `auth` answers.
 *
 * The first byte says which side is tried.  `mail` may send any messages one after the other: no hash is in an answer, nobody is
 * signed in by messages that do not hold the password, and what is signed is part of a handshake.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sched.h>
#include <stdio.h>

#include "auth/client.h"
#include "auth/server.h"
#include "auth/protocol.h"
#include "auth/tls_keys.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/tls.h"
#include "net/tls_signer.h"
#include "peer.h"
#include "room.h"

#define PASSWORD "xyzzy1"

static struct auth_server *open_server(const char *name, bool signs)
{
    struct auth_server *s = NULL;
    struct auth_limits limits;
    struct tls_keys *keys;
    struct fail why;
    struct room_path path = room_path(name), certificate = room_path("certificate.pem"), key = room_path("key.pem");

    log_set_level(LOG_ERROR);
    auth_limits_cheap(&limits);
    limits.scram_iterations = 4096;
    limits.peer_failures = limits.login_failures = 1000000000;
    limits.requests = 0;
    limits.exchanges = 8;
    limits.delay_ms = limits.delay_ms_max = 0;
    limits.hash_runs = 1;
    room_must(auth_server_open(path.text, &limits, &s, &why), "auth", &why);
    FUZZ_CHECK(auth_server_set_password(s, 1, SLICE("u@a.test"), SLICE(PASSWORD), &why));
    if (signs) {
        FUZZ_CHECK(tls_self_sign("localhost", certificate.text, key.text, &why));
        keys = tls_keys_open(certificate.text, key.text, 0, &why);
        FUZZ_CHECK(keys != NULL);
        auth_server_sign_with(s, keys);
    }
    return s;
}

/* A request to sign, of any kind and scheme over any input: with the key that there is, so that it goes as far as it can. */
static void fuzz_sign(struct slice in)
{
    static struct auth_server *server;
    static unsigned char id[TLS_KEY_ID_BYTES];
    struct fail why = {0};
    struct ipc_message m, answer;
    int fd = -1;

    if (server == NULL) {
        server = open_server("sign", true);
        FILE *f = fopen(room_path("key.pem").text, "r");
        FUZZ_CHECK(f != NULL);
        EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        (void)fclose(f);
        FUZZ_CHECK(key != NULL && tls_key_id(key, id));
        EVP_PKEY_free(key);
    }
    struct ipc_service service = auth_server_service(server);
    unsigned kind = fuzz_take(&in), scheme = fuzz_take(&in) << 8;
    scheme |= fuzz_take(&in);
    ipc_message_init(&m, AUTH_MSG_SIGN);
    ipc_message_init(&answer, AUTH_MSG_SIGN);
    ipc_add_u64(&m, kind);
    ipc_add_u64(&m, scheme);
    ipc_add_bytes(&m, slice_make((const char *)id, sizeof id));
    ipc_add_bytes(&m, in);
    struct ipc_reader r = {.type = AUTH_MSG_SIGN, .rest = buf_slice(&m.bytes), .fd = &fd};
    if (service.handle(service.ctx, &r, &answer, &why)) {
        FUZZ_CHECK(scheme == 0x0403 || scheme == 0x0503 || scheme == 0x0603);
        FUZZ_CHECK(kind == TLS_SIGN_CERTIFICATE_VERIFY ? in.len == 32 || in.len == 48 : kind == TLS_SIGN_KEY_EXCHANGE && in.len > 68 && in.ptr[64] == 3);
    } else {
        FUZZ_CHECK(why.text[0] != '\0');
    }
    ipc_message_finish(&answer);
    ipc_message_finish(&m);
}

/* What came back; the id of an exchange, if one goes on. */
static uint64_t look(struct slice all, uint16_t type, const struct ipc_message *answer)
{
    struct ipc_reader r = {.type = type, .rest = buf_slice(&answer->bytes)};

    FUZZ_CHECK(!fuzz_has(r.rest, SLICE("$argon2id$")) || fuzz_has(all, SLICE("$argon2id$")));
    if (type == AUTH_MSG_SIGN || type == AUTH_MSG_ABANDON)
        return 0;
    uint64_t state = ipc_get_u64(&r);
    FUZZ_CHECK(!r.failed && state >= AUTH_CONTINUE && state <= AUTH_FAILED);
    FUZZ_CHECK(state != AUTH_OK || fuzz_has(all, SLICE(PASSWORD)));
    return state == AUTH_CONTINUE ? ipc_get_u64(&r) : 0;
}

static void fuzz_mail(struct slice in)
{
    static struct auth_server *server;
    struct slice all = in;
    uint64_t id = 1;

    if (server == NULL)
        server = open_server("mail", true);
    struct ipc_service service = auth_server_service(server);
    for (unsigned i = 0; i < 8 && in.len > 0; i++) {
        static const uint16_t types[] = {AUTH_MSG_START, AUTH_MSG_PASSWORD, AUTH_MSG_RESPOND, AUTH_MSG_ABANDON, AUTH_MSG_SIGN};
        unsigned which = fuzz_take(&in);
        uint16_t type = which < 128 ? types[which % ARRAY_LEN(types)] : (uint16_t)(which - 128);
        struct ipc_message answer;
        bool ok = fuzz_request(&service, type, &in, id, &answer);
        FUZZ_CHECK(!ok || type == AUTH_MSG_START || type == AUTH_MSG_PASSWORD || type == AUTH_MSG_RESPOND ||
                   type == AUTH_MSG_ABANDON || type == AUTH_MSG_SIGN);
        uint64_t next = ok ? look(all, type, &answer) : 0;
        if (next != 0)
            id = next;
        ipc_message_finish(&answer);
    }
}

static void fuzz_control(struct slice in)
{
    static struct auth_server *server;

    if (server == NULL)
        server = open_server("control", false);
    struct ipc_service service = auth_server_control(server);
    for (unsigned i = 0; i < 4 && in.len > 0; i++) {
        struct ipc_message answer;
        uint16_t type = (uint16_t)(fuzz_take(&in) % 18);
        struct slice before = in;
        bool ok = fuzz_request(&service, type, &in, 1, &answer);
        FUZZ_CHECK(!ok || !fuzz_has(buf_slice(&answer.bytes), SLICE("$argon2id$")) || fuzz_has(before, SLICE("$argon2id$")));
        ipc_message_finish(&answer);
    }
}

static void poll_it(struct auth_exchange **x)
{
    struct auth_answer a;
    enum auth_state state;

    for (unsigned i = 0; i < 3; i++) {
        while ((state = auth_poll(*x, &a)) == AUTH_PENDING)
            (void)sched_yield();
        FUZZ_CHECK(a.delay_ms <= 0xffff);
        if (state != AUTH_CONTINUE)
            break;
        auth_respond(*x, a.challenge);
    }
    auth_exchange_destroy(x);
}

static void fuzz_client(struct slice in)
{
    static struct auth_client *client;
    struct auth_context about = {.service = SLICE("imap"), .peer = SLICE("192.0.2.1"), .session = SLICE("s"), .domain = SLICE("a.test")};
    struct tls_signing what = {.kind = TLS_SIGN_CERTIFICATE_VERIFY, .scheme = 0x0403, .key = SLICE("k"), .input = SLICE("i")};
    struct ipc_limits limits;
    struct auth_exchange *x;
    struct buf signature;
    struct fail why;

    if (client == NULL) {
        ipc_limits_default(&limits);
        client = auth_client_create(&limits, &why);
        FUZZ_CHECK(client != NULL);
        auth_client_attach(client, fuzz_peer_start(AUTH_MSG_ABANDON));
    }
    bool signs = fuzz_take(&in) % 2 == 1;
    fuzz_peer_set(in);
    if (signs) {
        buf_init(&signature, TLS_SIGNATURE_MAX);
        if (auth_sign(client, &what, &signature, &why))
            FUZZ_CHECK(signature.len <= TLS_SIGNATURE_MAX);
        buf_finish(&signature);
        return;
    }
    x = auth_password(client, &about, SLICE("u"), SLICE("p"), (struct waker){0});
    poll_it(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    switch (fuzz_take(&in) % 4) {
    case 0: fuzz_mail(in); break;
    case 1: fuzz_sign(in); break;
    case 2: fuzz_control(in); break;
    case 3: fuzz_client(in); break;
    }
    return 0;
}
