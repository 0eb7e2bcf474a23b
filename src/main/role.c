/*
 * main/role.c - the supervisor and its roles: how one starts the other and what they say.
 *
 * Layer: main.
 */
#include "main/role.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "main/config.h"
#include "main/privilege.h"
#include "main/sandbox.h"
#include "main/trace_file.h"
#include "net/ipc.h"

enum { FIXED_WORDS = 5, LISTENERS_MAX = 1000, CONFIG_MAX = 1024 * 1024, DESCRIPTORS_SEEN = 8 };

static const struct { const char *name; const struct role_work *work; } roles[ROLE_COUNT] = {
    [ROLE_MAIL] = {"mail", &role_mail},
    [ROLE_QUEUE] = {"queue", &role_queue},
    [ROLE_AUTH] = {"auth", &role_auth},
    [ROLE_CONTENT] = {"content", &role_content},
    [ROLE_FETCH] = {"fetch", &role_fetch},
    [ROLE_RESOLVER] = {"resolver", &role_resolver},
};

const char *role_name(enum role role)
{
    return roles[role].name;
}

/* ---- talking ---- */

bool role_send(int socket, enum role_message what, int fd, const char *text, struct fail *why)
{
    char          type = (char)what;
    struct iovec  parts[] = {{&type, 1}, {(void *)(uintptr_t)text, text != NULL ? strlen(text) : 0}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts)};
    union {
        struct cmsghdr header;
        char           space[CMSG_SPACE(sizeof(int))];
    } control = {0};

    if (fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    while (sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        int errnum = errno;
        if (errnum == EINTR)
            continue;
        (void)fail_errno(why, errnum, "message between supervisor and role");
        errno = errnum;
        return false;
    }
    return true;
}

/* The first is the note's; who sends more than that, a role that was taken over, does not fill our table with them. */
static void take_descriptors(const struct cmsghdr *c, int *fd)
{
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < count; i++) {
        int one;
        memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
        if (*fd < 0)
            *fd = one;
        else
            (void)close(one);
    }
}

bool role_receive(int socket, struct role_note *out)
{
    char          type = 0;
    struct iovec  parts[] = {{&type, 1}, {out->text, sizeof out->text - 1}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts)};
    union {
        struct cmsghdr header;
        char           space[CMSG_SPACE(DESCRIPTORS_SEEN * sizeof(int))];
    } control;
    ssize_t n;

    m.msg_control = &control;
    m.msg_controllen = sizeof control;
    do {
        n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return false;
    out->fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            take_descriptors(c, &out->fd);
    }
    if (n == 0) { /* the end, or a note that says nothing but may have brought a descriptor */
        if (out->fd >= 0)
            (void)close(out->fd);
        return false;
    }
    out->what = (enum role_message)type;
    out->text[n - 1] = '\0';
    return true;
}

static bool is_socket_with(const struct role_note *n, enum role_message what, enum role peer)
{
    return n->what == what && n->fd >= 0 && strcmp(n->text, role_name(peer)) == 0;
}

bool role_asks(const struct role_note *n, enum role peer)
{
    return is_socket_with(n, ROLE_ASK, peer);
}

bool role_answers(const struct role_note *n, enum role peer)
{
    return is_socket_with(n, ROLE_ANSWER, peer);
}

/* ---- starting ---- */

