/*
 * queue/dsn_text.c - the words of a notification, for people.
 *
 * Layer: queue.  What happened, to whom, what the other server said, and what the sender can do about it:
 * the last from the enhanced status code, in one table.
 */
#include "queue/dsn_text.h"

#include <stdio.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/unicode.h"

enum {
    WIDTH = 76,
    WORD_MAX = 900,       /* a line of 998 octets (RFC 5322 section 2.1.1) holds it with what stands around it */
    REPLY_MAX = 2000,     /* of a server's reply */
    SUBJECT_MAX = 120,    /* of the original's subject in ours */
};

/* ---- status codes ---- */

/* RFC 3463 section 2: class "." subject "." detail, the latter of three digits at most. */
static bool is_status(struct slice s)
{
    struct slice detail = s, class = slice_cut(&detail, '.'), subject = slice_cut(&detail, '.');
    uint64_t     n;

    return class.len == 1 && strchr("245", class.ptr[0]) != NULL && subject.len <= 3 && detail.len <= 3 &&
           slice_to_u64(subject, 999, &n) && slice_to_u64(detail, 999, &n);
}

void dsn_status(const struct dsn_recipient *r, char out[STATUS_TEXT_MAX])
{
    bool given = is_status(r->status);

    (void)snprintf(out, STATUS_TEXT_MAX, PRIslice, SLICE_ARG(given ? r->status : SLICE("5.0.0")));
    switch (r->kind) {
    case DSN_FAILED:
        if (!given && r->expired)
            (void)snprintf(out, STATUS_TEXT_MAX, "4.4.7");
        else if (out[0] == '2' || (!given && r->code >= 400 && r->code < 500))
            out[0] = r->code >= 400 && r->code < 500 ? '4' : '5';
        return;
    case DSN_DELAYED:
        out[0] = '4';
        return;
    case DSN_DELIVERED:
    case DSN_RELAYED:
    case DSN_EXPANDED:
        out[0] = '2';
        return;
    }
    bug("kind %d", (int)r->kind);
}

struct meaning {
    const char *status; /* without its class; "7." is for all of that subject that have no row of their own */
    const char *what, *advice;
};

#define LATER_OR_OTHERWISE "Send it again later, or reach the recipient in another way."
#define CHECK_DOMAIN       "Check the part of the address behind the @ for typing errors."
#define SMALLER            "Send less: leave attachments out, make them smaller, or send a link to them instead."
#define POSTMASTER         "There is nothing wrong with what you did. Show this message to the administrator of your mail server."

