/*
 * main/control.c - the mail role's control socket: the side that answers.
 *
 * Layer: main.  One thread accepts, each connection has one of its own (a check may
 * take minutes while somebody lists sessions); a few at most, administrators are few.
 */
#include "main/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "main/config.h"
#include "main/privilege.h"
#include "net/ipc.h"

enum { PLACES = 16, REQUEST_MAX = 64 * 1024, SEND_SECONDS = 30, STREAM_SECONDS = 600 };

struct place {
    struct control *control;
    int             fd; /* -1: free */
    pthread_t       thread;
    bool            joinable; /* its thread has ended or will, and waits to be joined */
};

struct control {
    const struct config *config;
    const struct admin  *admin;
    int                  listening, stop; /* stop: an eventfd */
    bool                 accepting;       /* there is an accepting thread */
    pthread_t            acceptor;
    pthread_mutex_t      lock; /* over the places */
    struct place         places[PLACES];
};

/* ---- one connection ---- */

static bool send_line(int fd, const json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    if (text == NULL)
        die_no_memory(0);

    struct buf out;
    buf_init(&out, SIZE_MAX);
    buf_add(&out, slice_of(text));
    buf_add_char(&out, '\n');
    free(text);
    bool ok = io_write_all(fd, buf_slice(&out), NULL);
    buf_finish(&out);
    return ok;
}

static bool send_line_new(int fd, json_t *line)
{
    bool ok = line != NULL && send_line(fd, line);

    json_decref(line);
    return ok;
}

static void tell_progress(void *ctx, const json_t *line)
{
    const int *fd = ctx;

    (void)send_line_new(*fd, json_pack("{s:O}", "progress", line));
}

/* One connection while it is served: what was read of it and not looked at yet. */
struct talk {
    int        fd;
    bool       streams; /* bytes beside lines */
    struct buf in;
};

/* The bytes that a command reads and writes by itself (struct admin_stream). */
static bool stream_read(void *ctx, void *out, size_t n, size_t *got, struct fail *why)
{
    struct talk *t = ctx;

    if (t->in.len > 0) {
        struct slice ready = slice_sub(buf_slice(&t->in), 0, n < t->in.len ? n : t->in.len);
        memcpy(out, ready.ptr, ready.len);
        *got = ready.len;
        buf_drop(&t->in, ready.len);
        return true;
    }
    ssize_t came;
    while ((came = read(t->fd, out, n)) < 0 && errno == EINTR)
        ;
    if (came < 0 && errno == EAGAIN)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the command said nothing for too long");
    if (came < 0)
        return fail_errno(why, errno, "control socket");
    *got = (size_t)came;
    return true;
}

static bool stream_write(void *ctx, struct slice bytes, struct fail *why)
{
    struct talk         *t = ctx;
    const struct timeval patience = {.tv_sec = STREAM_SECONDS};

    /* Who writes to a slow disk what it reads here may need its time. */
    t->streams = t->streams || setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0;
    return io_write_all(t->fd, bytes, why);
}

static void stream_patience(void *ctx, unsigned seconds)
{
    const struct talk   *t = ctx;
    const struct timeval patience = {.tv_sec = (time_t)seconds};

    if (setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        log_event(LOG_WARNING, "control.patience", LOG_U64("errno", (uint64_t)errno));
}

static void stream_stop(void *ctx)
{
    const struct talk *t = ctx;

    (void)shutdown(t->fd, SHUT_RDWR);
}

static bool answer(struct control *c, struct talk *t, struct slice line)
{
    int                   fd = t->fd;
    struct admin_progress progress = {.tell = tell_progress, .ctx = &fd};
    struct admin_stream   stream = {.read = stream_read, .write = stream_write, .patience = stream_patience, .stop = stream_stop, .ctx = t};
    struct fail           why = {0};
    json_error_t          error;
    json_t               *request = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, &error), *result = NULL;
    json_t               *reply;

    buf_drop(&t->in, line.len + 1); /* what follows it is the command's, if it reads */

    if (request == NULL)
        (void)fail_set(&why, FAIL_PERM, FAIL_INVALID, "no JSON: %s", error.text);
    if (request != NULL && admin_run(c->admin, request, &progress, &stream, &result, &why)) {
        reply = json_pack("{s:b, s:o}", "ok", 1, "result", result);
    } else {
        reply = json_pack("{s:b, s:o, s:b}", "ok", 0, "error", admin_json(slice_of(why.text)), "temporary",
                          why.kind == FAIL_TEMP);
        log_event(LOG_INFO, "control.refused", LOG_CSTR("request", json_string_value(json_object_get(request, "do"))),
                  LOG_FAIL(&why));
    }
    json_decref(request);
    return send_line_new(fd, reply);
}

