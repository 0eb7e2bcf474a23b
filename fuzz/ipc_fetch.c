/*
 * fuzz/ipc_fetch.c - what `fetch` answers to who asked it, and what it is asked (fields; URLs are fuzz/fetch.c's).  Nobody is connected to.
 */
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "fetch/server.h"
#include "net/fetch_wire.h"
#include "peer.h"

static void fuzz_server(struct slice in)
{
    static struct fetch_server *server;
    struct fetch_setting setting = {.authorities = ""};
    struct ipc_message answer;
    struct fail why;

    if (server == NULL) {
        log_set_level(LOG_ERROR);
        fetch_limits_default(&setting.limits);
        FUZZ_CHECK(fetch_server_create(&setting, &server, &why));
    }
    if (slice_find_nocase(in, SLICE("https://")) < in.len)
        return; /* it would be asked for */
    struct ipc_service service = fetch_server_service(server);
    uint16_t type = (uint16_t)(fuzz_take(&in) % 4);
    FUZZ_CHECK(!fuzz_request(&service, type, &in, 1, &answer));
    ipc_message_finish(&answer);
}

static void fuzz_client(struct slice in)
{
    static struct fetch_client *client;
    struct fetch_limits limits;
    struct ipc_limits ipc;
    struct fetch_request q = {.url = SLICE("https://a.test/"), .content_type = SLICE(""), .body = SLICE("")};
    struct fetch_answer answer;
    struct fail why;
    struct arena a;
    struct buf out;

    if (client == NULL) {
        ipc_limits_default(&ipc);
        fetch_limits_default(&limits);
        client = fetch_client_create(&limits, &ipc, &why);
        FUZZ_CHECK(client != NULL);
        fetch_client_attach(client, fuzz_peer_start(0));
    }
    bool connects = fuzz_take(&in) % 2 == 1;
    fuzz_peer_set(in);
    if (connects) {
        int fd = fetch_connect(client, SLICE("unix:/x"), 1, &why);
        FUZZ_CHECK(fd < 0); /* there is no socket among what the peer sends */
        return;
    }
    arena_init(&a, 4096);
    buf_init(&out, 3000);
    if (fetch_ask(client, &q, &a, &answer, &out, &why))
        FUZZ_CHECK(answer.status >= 100 && answer.status <= 999 && answer.fresh >= -1 && out.len <= 3000);
    buf_finish(&out);
    arena_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    if (fuzz_take(&in) % 2 == 0)
        fuzz_server(in);
    else
        fuzz_client(in);
    return 0;
}
