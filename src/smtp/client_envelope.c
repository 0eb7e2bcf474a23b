/*
 * smtp/client_envelope.c - MAIL and RCPT as they are said to one peer.
 *
 * Layer: smtp.  A parameter is said where its extension is offered, and left out elsewhere; whether a message can do
 * without is decided before (client_send.c).  FUTURERELEASE is never passed on: we have held it (RFC 4865 section 4).
 */
#include "smtp/client_envelope.h"

#include "base/address.h"
#include "base/clock.h"
#include "base/unicode.h"

bool client_address_is_clean(struct slice address)
{
    bool quoted = false;

    for (size_t i = 0; i < address.len; i++) {
        unsigned char c = (unsigned char)address.ptr[i];

        if (c < ' ' || c == 0x7f)
            return false;
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\' && i + 1 < address.len && (unsigned char)address.ptr[i + 1] >= ' ')
            i++;
        else if (!quoted && (c == '<' || c == '>' || c == ' '))
            return false;
    }
    return !quoted && address.len <= LOCAL_PART_MAX * 4 + DOMAIN_MAX;
}

bool client_address(struct slice address, bool utf8, struct arena *a, struct slice *out)
{
    size_t at = slice_rfind_char(address, '@');
    struct domain_key key;

    *out = address;
    if (utf8 || slice_is_ascii(address))
        return true;
    if (at == address.len || !slice_is_ascii(slice_sub(address, 0, at)) || !domain_key_parse(slice_from(address, at + 1), &key))
        return false;
    *out = arena_printf(a, PRIslice "@" PRIslice, SLICE_ARG(slice_sub(address, 0, at)), SLICE_ARG(domain_text(&key)));
    return out->len > 0;
}

/* xtext = *( xchar / hexchar )                                  RFC 3461 section 4 */
static void add_xtext(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < '!' || c > '~' || c == '+' || c == '=')
            buf_addf(out, "+%02X", c);
        else
            buf_add_char(out, (char)c);
    }
}

/* utf-8-addr-xtext: ASCII but "\x{HEX}" for the rest            RFC 6533 section 3 */
static void add_utf8_address(struct buf *out, struct slice s)
{
    for (size_t at = 0; at < s.len;) {
        size_t before = at;
        uint32_t c = utf8_next(s, &at);
        bool escape = c == '\\' && slice_starts(slice_from(s, before), SLICE("\\x{"));

        if (at == before) /* not UTF-8: cannot be, but must not loop */
            at++;
        if (c < '!' || c > '~' || c == '+' || c == '=' || (c == '\\' && !escape))
            buf_addf(out, "\\x{%X}", (unsigned)c);
        else
            buf_add_char(out, (char)c);
    }
}

static void add_orcpt(struct buf *out, struct slice orcpt)
{
    size_t semicolon = slice_find_char(orcpt, ';');

    buf_add(out, SLICE(" ORCPT="));
    if (slice_eq_nocase(slice_sub(orcpt, 0, semicolon), SLICE("utf-8"))) {
        buf_add(out, slice_sub(orcpt, 0, semicolon + 1));
        add_utf8_address(out, slice_from(orcpt, semicolon + 1));
    } else {
        add_xtext(out, orcpt);
    }
}

/* by-parameter = "BY=" by-value; by-value = by-time ";" by-mode [by-trace]    RFC 2852 section 4 */
static void add_by(struct buf *out, const struct envelope_options *o)
{
    int64_t left = o->by - clock_now();

    if (o->by_mode == BY_RETURN && left < 1)
        left = 1; /* section 4: must be positive with R; whoever is too late was told before */
    if (left > 999999999)
        left = 999999999;
    if (left < -999999999)
        left = -999999999;
    buf_addf(out, " BY=%lld;%c%s", (long long)left, o->by_mode == BY_RETURN ? 'R' : 'N', o->by_trace ? "T" : "");
}

void client_write_mail(struct buf *out, const struct smtp_client *c, const struct smtp_client_message *m, const struct offer *o)
{
    const struct envelope_options *options = &m->options;

    buf_add(out, SLICE("MAIL FROM:<"));
    buf_add(out, o->sender);
    buf_add_char(out, '>');
    if ((c->can & SMTP_CAN_SIZE) && o->size > 0) {
        buf_add(out, SLICE(" SIZE="));
        buf_add_u64(out, o->size);
    }
    if (o->binary)
        buf_add(out, SLICE(" BODY=BINARYMIME"));
    else if (o->eight)
        buf_add(out, SLICE(" BODY=8BITMIME"));
    if (o->utf8)
        buf_add(out, SLICE(" SMTPUTF8"));
    if (c->can & SMTP_CAN_DSN) {
        if (options->ret != RET_UNSAID)
            buf_add(out, options->ret == RET_FULL ? SLICE(" RET=FULL") : SLICE(" RET=HDRS"));
        if (options->envid.len > 0) {
            buf_add(out, SLICE(" ENVID="));
            add_xtext(out, options->envid);
        }
    }
    if ((c->can & SMTP_CAN_REQUIRETLS) && options->requiretls)
        buf_add(out, SLICE(" REQUIRETLS"));
    if ((c->can & SMTP_CAN_PRIORITY) && options->priority != 0)
        buf_addf(out, " MT-PRIORITY=%d", options->priority);
    if ((c->can & SMTP_CAN_DELIVERBY) && options->by_mode != BY_UNSAID)
        add_by(out, options);
    buf_add(out, SLICE("\r\n"));
}

void client_write_rcpt(struct buf *out, const struct smtp_client *c, const struct smtp_client_recipient *r, struct slice address)
{
    static const struct {
        unsigned bit;
        const char *name;
    } notify[] = {{NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};
    const char *separator = " NOTIFY=";

    buf_add(out, SLICE("RCPT TO:<"));
    buf_add(out, address);
    buf_add_char(out, '>');
    if (c->can & SMTP_CAN_DSN) {
        if (r->options.notify & NOTIFY_NEVER)
            buf_add(out, SLICE(" NOTIFY=NEVER"));
        else
            for (size_t i = 0; i < ARRAY_LEN(notify); i++)
                if (r->options.notify & notify[i].bit) {
                    buf_add(out, slice_of(separator));
                    buf_add(out, slice_of(notify[i].name));
                    separator = ",";
                }
        if (r->options.orcpt.len > 0)
            add_orcpt(out, r->options.orcpt);
    }
    buf_add(out, SLICE("\r\n"));
}
