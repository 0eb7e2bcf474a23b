/*
 * imap/session.c - a command's one answer.
 *
 * Layer: imap.
 */
#include "imap/session.h"

#include <stdarg.h>

enum { ANSWER_MAX = 8 * 1024 * 1024 }; /* COPYUID and MODIFIED carry sets: of a million messages, every second */

static void __attribute__((format(printf, 3, 0)))
answer(struct imap_session *s, const char *kind, const char *fmt, va_list ap)
{
    struct buf b;

    if (s->answer.len > 0)
        bug("a second answer: %s " PRIslice, kind, SLICE_ARG(s->answer));
    buf_init(&b, ANSWER_MAX);
    buf_add(&b, slice_of(kind));
    buf_add_char(&b, ' ');
    buf_vaddf(&b, fmt, ap);
    if (!b.failed)
        s->answer = arena_keep(&s->arena, buf_slice(&b));
    if (s->answer.len == 0)
        s->answer = SLICE("NO [LIMIT] The command needs too much memory");
    buf_finish(&b);
}

void imap_ok(struct imap_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(s, "OK", fmt, ap);
    va_end(ap);
    s->bad_commands = 0;
}

void imap_no(struct imap_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(s, "NO", fmt, ap);
    va_end(ap);
}

void imap_bad(struct imap_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(s, "BAD", fmt, ap);
    va_end(ap);
    if (++s->bad_commands >= s->service->limits.bad_commands)
        imap_bye(s, "Too many bad commands");
}

void imap_bad_args(struct imap_session *s, const struct imap_reader *args)
{
    imap_bad(s, "Expected %s at byte %zu of the command", args->expected, args->at + 1);
}

/* RFC 5530 section 3. */
static const char *response_code(const struct fail *why)
{
    switch (why->reason) {
    case FAIL_OTHER: return why->kind == FAIL_TEMP ? "[UNAVAILABLE] " : "";
    case FAIL_NOT_FOUND: return "[NONEXISTENT] ";
    case FAIL_EXISTS: return "[ALREADYEXISTS] ";
    case FAIL_OVER_QUOTA: return "[OVERQUOTA] ";
    case FAIL_LIMIT: return "[LIMIT] ";
    case FAIL_NO_PERMISSION: return "[NOPERM] ";
    case FAIL_NOT_ALLOWED:
    case FAIL_INVALID: return "[CANNOT] ";
    case FAIL_NO_SPACE:
    case FAIL_OUT_OF_SERVICE: return "[UNAVAILABLE] ";
    case FAIL_TOO_BIG: return "[TOOBIG] ";
    case FAIL_HAS_CHILDREN: return "[HASCHILDREN] ";
    case FAIL_AUTH: return "[AUTHENTICATIONFAILED] ";
    }
    return "";
}

/* Temporary failures are ours: the administrator hears of them. */
static void log_failure(const struct imap_session *s, const struct fail *why)
{
    if (why->kind == FAIL_TEMP && why->reason != FAIL_OVER_QUOTA)
        log_event(LOG_WARNING, "imap.failed", LOG_CSTR("session", conn_session_id(s->conn).text),
                  LOG_CSTR("command", s->command != NULL ? s->command->name : ""), LOG_FAIL(why));
}

void imap_no_because(struct imap_session *s, const struct fail *why)
{
    log_failure(s, why);
    imap_no(s, "%s%s", response_code(why), why->text);
}

void imap_no_target(struct imap_session *s, const struct fail *why)
{
    log_failure(s, why);
    imap_no(s, "%s%s", why->reason == FAIL_NOT_FOUND ? "[TRYCREATE] " : response_code(why), why->text);
}

void imap_bye(struct imap_session *s, const char *text)
{
    if (!s->closing)
        conn_printf(s->conn, "* BYE %s\r\n", text);
    s->closing = true;
}
