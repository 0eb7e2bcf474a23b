/*
 * main/control_client.c - the mail role's control socket: the side that asks.
 *
 * Layer: main.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "base/unicode.h"
#include "main/control.h"

enum { READ_AHEAD = 16 * 1024, LINE_BYTES = 64 * 1024 * 1024, REPLACEMENT = 0xfffd };

/*
 * What a role says is shown on an administrator's terminal, and the role may have been taken over: no control characters but
 * the ends of lines and tabs, of which a terminal might do what it is told.
 */
static bool is_shown(uint32_t c)
{
    return c == '\n' || c == '\t' || (c >= ' ' && (c < 0x7f || c > 0x9f));
}

static void clean_text(json_t *text)
{
    struct slice given = slice_make(json_string_value(text), json_string_length(text));
    struct buf   out;
    bool         changed = false;

    buf_init(&out, SIZE_MAX);
    for (size_t at = 0; at < given.len;) {
        uint32_t c = utf8_next(given, &at);
        utf8_add(&out, is_shown(c) ? c : REPLACEMENT);
        changed = changed || !is_shown(c);
    }
    if (changed)
        (void)json_string_setn(text, out.data, out.len);
    buf_finish(&out);
}

/* Everything in it; how deep that may be the parser has seen to. */
static void clean(json_t *value) // NOLINT(misc-no-recursion)
{
    const char *key;
    json_t     *part;
    size_t      i;

    if (json_is_string(value)) {
        clean_text(value);
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, part)
            clean(part);
    } else if (json_is_object(value)) {
        json_object_foreach(value, key, part)
            clean(part);
    }
}

void control_client_open(struct control_client *c, int fd)
{
    c->fd = fd;
    buf_init(&c->in, SIZE_MAX);
}

void control_client_close(struct control_client *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    buf_finish(&c->in);
}

/* Not by write(): a role that has just died would end the command without a word (SIGPIPE). */
static bool send_all(int fd, struct slice bytes, struct fail *why)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return errno == EPIPE ? fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server closed the control socket")
                                  : fail_errno(why, errno, "control socket");
        bytes = slice_from(bytes, sent > 0 ? (size_t)sent : 0);
    }
    return true;
}

static bool send_request(struct control_client *c, const json_t *request, struct fail *why)
{
    SCOPED(scoped_free) char *text = json_dumps(request, JSON_COMPACT);

    if (text == NULL)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "not UTF-8");
    return send_all(c->fd, slice_of(text), why) && send_all(c->fd, SLICE("\n"), why);
}

static bool read_some(struct control_client *c, void *out, size_t n, size_t *got, struct fail *why)
{
    ssize_t came;

    while ((came = read(c->fd, out, n)) < 0 && errno == EINTR)
        ;
    if (came < 0)
        return fail_errno(why, errno, "control socket");
    *got = (size_t)came;
    return true;
}

/* A line with its end; it stays in c->in. */
static bool fetch_line(struct control_client *c, struct slice *line, struct fail *why)
{
    size_t looked = 0, got = 0;

    for (;;) {
        size_t end = looked + slice_find_char(slice_from(buf_slice(&c->in), looked), '\n');
        if (end < c->in.len) {
            *line = slice_sub(buf_slice(&c->in), 0, end + 1);
            return true;
        }
        looked = c->in.len;
        if (looked > LINE_BYTES)
            return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "control socket: a line of more than %d MB", LINE_BYTES >> 20);
        if (!read_some(c, buf_room(&c->in, READ_AHEAD), READ_AHEAD, &got, why))
            return false;
        if (got == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server closed the control socket");
        buf_grew(&c->in, got);
    }
}

json_t *control_stream_line(struct control_client *c, struct fail *why)
{
    struct slice text;
    json_error_t error;

    if (!fetch_line(c, &text, why))
        return NULL;
    json_t *line = json_loadb(text.ptr, text.len, 0, &error);
    buf_drop(&c->in, text.len);
    if (line == NULL)
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "control socket: %s", error.text);
    else
        clean(line);
    return line;
}

static bool take_answer(const json_t *line, json_t **result, struct fail *why)
{
    if (json_is_true(json_object_get(line, "ok"))) {
        if (!json_is_object(json_object_get(line, "result")))
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "control socket: an answer that is none");
        *result = json_incref(json_object_get(line, "result"));
        return true;
    }
    const char *error = json_string_value(json_object_get(line, "error"));
    return fail_set(why, json_is_true(json_object_get(line, "temporary")) ? FAIL_TEMP : FAIL_PERM, FAIL_OTHER, "%s",
                    error != NULL ? error : "refused without a reason");
}

bool control_ask(struct control_client *c, json_t *request, void (*progress)(void *ctx, const json_t *line), void *ctx,
                 json_t **result, struct fail *why)
{
    bool    sent = send_request(c, request, why);
    json_t *line;

    json_decref(request);
    if (!sent)
        return false;
    while ((line = control_stream_line(c, why)) != NULL) {
        const json_t *step = json_object_get(line, "progress");
        if (step == NULL)
            break;
        if (progress != NULL)
            progress(ctx, step);
        json_decref(line);
    }
    if (line == NULL)
        return false;
    bool ok = take_answer(line, result, why);
    json_decref(line);
    return ok;
}

bool control_ask_stream(struct control_client *c, json_t *request,
                        bool (*talk)(void *ctx, struct control_client *c, const json_t *ready, struct fail *why),
                        void *ctx, json_t **result, struct fail *why)
{
    struct fail story = {0};
    bool        ok = send_request(c, request, why), talked = true;
    json_t     *line = NULL;

    json_decref(request);
    if (!ok)
        return false;
    while ((line = control_stream_line(c, why)) != NULL) {
        const json_t *ready = json_object_get(json_object_get(line, "progress"), "ready");
        if (json_object_get(line, "progress") == NULL)
            break;
        if (ready != NULL)
            talked = talk(ctx, c, ready, &story);
        json_decref(line);
    }
    ok = line != NULL && take_answer(line, result, why);
    json_decref(line);
    if (!talked && (ok || line == NULL) && why != NULL)
        *why = story; /* it says best why */
    return ok && talked;
}

bool control_stream_read(struct control_client *c, void *out, size_t n, size_t *got, struct fail *why)
{
    if (c->in.len == 0)
        return read_some(c, out, n, got, why);
    *got = n < c->in.len ? n : c->in.len;
    memcpy(out, c->in.data, *got);
    buf_drop(&c->in, *got);
    return true;
}

bool control_stream_write(struct control_client *c, struct slice bytes, struct fail *why)
{
    return send_all(c->fd, bytes, why);
}

void control_stream_unread(struct control_client *c, struct slice bytes)
{
    struct buf all;

    buf_init(&all, c->in.max);
    buf_add(&all, bytes);
    buf_add(&all, buf_slice(&c->in));
    buf_finish(&c->in);
    c->in = all;
}

void control_stream_stop(struct control_client *c)
{
    (void)shutdown(c->fd, SHUT_RDWR);
}
