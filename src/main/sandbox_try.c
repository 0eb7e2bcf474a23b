/*
 * main/sandbox_try.c - what nobody may do who has taken over a role, tried from inside it.
 *
 * Layer: main.  For `posthorn check sandbox`: each attempt is made by a process of its own that became the role
 * as a role does, and then did this instead of its work.  Most of them it does not survive.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/scoped.h"
#include "main/config.h"
#include "main/sandbox.h"

static bool keeps_to_itself(enum role role)
{
    return role == ROLE_MAIL || role == ROLE_AUTH || role == ROLE_CONTENT;
}

/* The others may be told by the config to speak with a service on this machine by its socket. */
static bool stays_alone(enum role role)
{
    return role != ROLE_QUEUE && role != ROLE_FETCH;
}

static bool try_exec(struct config *c, enum role role)
{
    static char        name[] = "sh", option[] = "-c", exit_77[] = "exit 77"; /* SANDBOX_COULD */
    static char *const words[] = {name, option, exit_77, NULL}, *const environment[] = {NULL};

    (void)c;
    (void)role;
    (void)execve("/bin/sh", words, environment);
    return false;
}

static bool try_fork(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return fork() >= 0;
}

static bool can_open(const char *path, int flags)
{
    SCOPED(scoped_close) int fd = open(path, flags | O_CLOEXEC, 0600);

    return fd >= 0;
}

/* What other roles keep, this role's own folder left out. */
static bool try_secret(struct config *c, enum role role)
{
    bool could = role != ROLE_AUTH && (can_open(config_data_path(c, "auth"), O_RDONLY | O_DIRECTORY) ||
                                       can_open(config_data_path(c, "auth/auth.db"), O_RDONLY));

    could = could || (role != ROLE_AUTH && c->key[0] != '\0' && can_open(c->key, O_RDONLY));
    could = could || (role != ROLE_MAIL && can_open(config_data_path(c, "mail"), O_RDONLY | O_DIRECTORY));
    return could || (role != ROLE_QUEUE && can_open(config_data_path(c, "queue"), O_RDONLY | O_DIRECTORY));
}

static bool can_make(const char *folder)
{
    char path[4200];

    if (snprintf(path, sizeof path, "%s/posthorn-sandbox-attempt", folder) >= (int)sizeof path || !can_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW))
        return false;
    (void)unlink(path);
    return true;
}

/* Where anybody may, where the system is set up, and what the other roles keep. */
static bool try_write(struct config *c, enum role role)
{
    bool could = can_make("/tmp") || can_make("/var/tmp") || can_make("/dev/shm") || can_make("/etc") || can_make(c->data);

    could = could || (role != ROLE_MAIL && can_make(config_data_path(c, "mail")));
    could = could || (role != ROLE_QUEUE && can_make(config_data_path(c, "queue")));
    return could || (role != ROLE_AUTH && can_make(config_data_path(c, "auth")));
}

static bool try_connect(struct config *c, enum role role)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25)};

    (void)c;
    (void)role;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SCOPED(scoped_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS || errno == ECONNREFUSED);
}

static bool try_listen(struct config *c, enum role role)
{
    SCOPED(scoped_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)c;
    (void)role;
    return fd >= 0 && listen(fd, 1) == 0;
}

/* Kernel code that mail has no use for. */
static bool try_family(struct config *c, enum role role)
{
    SCOPED(scoped_close) int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)c;
    (void)role;
    return fd >= 0;
}

static bool try_trace(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0; /* which does not stop it */
}

static bool try_memory(struct config *c, enum role role)
{
    char         byte;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)try_memory, 1};

    (void)c;
    (void)role;
    return process_vm_readv(getppid(), &here, 1, &there, 1, 0) == 1;
}

/* The same by another way; root's processes could, where there is no Landlock. */
static bool try_proc(struct config *c, enum role role)
{
    char path[40];

    (void)c;
    (void)role;
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
    return can_open(path, O_RDONLY);
}

/* Every process of this machine is behind some Unix socket, the other roles' control sockets among them. */
static bool try_local(struct config *c, enum role role)
{
    SCOPED(scoped_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)c;
    (void)role;
    return fd >= 0;
}

/* A signal that the kernel sends for us. */
static bool try_owner(struct config *c, enum role role)
{
    int pair[2];

    (void)c;
    (void)role;
    return pipe2(pair, O_CLOEXEC) == 0 && fcntl(pair[0], F_SETOWN, getppid()) == 0;
}

/* What is pushed into a terminal, its shell reads as if it had been typed. */
static bool try_type(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return ioctl(STDIN_FILENO, TIOCSTI, " ") == 0 || errno != EPERM; /* also where it is none: the call was made */
}

static bool try_dump(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static bool try_root(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return setuid(0) == 0;
}

static bool try_ring(struct config *c, enum role role)
{
    char room[256] = {0}; /* struct io_uring_params */

    (void)c;
    (void)role;
    return syscall(SYS_io_uring_setup, 1, room) >= 0;
}

static bool try_mount(struct config *c, enum role role)
{
    (void)role;
    return mount("none", c->data, NULL, MS_PRIVATE, NULL) == 0;
}

static bool try_signal(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return kill(getppid(), 0) == 0;
}

static bool try_code(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool try_namespace(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return unshare(CLONE_NEWUSER) == 0;
}

static bool try_handler(struct config *c, enum role role)
{
    (void)c;
    (void)role;
    return signal(SIGSYS, SIG_IGN) != SIG_ERR;
}

const struct sandbox_attempt sandbox_attempts[] = {
    {"exec", "run another program", NULL, false, try_exec},
    {"fork", "start another process", NULL, true, try_fork},
    {"secret", "open what another role keeps", NULL, false, try_secret},
    {"write", "write a file elsewhere", NULL, false, try_write},
    {"proc", "open the supervisor's memory", NULL, false, try_proc},
    {"local", "reach another process by a Unix socket", stays_alone, true, try_local},
    {"connect", "connect to another server", keeps_to_itself, false, try_connect},
    {"listen", "listen on a port", NULL, true, try_listen},
    {"family", "make a socket of another family", NULL, true, try_family},
    {"trace", "trace the supervisor", NULL, true, try_trace},
    {"memory", "read the supervisor's memory", NULL, true, try_memory},
    {"signal", "signal the supervisor", NULL, false, try_signal},
    {"owner", "have the kernel signal the supervisor", NULL, true, try_owner},
    {"type", "type into a terminal", NULL, true, try_type},
    {"dump", "let itself be dumped", NULL, true, try_dump},
    {"root", "become root", NULL, true, try_root},
    {"ring", "make calls past the filter (io_uring)", NULL, true, try_ring},
    {"mount", "mount a file system", NULL, true, try_mount},
    {"code", "make code of data", NULL, true, try_code},
    {"namespace", "enter a new user namespace", NULL, true, try_namespace},
    {"handler", "take the filter's end away", NULL, true, try_handler},
};
const size_t sandbox_attempt_count = ARRAY_LEN(sandbox_attempts);

const struct sandbox_attempt *sandbox_attempt_named(const char *mode)
{
    for (size_t i = 0; i < ARRAY_LEN(sandbox_attempts); i++)
        if (strncmp(mode, "try-", 4) == 0 && strcmp(mode + 4, sandbox_attempts[i].name) == 0)
            return &sandbox_attempts[i];
    return NULL;
}
