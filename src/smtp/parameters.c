/*
 * smtp/parameters.c - what may stand behind the address of MAIL and RCPT.
 *
 * Layer: smtp.  One row for each parameter; what it asks for lands in queue/envelope.h's options, which travel
 * with the message.  Each may stand once.
 */
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/unicode.h"
#include "smtp/session.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500 }; /* RFC 3461 sections 4.4 and 4.2 */

/* Always false: 501, and what would have been right. */
static bool malformed(struct smtp_session *s, const char *text)
{
    smtp_reply(s, 501, "5.5.4", "%s", text);
    return false;
}

/* ---- MAIL ---- */

/* size-value = 1*20DIGIT                                           RFC 1870 section 4 */
static bool take_size(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    if (value.len > 20 || !slice_to_u64(value, UINT64_MAX, &tx->announced))
        return malformed(s, "SIZE is not a number");
    if (tx->announced > s->service->limits.message_bytes)
        return smtp_refuse(s, "mail", SLICE(""), 552, "5.3.4",
                           "message too large: see SIZE in the answer to EHLO");
    return true;
}

/* body-value = "7BIT" / "8BITMIME" / "BINARYMIME"    RFC 6152 section 2, RFC 3030 section 3 */
static bool take_body(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    if (slice_eq_nocase(value, SLICE("7BIT")))
        tx->options.body = BODY_7BIT;
    else if (slice_eq_nocase(value, SLICE("8BITMIME")))
        tx->options.body = BODY_8BITMIME;
    else if (slice_eq_nocase(value, SLICE("BINARYMIME")))
        tx->options.body = BODY_BINARYMIME;
    else
        return malformed(s, "BODY is 7BIT, 8BITMIME or BINARYMIME");
    return true;
}

/* RFC 6531 section 3.4 */
static bool take_utf8(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    (void)s;
    (void)value;
    tx->options.utf8 = true;
    return true;
}

/* RFC 4954 section 5: taken as AUTH=<>, nobody is trusted to say so. */
static bool take_auth(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    (void)tx;
    return smtp_is_xtext(value) || malformed(s, "AUTH= is not xtext");
}

/* RFC 3461 section 4.3 */
static bool take_ret(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    if (slice_eq_nocase(value, SLICE("FULL")))
        tx->options.ret = RET_FULL;
    else if (slice_eq_nocase(value, SLICE("HDRS")))
        tx->options.ret = RET_HDRS;
    else
        return malformed(s, "RET is FULL or HDRS");
    return true;
}

/* Printable ASCII and blanks, as a notification can show it. */
static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

/* RFC 3461 section 4.4 */
static bool take_envid(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    return (value.len <= ENVID_MAX && xtext_decode(&tx->arena, value, &tx->options.envid) &&
            is_printable(tx->options.envid)) ||
           malformed(s, "ENVID is xtext of at most 100 characters");
}

static bool hold_until(struct smtp_session *s, struct smtp_transaction *tx, int64_t until)
{
    if (tx->options.hold_until != 0)
        return malformed(s, "HOLDFOR and HOLDUNTIL do not go together");
    if (until > clock_now() + (int64_t)s->service->future_release_seconds)
        return malformed(s, "that is later than a message can be held: see FUTURERELEASE in the answer to EHLO");
    tx->options.hold_until = until;
    return true;
}

/* future-release-integer = %x31-39 *8DIGIT                         RFC 4865 section 3 */
static bool take_holdfor(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    uint64_t seconds;

    if (value.len > 9 || !slice_to_u64(value, 999999999, &seconds) || value.ptr[0] == '0')
        return malformed(s, "HOLDFOR is a number of seconds");
    return hold_until(s, tx, clock_now() + (int64_t)seconds);
}

/* Digits of `pattern`'s zeros, its other characters as they are. */
static bool has_shape(struct slice value, const char *pattern)
{
    if (value.len != strlen(pattern))
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (pattern[i] == '0' ? !ascii_is_digit(value.ptr[i]) : ascii_upper(value.ptr[i]) != pattern[i])
            return false;
    return true;
}

