/*
 * main/command_sandbox.c - `posthorn check sandbox`: does it hold?
 *
 * Layer: main.  Needs no running server and disturbs none: every attempt is made by a process of its own that
 * becomes the role, with its user and in its sandbox, and then tries.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "main/command.h"
#include "main/config.h"
#include "main/privilege.h"
#include "main/sandbox.h"

enum verdict { REFUSED, KILLED, COULD, UNCLEAR };

/* One process's try. */
static bool attempt(struct config *c, enum role role, const struct sandbox_attempt *a, enum verdict *out, struct fail *why)
{
    char              mode[40];
    struct role_start start = {.role = role, .attempt = mode, .config = role_config_fd(c, why), .control = -1};
    pid_t             pid;
    int               supervisor, status = 0;

    (void)snprintf(mode, sizeof mode, "try-%s", a->name);
    if (start.config < 0)
        return false;
    bool ok = role_spawn(&start, &pid, &supervisor, why);
    (void)close(start.config);
    if (!ok)
        return false;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    struct role_note note = {.fd = -1};
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && role_receive(supervisor, &note))
        ok = fail_set(why, FAIL_PERM, FAIL_OTHER, "role %s does not start: %s", role_name(role), note.text);
    (void)close(supervisor);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGSYS)
        *out = KILLED;
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        *out = KILLED;
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        *out = REFUSED;
    else
        *out = WIFEXITED(status) && WEXITSTATUS(status) == SANDBOX_COULD ? COULD : UNCLEAR;
    return ok;
}

/* The same, told: as an object in `results`, and as a line where it went wrong or all are wanted. */
static bool try_one(const struct cli *cli, struct config *c, enum role role, const struct sandbox_attempt *a, json_t *results,
                    int *could, struct fail *why)
{
    static const char *const words[] = {
        [REFUSED] = "refused", [KILLED] = "refused, and the process ended", [COULD] = "NOT REFUSED", [UNCLEAR] = "not tried: it ended otherwise"};
    enum verdict v = UNCLEAR;

    if (!attempt(c, role, a, &v, why))
        return false;
    (void)json_array_append_new(results, json_pack("{s:s, s:s, s:b, s:s}", "role", role_name(role), "attempt", a->name,
                                                   "refused", v == REFUSED || v == KILLED, "outcome", words[v]));
    if (!cli->json && (v == COULD || v == UNCLEAR || cli_option(cli, "verbose") != NULL))
        printf("%-9s %-30s %s\n", role_name(role), a->what, words[v]);
    *could += v == COULD || v == UNCLEAR;
    return true;
}

static void tell_means(const struct cli *cli, const struct sandbox_means *means, bool on)
{
    if (cli->json)
        return;
    if (!on)
        printf("the sandbox is turned off in the config (posthorn.conf(5): sandbox)\n");
    if (means->landlock > 0 && means->calls && on)
        printf("shut in by Landlock (version %d of its interface) and by filters of system calls\n", means->landlock);
    if (means->landlock == 0)
        printf("this kernel has no Landlock: processes are not shut into their folders\n");
    if (!means->calls)
        printf("this program was built with sanitizers: its system calls are not filtered\n");
}

/* All that concerns the role, with a line of its own. */
static bool try_all(const struct cli *cli, struct config *c, enum role role, bool calls, json_t *results, int *tried, int *could,
                    struct fail *why)
{
    int  mine = 0, bad = 0;
    bool ok = true;

    for (size_t i = 0; ok && i < sandbox_attempt_count; i++) {
        const struct sandbox_attempt *a = &sandbox_attempts[i];
        if ((a->concerns != NULL && !a->concerns(role)) || (a->needs_calls && !calls))
            continue;
        ok = try_one(cli, c, role, a, results, &bad, why);
        mine++;
    }
    if (ok && !cli->json)
        printf("%-9s %d of %d attempts refused\n", role_name(role), mine - bad, mine);
    *tried += mine;
    *could += bad;
    return ok;
}

int command_check_sandbox(struct cli *cli)
{
    struct config       *c = NULL;
    struct fail          why;
    struct sandbox_means means = sandbox_means();
    int                  could = 0, tried = 0;

    if (!cli_config(cli, &c))
        return FAILED;
    json_t *results = json_array();
    bool    ok = privilege_prepare(c, &why);
    tell_means(cli, &means, c->sandbox);
    for (int role = 0; ok && role < ROLE_COUNT; role++)
        ok = try_all(cli, c, (enum role)role, means.calls, results, &tried, &could, &why);
    config_destroy(&c);
    if (!ok) {
        json_decref(results);
        return cli_failed(cli, &why);
    }
    json_t *result = json_pack("{s:i, s:i, s:i, s:b, s:o}", "tried", tried, "not_refused", could, "landlock", means.landlock,
                               "seccomp", means.calls, "attempts", results);
    (void)cli_done(cli, result, "%d attempts by %d roles: %d refused, %d not\n", tried, ROLE_COUNT, tried - could, could);
    json_decref(result);
    return could == 0 ? DONE : FAILED;
}
