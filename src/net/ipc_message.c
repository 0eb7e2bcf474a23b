/*
 * net/ipc_message.c - writing, reading, sending and receiving one message.
 *
 * Layer: net.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/block.h"
#include "base/fail.h"
#include "net/ipc_wire.h"

enum {
    MAGIC = 0x5048,
    TYPE_MAX = 0x7fff,
    FIELDS_MAX = 64 * 1024 - sizeof(struct ipc_header), /* IPC_MESSAGE_MAX and the header */
    DESCRIPTORS_SEEN = 8, /* room for more than allowed, so that none is lost unseen */
};

/* ---- writing ---- */

void ipc_message_init(struct ipc_message *m, uint16_t type)
{
    m->type = type;
    m->fd = -1;
    buf_init(&m->bytes, FIELDS_MAX);
}

/* There may be a password in it: it is not left lying in freed memory. */
void ipc_message_finish(struct ipc_message *m)
{
    if (m->bytes.len > 0)
        explicit_bzero(m->bytes.data, m->bytes.len);
    buf_finish(&m->bytes);
    m->fd = -1;
}

static void add(struct ipc_message *m, char tag, const void *value, size_t n)
{
    char *room = buf_room(&m->bytes, n + 1);

    if (room == NULL)
        return;
    room[0] = tag;
    memcpy(room + 1, value, n);
    buf_grew(&m->bytes, n + 1);
}

void ipc_add_u64(struct ipc_message *m, uint64_t n)
{
    add(m, 'u', &n, sizeof(n));
}

void ipc_add_i64(struct ipc_message *m, int64_t n)
{
    add(m, 'i', &n, sizeof(n));
}

void ipc_add_bool(struct ipc_message *m, bool yes)
{
    add(m, yes ? 'T' : 'F', "", 0);
}

void ipc_add_bytes(struct ipc_message *m, struct slice s)
{
    uint32_t len = (uint32_t)s.len;

    if (s.len > FIELDS_MAX) {
        m->bytes.failed = true;
        return;
    }
    add(m, 's', &len, sizeof(len));
    buf_add(&m->bytes, s);
}

void ipc_add_fd(struct ipc_message *m, int fd)
{
    m->fd = fd;
}

/* ---- reading ---- */

static struct slice take(struct ipc_reader *r, size_t n)
{
    struct slice out = slice_sub(r->rest, 0, n);

    if (r->failed || out.len < n) {
        r->failed = true;
        return (struct slice){0};
    }
    r->rest = slice_from(r->rest, n);
    return out;
}

/* The value of a field of this type, as long as `n`. */
static bool take_field(struct ipc_reader *r, char tag, void *out, size_t n)
{
    struct slice field = take(r, n + 1);

    if (r->failed || field.ptr[0] != tag) {
        r->failed = true;
        return false;
    }
    memcpy(out, field.ptr + 1, n);
    return true;
}

uint64_t ipc_get_u64(struct ipc_reader *r)
{
    uint64_t n;

    return take_field(r, 'u', &n, sizeof(n)) ? n : 0;
}

int64_t ipc_get_i64(struct ipc_reader *r)
{
    int64_t n;

    return take_field(r, 'i', &n, sizeof(n)) ? n : 0;
}

bool ipc_get_bool(struct ipc_reader *r)
{
    struct slice tag = take(r, 1);

    if (r->failed || (tag.ptr[0] != 'T' && tag.ptr[0] != 'F')) {
        r->failed = true;
        return false;
    }
    return tag.ptr[0] == 'T';
}

struct slice ipc_get_bytes(struct ipc_reader *r)
{
    uint32_t len;

    return take_field(r, 's', &len, sizeof(len)) ? take(r, len) : (struct slice){0};
}

bool ipc_is_line(struct slice s, size_t most)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return s.len <= most;
}

struct slice ipc_get_line(struct ipc_reader *r, size_t most)
{
    struct slice s = ipc_get_bytes(r);

    if (ipc_is_line(s, most))
        return s;
    r->failed = true;
    return (struct slice){0};
}

bool ipc_at_end(const struct ipc_reader *r)
{
    return r->failed || r->rest.len == 0;
}

int ipc_take_fd(struct ipc_reader *r)
{
    int fd = r->fd != NULL ? *r->fd : -1;

    if (fd < 0)
        r->failed = true;
    else
        *r->fd = -1;
    return fd;
}

bool ipc_end(struct ipc_reader *r)
{
    if (r->rest.len > 0)
        r->failed = true;
    return !r->failed;
}

/* ---- failures ---- */

enum { INTERNAL = 2 }; /* beside the kind */

void ipc_add_fail(struct ipc_message *m, const struct fail *why)
{
    ipc_add_u64(m, (uint64_t)why->kind | (why->internal ? INTERNAL : 0));
    ipc_add_u64(m, why->reason);
    ipc_add_bytes(m, slice_of(why->code));
    ipc_add_bytes(m, slice_of(why->text));
}

