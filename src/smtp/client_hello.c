/*
 * smtp/client_hello.c - EHLO, what it tells, and XCLIENT.
 *
 * Layer: smtp.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "smtp/client_session.h"

static const struct {
    const char *keyword;
    unsigned can;
} extensions[] = {
    {"PIPELINING", SMTP_CAN_PIPELINING},   /* RFC 2920 */
    {"8BITMIME", SMTP_CAN_8BITMIME},       /* RFC 6152 */
    {"CHUNKING", SMTP_CAN_CHUNKING},       /* RFC 3030 */
    {"BINARYMIME", SMTP_CAN_BINARYMIME},   /* RFC 3030 */
    {"SMTPUTF8", SMTP_CAN_SMTPUTF8},       /* RFC 6531 */
    {"DSN", SMTP_CAN_DSN},                 /* RFC 3461 */
    {"SIZE", SMTP_CAN_SIZE},               /* RFC 1870 */
    {"STARTTLS", SMTP_CAN_STARTTLS},       /* RFC 3207 */
    {"REQUIRETLS", SMTP_CAN_REQUIRETLS},   /* RFC 8689 */
    {"MT-PRIORITY", SMTP_CAN_PRIORITY},    /* RFC 6710 */
    {"DELIVERBY", SMTP_CAN_DELIVERBY},     /* RFC 2852 */
    {"XCLIENT", SMTP_CAN_XCLIENT},
};

static const struct {
    const char *name;
    unsigned bit;
} mechanisms[] = {{"PLAIN", SASL_PLAIN}, {"LOGIN", SASL_LOGIN}, {"SCRAM-SHA-256", SASL_SCRAM_SHA_256}};

static const struct {
    const char *name;
    unsigned bit;
} attributes[] = {{"NAME", XCLIENT_NAME}, {"ADDR", XCLIENT_ADDR}, {"PROTO", XCLIENT_PROTO}, {"HELO", XCLIENT_HELO}, {"LOGIN", XCLIENT_LOGIN}};

/* LIMITS SP name "=" value ...                                  RFC 9422 section 4 */
static void read_limit(struct smtp_client *c, struct slice word)
{
    struct slice value = word, name = slice_cut(&value, '=');
    uint64_t n;

    if (!slice_to_u64(value, 1000000, &n) || n == 0)
        return;
    if (slice_eq_nocase(name, SLICE("RCPTMAX")))
        c->rcpt_max = n;
    else if (slice_eq_nocase(name, SLICE("MAILMAX")))
        c->mail_max = n;
}

static void read_words(struct smtp_client *c, struct slice keyword, struct slice words)
{
    while (words.len > 0) {
        struct slice word = slice_cut(&words, ' ');

        if (slice_eq_nocase(keyword, SLICE("AUTH"))) {
            for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
                if (slice_eq_nocase(word, slice_of(mechanisms[i].name)))
                    c->sasl |= mechanisms[i].bit;
        } else if (slice_eq_nocase(keyword, SLICE("XCLIENT"))) {
            for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
                if (slice_eq_nocase(word, slice_of(attributes[i].name)))
                    c->xclient_takes |= attributes[i].bit;
        } else if (slice_eq_nocase(keyword, SLICE("LIMITS"))) {
            read_limit(c, word);
        }
    }
}

static void read_capability(struct smtp_client *c, struct slice line)
{
    struct slice words = slice_trim(line);
    size_t end = 0;
    uint64_t n;

    while (end < words.len && words.ptr[end] != ' ' && words.ptr[end] != '=') /* "AUTH=LOGIN", as some once wrote */
        end++;
    struct slice keyword = slice_sub(words, 0, end);
    words = slice_from(words, end + 1);
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        if (slice_eq_nocase(keyword, slice_of(extensions[i].keyword)))
            c->can |= extensions[i].can;
    if (slice_eq_nocase(keyword, SLICE("SIZE")) && slice_to_u64(slice_trim(words), UINT64_MAX / 4, &n))
        c->size_max = n;
    else if (slice_eq_nocase(keyword, SLICE("DELIVERBY")) && slice_to_u64(slice_trim(slice_cut(&words, ',')), 999999999, &n))
        c->by_min = (unsigned)n;
    else
        read_words(c, keyword, words);
}

void client_read_capabilities(struct smtp_client *c, struct slice text)
{
    c->can = SMTP_CAN_ESMTP;
    c->sasl = c->xclient_takes = 0;
    c->size_max = c->rcpt_max = c->mail_max = 0;
    c->by_min = 0;
    (void)slice_cut(&text, '\n'); /* its name */
    while (text.len > 0)
        read_capability(c, slice_cut(&text, '\n'));
    /* RFC 6531 section 3.1, item 8 and RFC 3030 section 3 say which need which. */
    if (!(c->can & SMTP_CAN_8BITMIME))
        c->can &= ~(unsigned)SMTP_CAN_SMTPUTF8;
    if (!(c->can & SMTP_CAN_CHUNKING))
        c->can &= ~(unsigned)SMTP_CAN_BINARYMIME;
    if (c->wire.tls == NULL)
        c->can &= ~(unsigned)SMTP_CAN_REQUIRETLS; /* RFC 8689 section 2: counts only over TLS */
    else
        c->can &= ~(unsigned)SMTP_CAN_STARTTLS;
}

