/*
 * main/reach.c - a command's way to a role: of the running server, or one started for it.
 *
 * Layer: main.
 */
#include "main/reach.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "main/config.h"
#include "main/listen.h"
#include "main/privilege.h"
#include "main/role.h"
#include "net/ipc.h"

void reach_init(struct reach *r, struct config *c)
{
    *r = (struct reach){.config = c};
}

static void end_role(struct reach *r, enum role role)
{
    if (r->started[role].pid == 0)
        return;
    (void)role_send(r->started[role].supervisor, ROLE_STOP, -1, NULL, NULL);
    (void)close(r->started[role].supervisor);
    while (waitpid(r->started[role].pid, NULL, 0) < 0 && errno == EINTR)
        ;
    r->started[role].pid = 0;
}

void reach_finish(struct reach *r)
{
    for (int role = 0; role < ROLE_COUNT; role++)
        if (r->controls[role].open)
            control_client_close(&r->controls[role].client);
    ipc_client_destroy(&r->auth);
    for (int role = 0; role < ROLE_COUNT; role++)
        end_role(r, (enum role)role);
}

/* Starts the role with `control` (which stays ours) and waits until it serves. */
static bool start_role(struct reach *r, enum role role, int control, struct fail *why)
{
    struct role_note  note;
    struct role_start start = {.role = role, .offline = true, .control = control};
    bool              ok = false;

    start.config = role_config_fd(r->config, why);
    if (start.config >= 0) {
        ok = role_spawn(&start, &r->started[role].pid, &r->started[role].supervisor, why);
        (void)close(start.config);
    }
    if (!ok)
        return false;
    if (!role_receive(r->started[role].supervisor, &note))
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "role %s ended before it served", role_name(role));
    else if (note.what != ROLE_READY)
        ok = fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s", note.text);
    if (!ok)
        end_role(r, role);
    return ok;
}

/* A socket to the role; -1 and *why. */
static int connect_role(struct reach *r, enum role role, struct fail *why)
{
    int type = listen_control_type(role);
    int ends[2], fd = listen_connect(listen_control_path(r->config, role), type, NULL);

    if (fd >= 0)
        return fd;
    if (!privilege_prepare(r->config, why))
        return -1;
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) {
        (void)fail_errno(why, errno, "control socket");
        return -1;
    }
    bool ok = start_role(r, role, ends[1], why);
    (void)close(ends[1]);
    if (!ok) {
        (void)close(ends[0]);
        return -1;
    }
    return ends[0];
}

bool reach_role(struct reach *r, enum role role, struct fail *why)
{
    if (r->controls[role].open)
        return true;
    int fd = connect_role(r, role, why);
    if (fd >= 0)
        control_client_open(&r->controls[role].client, fd);
    r->controls[role].open = fd >= 0;
    return fd >= 0;
}

bool reach_auth(struct reach *r, struct fail *why)
{
    if (r->auth != NULL)
        return true;
    int fd = connect_role(r, ROLE_AUTH, why);
    if (fd < 0)
        return false;
    r->auth = ipc_client_create(&r->config->ipc, "auth", NULL, NULL, why);
    if (r->auth == NULL) {
        (void)close(fd);
        return false;
    }
    ipc_client_attach(r->auth, fd);
    return true;
}

bool reach_ask_role(struct reach *r, enum role role, json_t *request, json_t **result, struct fail *why)
{
    if (!reach_role(r, role, why)) {
        json_decref(request);
        return false;
    }
    return control_ask(&r->controls[role].client, request, NULL, NULL, result, why);
}

bool reach_ask(struct reach *r, json_t *request, json_t **result, struct fail *why)
{
    return reach_ask_role(r, ROLE_MAIL, request, result, why);
}
