/*
 * fetch/server.c - see fetch/server.h and, for the messages, net/fetch_wire.h.
 *
 * Layer: fetch.
 */
#include "fetch/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/scoped.h"
#include "fetch/reach.h"
#include "fetch/web.h"
#include "net/fetch_wire.h"

enum { REDIRECTS_MAX = 5, ARENA_MAX = 1024 * 1024 };

struct fetch_server {
    struct fetch_setting setting;
    struct fetch_helper *helpers;
    size_t               helper_count;
    pthread_mutex_t      lock; /* of what follows */
    struct web_library  *web;  /* NULL: not needed yet */
};

/* ---- one request, as it came ---- */

struct order {
    struct slice    url, content_type, authorization, fields;
    bool            post, redirects;
    uint64_t        most, seconds;
    struct ipc_text body;
};

static bool malformed(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed request");
}

static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

static bool read_order(struct ipc_reader *r, struct order *o, struct fail *why)
{
    *o = (struct order){.body.fd = -1};
    o->url = ipc_get_bytes(r);
    o->content_type = ipc_get_bytes(r);
    o->authorization = ipc_get_bytes(r);
    o->fields = ipc_get_bytes(r);
    o->post = ipc_get_bool(r);
    o->redirects = ipc_get_bool(r);
    o->most = ipc_get_u64(r);
    o->seconds = ipc_get_u64(r);
    if (!ipc_take_text(r, INT64_MAX, &o->body, why))
        return false;
    if (ipc_end(r) && o->url.len <= FETCH_URL_MAX && o->content_type.len <= FETCH_TYPE_MAX &&
        o->authorization.len <= FETCH_AUTHORIZATION_MAX && is_printable(o->content_type) && is_printable(o->authorization) &&
        web_fields_are_fit(o->fields) && (o->post || (o->body.len == 0 && o->content_type.len == 0)))
        return true;
    scoped_close(&o->body.fd);
    return malformed(why);
}

/* ---- where it may go ---- */

static bool is_helper(const struct fetch_server *s, const struct fetch_url *url)
{
    for (size_t i = 0; i < s->helper_count; i++)
        if (fetch_helper_has(&s->helpers[i], url))
            return true;
    return false;
}

static bool may_ask(const struct fetch_url *url, bool helper, struct fail *why)
{
    if (helper)
        return true;
    if (!url->https)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "only https is spoken with " PRIslice, SLICE_ARG(url->host));
    /* A certificate protects nobody from being knocked at: other services' ports are not for us. */
    if (url->port != 443 && url->port < 1024)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "port %u is no web server's", url->port);
    return true;
}

/* ---- asking ---- */

static const struct web_library *library(struct fetch_server *s, struct fail *why)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->web == NULL)
        s->web = web_library_open(why);
    const struct web_library *web = s->web;
    (void)pthread_mutex_unlock(&s->lock);
    return web;
}

static int64_t deadline_after(const struct fetch_server *s, uint64_t seconds)
{
    uint64_t most = s->setting.limits.seconds;

    return clock_mono_ms() + (int64_t)(seconds == 0 || seconds > most ? most : seconds) * 1000;
}

/* One exchange.  `url` need not be as the order has it: a redirect may have led here. */
static bool ask_once(struct fetch_server *s, const struct order *o, struct slice url, bool first, int64_t deadline, struct arena *a,
                     struct web_answer *answer, struct fail *why)
{
    struct fetch_url          to;
    struct reach              at;
    const struct web_library *web;

    if (!fetch_url_parse(url, &to, why))
        return false;
    bool helper = is_helper(s, &to);
    if (!may_ask(&to, helper, why) || !reach_find(s->setting.dns, &to, helper, a, &at, why))
        return false;
    web = library(s, why);
    if (web == NULL)
        return false;
    const struct web_request q = {
        .url = url,
        .to = &to,
        .addresses = at.addresses,
        .address_count = at.count,
        .authorities = s->setting.authorities,
        .content_type = o->content_type,
        .authorization = first ? o->authorization : SLICE(""), /* it is for whom it was meant, and nobody else */
        .fields = first ? o->fields : SLICE(""),
        .post = o->post,
        .body = o->body.inside,
        .body_fd = o->body.fd,
        .body_len = o->body.len,
        .most = (size_t)(o->most < s->setting.limits.answer_bytes ? o->most : s->setting.limits.answer_bytes),
        .deadline_ms = deadline,
    };
    return web_run(web, &q, answer, why);
}

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool run_order(struct fetch_server *s, const struct order *o, struct arena *a, struct web_answer *answer, struct fail *why)
{
    int64_t      deadline = deadline_after(s, o->seconds);
    struct slice url = o->url;

    for (unsigned turn = 0;; turn++) {
        if (!ask_once(s, o, url, turn == 0, deadline, a, answer, why))
            return false;
        if (!o->redirects || o->post || !is_redirect(answer->status) || answer->location.len == 0)
            return true;
        if (turn == REDIRECTS_MAX)
            return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "more than %d redirects", (int)REDIRECTS_MAX);
        if (slice_starts_nocase(o->url, SLICE("https:")) && !slice_starts_nocase(buf_slice(&answer->location), SLICE("https:")))
            return fail_set(why, FAIL_TEMP, FAIL_NOT_ALLOWED, "a redirect to what is not https");
        struct slice next = buf_slice(&answer->location);
        url = arena_keep(a, slice_sub(next, 0, slice_find_char(next, '#')));
        struct buf *out = answer->out;
        buf_reset(out);
        web_answer_finish(answer);
        web_answer_init(answer, out);
    }
}