bool client_hello(struct smtp_client *c, struct smtp_reply_text *reply, struct arena *a, struct fail *why)
{
    c->can = c->sasl = 0;
    client_say(c, "%s %s", c->lmtp ? "LHLO" : "EHLO", c->helo);
    if (!client_hear(c, c->limits.command_seconds, reply, a, why))
        return fail_at(why, "EHLO");
    if (reply->code / 100 == 2) {
        client_read_capabilities(c, buf_slice(&c->wire.reader.text));
        return true;
    }
    if (c->lmtp || c->closing || reply->code < 500)
        return client_refused(why, reply, c->lmtp ? "LHLO" : "EHLO");
    /* RFC 5321 section 3.2: whoever does not know EHLO may know HELO. */
    client_say(c, "HELO %s", c->helo);
    if (!client_hear(c, c->limits.command_seconds, reply, a, why))
        return fail_at(why, "HELO");
    return reply->code / 100 == 2 || client_refused(why, reply, "HELO");
}

/* ---- XCLIENT ---- */

/* xtext, as Postfix's XCLIENT_README wants values. */
static void add_attribute(struct buf *out, const char *name, struct slice value, bool is_address)
{
    buf_addf(out, " %s=", name);
    if (value.len == 0) {
        buf_add(out, SLICE("[UNAVAILABLE]"));
        return;
    }
    if (is_address && slice_find_char(value, ':') < value.len && !slice_starts_nocase(value, SLICE("IPV6:")))
        buf_add(out, SLICE("IPV6:"));
    for (size_t i = 0; i < value.len && i < 255; i++) {
        unsigned char ch = (unsigned char)value.ptr[i];

        if (ch <= ' ' || ch > '~' || ch == '+' || ch == '=')
            buf_addf(out, "+%02X", ch);
        else
            buf_add_char(out, (char)ch);
    }
}

/* What the envelope's source tells: an address that was connected from, or the name of an account. */
static struct smtp_client_origin origin_of(const struct smtp_client_message *m)
{
    struct slice source = m->options.source;
    char text[64];
    unsigned char address[16];

    if (m->origin != NULL)
        return *m->origin;
    if (m->options.account != 0)
        return (struct smtp_client_origin){.login = source};
    if (source.len == 0 || source.len >= sizeof(text))
        return (struct smtp_client_origin){.name = source};
    memcpy(text, source.ptr, source.len);
    text[source.len] = '\0';
    if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
        return (struct smtp_client_origin){.address = source};
    return (struct smtp_client_origin){.name = source};
}

bool client_tell_origin(struct smtp_client *c, const struct smtp_client_message *m, struct arena *a, struct fail *why)
{
    struct smtp_client_origin o = origin_of(m);
    struct smtp_reply_text reply;
    struct buf line;

    if (!c->may_xclient || !(c->can & SMTP_CAN_XCLIENT) || c->xclient_takes == 0)
        return true;
    buf_init(&line, 2000);
    buf_add(&line, SLICE("XCLIENT"));
    if (c->xclient_takes & XCLIENT_NAME)
        add_attribute(&line, "NAME", o.name, false);
    if (c->xclient_takes & XCLIENT_ADDR)
        add_attribute(&line, "ADDR", o.address, true);
    if (c->xclient_takes & XCLIENT_PROTO)
        add_attribute(&line, "PROTO", o.smtp_only ? SLICE("SMTP") : SLICE("ESMTP"), false);
    if (c->xclient_takes & XCLIENT_HELO)
        add_attribute(&line, "HELO", o.helo, false);
    if (c->xclient_takes & XCLIENT_LOGIN)
        add_attribute(&line, "LOGIN", o.login, false);
    char *said = xslicedup(buf_slice(&line));
    buf_finish(&line);
    if (c->xclient != NULL && strcmp(c->xclient, said) == 0) {
        free(said);
        return true;
    }
    free(c->xclient);
    c->xclient = said;
    if (c->dirty) {
        client_say(c, "RSET");
        if (!client_hear(c, c->limits.command_seconds, &reply, a, why))
            return false;
        c->dirty = false;
    }
    client_say(c, "%s", said);
    bool heard = client_hear(c, c->limits.command_seconds, &reply, a, why);
    if (heard && reply.code / 100 == 2)
        return client_hello(c, &reply, a, why);
    free(c->xclient); /* it does not know: the next message must not go in another's name */
    c->xclient = NULL;
    return heard ? client_refused(why, &reply, "XCLIENT") : fail_at(why, "XCLIENT");
}