static const struct meaning meanings[] = {
    {"1.1", "There is no mailbox of that name.",
     "Check the address for typing errors. If it was right once, ask the recipient, in another way, for the one to use "
     "now."},
    {"1.2", "The domain of that address does not exist or takes no mail.", CHECK_DOMAIN},
    {"1.3", "The mail server does not understand that address.",
     "Check the address: there may be a blank, a comma or a dot too many in it."},
    {"1.4", "More than one mailbox fits that address.", "Ask the recipient for the whole address."},
    {"1.6", "The recipient has moved, and mail is not sent on.", "Ask the recipient for the new address."},
    {"1.7", "The mail server does not accept your own address as the sender's.",
     "Check the sender address in your mail program. If it is right, show this message to your administrator."},
    {"1.8", "The mail server finds that your own address cannot be answered.",
     "Check the sender address in your mail program. If it is right, show this message to your administrator."},
    {"1.10", "The domain of that address says that it takes no mail at all.", CHECK_DOMAIN},
    {"1.", "The mail server does not accept that address.", "Check the address for typing errors."},

    {"2.1", "The mailbox is there, but takes no mail at present.", LATER_OR_OTHERWISE},
    {"2.2", "The recipient's mailbox is full.",
     "Send it again when the recipient has made room; you may have to say so in another way."},
    {"2.3", "The message is larger than that mailbox accepts.", SMALLER},
    {"2.4", "The mailing list at that address does not work.", "Tell the owner of the list."},
    {"2.", "The mailbox could not take the message.", LATER_OR_OTHERWISE},

    {"3.1", "The mail server has no room for mail at present.", LATER_OR_OTHERWISE},
    {"3.2", "The mail server takes no mail at present.", LATER_OR_OTHERWISE},
    {"3.4", "The message is larger than the other server accepts.", SMALLER},
    {"3.", "The mail server could not take the message.", LATER_OR_OTHERWISE},

    {"4.1", "The recipient's mail server does not answer.",
     CHECK_DOMAIN " If it is right, the other server is out of order: reach the recipient in another way."},
    {"4.2", "The connection to the recipient's mail server broke off each time.", LATER_OR_OTHERWISE},
    {"4.3", "The name servers of the recipient's domain do not answer.",
     CHECK_DOMAIN " If it is right, the domain is out of order: reach the recipient in another way."},
    {"4.4", "No way to the recipient's mail server could be found.", CHECK_DOMAIN},
    {"4.5", "The mail server was too busy.", LATER_OR_OTHERWISE},
    {"4.6", "The message goes round in circles: servers hand it to each other.",
     "Tell the recipient, in another way, that forwarding leads back to where it came from."},
    {"4.7", "The message could not be delivered in the time it was given.", LATER_OR_OTHERWISE},
    {"4.", "The recipient's mail server could not be reached.", LATER_OR_OTHERWISE},

    {"5.3", "The message has more recipients than the other server takes at once.", "Send it to fewer at a time."},
    {"5.", "The mail server and this one did not understand each other.", POSTMASTER},

    {"6.7", "The address has letters beyond plain ASCII, which the other server cannot handle.",
     "Ask the recipient for an address in plain letters."},
    {"6.", "The mail server does not accept a message of this form.",
     "Send it as plain text, or without the attachment."},

    {"7.2", "You may not send to that mailing list.", "Ask the owner of the list to be let in."},
    {"7.4", "The message may travel by encrypted connections only, and the other server offers none that could be trusted.",
     "The message was not sent openly instead. Tell the recipient, in another way, that their server's encryption does "
     "not work."},
    {"7.5", "The encryption of the other server could not be trusted: its certificate is not what it should be.",
     "The message was not sent openly instead. Tell the recipient, in another way, that their server's certificate is "
     "wrong."},
    {"7.10", "The message may travel by encrypted connections only, and the other server offers none that could be trusted.",
     "The message was not sent openly instead. Tell the recipient, in another way, that their server's encryption does "
     "not work."},
    {"7.30", "You asked for encryption all the way (REQUIRETLS), and the other server does not offer it.",
     "Send it again without asking for that, if its content allows it."},
    {"7.8", "The mail server wants this one to log in, and that failed.", POSTMASTER},
    {"7.20", "The mail server could not verify that the message comes from your domain (DKIM).", POSTMASTER},
    {"7.21", "The mail server could not verify that the message comes from your domain (DKIM).", POSTMASTER},
    {"7.22", "The mail server could not verify that the message comes from your domain (DKIM).", POSTMASTER},
    {"7.23", "The mail server finds that this server may not send mail for your domain (SPF).", POSTMASTER},
    {"7.24", "The mail server could not find out whether this server may send mail for your domain (SPF).", POSTMASTER},
    {"7.25", "The mail server does not trust this one: its name and address do not agree.", POSTMASTER},
    {"7.26", "The mail server could not verify that the message comes from your domain (SPF, DKIM, DMARC).", POSTMASTER},
    {"7.28", "The mail server had more mail from here than it wants.", LATER_OR_OTHERWISE},
    {"7.", "The mail server refused the message by its rules; it may take it for spam, or for none of its business.",
     "Read what it says above. If you think that it is wrong, ask the recipient, in another way, to have you let in."},
};

