/*
 * fuzz/ipc_content.c - what `mail` asks of `content` (fields; HTML itself is fuzz/html.c's), and what `content` answers.
 */
#include "base/fail.h"
#include "base/log.h"
#include "content/client.h"
#include "content/protocol.h"
#include "peer.h"

static void fuzz_server(struct slice in)
{
    static struct content_server *server;
    struct content_limits limits;
    struct ipc_message answer;
    struct fail why;

    if (server == NULL) {
        log_set_level(LOG_ERROR);
        content_limits_default(&limits);
        limits.html_bytes = 64 << 10;
        FUZZ_CHECK(content_server_create(&limits, &server, &why));
    }
    struct ipc_service service = content_server_service(server);
    uint16_t type = (uint16_t)(fuzz_take(&in) % 3);
    bool ok = fuzz_request(&service, type, &in, 1, &answer);
    FUZZ_CHECK(!ok || type == CONTENT_MSG_HTML);
    ipc_message_finish(&answer);
}

static void fuzz_client(struct slice in)
{
    enum { MOST = 1000 };
    static struct content_client *client;
    struct content_limits limits;
    struct ipc_limits ipc;
    struct fail why;
    struct buf out;

    if (client == NULL) {
        ipc_limits_default(&ipc);
        content_limits_default(&limits);
        client = content_client_create(&limits, &ipc, &why);
        FUZZ_CHECK(client != NULL);
        content_client_attach(client, fuzz_peer_start(0));
    }
    fuzz_peer_set(in);
    buf_init(&out, MOST);
    if (content_html(client, in, SLICE("utf-8"), &out) == CONTENT_AWAY)
        content_client_attach(client, fuzz_peer_again()); /* or it would not be asked for a while */
    FUZZ_CHECK(out.len <= MOST);
    buf_finish(&out);
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
