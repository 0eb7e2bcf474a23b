/*
 * main/sandbox_calls.c - seccomp: the system calls a role may make.
 *
 * Layer: main.  An allow-list for each role, made of groups.  Anything else raises SIGSYS, whose handler says
 * in the log which call it was and ends the process; the handler cannot be replaced, because that too is a call
 * the filter knows.  Where an argument tells harmless from harmful (threads from processes, pages of code) the
 * filter looks at it.  See seccomp(2), seccomp_rule_add(3).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/sched.h>

#include "base/slice.h"
#include "main/sandbox.h"

/* Memory, time, threads, and what is open already. */
static const char *const every_role[] = {
    "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "close",
    "close_range", "lseek", "fstat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2", "open",
    "openat", "readlink", "readlinkat", "getdents64", "getcwd", "dup", "dup2", "dup3", "pipe2",
    "munmap", "mremap", "madvise", "brk", "memfd_create", "mseal", "map_shadow_stack", /* C libraries newer than Debian 12's */
    "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "restart_syscall", "exit", "exit_group",
    "futex", "set_robust_list", "get_robust_list", "rseq", "membarrier", "sched_yield", "sched_getaffinity",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "getrlimit",
    "sysinfo", "uname", "umask", "getrandom", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep",
    "gettimeofday", "time", "times", "setpriority", "getpriority",
    "poll", "ppoll", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2",
    "recvmsg", "recvfrom", "sendmsg", "sendto", "shutdown", "getsockopt", "setsockopt", "getsockname",
    "getpeername",
};

/* Whoever keeps files in a folder of its own. */
static const char *const keeps_files[] = {
    "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "ftruncate", "fallocate", "fsync",
    "fdatasync", "fadvise64", "flock", "fchmod", "fchown", "utimensat", "statfs", "fstatfs",
};

/* Whoever hears that something was put into a folder (the maildrop). */
static const char *const watches[] = {"inotify_init1", "inotify_add_watch", "inotify_rm_watch"};

/* Whoever is connected to. */
static const char *const accepts[] = {"accept", "accept4"};

/* Whoever connects to other machines, and to sockets of this one. */
static const char *const connects[] = {"connect", "bind", "sendmmsg", "recvmmsg", "select", "pselect6", "socketpair"};

/* Whoever keeps keys out of swap space. */
static const char *const locks_memory[] = {"mlock", "mlock2", "munlock"};

enum { LOCAL = 1, INTERNET = 2 };

static const struct {
    bool     files, accepts, watches, locks;
    unsigned reaches; /* LOCAL: mail servers, helpers that the config may name by a path; INTERNET */
} needs[ROLE_COUNT] = {
    [ROLE_MAIL] = {.files = true, .accepts = true, .watches = true},
    [ROLE_QUEUE] = {.files = true, .accepts = true, .reaches = LOCAL | INTERNET},
    [ROLE_AUTH] = {.files = true, .accepts = true, .locks = true},
    [ROLE_CONTENT] = {.reaches = 0},
    [ROLE_FETCH] = {.reaches = LOCAL | INTERNET},
    [ROLE_RESOLVER] = {.reaches = INTERNET},
};

/* ---- the end of who tries something else ---- */

/* Only what a signal handler may: no log_event. */
static void forbidden(int signal_number, siginfo_t *info, void *context)
{
    char   line[] = "error sandbox.forbidden what=\"a system call that this role has no use for\" call=000000\n";
    size_t at = sizeof line - 3;

    (void)signal_number;
    (void)context;
    for (unsigned n = (unsigned)info->si_syscall, i = 0; i < 6; i++, n /= 10)
        line[at - i] = (char)('0' + n % 10);
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    _exit(128 + SIGSYS);
}

/* ---- the filter ---- */

/* A call that this machine's kernel interface lacks (open on arm64) needs no rule. */
static int allow(scmp_filter_ctx f, const char *call, unsigned conditions, const struct scmp_arg_cmp *when)
{
    int number = seccomp_syscall_resolve_name(call);

    return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(f, SCMP_ACT_ALLOW, number, conditions, when);
}

static int allow_all(scmp_filter_ctx f, const char *const *calls, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = allow(f, calls[i], 0, NULL);
    return result;
}

static int allow_if(scmp_filter_ctx f, const char *call, struct scmp_arg_cmp when)
{
    return allow(f, call, 1, &when);
}

