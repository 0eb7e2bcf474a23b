/*
 * main/intake_header.c - what a program's header lacks.
 *
 * Layer: main.
 */
#include "main/intake_header.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/unicode.h"
#include "message/address.h"
#include "message/header.h"

enum { ADDRESSES_MAX = 1000, NAME_MAX_BYTES = 40, LINE_WIDTH = 76 };

/* phrase "<" addr-spec ">"; the name in quotes, or as an encoded word where it is not ASCII. */
static void add_mailbox(struct buf *out, struct slice name, struct slice mailbox, struct slice host)
{
    if (name.len > 0 && slice_find(name, SLICE("=?")) < name.len) {
        buf_add(out, name); /* encoded words already: in quotes they would be none */
        buf_add_char(out, ' ');
    } else if (name.len > 0 && !slice_is_ascii(name)) {
        buf_add(out, SLICE("=?utf-8?B?"));
        base64_encode(out, name);
        buf_add(out, SLICE("?= "));
    } else if (name.len > 0) {
        buf_add_char(out, '"');
        for (size_t i = 0; i < name.len; i++) {
            if (name.ptr[i] == '"' || name.ptr[i] == '\\')
                buf_add_char(out, '\\');
            buf_add_char(out, name.ptr[i] < ' ' ? ' ' : name.ptr[i]);
        }
        buf_add(out, SLICE("\" "));
    }
    buf_addf(out, "<" PRIslice "@" PRIslice ">", SLICE_ARG(mailbox), SLICE_ARG(host));
}

static bool has_addresses(struct slice name)
{
    static const char *const names[] = {"From", "Sender", "Reply-To", "To", "Cc"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    }
    return false;
}

/* A local part, or a host, of plain letters: written as it was read. */
static bool is_user_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_alpha(s.ptr[i]) && !ascii_is_digit(s.ptr[i]) && (s.ptr[i] == '\0' || strchr("._-+", s.ptr[i]) == NULL))
            return false;
    }
    return s.len > 0;
}

/* "From: root (Cron Daemon)": such a field is written anew; one that is complete, or odd, stays. */
static bool add_with_domain(struct buf *out, struct arena *a, const struct header_field *field, struct slice domain)
{
    struct address *list;
    size_t          count = address_list_parse(a, header_unfold(a, field->body), ADDRESSES_MAX, &list);
    bool            lacks = false;

    for (size_t i = 0; i < count; i++) {
        if (list[i].is_group_start || list[i].is_group_end || !is_user_name(list[i].mailbox) ||
            (list[i].host.len > 0 && !is_user_name(list[i].host)) || list[i].name.len > LINE_WIDTH)
            return false;
        lacks = lacks || list[i].host.len == 0;
    }
    if (!lacks)
        return false;
    buf_addf(out, PRIslice ": ", SLICE_ARG(field->name));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add(out, SLICE(",\r\n "));
        add_mailbox(out, list[i].name, list[i].mailbox, list[i].host.len > 0 ? list[i].host : domain);
    }
    buf_add(out, SLICE("\r\n"));
    return true;
}

static void add_missing(struct buf *out, struct slice header, const struct intake_author *author, const char *hostname,
                        int64_t now)
{
    struct header_field field;
    size_t              at = slice_rfind_char(author->address, '@');
    struct slice        name = utf8_valid(author->name) ? slice_sub(author->name, 0, NAME_MAX_BYTES) : SLICE("");

    if (!header_find(header, SLICE("Date"), &field))
        buf_addf(out, "Date: %s\r\n", clock_rfc5322(now).text);
    if (!header_find(header, SLICE("Message-ID"), &field))
        buf_addf(out, "Message-ID: <%llx.%016llx@%s>\r\n", (unsigned long long)now, (unsigned long long)random_u64(),
                 hostname);
    if (!header_find(header, SLICE("From"), &field)) {
        buf_add(out, SLICE("From: "));
        while (name.len > 0 && !utf8_valid(name))
            name.len--; /* no half letter at its end */
        add_mailbox(out, name, slice_sub(author->address, 0, at), slice_from(author->address, at + 1));
        buf_add(out, SLICE("\r\n"));
    }
}

void intake_complete_header(struct buf *out, struct arena *a, struct slice header, const struct intake_author *author,
                            const char *hostname, int64_t now)
{
    struct header_field field;
    size_t              copied = 0;

    add_missing(out, header, author, hostname, now);
    for (size_t at = 0; header_next(header, &at, &field);) {
        size_t from = (size_t)(field.raw.ptr - header.ptr);
        if (!has_addresses(field.name))
            continue;
        buf_add(out, slice_sub(header, copied, from - copied));
        copied = from;
        if (add_with_domain(out, a, &field, author->domain))
            copied = from + field.raw.len;
    }
    buf_add(out, slice_from(header, copied));
}
