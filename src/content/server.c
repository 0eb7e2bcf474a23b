/*
 * content/server.c - see content/server.h and, for the messages, content/protocol.h.
 *
 * Layer: content.
 */
#include "content/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/scoped.h"
#include "content/html.h"
#include "content/protocol.h"

enum { JOBS_MAX = 256 }; /* ipc.threads is no more */

struct content_server {
    struct content_limits limits;
    struct html_library *html;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    pthread_t watch;
    bool watches, stopping;
    int64_t began_ms[JOBS_MAX]; /* 0: no job in this place */
};

/* ---- the watch ---- */

/*
 * The parser looks at the clock between pieces.  If it ever stays inside one, only
 * the end of the process helps; the supervisor starts another.
 */
static void look_for_stuck(const struct content_server *s)
{
    int64_t now = clock_mono_ms();

    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (s->began_ms[i] == 0 || now - s->began_ms[i] <= (int64_t)s->limits.answer_seconds * 1000)
            continue;
        log_event(LOG_ERROR, "content.stuck", LOG_I64("ms", now - s->began_ms[i]));
        _Exit(1);
    }
}

static void *watch_run(void *server)
{
    struct content_server *s = server;

    (void)pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        (void)pthread_cond_timedwait(&s->wake, &s->lock, &until);
        look_for_stuck(s);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

bool content_server_create(const struct content_limits *limits, struct content_server **out, struct fail *why)
{
    SCOPED(content_server_destroy) struct content_server *s = xcalloc(1, sizeof *s);
    pthread_condattr_t monotonic;

    s->limits = *limits;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    s->html = html_library_open(why);
    if (s->html == NULL)
        return false;
    int status = pthread_create(&s->watch, NULL, watch_run, s);
    if (status != 0)
        return fail_errno(why, status, "content: watching thread");
    s->watches = true;
    *out = s;
    s = NULL;
    return true;
}

void content_server_destroy(struct content_server **sp)
{
    struct content_server *s = *sp;

    if (s == NULL)
        return;
    if (s->watches) {
        (void)pthread_mutex_lock(&s->lock);
        s->stopping = true;
        (void)pthread_cond_signal(&s->wake);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->watch, NULL);
    }
    html_library_close(&s->html);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    *sp = NULL;
}

/* ---- answers ---- */

static size_t job_begin(struct content_server *s)
{
    size_t place = 0;

    (void)pthread_mutex_lock(&s->lock);
    while (place < JOBS_MAX - 1 && s->began_ms[place] != 0)
        place++;
    s->began_ms[place] = clock_mono_ms();
    (void)pthread_mutex_unlock(&s->lock);
    return place;
}

static void job_end(struct content_server *s, size_t place)
{
    (void)pthread_mutex_lock(&s->lock);
    s->began_ms[place] = 0;
    (void)pthread_mutex_unlock(&s->lock);
}

static void answer_html(struct content_server *s, struct slice charset, struct slice document,
                        struct ipc_message *answer)
{
    const struct html_limits limits = {.depth = s->limits.html_depth, .ms = s->limits.html_ms};
    struct buf text;
    struct fail why;
    int fd; /* closed by ipc once the answer is sent */

    buf_init(&text, 2 * (size_t)s->limits.html_bytes);
    size_t place = job_begin(s);
    bool made = html_to_text(s->html, document, charset, &limits, &text, &why);
    job_end(s, place);
    if (!made)
        log_event(LOG_INFO, "content.refused", LOG_U64("bytes", document.len), LOG_FAIL(&why));
    ipc_add_bool(answer, made);
    if (made && !ipc_add_text(answer, buf_slice(&text), &fd, &why))
        answer->bytes.failed = true; /* no memory: the other side hears that it failed */
    buf_finish(&text);
}

static bool handle(void *server, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct content_server *s = server;
    struct buf document;

    if (r->type != CONTENT_MSG_HTML)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed request");
    buf_init(&document, (size_t)s->limits.html_bytes);
    struct slice charset = ipc_get_bytes(r);
    bool ok = ipc_get_text(r, &document, why) &&
              (ipc_end(r) || fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed request"));
    if (ok)
        answer_html(s, charset, buf_slice(&document), answer);
    buf_finish(&document);
    return ok;
}

struct ipc_service content_server_service(struct content_server *s)
{
    return (struct ipc_service){.name = "content", .handle = handle, .ctx = s};
}
