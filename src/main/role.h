/*
 * main/role.h - the supervisor and its roles: how one starts the other and what they say.
 *
 * Layer: main.  A role is this same program, executed anew as
 *
 *     posthorn --role NAME serve|offline SUPERVISOR CONFIG CONTROL [LISTENER...]
 *
 * or `try-NAME` instead of `serve` (main/sandbox.h), where the words in capitals are descriptor numbers: the socket to the
 * supervisor, the config file's text, the control socket, and one listening socket for
 * each of the config's listeners.  `offline` is a role without a network, started by
 * a command that found no server running: its control socket is connected already.
 *
 * A role lives until it is told to stop or the supervisor is gone.
 */
#ifndef MAIN_ROLE_H
#define MAIN_ROLE_H

#include <sys/types.h>

#include "base/fail.h"

struct config;

/* In the order in which they are told to stop: who asks before who answers. */
enum role { ROLE_MAIL, ROLE_QUEUE, ROLE_AUTH, ROLE_CONTENT, ROLE_FETCH, ROLE_RESOLVER };
enum { ROLE_COUNT = 6 };

const char *role_name(enum role role);

/* ---- starting ---- */

struct role_start {
    enum role  role;
    bool       offline;
    const char *attempt; /* "try-NAME": it does that instead of its work; NULL */
    int        supervisor; /* ours from here on: role_spawn gives the other end */
    int        config;     /* a file with the config's text */
    int        control;    /* -1: it has none */
    const int *listeners;
    size_t     listener_count;
};

/*
 * Starts a role; the descriptors in *start (but `supervisor`, which is made here)
 * stay the caller's.  *supervisor is our end of the socket to it.
 */
bool role_spawn(const struct role_start *start, pid_t *pid, int *supervisor, struct fail *why);

/* A file in memory that holds the config's text: for `config` above; -1 on failure. */
int role_config_fd(const struct config *c, struct fail *why);

/* The whole life of the program as a role; returns its exit status.  argv: what followed --role. */
int role_main(int argc, char **argv);

/* ---- talking ---- */

enum role_message {
    ROLE_READY = 'y',  /* from the role: it serves */
    ROLE_FAILED = 'f', /* from the role: it cannot start, with the reason */
    ROLE_ASK = 'a',    /* to the role: a new socket, as descriptor, over which it may ask the role that the text names */
    ROLE_ANSWER = 'p', /* to the role: a new socket over which the role that the text names asks it */
    ROLE_RELOAD = 'r', /* to the role: read the certificate again */
    ROLE_STOP = 's',   /* to the role: finish and end */
};

struct role_note {
    enum role_message what;
    int               fd; /* -1: none; the receiver's */
    char              text[240];
};

/*
 * Never waits: FAIL_TEMP, and errno is EAGAIN, if the other side does not read its notes.  The supervisor must not hang because a role does.
 */
bool role_send(int socket, enum role_message what, int fd, const char *text, struct fail *why);
/* Waits for the next note; false when the other side is gone. */
bool role_receive(int socket, struct role_note *out);
/* Is it a socket over which `peer` may be asked / over which it asks? */
bool role_asks(const struct role_note *n, enum role peer);
bool role_answers(const struct role_note *n, enum role peer);

/* ---- what each role does ---- */

/* Between the supervisor's notes: made by start, told by note, ended by stop. */
struct role_work {
    void *(*start)(struct config *c, const struct role_start *start, struct fail *why);
    void (*note)(void *work, const struct role_note *note); /* takes note->fd */
    void (*stop)(void *work);
};
extern const struct role_work role_mail, role_queue, role_auth, role_content, role_fetch, role_resolver;

#endif