static const struct meaning *find_meaning(const char *status)
{
    const struct meaning *best = NULL;

    for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
        const char *row = meanings[i].status;
        size_t      len = strlen(row);
        if (strcmp(row, status) == 0)
            return &meanings[i];
        if (row[len - 1] == '.' && strncmp(row, status, len) == 0)
            best = &meanings[i];
    }
    return best;
}

/* For a refusal that came without an enhanced status code, or one that says nothing. */
static const struct meaning *meaning_of_code(unsigned code)
{
    static const struct meaning unavailable = {"", "The other server does not take mail for that address.",
                                               "Check the address for typing errors, and read what the server says above."},
                                full = {"", "The mailbox is full, or the message is too large for it.", SMALLER},
                                none = {"", "The message could not be delivered.",
                                        "If what is said above does not help, show this message to your administrator."};

    if (code == 552)
        return &full;
    if (code == 530 || code == 535)
        return find_meaning("7.8");
    return code == 550 || code == 551 || code == 553 ? &unavailable : &none;
}

static const struct meaning *meaning_of(const struct dsn_recipient *r)
{
    char status[STATUS_TEXT_MAX];

    dsn_status(r, status);
    const struct meaning *m = find_meaning(status + 2);
    return m != NULL ? m : meaning_of_code(r->code);
}

/* ---- text ---- */

static bool is_harmless(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c <= 0x9f) && c != 0x2028 && c != 0x2029 &&
           !(c >= 0x200e && c <= 0x200f) && !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
}

void dsn_add_clean(struct buf *out, struct slice text, bool utf8, size_t max)
{
    size_t start = out->len, at = 0;

    while (at < text.len && out->len - start + 4 <= max) {
        uint32_t c = utf8_next(text, &at);
        bool     blank = c == ' ' || !is_harmless(c);
        if (blank && (out->len == start || out->data[out->len - 1] == ' '))
            continue;
        if (blank)
            buf_add_char(out, ' ');
        else if (c < 0x80 || utf8)
            utf8_add(out, c);
        else
            buf_add_char(out, '?');
    }
    while (out->len > start && out->data[out->len - 1] == ' ')
        out->len--;
}

void dsn_add_wrapped(struct buf *out, const char *first, const char *rest, struct slice words)
{
    size_t width = strlen(first);

    buf_add(out, slice_of(first));
    for (bool begun = false; words.len > 0;) {
        struct slice word = slice_sub(words, 0, slice_find_char(words, ' '));
        if (word.len > WORD_MAX) {
            word.len = WORD_MAX;
            while (word.len > 1 && ((unsigned char)word.ptr[word.len] & 0xC0) == 0x80)
                word.len--; /* no letter is split */
        }
        if (begun && width + 1 + word.len > WIDTH) {
            buf_add(out, SLICE("\r\n"));
            buf_add(out, slice_of(rest));
            width = strlen(rest);
        } else if (begun) {
            buf_add_char(out, ' ');
            width++;
        }
        buf_add(out, word);
        width += word.len;
        begun = true;
        words = slice_from(words, word.len);
        if (words.len > 0 && words.ptr[0] == ' ')
            words = slice_from(words, 1);
    }
    buf_add(out, SLICE("\r\n"));
}

static void add_paragraph(struct buf *out, const char *indent, const char *text)
{
    dsn_add_wrapped(out, indent, indent, slice_of(text));
}

/* "5 days": in the largest unit of which there are two. */
static void write_duration(char *out, size_t size, int64_t seconds)
{
    static const struct { int64_t seconds; const char *name; } units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}};

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (seconds >= 2 * units[i].seconds) {
            (void)snprintf(out, size, "%lld %s", (long long)(seconds / units[i].seconds), units[i].name);
            return;
        }
    }
    (void)snprintf(out, size, "a minute");
}

/* ---- the report ---- */