/* Sealed: a role that was taken over must not write what the next one reads. */
int role_config_fd(const struct config *c, struct fail *why)
{
    int fd = memfd_create("posthorn.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        (void)fail_errno(why, errno, "memory for the config");
        return -1;
    }
    bool ok = io_pwrite_all(fd, c->text, 0, why);
    if (ok && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        ok = fail_errno(why, errno, "memory for the config");
    if (!ok) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static char *number_text(int n)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%d", n);
    return xstrdup(text);
}

/*
 * Ours; for `auth`, and `fetch` through which tokens go, the C library is told to overwrite what is freed (mallopt(3), M_PERTURB; what it keeps for each thread
 * would be left out, so it keeps nothing so).  Libraries copy keys and passwords where nobody else can wipe them.
 */
static char **role_environment(enum role role)
{
    static const char name[] = "GLIBC_TUNABLES=", wiping[] = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0";
    const char       *given = getenv("GLIBC_TUNABLES");
    const bool        wipes = role == ROLE_AUTH || role == ROLE_FETCH;
    size_t            count = 0, kept = 0;
    struct buf        text;

    while (environ[count] != NULL)
        count++;
    char **out = xcalloc(count + 2, sizeof *out);
    for (size_t i = 0; i < count; i++)
        if (!wipes || strncmp(environ[i], name, sizeof name - 1) != 0)
            out[kept++] = xstrdup(environ[i]);
    if (!wipes)
        return out;
    buf_init(&text, SIZE_MAX);
    buf_addf(&text, "%s%s%s%s", name, given != NULL ? given : "", given != NULL ? ":" : "", wiping);
    out[kept] = xslicedup(buf_slice(&text));
    buf_finish(&text);
    return out;
}

static void free_words(char **words)
{
    for (size_t i = 0; words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

/* In the child: only async-signal-safe calls from here to exec. */
_Noreturn static void become_role(const struct role_start *start, char **argv, char **environment)
{
    sigset_t none;
    bool     ok = fcntl(start->supervisor, F_SETFD, 0) == 0 && fcntl(start->config, F_SETFD, 0) == 0 &&
              (start->control < 0 || fcntl(start->control, F_SETFD, 0) == 0);

    for (size_t i = 0; i < start->listener_count; i++)
        ok = ok && fcntl(start->listeners[i], F_SETFD, 0) == 0;
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    if (ok)
        (void)execve("/proc/self/exe", argv, environment);
    _exit(127);
}

bool role_spawn(const struct role_start *start, pid_t *pid, int *supervisor, struct fail *why)
{
    struct role_start s = *start;
    int               ends[2];
    size_t            words = 0;
    char            **argv = xcalloc(start->listener_count + 8, sizeof *argv);

    if (!ipc_socket_pair(ends, why)) {
        free(argv);
        return false;
    }
    char **environment = role_environment(s.role);
    s.supervisor = ends[1];
    argv[words++] = xstrdup("posthorn");
    argv[words++] = xstrdup("--role");
    argv[words++] = xstrdup(role_name(s.role));
    argv[words++] = xstrdup(s.attempt != NULL ? s.attempt : s.offline ? "offline" : "serve");
    argv[words++] = number_text(s.supervisor);
    argv[words++] = number_text(s.config);
    argv[words++] = number_text(s.control);
    for (size_t i = 0; i < s.listener_count; i++)
        argv[words++] = number_text(s.listeners[i]);

    pid_t child = fork();
    int   errnum = errno;
    if (child == 0)
        become_role(&s, argv, environment);
    free_words(argv);
    free_words(environment);
    (void)close(ends[1]);
    if (child < 0) {
        (void)close(ends[0]);
        return fail_errno(why, errnum, "start of role %s", role_name(s.role));
    }
    *pid = child;
    *supervisor = ends[0];
    return true;
}

/* ---- being one ---- */

/* A descriptor number we were given: open, and closed at the next exec. */
static bool take_fd(const char *word, int *out)
{
    uint64_t n;

    if (!slice_to_u64(slice_of(word), 1000000, &n) || fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0)
        return false;
    *out = (int)n;
    return true;
}

/* The same, or "-1" for none. */
static bool take_fd_if_any(const char *word, int *out)
{
    *out = -1;
    return strcmp(word, "-1") == 0 || take_fd(word, out);
}

static bool take_words(int argc, char **argv, struct role_start *s, int listeners[LISTENERS_MAX])
{
    size_t count = 0;
    bool   known = false;

    if (argc < FIXED_WORDS || argc - FIXED_WORDS > LISTENERS_MAX)
        return false;
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(argv[0], roles[i].name) == 0) {
            s->role = (enum role)i;
            known = true;
        }
    }
    s->offline = strcmp(argv[1], "offline") == 0;
    s->attempt = argv[1];
    if (!known || !take_fd(argv[2], &s->supervisor) || !take_fd(argv[3], &s->config) || 
        !take_fd_if_any(argv[4], &s->control))
        return false;
    for (int i = FIXED_WORDS; i < argc; i++) {
        if (!take_fd(argv[i], &listeners[count++]))
            return false;
    }
    s->listeners = listeners;
    s->listener_count = count;
    return true;
}

/* Takes `fd`. */
static bool read_config(int fd, struct config **out, struct fail *why)
{
    char       path[40];
    struct buf text;

    /* Through /proc, so that every reader of the shared descriptor starts at its own beginning. */
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    buf_init(&text, CONFIG_MAX);
    bool ok = io_read_file(path, &text, why) && config_parse("posthorn.conf", buf_slice(&text), out, why);
    buf_finish(&text);
    (void)close(fd);
    return ok;
}

/* The next note, waited for; false: to stop, or left alone. */
static bool take_note(const struct role_work *work, void *at_work, int supervisor)
{
    struct role_note note;

    if (!role_receive(supervisor, &note) || note.what == ROLE_STOP)
        return false;
    work->note(at_work, &note);
    return true;
}

/*
 * Serves until told to stop or left alone.  What has come while it started, the
 * connection to the other role among it, is taken before it says that it is ready:
 * a client may sign in the moment it hears so.
 */
static void run(const struct role_work *work, void *at_work, int supervisor)
{
    struct pollfd waiting = {.fd = supervisor, .events = POLLIN};
    bool          more = true;

    while (more && poll(&waiting, 1, 0) == 1)
        more = take_note(work, at_work, supervisor);
    more = more && role_send(supervisor, ROLE_READY, -1, NULL, NULL);
    while (more)
        more = take_note(work, at_work, supervisor);
    work->stop(at_work);
}

/* What those roles log of a message's way is kept beside what else they keep. */
static bool keep_traces(struct config *c, const struct role_start *start, struct fail *why)
{
    switch (start->role) {
    case ROLE_MAIL: return start->offline || trace_file_open(config_data_path(c, "mail/trace"), c->admin.trace_days, why);
    case ROLE_QUEUE: return start->offline || trace_file_open(config_data_path(c, "queue/trace"), c->admin.trace_days, why);
    case ROLE_AUTH:
    case ROLE_CONTENT:
    case ROLE_FETCH:
    case ROLE_RESOLVER: return true;
    }
    bug("role %d", (int)start->role);
}

/* What the filter says of it belongs in no log. */
static int try_it(const struct sandbox_attempt *a, struct config *c, enum role role)
{
    (void)close(STDERR_FILENO);
    return a->run(c, role) ? SANDBOX_COULD : 0;
}

int role_main(int argc, char **argv)
{
    static int        listeners[LISTENERS_MAX];
    struct role_start start = {0};
    struct config    *config = NULL;
    struct fail       why;

    if (!take_words(argc, argv, &start, listeners)) {
        (void)fprintf(stderr, "posthorn: --role is for the supervisor's use only\n");
        return 2;
    }
    /* The supervisor stops us in order; a Ctrl-C meant for it reaches the whole foreground group. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077); /* what the roles keep is for nobody else */
    log_set_role(role_name(start.role));

    void *at_work = NULL;
    if (read_config(start.config, &config, &why)) {
        log_set_level(start.offline ? LOG_ERROR : config->log_level);
        sandbox_lock_memory(config, start.role);
        if (privilege_drop(config, start.role, &why) && sandbox_enter(config, start.role, &why)) {
            if (sandbox_attempt_named(start.attempt) != NULL)
                return try_it(sandbox_attempt_named(start.attempt), config, start.role);
            if (keep_traces(config, &start, &why))
                at_work = roles[start.role].work->start(config, &start, &why);
        }
    }
    if (at_work == NULL) {
        (void)role_send(start.supervisor, ROLE_FAILED, -1, why.text, NULL);
        config_destroy(&config);
        return 1;
    }
    run(roles[start.role].work, at_work, start.supervisor);
    trace_file_close();
    config_destroy(&config);
    return 0;
}
