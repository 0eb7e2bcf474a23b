/*
 * deliver/home.c - see deliver/home.h.
 *
 * Layer: deliver.
 */
#include "deliver/home.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "deliver/deliver.h"
#include "net/ipc_text.h"

enum {
    HOME_MSG_DELIVER = 1,
    ANSWER_SECONDS = 120,
    BODY_MEMORY = 1 << 20,
    ROUTE_ARENA = 16 << 20,
    ADDRESS_BYTES = 2048,
};

/* ---- the side that asks ---- */

struct home_client {
    struct ipc_client *ipc;
};

struct home_client *home_client_create(const struct ipc_limits *ipc, struct fail *why)
{
    struct home_client *c = xcalloc(1, sizeof *c);
    struct ipc_limits mine = *ipc;

    if (mine.timeout_seconds < ANSWER_SECONDS)
        mine.timeout_seconds = ANSWER_SECONDS;
    c->ipc = ipc_client_create(&mine, "mail", NULL, NULL, why);
    if (c->ipc == NULL)
        home_client_destroy(&c);
    return c;
}

void home_client_destroy(struct home_client **c)
{
    if (*c == NULL)
        return;
    ipc_client_destroy(&(*c)->ipc);
    free(*c);
    *c = NULL;
}

void home_client_attach(struct home_client *c, int fd)
{
    ipc_client_attach(c->ipc, fd);
}

/* All of it: these messages are small, but for a notification that returns a large one. */
static bool whole(const struct body *message, struct buf *room, struct slice *out, struct fail *why)
{
    size_t got = 0, n = (size_t)body_size(message);

    if (body_in_memory(message, out))
        return true;
    char *to = buf_room(room, n);
    if (to == NULL || !body_read(message, 0, to, n, &got, why) || got != n)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "a message cannot be read back");
    *out = slice_make(to, n);
    return true;
}

bool home_deliver(struct home_client *c, struct slice sender, struct slice recipient, const struct body *message,
                  bool anywhere, struct fail *why)
{
    struct ipc_message m;
    struct ipc_reader answer;
    struct ipc_call *call = NULL;
    struct slice text;
    struct buf room;
    SCOPED(scoped_close) int fd = -1;

    buf_init(&room, SIZE_MAX);
    ipc_message_init(&m, HOME_MSG_DELIVER);
    ipc_add_bytes(&m, sender);
    ipc_add_bytes(&m, recipient);
    ipc_add_bool(&m, anywhere);
    bool ok = whole(message, &room, &text, why) && ipc_add_text(&m, text, &fd, why);
    if (ok)
        call = ipc_call_start(c->ipc, &m, (struct waker){0}, why);
    ok = call != NULL;
    if (ok) {
        ipc_call_wait(call);
        ok = ipc_call_answer(call, &answer, why) &&
             (ipc_end(&answer) || fail_set(why, FAIL_TEMP, FAIL_OTHER, "the mail role's answer cannot be read"));
        ipc_call_end(&call);
    }
    ipc_message_finish(&m);
    buf_finish(&room);
    return ok;
}

/* ---- the side that answers ---- */

struct home_server {
    struct deliver *deliver;
    struct body_limits bodies;
};

struct home_server *home_server_create(struct deliver *d, const char *spool_dir, uint64_t most)
{
    struct home_server *s = xcalloc(1, sizeof *s);

    s->deliver = d;
    s->bodies = (struct body_limits){.memory_max = BODY_MEMORY, .size_max = most, .spool_dir = spool_dir};
    return s;
}

void home_server_destroy(struct home_server **s)
{
    free(*s);
    *s = NULL;
}

/* Who it is for; false: nobody whom it may be given to. */
static bool find(struct home_server *s, struct slice recipient, bool anywhere, struct arena *a,
                 struct delivery_recipient *out, struct fail *why)
{
    *out = (struct delivery_recipient){.address = recipient};
    if (!deliver_find(s->deliver, recipient, a, &out->route, why))
        return false;
    if (out->route.kind == ROUTE_LOCAL || (out->route.kind == ROUTE_REMOTE && anywhere))
        return true;
    return fail_code(why, FAIL_PERM, FAIL_NOT_FOUND, "5.1.1", "no such recipient here");
}

static bool deliver_text(struct home_server *s, struct slice sender, const struct delivery_recipient *r,
                         const struct buf *text, struct fail *why)
{
    const struct log_id trace = log_new_id();
    struct body *body = body_create(&s->bodies);
    const struct delivery d = {
        .sender = sender,
        .recipients = r,
        .recipient_count = 1,
        .body = body,
        .received = clock_now(),
        .trace = slice_of(trace.text),
    };
    bool ok = body_add(body, buf_slice(text), why) && deliver_message(s->deliver, &d, why);

    body_destroy(&body);
    if (ok)
        log_event(LOG_INFO, "deliver.own", LOG_CSTR("trace", trace.text), LOG_TEXT("from", sender),
                  LOG_TEXT("to", r->address), LOG_U64("size", text->len));
    return ok;
}

static bool handle(void *ctx, struct ipc_reader *request, struct ipc_message *answer, struct fail *why)
{
    struct home_server *s = ctx;
    struct delivery_recipient r;
    struct arena a;
    struct buf text;

    (void)answer;
    struct slice sender = ipc_get_line(request, ADDRESS_BYTES), recipient = ipc_get_line(request, ADDRESS_BYTES);
    bool anywhere = ipc_get_bool(request);
    if (request->type != HOME_MSG_DELIVER || request->failed)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed message");
    buf_init(&text, (size_t)s->bodies.size_max);
    arena_init(&a, ROUTE_ARENA);
    bool ok = ipc_get_text(request, &text, why) &&
              (ipc_end(request) || fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed message")) &&
              find(s, recipient, anywhere, &a, &r, why) && deliver_text(s, sender, &r, &text, why);
    arena_finish(&a);
    buf_finish(&text);
    return ok;
}

struct ipc_service home_server_service(struct home_server *s)
{
    return (struct ipc_service){.name = "home", .handle = handle, .ctx = s};
}