/* Said of a group of recipients with one fate. */
static const struct { const char *heading, *subject; } kinds[] = {
    [DSN_FAILED] = {"It could not be delivered to", "Not delivered"},
    [DSN_DELAYED] = {"It could not be delivered yet to", "Not yet delivered"},
    [DSN_DELIVERED] = {"It was delivered to", "Delivered"},
    [DSN_RELAYED] = {"It was passed on to the next mail server for", "Passed on"},
    [DSN_EXPANDED] = {"It was passed on to the members of", "Passed on"},
};

static bool same_fate(const struct dsn_recipient *a, const struct dsn_recipient *b)
{
    return a->kind == b->kind && a->code == b->code && a->expired == b->expired && slice_eq(a->status, b->status) &&
           slice_eq(a->remote, b->remote) && slice_eq(a->text, b->text);
}

static void write_reply(struct buf *out, const struct dsn_recipient *r)
{
    struct slice rest = slice_sub(r->text, 0, REPLY_MAX);
    struct buf   line;
    char         codes[40] = "";

    if (r->text.len == 0 && r->code == 0)
        return;
    buf_init(&line, SIZE_MAX);
    if (r->remote.len > 0) {
        buf_add(&line, SLICE("The server "));
        dsn_add_clean(&line, r->remote, true, DOMAIN_MAX);
        buf_add(&line, SLICE(" said:"));
    } else {
        buf_add(&line, SLICE("In detail:"));
    }
    dsn_add_wrapped(out, "  ", "  ", buf_slice(&line));
    if (r->code != 0)
        (void)snprintf(codes, sizeof codes, "%u ", r->code);
    if (r->code != 0 && is_status(r->status) && !slice_starts(r->text, r->status))
        (void)snprintf(codes + strlen(codes), sizeof codes - strlen(codes), PRIslice " ", SLICE_ARG(r->status));
    buf_reset(&line);
    buf_add(&line, slice_of(codes));
    do { /* its lines stay lines */
        dsn_add_clean(&line, slice_cut(&rest, '\n'), true, REPLY_MAX);
        if (line.len > 0)
            dsn_add_wrapped(out, "    ", "    ", slice_trim(buf_slice(&line)));
        buf_reset(&line);
    } while (rest.len > 0);
    buf_finish(&line);
    buf_add(out, SLICE("\r\n"));
}

static void write_failed(struct buf *out, const struct dsn_request *q, const struct dsn_recipient *r)
{
    const struct meaning *m = meaning_of(r);
    char                  text[600], tried[40];

    write_duration(tried, sizeof tried, q->now - q->received);
    if (r->expired && q->options->by_mode == BY_RETURN && q->now >= q->options->by)
        (void)snprintf(text, sizeof text, "The time in which you wanted it delivered is over. %s", m->what);
    else if (r->expired)
        (void)snprintf(text, sizeof text, "This server has tried for %s and gives up now. %s", tried, m->what);
    else
        (void)snprintf(text, sizeof text, "%s", m->what);
    add_paragraph(out, "  ", text);
    buf_add(out, SLICE("\r\n"));
    write_reply(out, r);
    (void)snprintf(text, sizeof text, "What you can do: %s", m->advice);
    add_paragraph(out, "  ", text);
}

static void write_delayed(struct buf *out, const struct dsn_request *q, const struct dsn_recipient *r)
{
    char text[600];

    add_paragraph(out, "  ", meaning_of(r)->what);
    buf_add(out, SLICE("\r\n"));
    write_reply(out, r);
    if (q->expires > 0)
        (void)snprintf(text, sizeof text,
                       "You need do nothing, and need not send it again: this server goes on trying until %s, and tells "
                       "you if it gives up then.", clock_rfc5322(q->expires).text);
    else
        (void)snprintf(text, sizeof text, "You need do nothing, and need not send it again: this server goes on trying.");
    add_paragraph(out, "  ", text);
}

