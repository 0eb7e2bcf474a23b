/*
 * pop3/reply.c - answers of one line.
 *
 * Layer: pop3.  They are queued in the connection and leave together at the end of
 * the turn: that is all PIPELINING takes (RFC 2449 section 6.6).
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "pop3/session.h"

enum { TEXT_MAX = 480 }; /* a response line has at most 512 octets: RFC 2449 section 4 */

static void __attribute__((format(printf, 3, 0))) say(struct pop3_session *s, struct slice status, const char *fmt, va_list ap)
{
    struct buf *out = conn_out(s->conn);
    char text[TEXT_MAX];

    (void)vsnprintf(text, sizeof text, fmt, ap);
    for (char *c = text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    buf_add(out, status);
    buf_add(out, slice_of(text));
    buf_add(out, SLICE("\r\n"));
}

void pop3_ok(struct pop3_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(s, SLICE("+OK "), fmt, ap);
    va_end(ap);
    s->bad_commands = 0;
}

void pop3_err(struct pop3_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(s, SLICE("-ERR "), fmt, ap);
    va_end(ap);
}

void pop3_bad(struct pop3_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(s, SLICE("-ERR "), fmt, ap);
    va_end(ap);
    if (++s->bad_commands >= s->service->limits.bad_commands)
        pop3_close(s);
}

/* RFC 3206 sections 4 and 5: a mended server would take the same credentials with SYS, others with AUTH. */
static const char *response_code(const struct fail *why)
{
    if (why->reason == FAIL_AUTH || why->reason == FAIL_NO_PERMISSION)
        return "[AUTH] ";
    return why->kind == FAIL_TEMP ? "[SYS/TEMP] " : "[SYS/PERM] ";
}

void pop3_err_because(struct pop3_session *s, const char *command, const struct fail *why)
{
    struct log_id id = conn_session_id(s->conn);

    if (why->internal || why->kind == FAIL_TEMP)
        log_event(LOG_WARNING, "pop3.failed", LOG_CSTR("session", id.text), LOG_CSTR("command", command),
                  LOG_FAIL(why));
    pop3_err(s, "%s%s", response_code(why), fail_said(why));
}

void pop3_close(struct pop3_session *s)
{
    s->closing = true;
}
