/*
 * main/sandbox.c - shuts a role in.
 *
 * Layer: main.
 */
#include "main/sandbox.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>

#include "base/log.h"
#include "main/config.h"

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

static bool no_core(struct fail *why)
{
    const struct rlimit none = {0, 0};

    return setrlimit(RLIMIT_CORE, &none) == 0 || fail_set(why, FAIL_PERM, FAIL_OTHER, "limit of core files");
}

bool sandbox_enter(struct config *c, enum role role, struct fail *why)
{
    struct sandbox_means means = sandbox_means();

    if ((role == ROLE_AUTH || role == ROLE_MAIL || role == ROLE_QUEUE) && !no_core(why))
        return false; /* it would hold what people write to each other, or their passwords */
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
