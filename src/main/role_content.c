/*
 * main/role_content.c - the role that parses what strangers wrote, and holds nothing.
 *
 * Layer: main.  Asked by the mail role over a socket that the supervisor sends.  It has
 * no control socket, opens no files but libraries, and writes nothing.
 */
#include <stdlib.h>

#include "main/config.h"
#include "main/hold_down.h"
#include "main/role.h"

enum {
    MEMORY_MAX = 1024 * 1024 * 1024, /* of data */
    FILES_MAX = 256,
};

struct content_work {
    struct content_server *server;
    struct ipc_server     *mail;
};

static void content_stop(void *work)
{
    struct content_work *w = work;

    ipc_server_destroy(&w->mail);
    content_server_destroy(&w->server);
    free(w);
}

static void *content_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct content_work *w = xcalloc(1, sizeof *w);
    bool                 ok = hold_down(MEMORY_MAX, FILES_MAX, why) && content_server_create(&c->content, &w->server, why);

    (void)start;
    if (ok) {
        struct ipc_service service = content_server_service(w->server);
        w->mail = ipc_server_create(&c->ipc, &service, why);
        ok = w->mail != NULL;
    }
    if (!ok) {
        content_stop(w);
        return NULL;
    }
    return w;
}

static void content_note(void *work, const struct role_note *note)
{
    struct content_work *w = work;
    struct fail          why;

    if (role_answers(note, ROLE_MAIL) && !ipc_server_attach(w->mail, note->fd, &why))
        log_event(LOG_ERROR, "role.peer_failed", LOG_FAIL(&why));
}

const struct role_work role_content = {.start = content_start, .note = content_note, .stop = content_stop};
