/*
 * net/ipc_server.c - the side that answers.
 *
 * Layer: net.  A small pool of threads on one epoll, one-shot: a thread takes
 * one message, arms the connection again so that another thread may take the
 * next one, and runs the handler.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "net/ipc_wire.h"
#include "net/thread.h"

enum { ANSWER_WAIT_MS = 1000 };

struct link {
    int fd;
    bool listening;
    unsigned users; /* the list, and each thread that answers a message of it; under the lock */
    struct link *before, *after;
};

struct ipc_server {
    pthread_mutex_t lock;
    struct link *links;
    unsigned link_count;
    int epoll, quit;
    struct ipc_service service;
    struct ipc_limits limits;
    unsigned thread_count;
    pthread_t threads[];
};

/* ---- links ---- */

static bool arm(struct ipc_server *s, struct link *l, int how)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = l};

    return epoll_ctl(s->epoll, how, l->fd, &event) == 0;
}

static void hold(struct ipc_server *s, struct link *l)
{
    (void)pthread_mutex_lock(&s->lock);
    l->users++;
    (void)pthread_mutex_unlock(&s->lock);
}

static void let_go(struct ipc_server *s, struct link *l)
{
    (void)pthread_mutex_lock(&s->lock);
    bool last = --l->users == 0;
    (void)pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    (void)close(l->fd);
    free(l);
}

/* No more messages from there.  By the thread that has its event, so that nobody else can have one. */
static void drop(struct ipc_server *s, struct link *l)
{
    (void)pthread_mutex_lock(&s->lock);
    *(l->before != NULL ? &l->before->after : &s->links) = l->after;
    if (l->after != NULL)
        l->after->before = l->before;
    s->link_count--;
    (void)pthread_mutex_unlock(&s->lock);
    (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, l->fd,
                    NULL); /* a thread that answers may keep it open for a while */
    let_go(s, l);
}

static bool add_link(struct ipc_server *s, int fd, bool listening, struct fail *why)
{
    struct link *l = xcalloc(1, sizeof(*l));

    l->fd = fd;
    l->listening = listening;
    l->users = 1;
    (void)pthread_mutex_lock(&s->lock);
    bool room = s->link_count < s->limits.connections_max;
    if (room) {
        l->after = s->links;
        if (s->links != NULL)
            s->links->before = l;
        s->links = l;
        s->link_count++;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (!room) {
        let_go(s, l);
        return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "%s: too many connections", s->service.name);
    }
    if (!arm(s, l, EPOLL_CTL_ADD)) {
        int err = errno;
        drop(s, l);
        return fail_errno(why, err, "%s: epoll", s->service.name);
    }
    return true;
}

/* ---- requests ---- */

static void answer(struct ipc_server *s, struct link *l, const struct ipc_packet *p, struct ipc_message *m,
                   bool ok, const struct fail *why)
{
    struct ipc_message refusal;
    struct fail failed;

    ipc_message_init(&refusal, p->header.type);
    if (ok && m->bytes.failed) {
        fail_set(&failed, FAIL_TEMP, FAIL_LIMIT, "the answer is too long");
        why = &failed;
        ok = false;
    }
    if (!ok)
        ipc_add_fail(&refusal, why);
    if (!ipc_send(l->fd, ok ? IPC_ANSWER : IPC_REFUSAL, p->header.id, ok ? m : &refusal, ANSWER_WAIT_MS,
                  &failed)) {
        log_event(LOG_WARNING, "ipc.answer_lost", LOG_CSTR("server", s->service.name), LOG_FAIL(&failed));
        (void)shutdown(l->fd, SHUT_RDWR); /* who does not read its answers cannot go on asking */
    }
    ipc_message_finish(&refusal);
}

static void serve(struct ipc_server *s, struct link *l, struct ipc_packet *p)
{
    struct ipc_reader r = ipc_packet_reader(p);
    struct ipc_message m;
    struct fail why = {0};

    ipc_message_init(&m, p->header.type);
    bool ok = s->service.handle(s->service.ctx, &r, &m, &why);
    if (p->header.kind == IPC_REQUEST)
        answer(s, l, p, &m, ok, &why);
    if (m.fd >= 0)
        (void)close(m.fd);
    ipc_message_finish(&m);
}

