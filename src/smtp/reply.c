/*
 * smtp/reply.c - answers, and the log lines of what was refused.
 *
 * Layer: smtp.  Replies are queued in the connection and leave together at the end
 * of the turn: that is all PIPELINING takes (RFC 2920 section 3.2).
 */
#include <stdarg.h>
#include <stdio.h>

#include "smtp/session.h"

enum { TEXT_MAX = 400 }; /* a reply line has at most 512 bytes: RFC 5321 section 4.5.3.1.5 */

static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

void smtp_reply(struct smtp_session *s, unsigned code, const char *enhanced, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    make_printable(text);
    conn_printf(s->conn, "%u %s %s\r\n", code, enhanced, text);
    if (code >= 500)
        s->errors++;
}

void smtp_reply_fail(struct smtp_session *s, const struct fail *why, unsigned temp, unsigned perm)
{
    const bool is_temp = why->kind == FAIL_TEMP || why->internal; /* our own trouble is no reason to send mail back */
    const char *enhanced = why->code;

    if (enhanced[0] != (is_temp ? '4' : '5'))
        enhanced = is_temp ? "4.3.0" : "5.3.0";
    unsigned code = is_temp ? temp : perm;
    smtp_reply(s, is_temp && code >= 500 ? 451 : code, enhanced, "%s", fail_said(why));
}

/* Behind what was meant to be BDAT comes a chunk: nobody knows how much of it, and where commands go on. */
void smtp_refuse_line(struct smtp_session *s, struct slice line, const char *text)
{
    smtp_reply(s, 500, "5.5.2", "%s", text);
    s->closing = s->closing || slice_starts_nocase(line, SLICE("BDAT"));
}

void smtp_hang_up(struct smtp_session *s)
{
    smtp_reply(s, 500, "5.5.1", "this is %s: good bye", s->service->kind == SMTP_LMTP ? "LMTP" : "SMTP");
    smtp_log_refused(s, "command", SLICE(""), "5.5.1", "another protocol");
    s->closing = true;
}

void smtp_close(struct smtp_session *s, const char *enhanced, const char *text)
{
    conn_printf(s->conn, "421 %s %s %s\r\n", enhanced, s->service->hostname, text);
    s->closing = true;
}

bool smtp_refuse(struct smtp_session *s, const char *stage, struct slice recipient, unsigned code,
                 const char *enhanced, const char *text)
{
    smtp_reply(s, code, enhanced, "%s", text);
    smtp_log_refused(s, stage, recipient, enhanced, text);
    return false;
}

bool smtp_refuse_fail(struct smtp_session *s, const char *stage, struct slice recipient, const struct fail *why,
                      unsigned temp, unsigned perm)
{
    smtp_reply_fail(s, why, temp, perm);
    smtp_log_refused(s, stage, recipient, why->code, why->text);
    return false;
}

void smtp_log_refused(struct smtp_session *s, const char *stage, struct slice recipient, const char *code,
                      const char *text)
{
    struct fail why = {0};

    (void)snprintf(why.code, sizeof why.code, "%s", code);
    (void)snprintf(why.text, sizeof why.text, "%s", text);
    smtp_log_by(s, stage, recipient, &why, SLICE("-"));
}

void smtp_log_by(struct smtp_session *s, const char *stage, struct slice recipient, const struct fail *why, struct slice by)
{
    struct log_id session = conn_session_id(s->conn);
    struct conn_address peer = smtp_peer_text(s);
    const bool has_sender = s->tx != NULL;

    log_event(LOG_INFO, "smtp.refused", LOG_CSTR("session", session.text),
              LOG_CSTR("trace", has_sender ? s->tx->trace.text : "-"), LOG_CSTR("peer", peer.text),
              LOG_CSTR("stage", stage), LOG_TEXT("from", has_sender ? s->tx->sender.address : SLICE("-")),
              LOG_TEXT("to", recipient), LOG_CSTR("code", why->code), LOG_CSTR("reason", why->text), LOG_TEXT("by", by));
}
