/*
 * main/serve.c - the supervisor: binds the ports, keeps the roles running.
 *
 * Layer: main.  One loop over signals, the roles' notes and the times at which a role
 * that died is started again.
 */
#include "main/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "main/config.h"
#include "main/listen.h"
#include "main/notify.h"
#include "main/privilege.h"
#include "main/role.h"
#include "net/ipc.h"

enum {
    BACK_OFF_MS = 100,         /* before the first restart; doubles */
    BACK_OFF_MAX_MS = 30000,
    STEADY_MS = 10000,         /* a role that served so long is forgiven its restarts */
    STOP_MS = 60000,           /* for a role to finish; then it is killed */
    DESCRIPTORS_BESIDE = 200,  /* open files that are no connections */
};

struct child {
    pid_t   pid;    /* 0: not running */
    int     socket; /* to it; -1 */
    bool    ready;
    int64_t started; /* clock_mono_ms */
    int64_t restart; /* when to start it again; 0: not waiting for that */
    int64_t back_off;
};

struct supervisor {
    struct config *config;
    int            config_fd, signals;
    int           *listeners;
    int            controls[ROLE_COUNT];
    struct child   children[ROLE_COUNT];
    bool           was_ready; /* all roles served once */
    int64_t        kill_at;   /* while stopping: end of patience with the role being stopped; else 0 */
    bool           stopping;
    struct fail    first_failure; /* why it never came to serving; text[0] == 0: it did */
    void (*ready)(void *ctx);
    void *ready_ctx;
};

/* ---- descriptors ---- */

static bool open_sockets(struct supervisor *s, struct fail *why)
{
    struct config *c = s->config;

    for (size_t i = 0; i < c->listener_count; i++) {
        s->listeners[i] = listen_open(&c->listeners[i], why);
        if (s->listeners[i] < 0)
            return false;
        log_event(LOG_INFO, "serve.listens", LOG_CSTR("listener", c->listeners[i].name),
                  LOG_CSTR("address", c->listeners[i].address), LOG_U64("port", c->listeners[i].port),
                  LOG_CSTR("protocol", config_protocol_name(c->listeners[i].protocol)),
                  LOG_CSTR("tls", config_tls_name(c->listeners[i].tls)));
    }
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (listen_control_path(c, (enum role)r) == NULL)
            continue;
        s->controls[r] = listen_unix(listen_control_path(c, (enum role)r), listen_control_type((enum role)r), why);
        if (s->controls[r] < 0)
            return false;
    }
    return true;
}

/* Unix sockets' files go with us: whoever finds one knows that somebody listens. */
static void remove_socket_files(struct supervisor *s)
{
    for (size_t i = 0; i < s->config->listener_count; i++) {
        if (s->listeners[i] >= 0 && s->config->listeners[i].address[0] == '/')
            (void)unlink(s->config->listeners[i].address);
    }
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (s->controls[r] >= 0)
            (void)unlink(listen_control_path(s->config, (enum role)r));
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void finish(struct supervisor *s)
{
    remove_socket_files(s);
    for (size_t i = 0; i < s->config->listener_count; i++)
        close_fd(&s->listeners[i]);
    for (int r = 0; r < ROLE_COUNT; r++) {
        close_fd(&s->controls[r]);
        close_fd(&s->children[r].socket);
    }
    close_fd(&s->config_fd);
    close_fd(&s->signals);
    free(s->listeners);
}

static bool watch_signals(struct supervisor *s, struct fail *why)
{
    static const int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    sigset_t         set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++)
        (void)sigaddset(&set, watched[i]);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signals >= 0 || fail_errno(why, errno, "signals");
}

/* ---- roles ---- */

/* Who may ask whom; two that ask each other have two connections. */
static const struct { enum role asks, answers; } connections[] = {
    {ROLE_MAIL, ROLE_AUTH},      {ROLE_MAIL, ROLE_CONTENT},   {ROLE_MAIL, ROLE_QUEUE},  {ROLE_MAIL, ROLE_FETCH},
    {ROLE_MAIL, ROLE_RESOLVER},  {ROLE_QUEUE, ROLE_MAIL},     {ROLE_QUEUE, ROLE_FETCH}, {ROLE_QUEUE, ROLE_RESOLVER},
    {ROLE_AUTH, ROLE_FETCH},     {ROLE_FETCH, ROLE_RESOLVER},
};

/* A role that does not read what it is told (a few hundred notes wait for it by then) is of no use: another one takes its place. */
static bool tell(const struct supervisor *s, enum role role, enum role_message what, int fd, const char *text, struct fail *why)
{
    if (role_send(s->children[role].socket, what, fd, text, why))
        return true;
    if (errno == EAGAIN && s->children[role].pid != 0) {
        log_event(LOG_ERROR, "role.deaf", LOG_CSTR("role", role_name(role)));
        (void)kill(s->children[role].pid, SIGKILL);
    }
    return false;
}