static void write_fate(struct buf *out, const struct dsn_request *q, const struct dsn_recipient *r)
{
    switch (r->kind) {
    case DSN_FAILED:
        write_failed(out, q, r);
        return;
    case DSN_DELAYED:
        write_delayed(out, q, r);
        return;
    case DSN_DELIVERED:
        add_paragraph(out, "  ", "It is in the recipient's mailbox now. That does not say that it was read.");
        return;
    case DSN_RELAYED:
        add_paragraph(out, "  ", "That server does not confirm deliveries, so this is the last that you hear, unless it fails.");
        return;
    case DSN_EXPANDED:
        add_paragraph(out, "  ", "That is a list; there is no confirmation for each of its members.");
        return;
    }
    bug("kind %d", (int)r->kind);
}

/* The group that begins at recipient `i`; returns where the next one does. */
static size_t write_group(struct buf *out, const struct dsn_request *q, size_t i)
{
    const struct dsn_recipient *first = &q->recipients[i];

    buf_addf(out, "%s\r\n\r\n", kinds[first->kind].heading);
    for (; i < q->recipient_count && same_fate(first, &q->recipients[i]); i++) {
        buf_add(out, SLICE("    <"));
        dsn_add_clean(out, q->recipients[i].address, true, WORD_MAX);
        buf_add(out, SLICE(">\r\n"));
    }
    buf_add(out, SLICE("\r\n"));
    write_fate(out, q, first);
    buf_add(out, SLICE("\r\n"));
    return i;
}

void dsn_write_text(struct buf *out, const struct dsn_request *r, struct slice subject, bool whole)
{
    struct buf words;

    buf_init(&words, SIZE_MAX);
    buf_addf(&words, "This is the mail server " PRIslice ". It is about the message that you sent on %s", SLICE_ARG(r->hostname),
             clock_rfc5322(r->received).text);
    if (subject.len > 0) {
        buf_add(&words, SLICE(", \""));
        dsn_add_clean(&words, subject, true, SUBJECT_MAX);
        buf_add_char(&words, '"');
    }
    buf_add_char(&words, '.');
    dsn_add_wrapped(out, "", "", buf_slice(&words));
    buf_finish(&words);
    buf_add(out, SLICE("\r\n"));
    for (size_t i = 0; i < r->recipient_count;)
        i = write_group(out, r, i);
    add_paragraph(out, "", whole ? "What follows is a report for your mail program, and the message itself."
                                 : "What follows is a report for your mail program, and the head of the message, "
                                   "without its text.");
}

/* Text as encoded words (RFC 2047 section 2: at most 75 characters each, no letter split). */
static void add_encoded(struct buf *out, struct slice text)
{
    enum { OCTETS = 45 };

    for (size_t from = 0; from < text.len;) {
        size_t end = from, next = from;
        while (next < text.len) {
            (void)utf8_next(text, &next);
            if (next - from > OCTETS)
                break;
            end = next;
        }
        buf_add(out, from == 0 ? SLICE("=?utf-8?B?") : SLICE("\r\n =?utf-8?B?"));
        base64_encode(out, slice_sub(text, from, end - from));
        buf_add(out, SLICE("?="));
        from = end;
    }
}

void dsn_write_subject(struct buf *out, const struct dsn_request *r, struct slice subject)
{
    enum dsn_kind worst = r->recipients[0].kind;
    struct buf    clean;

    for (size_t i = 0; i < r->recipient_count; i++) {
        if (r->recipients[i].kind < worst)
            worst = r->recipients[i].kind;
    }
    buf_init(&clean, SUBJECT_MAX);
    dsn_add_clean(&clean, subject, true, SUBJECT_MAX);
    buf_add(out, slice_of(kinds[worst].subject));
    if (clean.len > 0) {
        buf_add(out, SLICE(": "));
        if (slice_is_ascii(buf_slice(&clean)))
            buf_add(out, buf_slice(&clean));
        else
            add_encoded(out, buf_slice(&clean));
    }
    buf_finish(&clean);
}
