/*
 * main/role_fetch.c - the role that speaks with web servers, and holds nothing.
 *
 * Layer: main.  Asked by the mail, queue and auth roles over sockets that the supervisor sends; asks the resolver role.
 * Each of those that ask has threads of its own, so that none can keep the others waiting.
 */
#include <stdlib.h>
#include <unistd.h>

#include "main/config.h"
#include "main/hold_down.h"
#include "main/role.h"
#include "net/dns.h"

enum {
    MEMORY_MAX = 512 * 1024 * 1024,
    FILES_BESIDE = 64,
    FILES_EACH = 6, /* a request has sockets to several addresses, files of its body and of the answer */
    STACK_BYTES = 1024 * 1024,
};

static const enum role askers[] = {ROLE_MAIL, ROLE_QUEUE, ROLE_AUTH};

struct fetch_work {
    struct dns_client   *dns;
    struct fetch_server *server;
    struct ipc_server   *serves[ARRAY_LEN(askers)];
};

/*
 * A web server may take long to answer what nobody waits for any more.  There is nothing to keep here, so the end does not
 * wait for it.
 */
static void fetch_stop(void *work)
{
    (void)work;
    _exit(0);
}

static bool serve_all(struct fetch_work *w, const struct config *c, struct fail *why)
{
    struct ipc_service service = fetch_server_service(w->server);
    struct ipc_limits  limits = c->ipc;

    limits.threads = c->fetch.requests;
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        w->serves[i] = ipc_server_create(&limits, &service, why);
        if (w->serves[i] == NULL)
            return false;
    }
    return true;
}

static void *fetch_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct fetch_work *w = xcalloc(1, sizeof *w);
    uint64_t           requests = ARRAY_LEN(askers) * (uint64_t)c->fetch.requests;

    (void)start;
    if (hold_down(MEMORY_MAX + requests * (STACK_BYTES + c->fetch.answer_bytes), FILES_BESIDE + requests * FILES_EACH, why))
        w->dns = dns_client_create(&c->dns, &c->ipc, why);
    if (w->dns != NULL) {
        const struct fetch_setting setting = {
            .limits = c->fetch, .helpers = config_helpers(c), .authorities = c->fetch_authorities, .dns = w->dns};
        if (fetch_server_create(&setting, &w->server, why) && serve_all(w, c, why))
            return w;
    }
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        ipc_server_destroy(&w->serves[i]);
    fetch_server_destroy(&w->server);
    dns_client_destroy(&w->dns);
    free(w);
    return NULL;
}

static void fetch_note(void *work, const struct role_note *note)
{
    struct fetch_work *w = work;
    struct fail        why;

    if (role_asks(note, ROLE_RESOLVER)) {
        dns_client_attach(w->dns, note->fd);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        if (!role_answers(note, askers[i]))
            continue;
        if (!ipc_server_attach(w->serves[i], note->fd, &why))
            log_event(LOG_ERROR, "role.peer_failed", LOG_FAIL(&why));
        return;
    }
    if (note->fd >= 0)
        (void)close(note->fd);
}

const struct role_work role_fetch = {.start = fetch_start, .note = fetch_note, .stop = fetch_stop};