/* Gives `role` its end of a connection with `peer`. */
static void send_end(struct supervisor *s, enum role role, enum role_message what, enum role peer, int end)
{
    struct fail why;

    if (!tell(s, role, what, end, role_name(peer), &why))
        log_event(LOG_ERROR, "serve.connect_failed", LOG_CSTR("role", role_name(role)), LOG_FAIL(&why));
    (void)close(end);
}

static void connect_pair(struct supervisor *s, enum role asks, enum role answers)
{
    int         ends[2];
    struct fail why;

    if (!ipc_socket_pair(ends, &why)) {
        log_event(LOG_ERROR, "serve.connect_failed", LOG_FAIL(&why));
        return;
    }
    send_end(s, asks, ROLE_ASK, answers, ends[0]);
    send_end(s, answers, ROLE_ANSWER, asks, ends[1]);
}

/* New connections for a role that was just started, with those that are there. */
static void connect_role(struct supervisor *s, enum role role)
{
    for (size_t i = 0; i < ARRAY_LEN(connections); i++) {
        enum role asks = connections[i].asks, answers = connections[i].answers;
        if ((asks == role || answers == role) && s->children[asks].pid != 0 && s->children[answers].pid != 0)
            connect_pair(s, asks, answers);
    }
}

static void plan_restart(struct child *c)
{
    if (c->back_off == 0 || clock_mono_ms() - c->started >= STEADY_MS)
        c->back_off = BACK_OFF_MS;
    else if (c->back_off < BACK_OFF_MAX_MS)
        c->back_off *= 2;
    c->restart = clock_mono_ms() + c->back_off;
}

static bool start_role(struct supervisor *s, enum role role, struct fail *why)
{
    struct child           *c = &s->children[role];
    const struct role_start start = {
        .role = role,
        .config = s->config_fd,
        .control = s->controls[role],
        .listeners = s->listeners,
        .listener_count = role == ROLE_MAIL ? s->config->listener_count : 0,
    };

    c->restart = 0;
    c->started = clock_mono_ms();
    if (!role_spawn(&start, &c->pid, &c->socket, why)) {
        c->pid = 0;
        return false;
    }
    connect_role(s, role);
    return true;
}

static void restart_due(struct supervisor *s)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct child *c = &s->children[r];
        struct fail   why;

        if (c->restart == 0 || clock_mono_ms() < c->restart || s->stopping)
            continue;
        if (start_role(s, (enum role)r, &why)) {
            log_event(LOG_INFO, "role.restarted", LOG_CSTR("role", role_name((enum role)r)));
        } else {
            log_event(LOG_ERROR, "role.start_failed", LOG_CSTR("role", role_name((enum role)r)), LOG_FAIL(&why));
            plan_restart(c);
        }
    }
}

/* ---- stopping: one after the other, who asks before who answers ---- */

static void stop_next(struct supervisor *s)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (s->children[r].pid != 0) {
            (void)tell(s, (enum role)r, ROLE_STOP, -1, NULL, NULL);
            s->kill_at = clock_mono_ms() + STOP_MS;
            return;
        }
    }
}

static void begin_stop(struct supervisor *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    log_event(LOG_INFO, "serve.stopping", LOG_U64("pid", getpid()));
    notify_systemd("STOPPING=1");
    stop_next(s);
}

static void kill_overdue(struct supervisor *s)
{
    if (!s->stopping || clock_mono_ms() < s->kill_at)
        return;
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (s->children[r].pid != 0) {
            log_event(LOG_ERROR, "role.killed", LOG_CSTR("role", role_name((enum role)r)));
            (void)kill(s->children[r].pid, SIGKILL);
        }
    }
    s->kill_at = clock_mono_ms() + STOP_MS;
}

/* ---- what happens ---- */

static void role_ended(struct supervisor *s, enum role role, int status)
{
    struct child *c = &s->children[role];
    const char   *name = role_name(role);

    c->pid = 0;
    c->ready = false;
    close_fd(&c->socket);
    if (WIFSIGNALED(status))
        log_event(LOG_ERROR, "role.died", LOG_CSTR("role", name), LOG_I64("signal", WTERMSIG(status)));
    else if (!s->stopping || WEXITSTATUS(status) != 0)
        log_event(LOG_ERROR, "role.died", LOG_CSTR("role", name), LOG_I64("status", WEXITSTATUS(status)));
    if (s->stopping) {
        stop_next(s);
        return;
    }
    if (s->was_ready) {
        plan_restart(c);
        return;
    }
    if (s->first_failure.text[0] == '\0')
        (void)fail_set(&s->first_failure, FAIL_TEMP, FAIL_OTHER, "role %s ended before it served", name);
    begin_stop(s);
}

static void reap(struct supervisor *s)
{
    int   status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int r = 0; r < ROLE_COUNT; r++) {
            if (s->children[r].pid == pid)
                role_ended(s, (enum role)r, status);
        }
    }
}

