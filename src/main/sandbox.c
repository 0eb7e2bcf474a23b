/*
 * main/sandbox.c - shuts a role in.
 *
 * Layer: main.
 */
#include "main/sandbox.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/landlock.h>

#include "base/log.h"
#include "main/config.h"
#include "main/privilege.h"

enum { AUTH_FILES = 1024 }; /* it has no clients but `mail` and the administrator's commands */

struct sandbox_means sandbox_means(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return (struct sandbox_means){
        .landlock = version < 2 ? 0 : (int)version, /* the first one forbids renaming from folder to folder */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        .calls = true,
#endif
    };
}

/* Where there is a limit, memory that passes it could not be had at all; for root there is none. */
static bool may_lock_all(const struct config *c)
{
    const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit       now = {0, 0};

    (void)setrlimit(RLIMIT_MEMLOCK, &any);
    if (getrlimit(RLIMIT_MEMLOCK, &now) == 0 && now.rlim_cur == RLIM_INFINITY)
        return true;
    return geteuid() == 0 && !privilege_switches(c) && prctl(PR_CAPBSET_READ, CAP_IPC_LOCK) == 1;
}

void sandbox_lock_memory(const struct config *c, enum role role)
{
    if (role != ROLE_AUTH || (may_lock_all(c) && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0))
        return;
    log_event(geteuid() == 0 ? LOG_WARNING : LOG_INFO, "sandbox.memory_not_locked",
              LOG_CSTR("hint", "secrets of auth could come into swap space; the limit of locked memory (LimitMEMLOCK) should be infinite"));
}

/*
 * No core files: one would hold what people write to each other, or their passwords.  A limit of 1 byte is none for a file, and
 * the one that holds back a core_pattern that is a program, which one of 0 does not (core(5)).
 */
static bool hold(int what, rlim_t most, struct fail *why)
{
    struct rlimit now;

    if (getrlimit((__rlimit_resource_t)what, &now) != 0)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "limits of this role");
    if (now.rlim_max > most)
        now.rlim_max = most;
    now.rlim_cur = now.rlim_max;
    return setrlimit((__rlimit_resource_t)what, &now) == 0 || fail_set(why, FAIL_PERM, FAIL_OTHER, "limits of this role");
}

/* A debugger is for who turned the sandbox off; `auth` never lets one in, nor a core file out. */
static bool close_up(const struct config *c, enum role role, const struct sandbox_means *means, struct fail *why)
{
    bool always = role == ROLE_AUTH;

    if ((always || (c->sandbox && means->calls)) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "not dumpable");
    return hold(RLIMIT_CORE, 1, why) && (role != ROLE_AUTH || hold(RLIMIT_NOFILE, AUTH_FILES, why));
}

bool sandbox_enter(struct config *c, enum role role, struct fail *why)
{
    struct sandbox_means means = sandbox_means();

    if (!close_up(c, role, &means, why))
        return false;
    if (!c->sandbox) {
        log_event(LOG_WARNING, "sandbox.off", LOG_CSTR("role", role_name(role)));
        return true;
    }
    if (means.landlock == 0)
        log_event(LOG_WARNING, "sandbox.no_landlock", LOG_CSTR("hint", "this kernel cannot shut roles into their folders; Linux 5.19 can"));
    else if (!sandbox_files(c, role, means.landlock, why))
        return false;
    return !means.calls || sandbox_calls(role, why);
}
