/*
 * policy/milter_link.c - bytes to and from a milter.
 *
 * Layer: policy.  On policy's own threads: waits, but never longer than the config allows, nor when nobody wants the
 * answer any more.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/fetch.h"
#include "policy/milter_link.h"

enum { LOOK_MS = 500, READ_PIECE = 16 << 10, PROGRESS_MOST = 1000 };

bool link_break(struct policy_check *c, struct milter_link *l, const char *what)
{
    struct policy *p = c->policy;

    link_close(l);
    l->broken = true;
    log_event(LOG_WARNING, "policy.milter_failed", LOG_CSTR("milter", l->config->name), LOG_TEXT("session", c->facts.session),
              LOG_TEXT("trace", c->facts.trace), LOG_CSTR("stage", policy_stage_name(c->stage)), LOG_CSTR("error", what));
    if (guard_failed(l->guard, p->limits->helper_failures, p->limits->helper_pause_seconds))
        log_event(LOG_ERROR, "policy.milter_away", LOG_CSTR("milter", l->config->name));
    return false;
}

void link_close(struct milter_link *l)
{
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    l->given = 0;
    buf_finish(&l->in);
}

static bool is_unwanted(const struct policy_check *c)
{
    return atomic_load(&c->dropped) || atomic_load(&c->policy->stopping);
}

/* Until the socket can be read or written. */
static bool wait_for(const struct policy_check *c, int fd, short events, int64_t till)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        const int64_t left = till - clock_mono_ms();
        if (left <= 0 || is_unwanted(c))
            return false;
        const int n = poll(&p, 1, (int)(left < LOOK_MS ? left : LOOK_MS));
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

bool link_send(struct policy_check *c, struct milter_link *l, const struct buf *out)
{
    const int64_t till = clock_mono_ms() + (int64_t)l->config->command_seconds * 1000;

    if (out->failed)
        return link_break(c, l, "too much to say");
    for (size_t at = 0; at < out->len;) {
        const ssize_t n = send(l->fd, out->data + at, out->len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            at += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return link_break(c, l, "the connection is gone");
        else if (!wait_for(c, l->fd, POLLOUT, till))
            return link_break(c, l, "takes nothing in time");
    }
    return true;
}

static bool read_more(struct policy_check *c, struct milter_link *l, int64_t till)
{
    char *room = buf_room(&l->in, READ_PIECE);

    if (room == NULL)
        return link_break(c, l, "an answer that is too long");
    for (;;) {
        const ssize_t n = recv(l->fd, room, READ_PIECE, MSG_DONTWAIT);
        if (n > 0) {
            buf_grew(&l->in, (size_t)n);
            return true;
        }
        if (n == 0)
            return link_break(c, l, "closed the connection");
        if (errno != EAGAIN && errno != EINTR)
            return link_break(c, l, "the connection is gone");
        if (!wait_for(c, l->fd, POLLIN, till))
            return link_break(c, l, "did not answer in time");
    }
}

bool link_receive(struct policy_check *c, struct milter_link *l, unsigned seconds, char *reply, struct slice *data)
{
    int64_t till = clock_mono_ms() + (int64_t)seconds * 1000;
    unsigned progress = 0;
    size_t used;

    buf_drop(&l->in, l->given);
    l->given = 0;
    for (;;) {
        switch (milter_take(buf_slice(&l->in), reply, data, &used)) {
        case MILTER_BAD: return link_break(c, l, "an answer of no length, or too long");
        case MILTER_MORE:
            if (!read_more(c, l, till))
                return false;
            break;
        case MILTER_PACKET:
            if (*reply != SMFIR_PROGRESS) {
                l->given = used;
                return true;
            }
            if (++progress > PROGRESS_MOST)
                return link_break(c, l, "never comes to an end");
            buf_drop(&l->in, used);
            till = clock_mono_ms() + (int64_t)seconds * 1000;
            break;
        }
    }
}

static bool negotiate(struct policy_check *c, struct milter_link *l)
{
    struct buf out;
    struct slice data;
    char reply;

    buf_init(&out, 100);
    size_t began = milter_begin(&out, SMFIC_OPTNEG);
    milter_add_u32(&out, MILTER_VERSION);
    milter_add_u32(&out, SMFIF_ALL);
    milter_add_u32(&out, SMFIP_ALL);
    milter_end(&out, began);
    bool ok = link_send(c, l, &out) && link_receive(c, l, l->config->command_seconds, &reply, &data);
    buf_finish(&out);
    if (!ok)
        return false;
    if (reply != SMFIC_OPTNEG || !milter_read_options(data, &l->options))
        return link_break(c, l, "does not speak the protocol's versions 2 to 6");
    for (int i = 0; i < MILTER_MACRO_STAGES; i++)
        if (l->options.macros[i].ptr != NULL)
            l->macros[i] = xslicedup(l->options.macros[i]);
    memset(l->options.macros, 0, sizeof l->options.macros); /* they point into what was read */
    return true;
}

bool link_open(struct policy_check *c, struct milter_link *l)
{
    struct policy *p = c->policy;
    struct fail why = {0};

    l->opened = true;
    buf_init(&l->in, MILTER_PACKET_MAX + 2 * READ_PIECE);
    if (!guard_open(l->guard, p->limits->helper_failures, p->limits->helper_pause_seconds)) {
        l->broken = true;
        return false;
    }
    l->fd = fetch_connect(p->setting.fetch, slice_of(l->config->socket), l->config->connect_seconds, &why);
    if (l->fd < 0)
        return link_break(c, l, why.text);
    if (!negotiate(c, l))
        return false;
    guard_answered(l->guard);
    return true;
}

void link_tell(struct milter_link *l, char command)
{
    struct buf out;

    if (l->fd < 0)
        return;
    buf_init(&out, 16);
    milter_end(&out, milter_begin(&out, command));
    if (send(l->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)out.len) {
        link_close(l);
        l->broken = true;
    }
    buf_finish(&out);
}