static void all_ready(struct supervisor *s)
{
    s->was_ready = true;
    notify_systemd("READY=1");
    log_event(LOG_INFO, "serve.ready", LOG_U64("pid", getpid()));
    if (s->ready != NULL)
        s->ready(s->ready_ctx);
}

static bool everybody_is_ready(const struct supervisor *s)
{
    bool ready = true;

    for (int r = 0; r < ROLE_COUNT; r++)
        ready = ready && s->children[r].ready;
    return ready;
}

static void take_note(struct supervisor *s, enum role role)
{
    struct child    *c = &s->children[role];
    struct role_note note;

    if (!role_receive(c->socket, &note)) { /* gone: SIGCHLD tells the rest */
        close_fd(&c->socket);
        return;
    }
    close_fd(&note.fd);
    if (note.what == ROLE_FAILED) {
        log_event(LOG_ERROR, "role.failed", LOG_CSTR("role", role_name(role)), LOG_CSTR("error", note.text));
        if (!s->was_ready && s->first_failure.text[0] == '\0')
            (void)fail_set(&s->first_failure, FAIL_TEMP, FAIL_OTHER, "%s: %s", role_name(role), note.text);
    } else if (note.what == ROLE_READY) {
        c->ready = true;
        if (!s->was_ready && everybody_is_ready(s))
            all_ready(s);
    }
}

static void reload(struct supervisor *s)
{
    struct fail why;

    if (!privilege_copy_certificate(s->config, &why))
        log_event(LOG_ERROR, "tls.reload_failed", LOG_FAIL(&why));
    else if (s->children[ROLE_MAIL].pid != 0)
        (void)tell(s, ROLE_MAIL, ROLE_RELOAD, -1, NULL, NULL);
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo signal;

    while (read(s->signals, &signal, sizeof signal) == sizeof signal) {
        switch (signal.ssi_signo) {
        case SIGTERM:
        case SIGINT: begin_stop(s); break;
        case SIGHUP: reload(s); break;
        case SIGCHLD: reap(s); break;
        }
    }
}

/* Milliseconds until the next thing that time alone brings; -1: nothing. */
static int patience(const struct supervisor *s)
{
    int64_t next = s->stopping ? s->kill_at : 0, now = clock_mono_ms();

    for (int r = 0; r < ROLE_COUNT; r++) {
        int64_t at = s->children[r].restart;
        if (at != 0 && (next == 0 || at < next))
            next = at;
    }
    if (next == 0)
        return -1;
    return next > now ? (int)(next - now) : 0;
}

static bool anybody_left(const struct supervisor *s)
{
    bool any = false;

    for (int r = 0; r < ROLE_COUNT; r++)
        any = any || s->children[r].pid != 0;
    return any;
}

static void loop(struct supervisor *s)
{
    while (!s->stopping || anybody_left(s)) {
        struct pollfd wait[1 + ROLE_COUNT] = {{.fd = s->signals, .events = POLLIN}};

        for (int r = 0; r < ROLE_COUNT; r++)
            wait[1 + r] = (struct pollfd){.fd = s->children[r].socket, .events = POLLIN};
        if (poll(wait, ARRAY_LEN(wait), patience(s)) > 0) {
            for (int r = 0; r < ROLE_COUNT; r++) {
                if (wait[1 + r].revents != 0)
                    take_note(s, (enum role)r);
            }
            if (wait[0].revents != 0)
                take_signals(s);
        }
        restart_due(s);
        kill_overdue(s);
    }
}

static bool start_all(struct supervisor *s, struct fail *why)
{
    unsigned long files = privilege_raise_files();

    log_event(LOG_INFO, "serve.open_files", LOG_U64("limit", files),
              LOG_U64("connections", files > DESCRIPTORS_BESIDE ? files - DESCRIPTORS_BESIDE : 0));
    if (!watch_signals(s, why) || !privilege_prepare(s->config, why) || !open_sockets(s, why))
        return false;
    s->config_fd = role_config_fd(s->config, why);
    if (s->config_fd < 0)
        return false;
    for (int r = ROLE_COUNT - 1; r >= 0; r--) /* who answers before who asks */
        if (!start_role(s, (enum role)r, why))
            return false;
    return true;
}

bool serve_run(struct config *c, void (*ready)(void *ctx), void *ctx, struct fail *why)
{
    struct supervisor s = {.config = c, .config_fd = -1, .signals = -1, .ready = ready, .ready_ctx = ctx};

    s.listeners = xcalloc(c->listener_count, sizeof *s.listeners);
    for (size_t i = 0; i < c->listener_count; i++)
        s.listeners[i] = -1;
    for (int r = 0; r < ROLE_COUNT; r++) {
        s.controls[r] = -1;
        s.children[r].socket = -1;
    }
    log_set_role("serve");
    log_set_level(c->log_level);
    if (!start_all(&s, &s.first_failure))
        begin_stop(&s);
    loop(&s);
    finish(&s);
    if (s.first_failure.text[0] == '\0')
        return true;
    *why = s.first_failure;
    return false;
}
