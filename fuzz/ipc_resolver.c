/*
 * fuzz/ipc_resolver.c - what `resolver` answers: every name is one, times are bounded, and what was read is written and read again
 * the same; and what it is asked.  Nobody is asked on the network.
 */
#include "base/fail.h"
#include "base/log.h"
#include "net/dns_wire.h"
#include "peer.h"

static const enum dns_type types[] = {DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};

static void check_answer(const struct dns_answer *got, enum dns_type type)
{
    FUZZ_CHECK(got->ttl <= DNS_KEPT_MAX && got->count <= DNS_RECORDS_MAX && (got->count > 0) == (got->status == DNS_FOUND));
    FUZZ_CHECK(got->canonical[0] == '\0' || dns_name_valid(slice_of(got->canonical)));
    for (const char *c = got->why; *c != '\0'; c++)
        FUZZ_CHECK(*c >= ' ' && *c <= '~');
    for (size_t i = 0; i < got->count; i++) {
        const char *name = type == DNS_MX ? got->records[i].mx.host : type == DNS_CNAME || type == DNS_PTR ? got->records[i].name : "";
        FUZZ_CHECK(name[0] == '\0' || dns_name_valid(slice_of(name)));
    }
}

static void fuzz_answer(struct slice in)
{
    enum dns_type type = types[fuzz_take(&in) % ARRAY_LEN(types)];
    struct dns_answer first, second;
    struct ipc_message again;
    struct buf fields;
    struct arena a;

    buf_init(&fields, IPC_MESSAGE_MAX);
    fuzz_fields(&in, 1, &fields);
    arena_init(&a, 1 << 20);
    struct ipc_reader r = {.type = 1, .rest = buf_slice(&fields)};
    if (dns_answer_get(&r, type, &a, &first)) {
        check_answer(&first, type);
        ipc_message_init(&again, 1);
        dns_answer_add(&again, type, &first);
        struct ipc_reader r2 = {.type = 1, .rest = buf_slice(&again.bytes)};
        FUZZ_CHECK(again.bytes.failed || (dns_answer_get(&r2, type, &a, &second) && second.count == first.count && second.ttl == first.ttl));
        ipc_message_finish(&again);
    }
    arena_finish(&a);
    buf_finish(&fields);
}

static void fuzz_client(struct slice in)
{
    static struct dns_client *client;
    struct dns_limits limits;
    struct ipc_limits ipc;
    struct dns_answer answer;
    struct fail why;
    struct arena a;
    char name[] = "n000.test"; /* another one each time: what is known is not asked again */
    static unsigned turn;

    if (client == NULL) {
        ipc_limits_default(&ipc);
        dns_limits_default(&limits);
        limits.answers = 100;
        client = dns_client_create(&limits, &ipc, &why);
        FUZZ_CHECK(client != NULL);
        dns_client_attach(client, fuzz_peer_start(0));
    }
    enum dns_type type = types[fuzz_take(&in) % ARRAY_LEN(types)];
    turn++;
    for (unsigned i = 0, n = turn; i < 3; i++, n /= 10)
        name[3 - i] = (char)('0' + n % 10);
    fuzz_peer_set(in);
    arena_init(&a, 1 << 20);
    struct dns_call *call = dns_ask_start(client, name, type, (struct waker){0});
    dns_call_end(&call, &a, &answer);
    check_answer(&answer, type);
    arena_finish(&a);
}

static void fuzz_server(struct slice in)
{
    static const char *const servers[] = {"127.0.0.1:9", NULL};
    static struct dns_server *server;
    struct dns_limits limits;
    struct ipc_message answer;
    struct fail why;
    struct buf fields;

    if (server == NULL) {
        log_set_level(LOG_ERROR);
        dns_limits_default(&limits);
        FUZZ_CHECK(dns_server_create(&limits, servers, &server, &why));
    }
    struct ipc_service service = dns_server_service(server);
    uint16_t type = (uint16_t)(fuzz_take(&in) % 3);
    buf_init(&fields, IPC_MESSAGE_MAX);
    fuzz_fields(&in, 1, &fields);
    struct ipc_reader look = {.type = type, .rest = buf_slice(&fields)}, r = look;
    struct slice name = ipc_get_bytes(&look);
    (void)ipc_get_u64(&look);
    if (type != DNS_MSG_ASK || !ipc_end(&look) || !dns_name_valid(name)) { /* else it would ask */
        ipc_message_init(&answer, type);
        FUZZ_CHECK(!service.handle(service.ctx, &r, &answer, &why));
        ipc_message_finish(&answer);
    }
    buf_finish(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    switch (fuzz_take(&in) % 4) {
    case 0:
    case 1: fuzz_answer(in); break;
    case 2: fuzz_client(in); break;
    case 3: fuzz_server(in); break;
    }
    return 0;
}
