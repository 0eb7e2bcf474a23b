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
    SMALL = 16 << 10,      /* bodies that are written together */
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

static bool flush(int fd, struct buf *pending, uint64_t *at, struct fail *why)
{
    bool ok = pending->len == 0 || io_pwrite_all(fd, buf_slice(pending), *at, why);

    *at += pending->len;
    buf_reset(pending);
    return ok;
}

/* Small ones gather in `pending`, large ones go from where they are. */
static bool write_bodies(int fd, struct buf *pending, const struct queue_message *messages, size_t count, struct fail *why)
{
    struct buf scratch;
    uint64_t at = 0;
    bool ok = true;

    buf_init(&scratch, PIECE);
    for (size_t i = 0; ok && i < count; i++) {
        uint64_t size = body_size(messages[i].body);
        if (size <= SMALL) {
            ok = add_body(pending, messages[i].body, why) && (pending->len < PIECE || flush(fd, pending, &at, why));
            continue;
        }
        ok = flush(fd, pending, &at, why) && write_body(fd, at, messages[i].body, &scratch, why);
        at += size;
    }
    buf_finish(&scratch);
    return ok && flush(fd, pending, &at, why);
}

/* Details (`pack`, used up) and bodies into a file in memory, which is the caller's; -1 and *why. */
static int write_pack(struct buf *pack, const struct queue_message *messages, size_t count, struct fail *why)
{
    int fd = memfd_create("posthorn mail", MFD_CLOEXEC);

    if (fd < 0) {
        (void)fail_errno(why, errno, "memory for mail that leaves");
        return -1;
    }
    if (write_bodies(fd, pack, messages, count, why))
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
    *fd = write_pack(pack, messages, count, why);
    ipc_add_bytes(m, SLICE(""));
    ipc_add_fd(m, *fd);
    return *fd >= 0;
}

/* ---- asking ---- */

static bool malformed(struct fail *why)
{
    return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the queue role's answer cannot be read");
}

/* Hands them over; fates[i] is the byte of the answer. */
static bool hand_over(struct queue_client *c, enum queue_request type, const struct queue_message *messages, size_t count, unsigned char *fates,
                      struct fail *why)
{
    struct ipc_message m;
    struct ipc_call *call = NULL;
    struct ipc_reader answer;
    struct buf pack;
    SCOPED(scoped_close) int fd = -1;

    if (count == 0 || count > PACK_MESSAGES_MAX)
        bug("%zu messages to be taken at once", count);
    ipc_message_init(&m, (uint16_t)type);
    buf_init(&pack, PACK_DETAILS_MAX);
    for (size_t i = 0; i < count; i++)
        pack_write(&pack, &messages[i]);
    ipc_add_u64(&m, count);
    ipc_add_u64(&m, pack.len);
    bool ok = !pack.failed || fail_set(why, FAIL_TEMP, FAIL_TOO_BIG, "too many recipients to be handed over at once");
    ok = ok && add_pack(&m, &pack, messages, count, &fd, why) && ask(c, &m, &call, &answer, why);
    buf_finish(&pack);
    ipc_message_finish(&m);
    if (!ok)
        return false;
    struct slice which = ipc_get_bytes(&answer);
    ok = ipc_end(&answer) && which.len == count;
    if (ok)
        memcpy(fates, which.ptr, count);
    ipc_call_end(&call);
    return ok || malformed(why);
}

bool queue_client_take(struct queue_client *c, const struct queue_message *messages, size_t count, bool *taken,
                       struct fail *why)
{
    SCOPED(scoped_free) unsigned char *fates = xcalloc(count + 1, 1);
    bool ok = hand_over(c, QUEUE_MSG_TAKE, messages, count, fates, why);

    for (size_t i = 0; ok && i < count; i++)
        taken[i] = fates[i] == 1;
    return ok;
}

bool queue_client_try(struct queue_client *c, const struct queue_message *messages, size_t count, enum queue_tried *fates,
                      struct fail *why)
{
    SCOPED(scoped_free) unsigned char *said = xcalloc(count + 1, 1);
    bool ok = hand_over(c, QUEUE_MSG_TRY, messages, count, said, why);

    for (size_t i = 0; ok && i < count; i++)
        fates[i] = said[i] == QUEUE_TAKEN || said[i] == QUEUE_TRIED ? (enum queue_tried)said[i] : QUEUE_NOT_TRIED;
    return ok;
}

bool queue_client_outcomes(struct queue_client *c, struct queue_over *out, size_t most, size_t *count, struct fail *why)
{
    struct ipc_message m;
    struct ipc_call *call = NULL;
    struct ipc_reader answer;

    ipc_message_init(&m, QUEUE_MSG_OVER);
    bool ok = ask(c, &m, &call, &answer, why);
    if (ok) {
        struct slice text = ipc_get_bytes(&answer);
        ok = (ipc_end(&answer) && over_read(text, out, most, count)) || malformed(why);
        ipc_call_end(&call);
    }
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