static void *serve_place(void *arg)
{
    struct place  *p = arg;
    struct timeval patience = {.tv_sec = SEND_SECONDS};
    struct talk    t = {.fd = p->fd};
    struct buf    *in = &t.in;
    bool           ok = setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0;

    buf_init(in, REQUEST_MAX);
    while (ok) {
        size_t end = slice_find_char(buf_slice(in), '\n');
        if (end < in->len) {
            ok = answer(p->control, &t, slice_sub(buf_slice(in), 0, end));
            continue;
        }
        char *room = buf_room(in, in->max - in->len < 4096 ? in->max - in->len : 4096);
        if (room == NULL || in->len == in->max)
            break; /* a line longer than any request */
        ssize_t n = read(p->fd, room, in->max - in->len < 4096 ? in->max - in->len : 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        buf_grew(in, (size_t)n);
    }
    buf_finish(in);

    (void)pthread_mutex_lock(&p->control->lock);
    (void)close(p->fd);
    p->fd = -1;
    (void)pthread_mutex_unlock(&p->control->lock);
    return NULL;
}

/* Takes `fd`; false (and it is closed) if every place is taken. */
static bool seat(struct control *c, int fd)
{
    struct place *free_place = NULL;

    (void)pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < PLACES && free_place == NULL; i++) {
        if (c->places[i].fd < 0)
            free_place = &c->places[i];
    }
    if (free_place != NULL) {
        if (free_place->joinable)
            (void)pthread_join(free_place->thread, NULL); /* it has closed its socket: it ends at once */
        free_place->fd = fd;
        free_place->joinable = pthread_create(&free_place->thread, NULL, serve_place, free_place) == 0;
        if (!free_place->joinable) {
            free_place->fd = -1;
            free_place = NULL;
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (free_place == NULL)
        (void)close(fd);
    return free_place != NULL;
}

/* ---- accepting ---- */

static bool admitted(const struct control *c, int fd)
{
    struct ucred peer;
    socklen_t    len = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    if (privilege_is_admin(c->config, peer.uid))
        return true;
    log_event(LOG_WARNING, "control.denied", LOG_U64("uid", peer.uid), LOG_U64("pid", peer.pid));
    return false;
}

static void accept_one(struct control *c)
{
    int fd = accept4(c->listening, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (!admitted(c, fd)) {
        (void)send_line_new(fd, json_pack("{s:b, s:s}", "ok", 0, "error", "not for this user"));
        (void)close(fd);
    } else {
        (void)seat(c, fd);
    }
}

static void *accept_all(void *arg)
{
    struct control *c = arg;
    struct pollfd   wait[] = {{.fd = c->stop, .events = POLLIN}, {.fd = c->listening, .events = POLLIN}};

    for (;;) {
        if (poll(wait, ARRAY_LEN(wait), -1) < 0)
            continue;
        if (wait[0].revents != 0)
            return NULL;
        accept_one(c);
    }
}

static struct control *control_create(const struct config *config, const struct admin *admin)
{
    struct control *c = xcalloc(1, sizeof *c);

    c->config = config;
    c->admin = admin;
    c->listening = -1;
    c->stop = -1;
    (void)pthread_mutex_init(&c->lock, NULL);
    for (size_t i = 0; i < PLACES; i++)
        c->places[i] = (struct place){.control = c, .fd = -1};
    return c;
}

bool control_start(int listening_fd, const struct config *config, const struct admin *admin, struct control **out,
                   struct fail *why)
{
    struct control *c = control_create(config, admin);

    c->listening = listening_fd;
    c->stop = eventfd(0, EFD_CLOEXEC);
    int errnum = c->stop < 0 ? errno : pthread_create(&c->acceptor, NULL, accept_all, c);
    if (errnum != 0) {
        control_stop(&c);
        return fail_errno(why, errnum, "control socket");
    }
    c->accepting = true;
    *out = c;
    return true;
}

bool control_attach(int fd, const struct config *config, const struct admin *admin, struct control **out,
                    struct fail *why)
{
    struct control *c = control_create(config, admin);

    if (!seat(c, fd)) {
        control_stop(&c);
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "control socket: no thread");
    }
    *out = c;
    return true;
}

void control_stop(struct control **control)
{
    struct control *c = *control;

    if (c == NULL)
        return;
    if (c->accepting) {
        (void)eventfd_write(c->stop, 1);
        (void)pthread_join(c->acceptor, NULL);
    }
    (void)pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < PLACES; i++) {
        if (c->places[i].fd >= 0)
            (void)shutdown(c->places[i].fd, SHUT_RD); /* no further request */
    }
    (void)pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < PLACES; i++) {
        if (c->places[i].joinable)
            (void)pthread_join(c->places[i].thread, NULL);
    }
    if (c->stop >= 0)
        (void)close(c->stop);
    if (c->listening >= 0)
        (void)close(c->listening);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
    *control = NULL;
}
