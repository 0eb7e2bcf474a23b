/*
 * net/dns_unbound.c - questions answered and validated by libunbound.
 *
 * Layer: net.  Runs in the resolver role, which alone loads the library, and only when dns.unbound is set: the one in
 * Debian 12 has known holes (docs/dependencies.md).  It keeps its own cache and asks from the root downwards, or the
 * servers of the config.
 *
 * The library works on a thread of its own; a thread here takes what it has finished.  Whoever asked waits until then or
 * until the time is over.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "net/dns_wire.h"
#include "net/thread.h"

#define ROOT_KEY "/usr/share/dns/root.key" /* of dns-root-data */

enum { CLASS_IN = 1, LOOK_MS = 500 };

struct dns_unbound {
    struct ub_ctx *ctx;
    struct dns_limits limits;
    pthread_mutex_t lock; /* of questions */
    pthread_cond_t answered;
    pthread_t pump;
    bool pumping;
    atomic_bool stopping;
    /* the library */
    void *handle;
    typeof(&ub_version) version;
    typeof(&ub_ctx_create) create;
    typeof(&ub_ctx_delete) destroy;
    typeof(&ub_ctx_add_ta_file) add_key;
    typeof(&ub_ctx_set_fwd) set_server;
    typeof(&ub_ctx_async) set_async;
    typeof(&ub_resolve_async) start;
    typeof(&ub_cancel) cancel;
    typeof(&ub_fd) fd;
    typeof(&ub_process) process;
    typeof(&ub_resolve_free) release;
    typeof(&ub_strerror) error_text;
};

struct question {
    struct dns_unbound *unbound;
    bool done;
    int error;
    struct ub_result *result;
};

/* ---- the library ---- */

/* A data pointer becomes one to a function in the way POSIX asks for (dlsym). */
static bool find(void *library, const char *name, void *function)
{
    void *at = dlsym(library, name);

    memcpy(function, &at, sizeof at);
    return at != NULL;
}

static bool load(struct dns_unbound *u, struct fail *why)
{
    u->handle = dlopen("libunbound.so.8", RTLD_NOW | RTLD_LOCAL);
    if (u->handle != NULL && find(u->handle, "ub_version", &u->version) && find(u->handle, "ub_ctx_create", &u->create) &&
        find(u->handle, "ub_ctx_delete", &u->destroy) && find(u->handle, "ub_ctx_add_ta_file", &u->add_key) &&
        find(u->handle, "ub_ctx_set_fwd", &u->set_server) && find(u->handle, "ub_ctx_async", &u->set_async) &&
        find(u->handle, "ub_resolve_async", &u->start) && find(u->handle, "ub_cancel", &u->cancel) &&
        find(u->handle, "ub_fd", &u->fd) && find(u->handle, "ub_process", &u->process) &&
        find(u->handle, "ub_resolve_free", &u->release) && find(u->handle, "ub_strerror", &u->error_text))
        return true;
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "dns.unbound: libunbound cannot be used: %s", dlerror());
}

/* "127.0.0.1:5353" as libunbound writes it: 127.0.0.1@5353. */
static bool add_server(struct dns_unbound *u, const char *server, struct fail *why)
{
    struct slice rest = slice_of(server), host = rest;
    char text[100];

    if (slice_starts(rest, SLICE("["))) {
        rest = slice_from(rest, 1);
        host = slice_cut(&rest, ']');
        rest = slice_from(rest, 1);
    } else if (slice_find_char(rest, ':') == slice_rfind_char(rest, ':')) {
        host = slice_cut(&rest, ':');
    } else {
        rest = (struct slice){0};
    }
    (void)snprintf(text, sizeof text, PRIslice "%s" PRIslice, SLICE_ARG(host), rest.len > 0 ? "@" : "", SLICE_ARG(rest));
    int error = u->set_server(u->ctx, text);
    return error == 0 || fail_set(why, FAIL_PERM, FAIL_INVALID, "dns.unbound: %s: %s", server, u->error_text(error));
}

