/*
 * fuzz/ipc_home.c - what `queue` gives to `mail` to be delivered, into a real store; and what `mail` answers.
 */
#include "base/body.h"
#include "base/fail.h"
#include "base/log.h"
#include "deliver/deliver.h"
#include "deliver/home.h"
#include "directory/directory.h"
#include "peer.h"
#include "room.h"
#include "storage/volume.h"
#include "store/store.h"

enum { MOST = 1 << 18, KEPT = 200 };

static struct store *store;
static struct directory *directory;

/* Another one of the same address before its mailbox has grown. */
static void new_account(void)
{
    struct directory_account was;
    struct arena a;
    struct fail why;
    uint64_t id;

    arena_init(&a, 1 << 16);
    if (directory_login(directory, SLICE("ann@example.test"), &a, &was, &why)) {
        room_must(store_account_remove(store, was.id, &why), "remove", &why);
        room_must(directory_account_remove(directory, was.id, &why), "remove", &why);
    }
    room_must(directory_account_add(directory, SLICE("ann@example.test"), &id, &why), "add", &why);
    room_must(store_account_create(store, id, &why), "create", &why);
    arena_finish(&a);
}

static struct home_server *open_server(void)
{
    struct volumes *volumes;
    struct deliver *deliver;
    struct directory_limits d;
    struct deliver_limits l;
    struct volume_limits v;
    struct store_limits s;
    struct fail why;

    log_set_level(LOG_ERROR);
    volume_limits_default(&v);
    v.volume_bytes = 4 << 20;
    v.prewrite_bytes = 1 << 20;
    v.reserve_percent = 0;
    v.reserve_bytes = 0;
    store_limits_default(&s);
    directory_limits_default(&d);
    deliver_limits_default(&l);
    room_must(volumes_open(room_path("volumes").text, &v, &volumes, &why), "volumes", &why);
    room_must(store_open(room_folder(), volumes, &s, &store, &why), "store", &why);
    room_must(directory_open(room_path("directory.db").text, &d, &directory, &why), "directory", &why);
    room_must(directory_domain_add(directory, SLICE("example.test"), &why), "domain", &why);
    room_must(deliver_open(store, volumes, directory, &l, &deliver, &why), "deliver", &why);
    new_account();
    return home_server_create(deliver, room_folder(), MOST);
}

static void fuzz_server(struct slice in)
{
    static struct home_server *server;
    static unsigned taken;
    struct ipc_message answer;

    if (server == NULL)
        server = open_server();
    struct ipc_service service = home_server_service(server);
    uint16_t type = (uint16_t)(fuzz_take(&in) % 8 == 7 ? 2 : 1);
    if (fuzz_request(&service, type, &in, 1, &answer) && ++taken % KEPT == 0)
        new_account();
    ipc_message_finish(&answer);
}

static void fuzz_client(struct slice in)
{
    static const struct body_limits bodies = {.memory_max = 1024, .size_max = 1024, .spool_dir = "/nonexistent"};
    static struct home_client *client;
    struct ipc_limits limits;
    struct fail why;

    if (client == NULL) {
        ipc_limits_default(&limits);
        client = home_client_create(&limits, &why);
        FUZZ_CHECK(client != NULL);
        home_client_attach(client, fuzz_peer_start(0));
    }
    struct body *body = body_create(&bodies);
    fuzz_peer_set(in);
    (void)home_deliver(client, SLICE(""), SLICE("ann@example.test"), body, false, &why);
    body_destroy(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    if (fuzz_take(&in) % 4 != 3)
        fuzz_server(in);
    else
        fuzz_client(in);
    return 0;
}
