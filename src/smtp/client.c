/*
 * smtp/client.c - a session with another server, from its greeting to QUIT.
 *
 * Layer: smtp.
 */
#include "smtp/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "net/tls_client.h"
#include "smtp/client_session.h"

enum { OUT_MAX = 64 * 1024 * 1024, HANDSHAKE_SECONDS_MAX = 60 };

/* ---- saying and hearing ---- */

void client_say(struct smtp_client *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&c->out, fmt, ap);
    va_end(ap);
    buf_add(&c->out, SLICE("\r\n"));
}

static bool flush(struct smtp_client *c, struct fail *why)
{
    bool ok = c->out.len == 0 || wire_write(&c->wire, buf_slice(&c->out), c->limits.data_seconds, why);

    if (c->out.failed)
        ok = fail_set(why, FAIL_TEMP, FAIL_LIMIT, "a command is too long");
    buf_reset(&c->out);
    return ok;
}

bool client_hear(struct smtp_client *c, unsigned seconds, struct smtp_reply_text *reply, struct arena *a, struct fail *why)
{
    struct fail late;

    *reply = (struct smtp_reply_text){0};
    if (c->closing)
        return fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.4.2", "the other side ended the session");
    /* What it said before the connection broke may be the reason: a short wait, it has come or it comes no more. */
    if (!flush(c, why)) {
        if (!wire_reply(&c->wire, 1, reply, a, &late) || reply->code < 400)
            return false;
        c->closing = true;
        return true;
    }
    if (!wire_reply(&c->wire, seconds, reply, a, why))
        return false;
    if (reply->code == 421)
        c->closing = true;
    return true;
}

bool client_refused(struct fail *why, const struct smtp_reply_text *reply, const char *what)
{
    enum fail_kind kind = reply->code >= 500 ? FAIL_PERM : FAIL_TEMP;
    char code[12] = "";

    if (reply->status.len > 0 && reply->status.len < sizeof(code))
        memcpy(code, reply->status.ptr, reply->status.len);
    return fail_code(why, kind, FAIL_OTHER, code, "%s: %u " PRIslice, what, reply->code, SLICE_ARG(reply->text));
}

/* ---- opening ---- */

static bool hear_greeting(struct smtp_client *c, struct smtp_reply_text *reply, struct arena *a, struct fail *why)
{
    if (!client_hear(c, c->limits.greeting_seconds, reply, a, why))
        return fail_at(why, "greeting");
    return reply->code / 100 == 2 || client_refused(why, reply, "greeting");
}

static unsigned port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}

static bool shake_hands(struct smtp_client *c, const struct smtp_peer *peer, struct tls_client *tls, struct fail *why)
{
    unsigned seconds = c->limits.command_seconds < HANDSHAKE_SECONDS_MAX ? c->limits.command_seconds : HANDSHAKE_SECONDS_MAX;
    const char *sni = peer->rule != NULL && peer->rule->names != NULL && peer->rule->names[0] != NULL ? peer->rule->names[0] : peer->host;
    char key[300];

    (void)snprintf(key, sizeof(key), "%s:%u", peer->host != NULL ? peer->host : "", port_of(&peer->address));
    if (!tls_link_open(tls, c->wire.fd, sni, key, peer->rule, clock_mono_ms() + (int64_t)seconds * 1000, &c->wire.tls, why)) {
        c->wire.broken = true;
        return false;
    }
    if (tls_link_complaint(c->wire.tls)[0] != '\0')
        (void)snprintf(c->complaint, sizeof(c->complaint), "%s", tls_link_complaint(c->wire.tls));
    return true;
}

/* TLS cannot be had: is that the end? */
static bool without_tls(struct smtp_client *c, const struct smtp_peer *peer, struct fail *why)
{
    if (peer->tls != CLIENT_TLS_MAY)
        return false;
    (void)snprintf(c->complaint, sizeof(c->complaint), "%s", why->text);
    return true;
}

/* RFC 3207.  What EHLO told before is forgotten (section 4.2). */
static bool start_tls(struct smtp_client *c, const struct smtp_peer *peer, struct tls_client *tls, struct smtp_reply_text *reply,
                      struct arena *a, struct fail *why)
{
    if (!(c->can & SMTP_CAN_STARTTLS)) {
        fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.10", "the other side does not offer STARTTLS");
        return without_tls(c, peer, why);
    }
    client_say(c, "STARTTLS");
    if (!client_hear(c, c->limits.command_seconds, reply, a, why))
        return fail_at(why, "STARTTLS");
    if (reply->code != 220) {
        fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.10", "the other side refused STARTTLS: %u " PRIslice, reply->code,
                  SLICE_ARG(reply->text));
        return !c->closing && without_tls(c, peer, why);
    }
    /* What stands in the clear behind the 220 was not said by who holds the certificate. */
    if (c->wire.in_at < c->wire.in_end) {
        c->wire.broken = true;
        return fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.5", "TLS handshake failed: plain text came behind the reply to STARTTLS");
    }
    return shake_hands(c, peer, tls, why) && client_hello(c, reply, a, why);
}

static bool begin(struct smtp_client *c, const struct smtp_peer *peer, struct tls_client *tls, struct smtp_reply_text *reply,
                  struct arena *a, struct fail *why)
{
    bool starts = peer->tls == CLIENT_TLS_MAY || peer->tls == CLIENT_TLS_MUST;

