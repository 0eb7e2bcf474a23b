/*
 * main/control_client.c - the mail role's control socket: the side that asks.
 *
 * Layer: main.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "main/control.h"

bool control_client_open(struct control_client *c, int fd, struct fail *why)
{
    c->fd = fd;
    c->in = fdopen(fd, "r");
    if (c->in == NULL) {
        (void)close(fd);
        return fail_errno(why, errno, "control socket");
    }
    return true;
}

void control_client_close(struct control_client *c)
{
    if (c->in != NULL)
        (void)fclose(c->in);
    c->in = NULL;
}

static bool send_request(struct control_client *c, const json_t *request, struct fail *why)
{
    SCOPED(scoped_free) char *text = json_dumps(request, JSON_COMPACT);

    if (text == NULL)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "not UTF-8");
    return io_write_all(c->fd, slice_of(text), why) && io_write_all(c->fd, SLICE("\n"), why);
}

static json_t *read_line(struct control_client *c, struct fail *why)
{
    SCOPED(scoped_free) char *text = NULL;
    size_t       cap = 0;
    ssize_t      n = getline(&text, &cap, c->in);
    json_error_t error;

    if (n <= 0) {
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server closed the control socket");
        return NULL;
    }
    json_t *line = json_loadb(text, (size_t)n, 0, &error);
    if (line == NULL)
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "control socket: %s", error.text);
    return line;
}

bool control_ask(struct control_client *c, json_t *request, void (*progress)(void *ctx, const json_t *line), void *ctx,
                 json_t **result, struct fail *why)
{
    bool    sent = send_request(c, request, why);
    json_t *line;

    json_decref(request);
    if (!sent)
        return false;
    while ((line = read_line(c, why)) != NULL) {
        const json_t *step = json_object_get(line, "progress");
        if (step == NULL)
            break;
        if (progress != NULL)
            progress(ctx, step);
        json_decref(line);
    }
    if (line == NULL)
        return false;

    bool ok = json_is_true(json_object_get(line, "ok"));
    if (ok) {
        *result = json_incref(json_object_get(line, "result"));
    } else {
        const char *error = json_string_value(json_object_get(line, "error"));
        (void)fail_set(why, json_is_true(json_object_get(line, "temporary")) ? FAIL_TEMP : FAIL_PERM, FAIL_OTHER, "%s",
                       error != NULL ? error : "refused without a reason");
    }
    json_decref(line);
    return ok;
}