/* The event of this link is ours. */
static void take_message(struct ipc_server *s, struct link *l)
{
    struct ipc_packet *p = NULL;
    enum ipc_got got = ipc_receive(l->fd, &p);

    if (got == IPC_GOT && p->header.kind != IPC_REQUEST && p->header.kind != IPC_NOTICE)
        got = IPC_BAD;
    if (got == IPC_BAD)
        log_event(LOG_ERROR, "ipc.bad_message", LOG_CSTR("server", s->service.name));
    if (got == IPC_BAD || got == IPC_END) {
        ipc_packet_free(&p);
        drop(s, l);
        return;
    }
    hold(s, l);
    if (!arm(s, l, EPOLL_CTL_MOD))
        log_event(LOG_ERROR, "ipc.epoll", LOG_CSTR("server", s->service.name));
    if (got == IPC_GOT)
        serve(s, l, p);
    ipc_packet_free(&p);
    let_go(s, l);
}

static bool may_come_in(const struct ipc_server *s, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    if (s->service.admit != NULL)
        return s->service.admit(s->service.ctx, peer.uid, peer.gid);
    return peer.uid == 0 || peer.uid == geteuid();
}

static void take_connection(struct ipc_server *s, struct link *l)
{
    struct fail why;
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0 && !may_come_in(s, fd)) {
        log_event(LOG_WARNING, "ipc.refused", LOG_CSTR("server", s->service.name));
        (void)close(fd);
    } else if (fd >= 0 && !add_link(s, fd, false, &why)) {
        log_event(LOG_WARNING, "ipc.refused", LOG_CSTR("server", s->service.name), LOG_FAIL(&why));
    }
    (void)arm(s, l, EPOLL_CTL_MOD);
}

static void *server_main(void *arg)
{
    struct ipc_server *s = arg;
    struct epoll_event event;

    for (;;) {
        if (epoll_wait(s->epoll, &event, 1, -1) != 1)
            continue;
        struct link *l = event.data.ptr;
        if (l == NULL) /* the end; it stays readable for the others */
            return NULL;
        if (l->listening)
            take_connection(s, l);
        else
            take_message(s, l);
    }
}

/* ---- the server ---- */

struct ipc_server *ipc_server_create(const struct ipc_limits *l, const struct ipc_service *service,
                                     struct fail *why)
{
    unsigned threads = l->threads > 0 ? l->threads : 1;
    struct ipc_server *s = xcalloc(1, sizeof(*s) + threads * sizeof(s->threads[0]));
    struct epoll_event event = {.events = EPOLLIN};
    int err = 0;

    s->service = *service;
    s->limits = *l;
    (void)pthread_mutex_init(&s->lock, NULL);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->quit = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->epoll < 0 || s->quit < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->quit, &event) != 0)
        err = errno;
    while (err == 0 && s->thread_count < threads) {
        err = thread_start(&s->threads[s->thread_count], server_main, s);
        if (err == 0)
            s->thread_count++;
    }
    if (err != 0) {
        fail_errno(why, err, "server %s", service->name);
        ipc_server_destroy(&s);
    }
    return s;
}

bool ipc_server_attach(struct ipc_server *s, int fd, struct fail *why)
{
    return add_link(s, fd, false, why);
}

bool ipc_server_listen(struct ipc_server *s, int fd, struct fail *why)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        fail_errno(why, errno, "%s: listening socket", s->service.name);
        (void)close(fd);
        return false;
    }
    return add_link(s, fd, true, why);
}

void ipc_server_notify(struct ipc_server *s, const struct ipc_message *m)
{
    (void)pthread_mutex_lock(&s->lock);
    for (struct link *l = s->links; l != NULL; l = l->after) {
        struct fail why;
        if (!l->listening && !ipc_send(l->fd, IPC_NOTICE, 0, m, 0, &why))
            log_event(LOG_WARNING, "ipc.notice_lost", LOG_CSTR("server", s->service.name), LOG_FAIL(&why));
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void ipc_server_destroy(struct ipc_server **s_)
{
    struct ipc_server *s = *s_;

    if (s == NULL)
        return;
    if (s->quit >= 0)
        (void)eventfd_write(s->quit, 1);
    for (unsigned i = 0; i < s->thread_count; i++)
        (void)pthread_join(s->threads[i], NULL);
    while (s->links != NULL)
        drop(s, s->links);
    if (s->epoll >= 0)
        (void)close(s->epoll);
    if (s->quit >= 0)
        (void)close(s->quit);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    *s_ = NULL;
}
