/* See fuzz/peer.h. */
#include "peer.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"

/* ---- messages ---- */

static uint64_t take_number(struct slice *in, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | fuzz_take(in);
    return n;
}

static struct slice take_bytes(struct slice *in, size_t n)
{
    struct slice out = slice_sub(*in, 0, n);

    *in = slice_from(*in, out.len);
    return out;
}

/* `n` bytes that are all the same. */
static void add_many(struct ipc_message *m, unsigned byte, size_t n)
{
    char *room = malloc(n + 1);

    FUZZ_CHECK(room != NULL);
    memset(room, (int)byte, n);
    ipc_add_bytes(m, slice_make(room, n));
    free(room);
}

void fuzz_fields(struct slice *in, uint64_t id, struct buf *out)
{
    struct ipc_message m;

    if (fuzz_take(in) % 8 == 7) {
        buf_add(out, take_bytes(in, take_number(in, 2)));
        return;
    }
    ipc_message_init(&m, 1);
    for (unsigned i = 0; i < 40 && in->len > 0; i++) {
        unsigned what = fuzz_take(in) % 12;
        if (what == 11)
            break;
        switch (what) {
        case 0: ipc_add_u64(&m, fuzz_take(in)); break;
        case 1: ipc_add_u64(&m, take_number(in, 8)); break;
        case 2: ipc_add_i64(&m, (int64_t)take_number(in, 8)); break;
        case 3: ipc_add_u64(&m, id); break;
        case 4: ipc_add_bool(&m, true); break;
        case 5: ipc_add_bool(&m, false); break;
        case 6: {
            size_t n = take_number(in, 2) % 4000;
            unsigned byte = fuzz_take(in);
            add_many(&m, byte, n);
            break;
        }
        case 7: ipc_add_u64(&m, take_number(in, 2)); break;
        default: ipc_add_bytes(&m, take_bytes(in, fuzz_take(in))); break;
        }
    }
    buf_add(out, buf_slice(&m.bytes));
    ipc_message_finish(&m);
}

int fuzz_descriptor(struct slice *in)
{
    unsigned what = fuzz_take(in);
    int pair[2];

    if (what % 16 == 15 && pipe(pair) == 0) {
        (void)close(pair[1]);
        return pair[0];
    }
    if (what % 4 != 3)
        return -1;
    struct slice text = take_bytes(in, take_number(in, 2));
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, text.ptr != NULL ? text.ptr : "", text.len) < 0)
        abort();
    return fd;
}

bool fuzz_request(const struct ipc_service *service, uint16_t type, struct slice *in, uint64_t id, struct ipc_message *answer)
{
    struct fail why = {0};
    struct buf fields;
    int fd = fuzz_descriptor(in);

    buf_init(&fields, IPC_MESSAGE_MAX);
    fuzz_fields(in, id, &fields);
    char *exact = malloc(fields.len + 1); /* so that a byte too far is noticed */
    FUZZ_CHECK(exact != NULL);
    memcpy(exact, fields.len > 0 ? fields.data : "", fields.len);
    struct ipc_reader r = {.type = type, .rest = slice_make(exact, fields.len), .fd = &fd};
    ipc_message_init(answer, type);
    bool ok = service->handle(service->ctx, &r, answer, &why);
    FUZZ_CHECK(ok || why.text[0] != '\0');
    if (answer->fd >= 0)
        (void)close(answer->fd);
    if (fd >= 0)
        (void)close(fd);
    free(exact);
    buf_finish(&fields);
    return ok;
}

/* ---- answers ---- */

static struct {
    struct ipc_server *server;
    uint16_t notice; /* a type that is not answered */
    pthread_mutex_t lock;
    char bytes[1 << 16]; /* the input may be gone before a late notice comes */
    struct slice in;
} peer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool answer_anything(void *ctx, struct ipc_reader *request, struct ipc_message *answer, struct fail *why)
{
    (void)ctx;
    if (request->type == peer.notice)
        return true;
    (void)pthread_mutex_lock(&peer.lock);
    bool refuses = fuzz_take(&peer.in) % 16 == 15;
    if (!refuses) {
        answer->fd = fuzz_descriptor(&peer.in);
        fuzz_fields(&peer.in, 1, &answer->bytes);
    }
    (void)pthread_mutex_unlock(&peer.lock);
    return !refuses || fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "the peer refuses");
}

int fuzz_peer_again(void)
{
    struct fail why;
    int ends[2];

    if (!ipc_socket_pair(ends, &why) || !ipc_server_attach(peer.server, ends[1], &why)) {
        fprintf(stderr, "%s\n", why.text);
        abort();
    }
    return ends[0];
}

int fuzz_peer_start(uint16_t notice)
{
    struct ipc_service service = {.name = "fuzz", .handle = answer_anything};
    struct ipc_limits limits;
    struct fail why;

    log_set_level(LOG_ERROR);
    ipc_limits_default(&limits);
    limits.threads = 1;
    peer.notice = notice;
    peer.server = ipc_server_create(&limits, &service, &why);
    FUZZ_CHECK(peer.server != NULL);
    return fuzz_peer_again();
}

void fuzz_peer_set(struct slice in)
{
    (void)pthread_mutex_lock(&peer.lock);
    peer.in = slice_make(peer.bytes, in.len < sizeof peer.bytes ? in.len : sizeof peer.bytes);
    if (peer.in.len > 0)
        memcpy(peer.bytes, in.ptr, peer.in.len);
    (void)pthread_mutex_unlock(&peer.lock);
}

/* ---- looking ---- */

bool fuzz_has(struct slice where, struct slice what)
{
    return slice_find(where, what) < where.len;
}
