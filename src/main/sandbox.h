/*
 * main/sandbox.h - what a role can still do when somebody else has taken it over.
 *
 * Layer: main.  Landlock shuts a role into its own folders; seccomp leaves it the system
 * calls it needs (main/sandbox_calls.c) and kills it at any other; limits keep it from
 * taking the machine.  docs/security.md says what is left to each role.
 */
#ifndef MAIN_SANDBOX_H
#define MAIN_SANDBOX_H

#include "main/role.h"

struct config;

/* What this kernel, and this build, can do of it. */
struct sandbox_means {
    int  landlock; /* version of its interface; 0: none */
    bool calls;    /* seccomp; not in a program built with sanitizers, whose runtimes need calls of their own */
};
struct sandbox_means sandbox_means(void);

/*
 * `auth` keeps its memory out of swap space; while it is root still, because others may lock little.  Where it cannot, the log
 * says so.
 */
void sandbox_lock_memory(const struct config *c, enum role role);

/*
 * For the rest of this process's life, before it has a second thread.  What the kernel lacks is said in the log
 * and left out; what it has and refuses is a failure.
 */
bool sandbox_enter(struct config *c, enum role role, struct fail *why);

/* ---- its parts ---- */

/* main/sandbox_files.c; `version` as in sandbox_means. */
bool sandbox_files(struct config *c, enum role role, int version, struct fail *why);
/* main/sandbox_calls.c */
bool sandbox_calls(enum role role, struct fail *why);

/* ---- proving it (main/sandbox_try.c) ---- */

/* Something a role must not be able to do. */
struct sandbox_attempt {
    const char *name; /* "exec" */
    const char *what; /* "run another program" */
    bool (*concerns)(enum role role); /* NULL: every role */
    bool needs_calls; /* Landlock alone does not stop it */
    /* Tries; true: it could. */
    bool (*run)(struct config *c, enum role role);
};
extern const struct sandbox_attempt sandbox_attempts[];
extern const size_t                 sandbox_attempt_count;

/* A role started as "try-NAME" does that instead of its work: exit status 0: refused, SANDBOX_COULD: it could. */
enum { SANDBOX_COULD = 77 };
const struct sandbox_attempt *sandbox_attempt_named(const char *mode);

#endif