/* The story ends in logs and in answers to clients: printable characters only. */
static void copy_clean(char *out, size_t size, struct slice s)
{
    size_t len = s.len < size - 1 ? s.len : size - 1;

    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f ? '?' : s.ptr[i];
    out[len] = '\0';
}

void ipc_get_fail(struct ipc_reader *r, struct fail *why)
{
    uint64_t word = ipc_get_u64(r), kind = word & ~(uint64_t)INTERNAL;
    uint64_t reason = ipc_get_u64(r);
    struct slice code = ipc_get_bytes(r);
    struct slice text = ipc_get_bytes(r);

    if (!ipc_end(r) || kind > FAIL_PERM || reason > FAIL_DAMAGED) {
        fail_set(why, FAIL_TEMP, FAIL_OTHER, "an answer that makes no sense");
        return;
    }
    *why = (struct fail){.kind = (enum fail_kind)kind, .reason = (enum fail_reason)reason, .internal = word != kind};
    copy_clean(why->code, sizeof(why->code), code);
    copy_clean(why->text, sizeof(why->text), text);
}

/* ---- the socket ---- */

static bool wait_for_room(int socket, int wait_ms)
{
    struct pollfd room = {.fd = socket, .events = POLLOUT};

    block_begin();
    int ready = poll(&room, 1, wait_ms);
    block_end();
    return ready > 0;
}

static void put_descriptor(struct msghdr *message, void *control, size_t size, int fd)
{
    memset(control, 0, size);
    message->msg_control = control;
    message->msg_controllen = size;
    struct cmsghdr *c = control; /* the first, CMSG_FIRSTHDR() */
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

bool ipc_send(int socket, enum ipc_kind kind, uint64_t id, const struct ipc_message *m, int wait_ms,
              struct fail *why)
{
    struct ipc_header header = {.magic = MAGIC, .type = m->type, .kind = kind, .id = id};
    struct iovec iov[2] = {{&header, sizeof(header)}, {m->bytes.data, m->bytes.len}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;

    if (m->bytes.failed)
        return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "a message of more than %zu bytes", IPC_MESSAGE_MAX);
    if (m->fd >= 0)
        put_descriptor(&message, &control, sizeof(control), m->fd);
    for (;;) {
        if (sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return true;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "has gone");
        if (wait_ms == 0 || !wait_for_room(socket, wait_ms))
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "does not read its messages");
    }
}

bool ipc_header_check(const struct ipc_header *h)
{
    bool notice = h->kind == IPC_NOTICE;

    return h->magic == MAGIC && h->kind >= IPC_REQUEST && h->kind <= IPC_NOTICE && h->type >= 1 &&
           h->type <= TYPE_MAX && (h->id == 0) == notice;
}

/* Takes the descriptors out of a message: how many there were, the first in *fd; the others are closed. */
static unsigned take_descriptors(struct msghdr *message, int *fd)
{
    unsigned count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
            if (count++ == 0)
                *fd = one;
            else
                (void)close(one);
        }
    }
    return count;
}

/* Receives what ipc_receive() has seen the length of. */
static enum ipc_got receive_fields(int socket, struct ipc_packet *p)
{
    struct iovec iov[2] = {{&p->header, sizeof(p->header)}, {p->bytes, p->len}};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_SEEN)];
    } control;
    struct msghdr message = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? IPC_LATER : IPC_END;
    unsigned count = take_descriptors(&message, &p->fd);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || count > 1 ||
        (size_t)n != sizeof(p->header) + p->len || !ipc_header_check(&p->header))
        return IPC_BAD;
    return IPC_GOT;
}

enum ipc_got ipc_receive(int socket, struct ipc_packet **out)
{
    ssize_t n = recv(socket, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? IPC_LATER : IPC_END;
    if (n == 0)
        return IPC_END;
    if ((size_t)n < sizeof(struct ipc_header) || (size_t)n > IPC_MESSAGE_MAX)
        return IPC_BAD;
    size_t len = (size_t)n - sizeof(struct ipc_header);
    struct ipc_packet *p = xmalloc(sizeof(*p) + len);
    *p = (struct ipc_packet){.fd = -1, .len = len};
    enum ipc_got got = receive_fields(socket, p);
    if (got == IPC_GOT)
        *out = p;
    else
        ipc_packet_free(&p);
    return got;
}

void ipc_packet_free(struct ipc_packet **p)
{
    if (*p == NULL)
        return;
    if ((*p)->fd >= 0)
        (void)close((*p)->fd);
    explicit_bzero((*p)->bytes, (*p)->len); /* as in ipc_message_finish */
    free(*p);
    *p = NULL;
}

struct ipc_reader ipc_packet_reader(struct ipc_packet *p)
{
    return (struct ipc_reader){.type = p->header.type, .fd = &p->fd, .rest = slice_make(p->bytes, p->len)};
}
