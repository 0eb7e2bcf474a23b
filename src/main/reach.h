/*
 * main/reach.h - a command's way to a role: of the running server, or one started for it.
 *
 * Layer: main.  If nobody listens on a role's control socket the role is started
 * without a network, as the user it always runs as, and ends with the command.
 */
#ifndef MAIN_REACH_H
#define MAIN_REACH_H

#include <sys/types.h>

#include "main/control.h"
#include "main/role.h"

struct config;
struct ipc_client;

/* The roles as one command sees them; all NULL and 0 at first. */
struct reach {
    struct config        *config;
    struct { bool open; struct control_client client; } controls[ROLE_COUNT]; /* mail's, queue's */
    struct ipc_client    *auth;
    struct { pid_t pid; int supervisor; } started[ROLE_COUNT]; /* by enum role; pid 0: the server's own */
};

void reach_init(struct reach *r, struct config *c);
/* Ends what was started.  Fine when nothing was reached. */
void reach_finish(struct reach *r);

/* Both may be called again: the second time does nothing.  reach_role: ROLE_MAIL or ROLE_QUEUE. */
bool reach_role(struct reach *r, enum role role, struct fail *why);
bool reach_auth(struct reach *r, struct fail *why);

/* reach_role and control_ask in one: of the mail role, or of another. */
bool reach_ask_role(struct reach *r, enum role role, json_t *request, json_t **result, struct fail *why);
bool reach_ask(struct reach *r, json_t *request, json_t **result, struct fail *why);

#endif
