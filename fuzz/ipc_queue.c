/*
 * fuzz/ipc_queue.c - what `mail` hands to `queue`, whole: fields, descriptors and packs; and what `queue` answers.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "peer.h"
#include "queue/client.h"
#include "queue/protocol.h"
#include "queue/server.h"
#include "room.h"
#include "storage/volume.h"

enum { MOST = 1 << 20, KEPT = 300 };

static void by_domain(void *ctx, const struct queue_message *m, struct slice recipient, struct buf *out)
{
    (void)ctx;
    (void)m;
    FUZZ_CHECK(ipc_is_line(recipient, PACK_ADDRESS_MAX) && recipient.len > 0);
    buf_add(out, slice_from(recipient, slice_rfind_char(recipient, '@') + 1));
}

/* A spool that is made anew before it has grown. */
static struct queue_server *server_of(bool *grew)
{
    static struct volume_limits volumes;
    static struct queue *queue;
    static struct queue_server *server;
    static unsigned taken, spools;
    struct queue_setting setting = {.hostname = "mx.a.test", .volumes = &volumes, .router = {.destination = by_domain}, .offline = true};
    struct fail why;
    char name[20];

    if (queue != NULL && (!*grew || ++taken % KEPT != 0))
        return server;
    log_set_level(LOG_ERROR);
    queue_server_destroy(&server);
    queue_close(&queue);
    volume_limits_default(&volumes);
    volumes.volume_bytes = 4 << 20;
    queue_limits_default(&setting.limits);
    (void)snprintf(name, sizeof name, "spool%u", spools);
    room_remove(room_path(name).text);
    (void)snprintf(name, sizeof name, "spool%u", ++spools);
    const struct room_path path = room_path(name);
    setting.dir = path.text;
    room_must(queue_open(&setting, &queue, &why), "queue", &why);
    server = queue_server_create(queue, room_folder(), MOST);
    return server;
}

static void fuzz_server(struct slice in)
{
    static bool grew;
    struct ipc_service service = queue_server_service(server_of(&grew));
    struct ipc_message answer;
    uint16_t type = (uint16_t)(fuzz_take(&in) % 3 + 1);

    grew = fuzz_request(&service, type, &in, 1, &answer) && type == QUEUE_MSG_TAKE;
    ipc_message_finish(&answer);
}

/* A pack that is well formed but for what it says: the details are the input's. */
static void fuzz_pack(struct slice in)
{
    static bool grew;
    struct ipc_service service = queue_server_service(server_of(&grew));
    struct ipc_message m, answer;
    struct fail why = {0};
    int fd = -1;

    unsigned count = fuzz_take(&in);
    size_t details = fuzz_take(&in) << 4;
    ipc_message_init(&m, QUEUE_MSG_TAKE);
    ipc_message_init(&answer, QUEUE_MSG_TAKE);
    ipc_add_u64(&m, count);
    ipc_add_u64(&m, details < in.len ? details : in.len);
    ipc_add_u64(&m, in.len);
    ipc_add_bytes(&m, in);
    struct ipc_reader r = {.type = QUEUE_MSG_TAKE, .rest = buf_slice(&m.bytes), .fd = &fd};
    grew = service.handle(service.ctx, &r, &answer, &why);
    FUZZ_CHECK(grew || why.text[0] != '\0');
    ipc_message_finish(&answer);
    ipc_message_finish(&m);
}

static void fuzz_client(struct slice in)
{
    static const struct body_limits bodies = {.memory_max = 1024, .size_max = 1024, .spool_dir = "/nonexistent"};
    static const struct queue_recipient to = {.address = {"a@b.test", 8}};
    static struct queue_client *client;
    struct ipc_limits limits;
    struct fail why;
    bool taken[3] = {false, false, false};

    if (client == NULL) {
        ipc_limits_default(&limits);
        client = queue_client_create(&limits, &why);
        FUZZ_CHECK(client != NULL);
        queue_client_attach(client, fuzz_peer_start(0));
    }
    struct body *body = body_create(&bodies);
    const struct queue_message one = {.id = 1, .recipients = &to, .recipient_count = 1, .body = body};
    const struct queue_message messages[] = {one, one};
    fuzz_peer_set(in);
    (void)queue_client_take(client, messages, ARRAY_LEN(messages), taken, &why);
    FUZZ_CHECK(!taken[2]);
    (void)queue_client_undo(client, 1, SLICE("t"), &why);
    body_destroy(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    switch (fuzz_take(&in) % 3) {
    case 0: fuzz_server(in); break;
    case 1: fuzz_pack(in); break;
    case 2: fuzz_client(in); break;
    }
    return 0;
}
