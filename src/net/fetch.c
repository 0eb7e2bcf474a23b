/*
 * net/fetch.c - requests to the outside, asked of the fetch role.
 *
 * Layer: net.
 */
#include "net/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "net/fetch_wire.h"

enum { PATIENCE = 15 }; /* seconds longer than the role may take, which tells the better story */

struct fetch_client {
    struct ipc_client  *ipc;
    struct fetch_limits limits;
};

void fetch_limits_default(struct fetch_limits *l)
{
    *l = (struct fetch_limits){.answer_bytes = 1024 * 1024, .seconds = 30, .requests = 16};
}

struct fetch_client *fetch_client_create(const struct fetch_limits *limits, const struct ipc_limits *ipc, struct fail *why)
{
    struct fetch_client *c = xcalloc(1, sizeof *c);
    struct ipc_limits    mine = *ipc;

    c->limits = *limits;
    mine.timeout_seconds = limits->seconds + PATIENCE;
    c->ipc = ipc_client_create(&mine, "fetch", NULL, NULL, why);
    if (c->ipc == NULL)
        fetch_client_destroy(&c);
    return c;
}

void fetch_client_destroy(struct fetch_client **c)
{
    if (*c == NULL)
        return;
    ipc_client_destroy(&(*c)->ipc);
    free(*c);
    *c = NULL;
}

void fetch_client_attach(struct fetch_client *c, int fd)
{
    ipc_client_attach(c->ipc, fd);
}

void fetch_client_leave(struct fetch_client *c)
{
    ipc_client_leave(c->ipc);
}

static bool no_answer(struct fail *why)
{
    return fail_set(why, FAIL_TEMP, FAIL_OTHER, "fetch answered with what is no answer");
}

/* Sends and waits; false: *why says what there is instead of an answer.  The call is ended by the caller in any case. */
static bool ask(struct fetch_client *c, const struct ipc_message *m, struct ipc_call **call, struct ipc_reader *r,
                 struct fail *why)
{
    *call = ipc_call_start(c->ipc, m, (struct waker){0}, why);
    if (*call == NULL)
        return false;
    ipc_call_wait(*call);
    return ipc_call_answer(*call, r, why);
}

/* ---- requests ---- */

/* *made is a descriptor to be closed once the message is sent; -1. */
static bool add_body(struct ipc_message *m, const struct fetch_request *q, int *made, struct fail *why)
{
    struct stat st;

    if (!q->has_body_fd)
        return ipc_add_text(m, q->body, made, why);
    if (fstat(q->body_fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "the request's body is no file");
    ipc_add_u64(m, (uint64_t)st.st_size);
    ipc_add_bytes(m, SLICE(""));
    if (st.st_size > 0)
        ipc_add_fd(m, q->body_fd);
    return true;
}

static bool read_answer(struct ipc_reader *r, struct arena *a, struct fetch_answer *answer, struct buf *out, struct fail *why)
{
    uint64_t     status = ipc_get_u64(r);
    struct slice type = ipc_get_bytes(r);
    int64_t      fresh = ipc_get_i64(r);

    if (r->failed || status < 100 || status > 999 || type.len > FETCH_TYPE_MAX || fresh < -1 || !ipc_get_text(r, out, why) ||
        !ipc_end(r))
        return no_answer(why);
    *answer = (struct fetch_answer){.status = (unsigned)status, .content_type = arena_keep(a, type), .fresh = fresh};
    return true;
}

bool fetch_ask(struct fetch_client *c, const struct fetch_request *q, struct arena *a, struct fetch_answer *answer, struct buf *out,
               struct fail *why)
{
    struct ipc_message m;
    struct ipc_call   *asked = NULL;
    struct ipc_reader  r;
    uint64_t           room = out->max - out->len, most = q->most > 0 && q->most < room ? q->most : room;
    int                made = -1;

    if (q->url.len > FETCH_URL_MAX || q->content_type.len > FETCH_TYPE_MAX || q->authorization.len > FETCH_AUTHORIZATION_MAX ||
        q->fields.len > FETCH_FIELDS_MAX)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "the request is too long");
    ipc_message_init(&m, FETCH_MSG_REQUEST);
    ipc_add_bytes(&m, q->url);
    ipc_add_bytes(&m, q->content_type);
    ipc_add_bytes(&m, q->authorization);
    ipc_add_bytes(&m, q->fields);
    ipc_add_bool(&m, q->post);
    ipc_add_bool(&m, q->redirects);
    ipc_add_u64(&m, most);
    ipc_add_u64(&m, q->seconds);
    bool ok = add_body(&m, q, &made, why) && ask(c, &m, &asked, &r, why) && read_answer(&r, a, answer, out, why);
    ipc_call_end(&asked);
    ipc_message_finish(&m);
    if (made >= 0)
        (void)close(made);
    return ok;
}

/* ---- connections ---- */

static bool is_stream_socket(int fd)
{
    int       type = 0;
    socklen_t len = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

int fetch_connect(struct fetch_client *c, struct slice where, unsigned seconds, struct fail *why)
{
    struct ipc_message m;
    struct ipc_call   *asked = NULL;
    struct ipc_reader  r;
    int                fd = -1;

    ipc_message_init(&m, FETCH_MSG_CONNECT);
    ipc_add_bytes(&m, where);
    ipc_add_u64(&m, seconds);
    if (ask(c, &m, &asked, &r, why)) {
        fd = ipc_take_fd(&r);
        if (!ipc_end(&r) || !is_stream_socket(fd)) {
            if (fd >= 0)
                (void)close(fd);
            fd = -1;
            (void)no_answer(why);
        }
    }
    ipc_call_end(&asked);
    ipc_message_finish(&m);
    return fd;
}
