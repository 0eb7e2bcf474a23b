/*
 * main/role_resolver.c - the role that speaks with DNS servers and parses what they answer; it holds nothing.
 *
 * Layer: main.  Asked by the mail, queue and fetch roles over sockets that the supervisor sends.  It has no control socket,
 * opens no files but the resolver's own (resolv.conf; libunbound and the root's key where that is chosen), and writes nothing.
 */
#include <stdlib.h>
#include <unistd.h>

#include "main/config.h"
#include "main/hold_down.h"
#include "main/role.h"

enum {
    MEMORY_MAX = 512 * 1024 * 1024,
    FILES_BESIDE = 64,
    FILES_EACH = 4,               /* a question has a socket for each server, and one for TCP */
    STACK_BYTES = 1024 * 1024,
};

struct resolver_work {
    struct dns_server *server;
    struct ipc_server *askers;
};

/*
 * A question may wait for its server for long after nobody wants the answer any more.  There is nothing to keep here, so
 * the end does not wait for it.
 */
static void resolver_stop(void *work)
{
    (void)work;
    _exit(0);
}

static void *resolver_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct resolver_work *w = xcalloc(1, sizeof *w);
    struct ipc_limits     ipc = c->ipc;
    uint64_t              questions = c->dns.questions;

    (void)start;
    ipc.threads = c->dns.questions;
    if (hold_down(MEMORY_MAX + questions * STACK_BYTES, FILES_BESIDE + questions * FILES_EACH, why) &&
        dns_server_create(&c->dns, c->dns_servers, &w->server, why)) {
        struct ipc_service service = dns_server_service(w->server);
        w->askers = ipc_server_create(&ipc, &service, why);
        if (w->askers != NULL)
            return w;
    }
    dns_server_destroy(&w->server);
    free(w);
    return NULL;
}

static void resolver_note(void *work, const struct role_note *note)
{
    static const enum role  askers[] = {ROLE_MAIL, ROLE_QUEUE, ROLE_FETCH};
    struct resolver_work *w = work;
    struct fail           why;

    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        if (role_answers(note, askers[i])) {
            if (!ipc_server_attach(w->askers, note->fd, &why))
                log_event(LOG_ERROR, "role.peer_failed", LOG_FAIL(&why));
            return;
        }
    }
    if (note->fd >= 0)
        (void)close(note->fd);
}

const struct role_work role_resolver = {.start = resolver_start, .note = resolver_note, .stop = resolver_stop};