static void write_answer(const struct web_answer *found, struct ipc_message *answer)
{
    struct slice type = buf_slice(&found->content_type);
    struct fail  why;
    int          fd; /* closed by ipc once the answer is sent */

    ipc_add_u64(answer, found->status);
    ipc_add_bytes(answer, is_printable(type) ? type : SLICE(""));
    ipc_add_i64(answer, found->fresh);
    if (!ipc_add_text(answer, buf_slice(found->out), &fd, &why))
        answer->bytes.failed = true; /* no memory: the other side hears that it failed */
}

/* Where it went, without what a query may hold. */
static void log_order(const struct order *o, bool ok, const struct web_answer *found, int64_t began, const struct fail *why)
{
    struct slice url = slice_sub(o->url, 0, slice_find_char(o->url, '?'));

    if (ok)
        log_event(LOG_DEBUG, "fetch.answered", LOG_TEXT("url", url), LOG_U64("status", found->status),
                  LOG_U64("bytes", found->out->len), LOG_I64("ms", clock_mono_ms() - began));
    else
        log_event(LOG_INFO, "fetch.failed", LOG_TEXT("url", url), LOG_I64("ms", clock_mono_ms() - began), LOG_FAIL(why));
}

static bool handle_request(struct fetch_server *s, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct order      o;
    struct web_answer found;
    struct buf        out;
    struct arena      a;
    int64_t           began = clock_mono_ms();

    if (!read_order(r, &o, why))
        return false;
    arena_init(&a, ARENA_MAX);
    buf_init(&out, (size_t)s->setting.limits.answer_bytes);
    web_answer_init(&found, &out);
    bool ok = run_order(s, &o, &a, &found, why);
    log_order(&o, ok, &found, began, why);
    if (ok)
        write_answer(&found, answer);
    web_answer_finish(&found);
    buf_wipe(&out); /* it may be a token's content */
    arena_finish(&a);
    scoped_close(&o.body.fd);
    return ok;
}

/* ---- connecting ---- */

static bool handle_connect(struct fetch_server *s, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct slice where = ipc_get_bytes(r);
    uint64_t     seconds = ipc_get_u64(r);

    if (!ipc_end(r))
        return malformed(why);
    for (size_t i = 0; i < s->helper_count; i++) {
        if (s->helpers[i].kind == HELPER_WEB || !slice_eq(s->helpers[i].text, where))
            continue;
        int fd = reach_connect(s->setting.dns, &s->helpers[i], deadline_after(s, seconds), why);
        if (fd < 0)
            return fail_at(why, PRIslice, SLICE_ARG(where));
        ipc_add_fd(answer, fd);
        return true;
    }
    return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "the config names no helper " PRIslice, SLICE_ARG(where));
}

static bool handle(void *server, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct fetch_server *s = server;

    switch ((enum fetch_message)r->type) {
    case FETCH_MSG_REQUEST: return handle_request(s, r, answer, why);
    case FETCH_MSG_CONNECT: return handle_connect(s, r, answer, why);
    }
    return malformed(why);
}

struct ipc_service fetch_server_service(struct fetch_server *s)
{
    return (struct ipc_service){.name = "fetch", .handle = handle, .ctx = s};
}

/* ---- life ---- */

bool fetch_server_create(const struct fetch_setting *setting, struct fetch_server **out, struct fail *why)
{
    SCOPED(fetch_server_destroy) struct fetch_server *s = xcalloc(1, sizeof *s);
    size_t count = 0;

    s->setting = *setting;
    (void)pthread_mutex_init(&s->lock, NULL);
    while (setting->helpers != NULL && setting->helpers[count] != NULL)
        count++;
    s->helpers = xcalloc(count + 1, sizeof *s->helpers);
    for (; s->helper_count < count; s->helper_count++)
        if (!fetch_helper_parse(setting->helpers[s->helper_count], &s->helpers[s->helper_count], why))
            return fail_at(why, "%s", setting->helpers[s->helper_count]);
    *out = s;
    s = NULL;
    return true;
}

void fetch_server_destroy(struct fetch_server **sp)
{
    struct fetch_server *s = *sp;

    if (s == NULL)
        return;
    web_library_close(&s->web);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->helpers);
    free(s);
    *sp = NULL;
}