static int number_at(struct slice value, size_t from, size_t len)
{
    uint64_t n = 0;

    (void)slice_to_u64(slice_sub(value, from, len), 9999, &n);
    return (int)n;
}

/* Internet-style-date-time-UTC: "2026-11-22T18:00:00Z"             RFC 4865 section 3, RFC 3339 section 5.6 */
static bool read_utc(struct slice value, int64_t *out)
{
    if (!has_shape(value, "0000-00-00T00:00:00Z"))
        return false;
    struct tm tm = {.tm_year = number_at(value, 0, 4) - 1900,
                    .tm_mon = number_at(value, 5, 2) - 1,
                    .tm_mday = number_at(value, 8, 2),
                    .tm_hour = number_at(value, 11, 2),
                    .tm_min = number_at(value, 14, 2),
                    .tm_sec = number_at(value, 17, 2)};
    const struct tm given = tm;

    *out = timegm(&tm); /* which moves what is not there, such as February 30th */
    return tm.tm_mon == given.tm_mon && tm.tm_mday == given.tm_mday && tm.tm_hour == given.tm_hour &&
           tm.tm_min == given.tm_min && (tm.tm_sec == given.tm_sec || given.tm_sec == 60);
}

static bool take_holduntil(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    int64_t until;

    if (!read_utc(value, &until))
        return malformed(s, "HOLDUNTIL is a time such as 2026-11-22T18:00:00Z");
    if (until <= clock_now())
        return malformed(s, "HOLDUNTIL is a time that is over");
    return hold_until(s, tx, until);
}

/*
 * by-value = by-time ";" by-mode [by-trace];  by-time = ["-" / "+"] 1*9digit
 * by-mode = "N" / "R";  by-trace = "T"                             RFC 2852 section 4
 */
static bool take_by(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    static const char right[] = "BY is seconds;N or seconds;R, with or without T behind it";
    struct slice mode = value, digits = slice_cut(&mode, ';');
    const bool negative = digits.len > 0 && digits.ptr[0] == '-';
    uint64_t seconds;

    if (digits.len > 0 && (digits.ptr[0] == '-' || digits.ptr[0] == '+'))
        digits = slice_from(digits, 1);
    if (digits.len > 9 || !slice_to_u64(digits, 999999999, &seconds) || mode.len < 1 || mode.len > 2 ||
        (mode.len == 2 && ascii_upper(mode.ptr[1]) != 'T'))
        return malformed(s, right);
    switch (ascii_upper(mode.ptr[0])) {
    case 'N': tx->options.by_mode = BY_NOTIFY; break;
    case 'R': tx->options.by_mode = BY_RETURN; break;
    default: return malformed(s, right);
    }
    if (tx->options.by_mode == BY_RETURN && (negative || seconds == 0))
        return malformed(s, "BY with R needs a time that is still to come");
    tx->options.by_trace = mode.len == 2;
    tx->options.by = clock_now() + (negative ? -(int64_t)seconds : (int64_t)seconds);
    return true;
}

/* priority-value = ["-"] NON-ZERO-DIGIT / "0";                     RFC 6710 section 7 */
static bool take_priority(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    const bool negative = value.len == 2 && value.ptr[0] == '-';
    const struct slice digit = negative ? slice_from(value, 1) : value;

    if (digit.len != 1 || !ascii_is_digit(digit.ptr[0]) || (negative && digit.ptr[0] == '0')) {
        smtp_reply(s, 501, "5.5.2", "MT-PRIORITY is a number from -9 to 9");
        return false;
    }
    tx->options.priority = negative ? '0' - digit.ptr[0] : digit.ptr[0] - '0';
    tx->lowered = tx->options.priority > 0 && !smtp_is_trusted(s);
    if (tx->lowered) /* section 4.1: only those may be quicker than others who are known here */
        tx->options.priority = 0;
    return true;
}