    if (tls == NULL && peer->tls != CLIENT_TLS_NONE && peer->tls != CLIENT_TLS_MAY)
        return fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.5", "TLS is demanded and not available");
    if (peer->tls == CLIENT_TLS_WRAPPED && !shake_hands(c, peer, tls, why))
        return false;
    if (!hear_greeting(c, reply, a, why) || !client_hello(c, reply, a, why))
        return false;
    if (starts && tls != NULL && !start_tls(c, peer, tls, reply, a, why))
        return false;
    return peer->user == NULL || client_auth(c, peer, reply, a, why);
}

/* By then it must be over, whatever the peer does: `bytes` at 1 KB/s, and the time for what is said beside. */
int64_t client_deadline(const struct smtp_client *c, uint64_t bytes)
{
    return clock_mono_ms() + (int64_t)c->limits.message_seconds * 1000 + (int64_t)bytes;
}

struct smtp_client *smtp_client_adopt(int fd, const struct smtp_peer *peer, struct tls_client *tls, const struct smtp_client_limits *limits,
                                      struct smtp_reply_text *reply, struct arena *a, struct fail *why)
{
    struct smtp_client *c = xcalloc(1, sizeof(*c));

    *reply = (struct smtp_reply_text){0};
    c->limits = *limits;
    c->lmtp = peer->lmtp;
    c->may_xclient = peer->xclient;
    c->host = xstrdup(peer->host != NULL ? peer->host : "");
    c->helo = xstrdup(peer->helo != NULL ? peer->helo : "localhost");
    buf_init(&c->out, OUT_MAX);
    buf_init(&c->body, OUT_MAX);
    wire_init(&c->wire, fd, limits);
    c->wire.stop = peer->stop;
    c->wire.until = client_deadline(c, 0);
    bool ok = begin(c, peer, tls, reply, a, why);
    c->wire.until = 0;
    c->wire.stop = NULL; /* smtp_client_break() is for what follows */
    if (!ok && reply->code < 400) /* its last word was kind: that is not why */
        *reply = (struct smtp_reply_text){0};
    if (!ok)
        smtp_client_close(&c);
    return c;
}

static struct smtp_client *connect_once(const struct smtp_peer *peer, struct tls_client *tls, const struct smtp_client_limits *limits,
                                        struct smtp_reply_text *reply, struct arena *a, struct fail *why)
{
    int fd = wire_connect(peer, limits->connect_seconds, why);

    *reply = (struct smtp_reply_text){0};
    return fd >= 0 ? smtp_client_adopt(fd, peer, tls, limits, reply, a, why) : NULL;
}

struct smtp_client *smtp_client_open(const struct smtp_peer *peer, struct tls_client *tls, const struct smtp_client_limits *limits,
                                     struct smtp_reply_text *reply, struct arena *a, struct fail *why)
{
    struct smtp_client *c = connect_once(peer, tls, limits, reply, a, why);
    struct smtp_peer plain = *peer;
    struct fail first = *why;

    /* RFC 7435: a broken TLS must not be worse than none.  Its texts are net/tls_client.c's alone. */
    if (c != NULL || peer->tls != CLIENT_TLS_MAY || (peer->user != NULL && !peer->auth_in_clear) || tls_client_failure(&first)[0] == '\0')
        return c;
    plain.tls = CLIENT_TLS_NONE;
    c = connect_once(&plain, tls, limits, reply, a, why);
    if (c != NULL)
        (void)snprintf(c->complaint, sizeof(c->complaint), "%s", first.text);
    return c;
}

/* ---- ending and asking ---- */

/* The answer to QUIT tells nothing: whether the message was taken has been said before. */
static void say_quit(struct smtp_client *c)
{
    short events;
    struct fail why;

    if (c->wire.fd < 0 || c->wire.broken || c->wire.ended || c->closing)
        return;
    if (c->wire.tls != NULL)
        (void)tls_link_try_write(c->wire.tls, SLICE("QUIT\r\n"), &events, &why);
    else
        (void)send(c->wire.fd, "QUIT\r\n", 6, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void smtp_client_close(struct smtp_client **c_)
{
    struct smtp_client *c = *c_;

    if (c == NULL)
        return;
    say_quit(c);
    wire_finish(&c->wire);
    buf_finish(&c->out);
    buf_finish(&c->body);
    free(c->host);
    free(c->helo);
    free(c->xclient);
    free(c);
    *c_ = NULL;
}

void smtp_client_break(struct smtp_client *c, bool unless_final)
{
    if (!unless_final || !atomic_load(&c->at_final))
        (void)shutdown(c->wire.fd, SHUT_RDWR);
}

bool smtp_client_usable(struct smtp_client *c)
{
    return !c->closing && !c->wire.broken && !c->wire.ended && (c->mail_max == 0 || c->mails < c->mail_max) &&
           !wire_has_input(&c->wire);
}

const char *smtp_client_tls_text(const struct smtp_client *c)
{
    return c->wire.tls != NULL ? tls_link_text(c->wire.tls) : "";
}

const char *smtp_client_tls_complaint(const struct smtp_client *c)
{
    return c->complaint;
}

unsigned smtp_client_can(const struct smtp_client *c)
{
    return c->can;
}
