/*
 * imap/url.c - IMAP URLs.
 *
 * Layer: imap.
 */
#include "imap/url.h"

#include "base/unicode.h"

struct url_reader {
    struct arena *arena;
    struct slice rest;
    bool failed;
};

static int hex_value(char c)
{
    c = ascii_lower(c);
    if (ascii_is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * uchar = unreserved / sub-delims-sh / pct-encoded;  bchar = achar / ":" / "@" / "/"
 *
 * Decoded; what is no bchar fails, and so does NUL.
 */
static struct slice decode(struct url_reader *u, struct slice text)
{
    char *out = arena_alloc(u->arena, text.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.len && out != NULL && !u->failed; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text.ptr[i + 2]) : -1;
            u->failed = high < 0 || low < 0 || (high == 0 && low == 0);
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            u->failed = !ascii_is_alpha(c) && !ascii_is_digit(c) && (c == '\0' || strchr("-._~!$'()*+,&=:@/", c) == NULL);
            out[n++] = c;
        }
    }
    u->failed = u->failed || out == NULL;
    return slice_make(out, u->failed ? 0 : n);
}

static bool take_word(struct url_reader *u, const char *word)
{
    struct slice w = slice_of(word);

    if (u->failed || !slice_starts_nocase(u->rest, w))
        return false;
    u->rest = slice_from(u->rest, w.len);
    return true;
}

/* Everything up to ";", without the "/" that may stand before it. */
static struct slice take_piece(struct url_reader *u)
{
    size_t end = slice_find_char(u->rest, ';');
    struct slice piece = slice_sub(u->rest, 0, end);

    if (end < u->rest.len && slice_ends(piece, SLICE("/")))
        piece.len--;
    u->rest = slice_from(u->rest, piece.len);
    return piece;
}

static uint64_t take_number(struct url_reader *u, uint64_t min, uint64_t max)
{
    size_t n = 0;
    uint64_t value = 0;

    while (n < u->rest.len && ascii_is_digit(u->rest.ptr[n]))
        n++;
    if (!slice_to_u64(slice_sub(u->rest, 0, n), max, &value) || value < min)
        u->failed = true;
    u->rest = slice_from(u->rest, n);
    return value;
}

/* iserver = [iuserinfo "@"] host [ ":" port ];  iuserinfo = enc-user [iauth] / [enc-user] iauth */
static void read_server(struct url_reader *u, struct imap_url *out)
{
    struct slice server = slice_sub(u->rest, 0, slice_find_char(u->rest, '/'));
    size_t at = slice_rfind_char(server, '@');

    u->rest = slice_from(u->rest, server.len);
    if (at < server.len) {
        struct slice user = slice_sub(server, 0, at);
        out->user = decode(u, slice_sub(user, 0, slice_find_char(user, ';')));
        server = slice_from(server, at + 1);
    }
    out->host = slice_sub(server, 0, slice_find_char(server, ':'));
    u->failed = u->failed || out->host.len == 0;
}

/* imailbox-ref = enc-mailbox [uidvalidity]; the names are UTF-8 (RFC 5092 section 8). */
static void read_mailbox(struct url_reader *u, struct imap_url *out)
{
    out->mailbox = decode(u, take_piece(u));
    if (slice_eq_nocase(out->mailbox, SLICE("INBOX")))
        out->mailbox = SLICE("INBOX");
    u->failed = u->failed || out->mailbox.len == 0 || !utf8_valid(out->mailbox);
    if (take_word(u, ";UIDVALIDITY="))
        out->uidvalidity = (uint32_t)take_number(u, 1, UINT32_MAX);
    u->failed = u->failed || !take_word(u, "/");
}

/* isection = "/" ";SECTION=" enc-section, a section-spec of FETCH */
static void read_section(struct url_reader *u, const struct imap_limits *limits, struct imap_url *out)
{
    struct imap_reader r;

    if (!take_word(u, "/;SECTION="))
        return;
    struct slice text = decode(u, take_piece(u));
    if (u->failed)
        return;
    imap_reader_init(&r, arena_printf(u->arena, PRIslice "]", SLICE_ARG(text)), u->arena, limits);
    fetch_section_read(&r, &out->section);
    imap_expect(&r, ']');
    imap_expect_end(&r);
    u->failed = r.failed || text.len == 0;
}