/* RFC 8689 section 2 */
static bool take_requiretls(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    (void)s;
    (void)value;
    tx->options.requiretls = true;
    return true;
}

enum { VALUE = 1, NO_VALUE = 2 };

static bool anywhere(const struct smtp_session *s)
{
    (void)s;
    return true;
}

bool smtp_offers_auth_parameter(const struct smtp_session *s)
{
    return s->service->login != NULL;
}

bool smtp_offers_dsn(const struct smtp_session *s)
{
    return s->service->kind != SMTP_LMTP; /* whoever delivers by LMTP hears at once, and tells himself */
}

bool smtp_offers_holding(const struct smtp_session *s)
{
    return s->service->kind == SMTP_SUBMISSION && s->service->future_release_seconds > 0; /* RFC 4865 section 4.2 */
}

bool smtp_offers_requiretls(const struct smtp_session *s)
{
    return s->service->kind != SMTP_LMTP && conn_has_tls(s->conn); /* RFC 8689 section 2 */
}

static const struct mail_parameter {
    const char *name;
    unsigned value;
    bool (*offered)(const struct smtp_session *s);
    bool (*take)(struct smtp_session *s, struct smtp_transaction *tx, struct slice value);
} mail_parameters[] = {
    {"SIZE", VALUE, anywhere, take_size},
    {"BODY", VALUE, anywhere, take_body},
    {"SMTPUTF8", NO_VALUE, anywhere, take_utf8},
    {"AUTH", VALUE, smtp_offers_auth_parameter, take_auth},
    {"RET", VALUE, smtp_offers_dsn, take_ret},
    {"ENVID", VALUE, smtp_offers_dsn, take_envid},
    {"HOLDFOR", VALUE, smtp_offers_holding, take_holdfor},
    {"HOLDUNTIL", VALUE, smtp_offers_holding, take_holduntil},
    {"BY", VALUE, smtp_offers_dsn, take_by},
    {"MT-PRIORITY", VALUE, smtp_offers_dsn, take_priority},
    {"REQUIRETLS", NO_VALUE, smtp_offers_requiretls, take_requiretls},
};

static bool not_known(struct smtp_session *s, const struct smtp_parameter *p)
{
    smtp_reply(s, 555, "5.5.4", "parameter not known: " PRIslice, SLICE_ARG(p->keyword));
    return false;
}

static bool stands_twice(struct smtp_session *s, const struct smtp_parameter *p)
{
    smtp_reply(s, 501, "5.5.4", PRIslice " stands there twice", SLICE_ARG(p->keyword));
    return false;
}

static bool take_mail_parameter(struct smtp_session *s, struct smtp_transaction *tx, const struct smtp_parameter *p,
                                unsigned *seen)
{
    for (size_t i = 0; i < ARRAY_LEN(mail_parameters); i++) {
        const struct mail_parameter *m = &mail_parameters[i];
        if (!slice_eq_nocase(p->keyword, slice_of(m->name)) || !m->offered(s))
            continue;
        /* Twice the same is no contradiction, and Python's smtplib says SMTPUTF8 so. */
        if ((*seen & 1u << i) != 0 && m->value == VALUE)
            return stands_twice(s, p);
        *seen |= 1u << i;
        if ((m->value == VALUE) == (p->value.ptr != NULL))
            return m->take(s, tx, p->value);
        smtp_reply(s, 501, "5.5.4", m->value == VALUE ? "%s needs a value" : "%s takes no value", m->name);
        return false;
    }
    return not_known(s, p);
}

bool smtp_mail_parameters(struct smtp_session *s, struct smtp_transaction *tx, struct slice args)
{
    struct smtp_parameter p;
    unsigned seen = 0;

    for (;;) {
        switch (smtp_read_parameter(&args, &p)) {
        case PARAMETER_END: return true;
        case PARAMETER_BAD: return malformed(s, "malformed parameter");
        case PARAMETER_OK:
            if (!take_mail_parameter(s, tx, &p, &seen))
                return false;
            break;
        }
    }
}