static bool set_up(struct dns_unbound *u, const char *const *servers, struct fail *why)
{
    u->ctx = u->create();
    if (u->ctx == NULL)
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "dns.unbound: libunbound cannot be set up");
    int error = u->add_key(u->ctx, ROOT_KEY);
    if (error == 0 && access(ROOT_KEY, R_OK) != 0)
        error = UB_READFILE;
    if (error != 0)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "dns.unbound needs the root's key, %s (package dns-root-data): %s", ROOT_KEY,
                        u->error_text(error));
    for (size_t i = 0; servers != NULL && servers[i] != NULL; i++) {
        if (!add_server(u, servers[i], why))
            return false;
    }
    error = u->set_async(u->ctx, 1); /* a thread, not a process */
    return error == 0 || fail_set(why, FAIL_PERM, FAIL_OTHER, "dns.unbound: %s", u->error_text(error));
}

/* ---- questions ---- */

/* Calls finished() for each that is done. */
static void *pump_run(void *unbound)
{
    struct dns_unbound *u = unbound;
    struct pollfd ready = {.fd = u->fd(u->ctx), .events = POLLIN};

    while (!atomic_load(&u->stopping)) {
        if (poll(&ready, 1, LOOK_MS) == 1)
            (void)u->process(u->ctx);
    }
    return NULL;
}

static void finished(void *question, int error, struct ub_result *result)
{
    struct question *q = question;

    (void)pthread_mutex_lock(&q->unbound->lock);
    q->done = true;
    q->error = error;
    q->result = result;
    (void)pthread_cond_broadcast(&q->unbound->answered);
    (void)pthread_mutex_unlock(&q->unbound->lock);
}

static void wait_for(struct dns_unbound *u, struct question *q, int id)
{
    struct timespec until = time_after_ms((int64_t)u->limits.seconds * 1000);
    bool in_time = true;

    (void)pthread_mutex_lock(&u->lock);
    while (!q->done && in_time)
        in_time = pthread_cond_timedwait(&u->answered, &u->lock, &until) != ETIMEDOUT;
    bool done = q->done;
    (void)pthread_mutex_unlock(&u->lock);
    if (done || u->cancel(u->ctx, id) == 0)
        return;
    /* It could not be taken back, because it is being reported just now: finished() is about to be called. */
    (void)pthread_mutex_lock(&u->lock);
    while (!q->done)
        (void)pthread_cond_wait(&u->answered, &u->lock);
    (void)pthread_mutex_unlock(&u->lock);
}

void dns_unbound_ask(struct dns_unbound *u, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out)
{
    struct question q = {.unbound = u};
    bool authentic;
    int id = 0;
    int error = u->start(u->ctx, name, (int)type, CLASS_IN, &q, finished, &id);

    if (error == 0)
        wait_for(u, &q, id);
    if (error != 0 || q.error != 0)
        dns_answer_failed(out, "libunbound could not ask");
    else if (!q.done)
        dns_answer_failed(out, "no answer came in time");
    else if (q.result->bogus)
        dns_answer_failed(out, "the answer's DNSSEC signatures are wrong (bogus)");
    else
        dns_message_read(slice_make(q.result->answer_packet, q.result->answer_len > 0 ? (size_t)q.result->answer_len : 0), name, type,
                         a, out, &authentic);
    if (q.result != NULL) {
        out->secure = q.result->secure && out->status != DNS_FAILED;
        u->release(q.result);
    }
}

/* ---- the whole ---- */

bool dns_unbound_create(const struct dns_limits *limits, const char *const *servers, struct dns_unbound **out, struct fail *why)
{
    struct dns_unbound *u = xcalloc(1, sizeof *u);

    u->limits = *limits;
    (void)pthread_mutex_init(&u->lock, NULL);
    cond_init(&u->answered);
    bool ok = load(u, why) && set_up(u, servers, why);
    int err = ok ? thread_start(&u->pump, pump_run, u) : 0;
    u->pumping = ok && err == 0;
    if (err != 0)
        ok = fail_errno(why, err, "dns.unbound: thread");
    if (!ok) {
        dns_unbound_destroy(&u);
        return false;
    }
    log_event(LOG_INFO, "dns.unbound", LOG_CSTR("version", u->version()));
    *out = u;
    return true;
}

void dns_unbound_destroy(struct dns_unbound **up)
{
    struct dns_unbound *u = *up;

    if (u == NULL)
        return;
    atomic_store(&u->stopping, true);
    if (u->pumping)
        (void)pthread_join(u->pump, NULL);
    if (u->ctx != NULL)
        u->destroy(u->ctx);
    (void)pthread_cond_destroy(&u->answered);
    (void)pthread_mutex_destroy(&u->lock);
    free(u); /* the library stays loaded */
    *up = NULL;
}
