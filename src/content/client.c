/*
 * content/client.c - see content/client.h.
 *
 * Layer: content.
 */
#include "content/client.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "content/protocol.h"

enum {
    SILENCE_MS = 5000, /* after an answer did not come, nobody waits for another that long */
    SUSPECTS = 256,
    FAILURES_MAX = 2,
    FORGIVEN_MS = 600000, /* it may have been another's fault */
};

/* A document that was with the role when it failed. */
struct suspect {
    uint64_t print; /* 0: nobody */
    unsigned failures;
    int64_t until_ms; /* then it is forgotten */
};

struct content_client {
    struct ipc_client *ipc;
    pthread_mutex_t lock; /* of what follows */
    int64_t silent_until_ms;
    struct suspect suspects[SUSPECTS]; /* the place is the fingerprint's: a newer one takes it */
};

struct content_client *content_client_create(const struct content_limits *limits, const struct ipc_limits *ipc,
                                             struct fail *why)
{
    struct content_client *c = xcalloc(1, sizeof *c);
    struct ipc_limits mine = *ipc;

    mine.timeout_seconds = limits->answer_seconds;
    (void)pthread_mutex_init(&c->lock, NULL);
    c->ipc = ipc_client_create(&mine, "content", NULL, NULL, why);
    if (c->ipc == NULL)
        content_client_destroy(&c);
    return c;
}

void content_client_destroy(struct content_client **c)
{
    if (*c == NULL)
        return;
    ipc_client_destroy(&(*c)->ipc);
    (void)pthread_mutex_destroy(&(*c)->lock);
    free(*c);
    *c = NULL;
}

void content_client_attach(struct content_client *c, int fd)
{
    (void)pthread_mutex_lock(&c->lock);
    c->silent_until_ms = 0; /* this may be another process */
    (void)pthread_mutex_unlock(&c->lock);
    ipc_client_attach(c->ipc, fd);
}

/* ---- suspects ---- */

static struct suspect *place_of(struct content_client *c, uint64_t print)
{
    return &c->suspects[print % SUSPECTS];
}

static enum content_result may_ask(struct content_client *c, uint64_t print)
{
    enum content_result may = CONTENT_MADE;

    (void)pthread_mutex_lock(&c->lock);
    const struct suspect *s = place_of(c, print);
    if (s->print == print && s->failures >= FAILURES_MAX && clock_mono_ms() < s->until_ms)
        may = CONTENT_REFUSED;
    else if (clock_mono_ms() < c->silent_until_ms)
        may = CONTENT_AWAY;
    (void)pthread_mutex_unlock(&c->lock);
    return may;
}

/* The role had it and gave no answer. */
static enum content_result suspect(struct content_client *c, uint64_t print, size_t bytes, bool silent,
                                   const struct fail *why)
{
    (void)pthread_mutex_lock(&c->lock);
    struct suspect *s = place_of(c, print);
    if (s->print != print || clock_mono_ms() >= s->until_ms)
        *s = (struct suspect){.print = print};
    s->until_ms = clock_mono_ms() + FORGIVEN_MS;
    unsigned failures = ++s->failures;
    if (silent)
        c->silent_until_ms = clock_mono_ms() + SILENCE_MS;
    (void)pthread_mutex_unlock(&c->lock);
    log_event(LOG_WARNING, "content.no_answer", LOG_U64("bytes", bytes), LOG_U64("times", failures),
              LOG_FAIL(why));
    return failures >= FAILURES_MAX ? CONTENT_REFUSED : CONTENT_AWAY;
}

/* ---- asking ---- */

static bool send(struct content_client *c, struct slice document, struct slice charset, struct ipc_call **call,
                 struct fail *why)
{
    struct ipc_message m;
    int fd;

    ipc_message_init(&m, CONTENT_MSG_HTML);
    ipc_add_bytes(&m, slice_sub(charset, 0, 100));
    bool ok = ipc_add_text(&m, document, &fd, why);
    *call = ok ? ipc_call_start(c->ipc, &m, (struct waker){0}, why) : NULL;
    ipc_message_finish(&m);
    if (fd >= 0)
        (void)close(fd);
    return *call != NULL;
}

static bool read_answer(struct ipc_reader *r, bool *made, struct buf *out, struct fail *why)
{
    *made = ipc_get_bool(r);
    return (!*made || ipc_get_text(r, out, why)) &&
           (ipc_end(r) || fail_set(why, FAIL_PERM, FAIL_INVALID, "content answered with what is no answer"));
}

enum content_result content_html(struct content_client *c, struct slice document, struct slice charset,
                                 struct buf *out)
{
    uint64_t print = hash_bytes(document) | 1;
    int64_t began = clock_mono_ms();
    enum content_result may = may_ask(c, print);
    struct ipc_call *call;
    struct ipc_reader r;
    struct fail why;
    bool made = false;

    if (may != CONTENT_MADE)
        return may;
    if (!send(c, document, charset, &call, &why))
        return CONTENT_AWAY; /* it never had it */
    ipc_call_wait(call);
    if (!ipc_call_answer(call, &r, &why))
        may = suspect(c, print, document.len, clock_mono_ms() - began >= SILENCE_MS, &why);
    else if (!read_answer(&r, &made, out, &why))
        may = suspect(c, print, document.len, false, &why);
    else
        may = made ? CONTENT_MADE : CONTENT_REFUSED;
    ipc_call_end(&call);
    return may;
}