/* ---- RCPT ---- */

/* notify-esmtp-value = "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" )      RFC 3461 section 4.1 */
static bool take_notify(struct smtp_session *s, struct slice value, struct recipient_options *out)
{
    static const struct { const char *name; unsigned bit; } words[] = {
        {"NEVER", NOTIFY_NEVER}, {"SUCCESS", NOTIFY_SUCCESS}, {"FAILURE", NOTIFY_FAILURE}, {"DELAY", NOTIFY_DELAY}};

    while (value.len > 0) {
        const bool last = slice_find_char(value, ',') + 1 == value.len;
        struct slice word = slice_cut(&value, ',');
        size_t i = 0;
        while (i < ARRAY_LEN(words) && !slice_eq_nocase(word, slice_of(words[i].name)))
            i++;
        if (i == ARRAY_LEN(words) || last)
            return malformed(s, "NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY");
        out->notify |= words[i].bit;
    }
    if (out->notify == 0 || ((out->notify & NOTIFY_NEVER) != 0 && out->notify != NOTIFY_NEVER))
        return malformed(s, "NOTIFY=NEVER stands alone");
    return true;
}

static bool is_atom(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_alpha(s.ptr[i]) && !ascii_is_digit(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    return s.len > 0;
}

/*
 * original-recipient-address = addr-type ";" xtext                 RFC 3461 section 4.2
 * With type utf-8 the address is UTF-8, in one of three spellings (RFC 6533 section 3): kept as it comes.
 */
static bool take_orcpt(struct smtp_session *s, struct slice value, struct recipient_options *out)
{
    struct arena *a = &s->tx->arena;
    struct slice address = value, type = slice_cut(&address, ';'), plain;
    const bool utf8 = slice_eq_nocase(type, SLICE("utf-8"));

    if (value.len > ORCPT_MAX || !is_atom(type) || address.len == 0 ||
        (utf8 ? !slice_is_ascii(address) && !s->tx->options.utf8 : !xtext_decode(a, address, &plain)))
        return malformed(s, "ORCPT is a type (rfc822), a semicolon and an address in xtext");
    if (utf8)
        plain = address;
    else if (!is_printable(plain))
        return malformed(s, "ORCPT has characters that cannot be printed");
    out->orcpt = arena_printf(a, PRIslice ";" PRIslice, SLICE_ARG(type), SLICE_ARG(plain));
    return true;
}

static bool take_rcpt_parameter(struct smtp_session *s, const struct smtp_parameter *p, unsigned *seen,
                                struct recipient_options *out)
{
    const bool notify = slice_eq_nocase(p->keyword, SLICE("NOTIFY"));

    if (!smtp_offers_dsn(s) || (!notify && !slice_eq_nocase(p->keyword, SLICE("ORCPT"))))
        return not_known(s, p);
    if ((*seen & 1u << notify) != 0)
        return stands_twice(s, p);
    *seen |= 1u << notify;
    if (p->value.ptr == NULL) {
        smtp_reply(s, 501, "5.5.4", "%s needs a value", notify ? "NOTIFY" : "ORCPT");
        return false;
    }
    return notify ? take_notify(s, p->value, out) : take_orcpt(s, p->value, out);
}

bool smtp_rcpt_parameters(struct smtp_session *s, struct slice args, struct recipient_options *out)
{
    struct smtp_parameter p;
    unsigned seen = 0;

    for (;;) {
        switch (smtp_read_parameter(&args, &p)) {
        case PARAMETER_END: return true;
        case PARAMETER_BAD: return malformed(s, "malformed parameter");
        case PARAMETER_OK:
            if (!take_rcpt_parameter(s, &p, &seen, out))
                return false;
            break;
        }
    }
}
