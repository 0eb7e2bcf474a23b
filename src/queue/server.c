/*
 * queue/server.c - see queue/server.h and, for the messages, queue/protocol.h.
 *
 * Layer: queue.  Everything that comes is looked at as if an attacker had sent it.
 */
#include "queue/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "queue/protocol.h"

enum {
    BODY_MEMORY = 1 << 20, /* larger ones lie in a file */
    PIECE = 256 << 10,
    WHOLE_MOST = 256 << 10, /* a pack that is read at once */
    ARENA_MAX = 1 << 30,
};

struct queue_server {
    struct queue *queue;
    struct body_limits bodies;
    uint64_t most;
};

struct queue_server *queue_server_create(struct queue *q, const char *spool_dir, uint64_t most)
{
    struct queue_server *s = xcalloc(1, sizeof *s);

    s->queue = q;
    s->most = most;
    s->bodies = (struct body_limits){.memory_max = BODY_MEMORY, .size_max = most, .spool_dir = spool_dir};
    return s;
}

void queue_server_destroy(struct queue_server **s)
{
    free(*s);
    *s = NULL;
}

static bool malformed(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed message");
}

/* One that has come: its details, and where its bodies are. */
struct pack {
    struct ipc_text text;
    struct buf details; /* of a file: read into memory */
    uint64_t details_len;
    struct arena arena;
    struct queue_message *messages;
    uint64_t *sizes;
    struct body **bodies;
    size_t count;
};

/* Bytes [at, at + n) of the pack's end in memory or in its file, into `out` of that size. */
static bool pack_copy(const struct pack *p, uint64_t at, char *out, size_t n, struct fail *why)
{
    if (p->text.fd >= 0)
        return io_pread_all(p->text.fd, out, n, at, why);
    memcpy(out, p->text.inside.ptr + at, n); /* lengths were compared before */
    return true;
}

static bool read_details(struct pack *p, struct fail *why)
{
    struct slice details = slice_sub(p->text.inside, 0, (size_t)p->details_len);

    if (p->text.fd >= 0) {
        const bool whole = p->text.len <= WHOLE_MOST;
        const size_t n = (size_t)(whole ? p->text.len : p->details_len);
        char *room = buf_room(&p->details, n);
        if (room == NULL || !pack_copy(p, 0, room, n, why))
            return false;
        buf_grew(&p->details, n);
        details = slice_sub(buf_slice(&p->details), 0, (size_t)p->details_len);
        if (whole) {
            p->text.inside = buf_slice(&p->details);
            scoped_close(&p->text.fd);
            p->text.fd = -1;
        }
    }
    return pack_read(details, p->count, &p->arena, &p->messages, &p->sizes, why);
}

static bool read_body(const struct pack *p, uint64_t from, uint64_t size, struct body *out, struct fail *why)
{
    if (p->text.fd < 0)
        return body_add(out, slice_make(p->text.inside.ptr + from, (size_t)size), why);
    char *room = size <= PIECE ? body_room(out, (size_t)size) : NULL;
    if (room != NULL) {
        if (!pack_copy(p, from, room, (size_t)size, why))
            return false;
        body_grew(out, (size_t)size);
        return true;
    }
    SCOPED(scoped_free) char *piece = xmalloc(PIECE);
    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if (!pack_copy(p, from + at, piece, n, why) || !body_add(out, slice_make(piece, n), why))
            return false;
        at += n;
    }
    return true;
}

static bool read_bodies(const struct queue_server *s, struct pack *p, struct fail *why)
{
    uint64_t at = p->details_len;

    p->bodies = arena_new_array(&p->arena, struct body *, p->count);
    if (p->bodies == NULL)
        return malformed(why);
    for (size_t i = 0; i < p->count; i++) {
        if (p->sizes[i] > p->text.len - at)
            return malformed(why);
        p->bodies[i] = body_create(&s->bodies);
        p->messages[i].body = p->bodies[i];
        if (!read_body(p, at, p->sizes[i], p->bodies[i], why))
            return false;
        at += p->sizes[i];
    }
    return at == p->text.len || malformed(why);
}

static void pack_finish(struct pack *p)
{
    for (size_t i = 0; p->bodies != NULL && i < p->count; i++)
        body_destroy(&p->bodies[i]);
    if (p->text.fd >= 0)
        (void)close(p->text.fd);
    buf_finish(&p->details);
    arena_finish(&p->arena);
}

static bool pack_take(const struct queue_server *s, struct ipc_reader *request, struct pack *p, struct fail *why)
{
    uint64_t count = ipc_get_u64(request);

    p->details_len = ipc_get_u64(request);
    p->text.fd = -1;
    buf_init(&p->details, PACK_DETAILS_MAX);
    arena_init(&p->arena, ARENA_MAX);
    if (!ipc_take_text(request, s->most, &p->text, why))
        return false;
    if (!ipc_end(request) || count == 0 || count > PACK_MESSAGES_MAX || p->details_len > PACK_DETAILS_MAX ||
        p->details_len > p->text.len)
        return malformed(why);
    p->count = (size_t)count;
    return read_details(p, why) && read_bodies(s, p, why);
}

/* TAKE; or TRY. */
static bool take(const struct queue_server *s, struct ipc_reader *request, bool first, struct ipc_message *answer, struct fail *why)
{
    struct pack p = {0};
    bool ok = pack_take(s, request, &p, why);
    SCOPED(scoped_free) bool *taken = xcalloc(p.count + 1, sizeof *taken);
    SCOPED(scoped_free) enum queue_tried *fates = xcalloc(p.count + 1, sizeof *fates);
    struct buf which;

    buf_init(&which, PACK_MESSAGES_MAX);
    if (ok && first)
        ok = queue_try(s->queue, p.messages, p.bodies, p.count, fates, why);
    else if (ok)
        ok = queue_take(s->queue, p.messages, p.count, taken, why);
    for (size_t i = 0; ok && i < p.count; i++)
        buf_add_char(&which, (char)(first ? (int)fates[i] : taken[i]));
    if (ok)
        ipc_add_bytes(answer, buf_slice(&which));
    buf_finish(&which);
    pack_finish(&p);
    return ok;
}

static bool tell_over(const struct queue_server *s, struct ipc_reader *request, struct ipc_message *answer, struct fail *why)
{
    SCOPED(scoped_free) struct queue_over *list = xcalloc(OVER_MOST, sizeof *list);
    struct buf text;

    if (!ipc_end(request))
        return malformed(why);
    buf_init(&text, OVER_MOST * OVER_BYTES);
    over_write(&text, list, queue_outcomes(s->queue, list, OVER_MOST));
    ipc_add_bytes(answer, buf_slice(&text));
    buf_finish(&text);
    return true;
}

static bool handle(void *ctx, struct ipc_reader *request, struct ipc_message *answer, struct fail *why)
{
    struct queue_server *s = ctx;

    if (request->type == QUEUE_MSG_TAKE || request->type == QUEUE_MSG_TRY)
        return take(s, request, request->type == QUEUE_MSG_TRY, answer, why);
    if (request->type == QUEUE_MSG_OVER)
        return tell_over(s, request, answer, why);
    if (request->type != QUEUE_MSG_UNDO)
        return malformed(why);
    uint64_t account = ipc_get_u64(request);
    struct slice trace = ipc_get_bytes(request);
    /* Account 0 is the administrator, who comes by the control socket. */
    return ipc_end(request) && account != 0 ? queue_undo(s->queue, account, trace, why) : malformed(why);
}

struct ipc_service queue_server_service(struct queue_server *s)
{
    return (struct ipc_service){.name = "queue", .handle = handle, .ctx = s};
}