/* ipartial = "/" ";PARTIAL=" number ["." nz-number] */
static void read_partial(struct url_reader *u, struct imap_url *out)
{
    if (!take_word(u, "/;PARTIAL="))
        return;
    out->section.partial = true;
    out->section.offset = take_number(u, 0, INT64_MAX);
    out->section.length = take_word(u, ".") ? take_number(u, 1, INT64_MAX) : UINT64_MAX;
}

/* date-time of RFC 3339: "2026-11-22T10:00:00Z", with a fraction or an offset if need be. */
static int64_t take_date_time(struct url_reader *u)
{
    static const unsigned short before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint64_t n[6];
    static const char marks[6] = {'-', '-', 'T', ':', ':', '\0'};

    for (size_t i = 0; i < 6; i++) {
        n[i] = take_number(u, i == 1 || i == 2 ? 1 : 0, i == 0 ? 9999 : 60);
        char mark[2] = {marks[i], '\0'};
        if (mark[0] != '\0' && !take_word(u, mark))
            u->failed = true;
    }
    if (take_word(u, "."))
        (void)take_number(u, 0, INT64_MAX);
    int64_t zone = 0;
    bool east = take_word(u, "+");
    if (east || take_word(u, "-")) {
        uint64_t hours = take_number(u, 0, 23);
        u->failed = u->failed || !take_word(u, ":");
        zone = (int64_t)(hours * 60 + take_number(u, 0, 59)) * (east ? 60 : -60);
    } else if (!take_word(u, "Z")) {
        u->failed = true;
    }
    if (u->failed || n[0] < 1 || n[1] > 12 || n[2] > 31 || n[3] > 23 || n[4] > 59) {
        u->failed = true;
        return 0;
    }
    bool leap = (n[0] % 4 == 0 && n[0] % 100 != 0) || n[0] % 400 == 0;
    uint64_t y = n[0] - 1;
    int64_t days = (int64_t)(y * 365 + y / 4 - y / 100 + y / 400) - 719162 + before[n[1] - 1] +
                   (leap && n[1] > 2) + (int64_t)n[2] - 1;
    return days * 86400 + (int64_t)(n[3] * 3600 + n[4] * 60 + n[5]) - zone;
}

/*
 * iurlauth      = iurlauth-rump [iua-verifier];  iurlauth-rump = [";EXPIRE=" date-time] ";URLAUTH=" access
 * iua-verifier  = ":" uauth-mechanism ":" enc-urlauth
 */
static void read_auth(struct url_reader *u, struct slice whole, struct imap_url *out)
{
    out->expires = INT64_MAX;
    if (take_word(u, ";EXPIRE="))
        out->expires = take_date_time(u);
    out->has_auth = take_word(u, ";URLAUTH=");
    if (!out->has_auth) {
        u->failed = u->failed || out->expires != INT64_MAX;
        return;
    }
    struct slice access = slice_sub(u->rest, 0, slice_find_char(u->rest, ':'));
    u->rest = slice_from(u->rest, access.len);
    out->rump = slice_sub(whole, 0, whole.len - u->rest.len);
    out->access = decode(u, access);
    if (u->rest.len == 0)
        return;
    u->rest = slice_from(u->rest, 1);
    out->token = u->rest;
    out->mechanism = slice_cut(&out->token, ':');
    u->failed = u->failed || out->mechanism.len == 0 || out->token.len < 32;
    for (size_t i = 0; i < out->token.len; i++)
        u->failed = u->failed || hex_value(out->token.ptr[i]) < 0;
    u->rest = (struct slice){0};
}

/*
 * imapurl       = "imap://" iserver ["/" [ icommand ]];  iabsolute-path = "/" [ icommand ]
 * icommand      = imessagepart [iurlauth];  imessagepart = imailbox-ref "/" ";UID=" nz-number [isection] [ipartial]
 *
 * Also ";UID=..." by itself, for the selected mailbox (RFC 4469 section 3 gives it as a base).
 */
bool imap_url_read(struct arena *a, const struct imap_limits *limits, struct slice text, struct imap_url *out)
{
    struct url_reader u = {.arena = a, .rest = text};

    *out = (struct imap_url){.section = {.kind = ITEM_SECTION}};
    bool full = take_word(&u, "imap://");
    if (full)
        read_server(&u, out);
    if (take_word(&u, "/"))
        read_mailbox(&u, out);
    else if (full)
        u.failed = true;
    if (!take_word(&u, ";UID="))
        return false;
    out->uid = (uint32_t)take_number(&u, 1, UINT32_MAX);
    read_section(&u, limits, out);
    read_partial(&u, out);
    read_auth(&u, text, out);
    return !u.failed && u.rest.len == 0;
}
