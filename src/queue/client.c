/*
 * queue/client.c - see queue/client.h and, for the messages, queue/protocol.h.
 *
 * Layer: queue.
 */
#include "queue/client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "queue/protocol.h"

enum {
    INSIDE_MAX = 48 << 10, /* a pack that travels in the message itself */
    PIECE = 256 << 10,
    TAKE_SECONDS = 120,    /* a batch waits for the disk of the other side */
};

struct queue_client {
    struct ipc_client *ipc;
};

struct queue_client *queue_client_create(const struct ipc_limits *ipc, struct fail *why)
{
    struct queue_client *c = xcalloc(1, sizeof *c);
    struct ipc_limits mine = *ipc;

    if (mine.timeout_seconds < TAKE_SECONDS)
        mine.timeout_seconds = TAKE_SECONDS;
    c->ipc = ipc_client_create(&mine, "queue", NULL, NULL, why);
    if (c->ipc == NULL)
        queue_client_destroy(&c);
    return c;
}

void queue_client_destroy(struct queue_client **c)
{
    if (*c == NULL)
        return;
    ipc_client_destroy(&(*c)->ipc);
    free(*c);
    *c = NULL;
}

void queue_client_attach(struct queue_client *c, int fd)
{
    ipc_client_attach(c->ipc, fd);
}

/* Asks and waits; the answer's slices live until ipc_call_end. */
static bool ask(struct queue_client *c, const struct ipc_message *m, struct ipc_call **call, struct ipc_reader *answer,
                struct fail *why)
{
    *call = ipc_call_start(c->ipc, m, (struct waker){0}, why);
    if (*call == NULL)
        return false;
    ipc_call_wait(*call);
    if (ipc_call_answer(*call, answer, why))
        return true;
    ipc_call_end(call);
    return false;
}

/* ---- packing ---- */

static bool add_body(struct buf *out, const struct body *body, struct fail *why)
{
    struct slice all;

    if (body_in_memory(body, &all)) {
        buf_add(out, all);
        return true;
    }
    for (uint64_t at = 0, size = body_size(body); at < size;) {
        size_t got = 0, n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        char *room = buf_room(out, n);
        if (room == NULL || !body_read(body, at, room, n, &got, why) || got != n)
            return false;
        buf_grew(out, n);
        at += n;
    }
    return true;
}

static bool write_body(int fd, uint64_t to, const struct body *body, struct buf *scratch, struct fail *why)
{
    struct slice all;

    if (body_in_memory(body, &all))
        return io_pwrite_all(fd, all, to, why);
    for (uint64_t at = 0, size = body_size(body); at < size;) {
        size_t got = 0, n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        buf_reset(scratch);
        char *room = buf_room(scratch, n);
        if (room == NULL || !body_read(body, at, room, n, &got, why) || got != n ||
            !io_pwrite_all(fd, slice_make(room, n), to + at, why))
            return false;
        at += n;
    }
    return true;
}

/* Details and bodies into a file in memory, which is the caller's; -1 and *why. */
static int write_pack(struct slice details, const struct queue_message *messages, size_t count, struct fail *why)
{
    int fd = memfd_create("posthorn mail", MFD_CLOEXEC);
    struct buf scratch;
    uint64_t at = details.len;

    if (fd < 0) {
        (void)fail_errno(why, errno, "memory for mail that leaves");
        return -1;
    }
    buf_init(&scratch, PIECE);
    bool ok = io_pwrite_all(fd, details, 0, why);
    for (size_t i = 0; ok && i < count; i++) {
        ok = write_body(fd, at, messages[i].body, &scratch, why);
        at += body_size(messages[i].body);
    }
    buf_finish(&scratch);
    if (ok)
        return fd;
    (void)close(fd);
    return -1;
}

/* Adds the pack to the request; *fd: the descriptor to be closed when it was sent, -1: none. */
static bool add_pack(struct ipc_message *m, struct buf *pack, const struct queue_message *messages, size_t count, int *fd,
                     struct fail *why)
{
    uint64_t size = pack->len;

    for (size_t i = 0; i < count; i++)
        size += body_size(messages[i].body);
    *fd = -1;
    ipc_add_u64(m, size);
    if (size <= INSIDE_MAX) {
        for (size_t i = 0; i < count; i++)
            if (!add_body(pack, messages[i].body, why))
                return false;
        ipc_add_bytes(m, buf_slice(pack));
        return true;
    }
    *fd = write_pack(buf_slice(pack), messages, count, why);
    ipc_add_bytes(m, SLICE(""));
    ipc_add_fd(m, *fd);
    return *fd >= 0;
}

/* ---- asking ---- */

static bool malformed(struct fail *why)
{
    return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the queue role's answer cannot be read");
}

static bool take(struct queue_client *c, const struct ipc_message *m, size_t count, bool *taken, struct fail *why)
{
    struct ipc_call *call = NULL;
    struct ipc_reader answer;

    if (!ask(c, m, &call, &answer, why))
        return false;
    struct slice which = ipc_get_bytes(&answer);
    bool ok = ipc_end(&answer) && which.len == count;
    for (size_t i = 0; ok && i < count; i++)
        taken[i] = which.ptr[i] == 1;
    ipc_call_end(&call);
    return ok || malformed(why);
}

bool queue_client_take(struct queue_client *c, const struct queue_message *messages, size_t count, bool *taken,
                       struct fail *why)
{
    struct ipc_message m;
    struct buf pack;
    SCOPED(scoped_close) int fd = -1;

    if (count == 0 || count > PACK_MESSAGES_MAX)
        bug("%zu messages to be taken at once", count);
    ipc_message_init(&m, QUEUE_MSG_TAKE);
    buf_init(&pack, PACK_DETAILS_MAX);
    for (size_t i = 0; i < count; i++)
        pack_write(&pack, &messages[i]);
    ipc_add_u64(&m, count);
    ipc_add_u64(&m, pack.len);
    bool ok = !pack.failed || fail_set(why, FAIL_TEMP, FAIL_TOO_BIG, "too many recipients to be handed over at once");
    ok = ok && add_pack(&m, &pack, messages, count, &fd, why) && take(c, &m, count, taken, why);
    buf_finish(&pack);
    ipc_message_finish(&m);
    return ok;
}

bool queue_client_undo(struct queue_client *c, uint64_t account, struct slice trace, struct fail *why)
{
    struct ipc_message m;
    struct ipc_call *call = NULL;
    struct ipc_reader answer;

    ipc_message_init(&m, QUEUE_MSG_UNDO);
    ipc_add_u64(&m, account);
    ipc_add_bytes(&m, trace);
    bool ok = ask(c, &m, &call, &answer, why);
    if (ok) {
        ok = ipc_end(&answer) || malformed(why);
        ipc_call_end(&call);
    }
    ipc_message_finish(&m);
    return ok;
}
