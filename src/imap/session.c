/*
 * imap/session.c - a command's one answer.
 *
 * Layer: imap.
 */
#include "imap/lasting.h"

#include <stdarg.h>

#include "base/clock.h"
#include "base/unicode.h"

enum { PROGRESS_MS = 10000 }; /* RFC 9585 section 4: every 10 to 15 seconds */
enum { ANSWER_MAX = 8 * 1024 * 1024 }; /* COPYUID and MODIFIED carry sets: of a million messages, every second */

/*
 * text = 1*TEXT-CHAR: ASCII, but for who has enabled more (RFC 9051 section 9): mailbox names in it are written as that
 * client knows them.
 */
static struct slice make_text(struct imap_session *s, const struct buf *b)
{
    struct buf clean, encoded;
    struct slice text;

    if (slice_is_ascii(buf_slice(b)))
        return arena_keep(&s->arena, buf_slice(b));
    buf_init(&clean, ANSWER_MAX);
    buf_init(&encoded, ANSWER_MAX);
    utf8_add_clean(&clean, buf_slice(b));
    if (!imap_speaks_utf8(s))
        utf7_encode(&encoded, buf_slice(&clean));
    text = arena_keep(&s->arena, buf_slice(imap_speaks_utf8(s) ? &clean : &encoded));
    buf_finish(&clean);
    buf_finish(&encoded);
    return text;
}

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
        s->answer = make_text(s, &b);
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
    case FAIL_OVER_QUOTA:
    case FAIL_OVER_DOMAIN_QUOTA: return "[OVERQUOTA] ";
    case FAIL_LIMIT: return "[LIMIT] ";
    case FAIL_NO_PERMISSION: return "[NOPERM] ";
    case FAIL_NOT_ALLOWED:
    case FAIL_INVALID: return "[CANNOT] ";
    case FAIL_NO_SPACE:
    case FAIL_OUT_OF_SERVICE: return "[UNAVAILABLE] ";
    case FAIL_TOO_BIG: return "[TOOBIG] ";
    case FAIL_HAS_CHILDREN: return "[HASCHILDREN] ";
    case FAIL_AUTH: return "[AUTHENTICATIONFAILED] ";
    case FAIL_DAMAGED: return "[CORRUPTION] ";
    }
    return "";
}

/* Temporary failures are ours, as what is damaged is: the administrator hears of them. */
static void log_failure(const struct imap_session *s, const struct fail *why)
{
    if (why->internal || (why->kind == FAIL_TEMP && !fail_is_quota(why)))
        log_event(LOG_WARNING, "imap.failed", LOG_CSTR("session", conn_session_id(s->conn).text),
                  LOG_CSTR("command", s->command != NULL ? s->command->name : ""), LOG_FAIL(why));
}

void imap_no_because(struct imap_session *s, const struct fail *why)
{
    log_failure(s, why);
    imap_no(s, "%s%s", response_code(why), fail_said(why));
}

void imap_no_target(struct imap_session *s, const struct fail *why)
{
    log_failure(s, why);
    imap_no(s, "%s%s", why->reason == FAIL_NOT_FOUND ? "[TRYCREATE] " : response_code(why), fail_said(why));
}

void imap_bye(struct imap_session *s, const char *text)
{
    if (!s->closing)
        conn_printf(s->conn, "* BYE %s\r\n", text);
    s->closing = true;
}

/* inprogress-tag = quoted / nil: NIL if it has a "]"    RFC 9585 section 5 */
static void write_progress_tag(struct imap_session *s, struct buf *out)
{
    if (slice_find_char(s->tag, ']') < s->tag.len)
        buf_add(out, SLICE("NIL"));
    else
        imap_write_string(out, s->tag);
}

/*
 * resp-text-code =/ "INPROGRESS" SP "(" inprogress-tag SP inprogress-state ")"
 * where the second number is above the first, or NIL    RFC 9585 section 5
 */
void imap_in_progress(struct imap_session *s, uint64_t done, uint64_t total)
{
    struct imap_lasting *l = imap_lasting(s);
    int64_t now = clock_mono_ms();
    struct buf *out;

    if (l->progress_ms == 0)
        l->progress_ms = now;
    if (now - l->progress_ms < PROGRESS_MS)
        return;
    l->progress_ms = now;
    out = conn_out(s->conn);
    buf_add(out, SLICE("* OK [INPROGRESS ("));
    write_progress_tag(s, out);
    buf_addf(out, " %llu ", (unsigned long long)done);
    if (total > done)
        buf_add_u64(out, total);
    else
        buf_add(out, SLICE("NIL"));
    buf_add(out, SLICE(")] Still working\r\n"));
    conn_flush(s->conn);
}
