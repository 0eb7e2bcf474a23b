/*
 * main/role_auth.c - the role that holds secrets.
 *
 * Layer: main.  Speaks with the mail role over a socket that the supervisor sends, and
 * with the administrator over its own control socket; with nobody outside.  Where the config
 * names a token issuer that must be asked, the fetch role does that.
 */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/tls_keys.h"
#include "main/config.h"
#include "main/privilege.h"
#include "main/role.h"
#include "net/fetch.h"

enum { SECURE_HEAP = 256 * 1024, SECURE_PIECE = 32 }; /* three RSA keys of 16,384 bits fit, and an ECDSA key is 48 bytes */
enum { SIGNING_THREADS = 1, ISSUER_THREADS = 6 }; /* that may wait for a token issuer, beside those that check passwords */

struct auth_work {
    struct auth_server *server;
    struct ipc_server  *mail;    /* asks who somebody is */
    struct ipc_server  *control; /* sets passwords */
    struct tls_keys    *tls;     /* NULL: no certificate */
    struct fetch_client *fetch;  /* NULL: nobody outside is asked */
};

/* ipc hands the service's own context to `admit`: what it needs besides is here.  Set once, before threads. */
static const struct config *admit_config;

static bool admit(void *ctx, uid_t uid, gid_t gid)
{
    (void)ctx, (void)gid;
    return privilege_is_admin(admit_config, uid);
}

static void auth_stop(void *work)
{
    struct auth_work *w = work;

    ipc_server_destroy(&w->control);
    if (w->server != NULL)
        auth_server_tell(w->server, NULL);
    ipc_server_destroy(&w->mail);
    auth_server_close(&w->server);
    tls_keys_close(&w->tls);
    fetch_client_destroy(&w->fetch);
    free(w);
}

/* Threads enough that some answer from the cache while every hash that may run is running, and every one that may wait waits. */
static struct ipc_limits server_limits(const struct config *c)
{
    struct ipc_limits limits = c->ipc;
    long              cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned          hashes = c->auth.hash_runs > 0 ? c->auth.hash_runs : cores > 0 ? (unsigned)cores : 1;

    if (limits.threads < hashes + 2 + SIGNING_THREADS)
        limits.threads = hashes + 2 + SIGNING_THREADS;
    limits.threads += c->auth.hash_waiting;
    if (auth_limits_need_fetch(&c->auth))
        limits.threads += ISSUER_THREADS;
    return limits;
}

static void *auth_start_role(struct config *c, const struct role_start *start, struct fail *why)
{
    struct auth_work *w = xcalloc(1, sizeof *w);
    struct ipc_limits limits = server_limits(c);
    bool              ok = auth_server_open(config_data_path(c, "auth/auth.db"), &c->auth, &w->server, why);

    admit_config = c;
    if (ok && auth_limits_need_fetch(&c->auth)) {
        w->fetch = fetch_client_create(&c->fetch, &c->ipc, why);
        ok = w->fetch != NULL;
        if (ok)
            auth_server_use(w->server, w->fetch);
    }
    if (ok && !start->offline && c->certificate[0] != '\0') {
        /* Private numbers lie apart from all else, between pages that nobody can read, locked and left out of core files. */
        if (CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_PIECE) == 0)
            log_event(LOG_WARNING, "auth.no_secure_heap", LOG_CSTR("hint", "private keys lie in ordinary memory"));
        w->tls = tls_keys_open(c->certificate, c->key, c->auth.signatures, why);
        ok = w->tls != NULL;
        auth_server_sign_with(w->server, w->tls);
    }
    if (ok) {
        struct ipc_service service = auth_server_service(w->server), control = auth_server_control(w->server);

        control.admit = admit;
        w->mail = ipc_server_create(&limits, &service, why);
        w->control = w->mail != NULL ? ipc_server_create(&c->ipc, &control, why) : NULL;
        ok = w->control != NULL;
    }
    if (ok) {
        auth_server_tell(w->server, w->mail);
        ok = start->offline ? ipc_server_attach(w->control, start->control, why)
                            : ipc_server_listen(w->control, start->control, why);
    }
    if (!ok) {
        auth_stop(w);
        return NULL;
    }
    return w;
}

static void auth_note(void *work, const struct role_note *note)
{
    struct auth_work *w = work;
    struct fail       why;

    if (role_answers(note, ROLE_MAIL)) {
        if (!ipc_server_attach(w->mail, note->fd, &why))
            log_event(LOG_ERROR, "role.peer_failed", LOG_FAIL(&why));
    } else if (role_asks(note, ROLE_FETCH) && w->fetch != NULL) {
        fetch_client_attach(w->fetch, note->fd);
    } else if (note->fd >= 0) {
        (void)close(note->fd);
    }
}

const struct role_work role_auth = {.start = auth_start_role, .note = auth_note, .stop = auth_stop};