/* Pages of code come from files, as libraries do: never from memory that can be written, nor has been. */
static int allow_memory(scmp_filter_ctx f)
{
    int result = allow_if(f, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (result == 0)
        result = allow_if(f, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
    return result == 0 ? allow_if(f, "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) : result;
}

/* Threads, never processes: clone3 keeps its flags where the filter cannot see them, so glibc is told it has none. */
static int allow_threads(scmp_filter_ctx f)
{
    int result = allow_if(f, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_NEWUSER,
                                              CLONE_THREAD | CLONE_VM | CLONE_SIGHAND));

    if (result == 0)
        result = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return result;
}

/* Signals to itself; handlers for all of them but the one that ends it. */
static int allow_signals(scmp_filter_ctx f)
{
    uint64_t self = (uint64_t)getpid();
    int      result = allow_if(f, "tgkill", SCMP_A0(SCMP_CMP_EQ, self, 0));

    if (result == 0)
        result = allow_if(f, "kill", SCMP_A0(SCMP_CMP_EQ, self, 0));
    return result == 0 ? allow_if(f, "rt_sigaction", SCMP_A0(SCMP_CMP_NE, SIGSYS, 0)) : result;
}

/* prctl and prlimit can do much; the C library names its threads and asks for its limits. */
static int allow_own_settings(scmp_filter_ctx f)
{
    static const uint64_t settings[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_CAPBSET_READ, PR_GET_DUMPABLE};
    int                   result = 0;

    for (size_t i = 0; i < ARRAY_LEN(settings) && result == 0; i++)
        result = allow_if(f, "prctl", SCMP_A0(SCMP_CMP_EQ, settings[i], 0));
    if (result == 0)
        result = allow_if(f, "prlimit64", SCMP_A0(SCMP_CMP_EQ, 0, 0)); /* its own; the hard limits hold */
    return result == 0 ? allow(f, "setrlimit", 0, NULL) : result;
}

/* Calls that do many things: those that are used, and none that signals others, types into a terminal or loosens what is tied. */
static int allow_some(scmp_filter_ctx f, const char *call, unsigned argument, const uint64_t *values, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = allow_if(f, call, SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, values[i]));
    return result;
}

static int allow_descriptors(scmp_filter_ctx f)
{
    static const uint64_t asks[] = {TCGETS, FIONREAD, FIONBIO, SIOCGIFINDEX};
    static const uint64_t does[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,
                                    F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_ADD_SEALS, F_GET_SEALS};
    int result = allow_some(f, "ioctl", 1, asks, ARRAY_LEN(asks));

    return result == 0 ? allow_some(f, "fcntl", 1, does, ARRAY_LEN(does)) : result;
}

/*
 * What no role has a use for is a violation; but the C library asks name services (nscd, systemd) for users by a Unix
 * socket, and reads /etc/passwd where it gets none.
 */
static int allow_sockets(scmp_filter_ctx f, unsigned reaches)
{
    /* TCP, UDP; and by netlink, which addresses this machine has.  Other protocols are modules that the kernel would load. */
    static const struct { int family, protocol; } internet[] = {
        {AF_INET, 0}, {AF_INET, IPPROTO_TCP}, {AF_INET, IPPROTO_UDP}, {AF_INET6, 0}, {AF_INET6, IPPROTO_TCP}, {AF_INET6, IPPROTO_UDP},
        {AF_NETLINK, NETLINK_ROUTE}};
    int result = (reaches & LOCAL) != 0
                     ? allow_if(f, "socket", SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0))
                     : seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));

    for (size_t i = 0; i < ARRAY_LEN(internet) && result == 0 && (reaches & INTERNET) != 0; i++) {
        const struct scmp_arg_cmp both[] = {SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)internet[i].family, 0),
                                            SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)internet[i].protocol, 0)};
        result = allow(f, "socket", ARRAY_LEN(both), both);
    }
    return result == 0 && (reaches & INTERNET) != 0 ? allow_all(f, connects, ARRAY_LEN(connects)) : result;
}

static int add_rules(scmp_filter_ctx f, enum role role)
{
    int result = allow_all(f, every_role, ARRAY_LEN(every_role));

    if (result == 0 && needs[role].files)
        result = allow_all(f, keeps_files, ARRAY_LEN(keeps_files));
    if (result == 0 && needs[role].accepts)
        result = allow_all(f, accepts, ARRAY_LEN(accepts));
    if (result == 0 && needs[role].watches)
        result = allow_all(f, watches, ARRAY_LEN(watches));
    if (result == 0 && needs[role].locks)
        result = allow_all(f, locks_memory, ARRAY_LEN(locks_memory));
    if (result == 0)
        result = allow_descriptors(f);
    if (result == 0)
        result = allow_memory(f);
    if (result == 0)
        result = allow_threads(f);
    if (result == 0)
        result = allow_signals(f);
    if (result == 0)
        result = allow_own_settings(f);
    return result == 0 ? allow_sockets(f, needs[role].reaches) : result;
}

bool sandbox_calls(enum role role, struct fail *why)
{
    struct sigaction end = {.sa_sigaction = forbidden, .sa_flags = SA_SIGINFO};
    scmp_filter_ctx  f = seccomp_init(SCMP_ACT_TRAP);
    int              result = f == NULL ? -ENOMEM : 0;

    if (sigaction(SIGSYS, &end, NULL) != 0)
        result = -errno;
    if (result == 0)
        result = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: a hundred calls cost as much as seven */
    if (result == 0)
        result = add_rules(f, role);
    if (result == 0)
        result = seccomp_load(f);
    seccomp_release(f);
    return result == 0 || fail_errno(why, -result, "sandbox: filter of system calls");
}
