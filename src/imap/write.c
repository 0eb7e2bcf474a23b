/*
 * imap/write.c - the words of responses.
 *
 * Layer: imap.  No printf in here: these run for every message of a mailbox.
 */
#include "imap/session.h"

#include <stdio.h>

#include "base/unicode.h"

/* QUOTED-CHAR without escapes, short enough to be read by line readers */
static bool fits_quotes(struct slice s, bool utf8)
{
    bool eight_bit = false;

    if (s.len > 1000)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '\0' || c == '\r' || c == '\n')
            return false;
        eight_bit = eight_bit || c > 0x7f;
    }
    return !eight_bit || (utf8 && utf8_valid(s));
}

static void write_quoted(struct buf *b, struct slice s)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, s.ptr[i]);
    }
    buf_add_char(b, '"');
}

static void write_string(struct buf *b, struct slice s, bool utf8)
{
    if (fits_quotes(s, utf8)) {
        write_quoted(b, s);
        return;
    }
    buf_add_char(b, '{');
    buf_add_u64(b, s.len);
    buf_add(b, SLICE("}\r\n"));
    buf_add(b, s);
}

void imap_write_string(struct buf *b, struct slice s)
{
    write_string(b, s, false);
}

void imap_write_text(const struct imap_session *s, struct buf *b, struct slice text)
{
    write_string(b, text, imap_speaks_utf8(s));
}

void imap_write_astring(struct buf *b, struct slice s)
{
    bool atom = s.len > 0;

    for (size_t i = 0; i < s.len && atom; i++)
        atom = imap_is_atom_char(s.ptr[i]);
    if (atom)
        buf_add(b, s);
    else
        imap_write_string(b, s);
}

void imap_write_mailbox(const struct imap_session *s, struct buf *b, struct slice name)
{
    struct buf encoded;

    if (imap_speaks_utf8(s)) {
        write_quoted(b, name);
        return;
    }
    buf_init(&encoded, name.len * 8 + 16);
    utf7_encode(&encoded, name);
    write_quoted(b, buf_slice(&encoded));
    buf_finish(&encoded);
}

/* Ids of accounts and mailboxes are never used twice, whatever is restored from where. */
void imap_write_mailboxid(struct buf *b, const struct account *a, uint64_t mailbox)
{
    buf_addf(b, "M%llx-%llx", (unsigned long long)account_id(a), (unsigned long long)mailbox);
}

void imap_write_flags(struct buf *b, struct account *a, uint32_t flags, uint32_t keyword_set, bool recent)
{
    static const struct {
        uint32_t bit;
        struct slice name;
    } names[] = {
        {STORE_ANSWERED, {"\\Answered ", 10}}, {STORE_FLAGGED, {"\\Flagged ", 9}},
        {STORE_DELETED, {"\\Deleted ", 9}},    {STORE_SEEN, {"\\Seen ", 6}},
        {STORE_DRAFT, {"\\Draft ", 7}},
    };
    buf_add_char(b, '(');
    size_t begin = b->len;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (flags & names[i].bit)
            buf_add(b, names[i].name);
    if (recent)
        buf_add(b, SLICE("\\Recent "));
    if (keyword_set != 0) {
        struct keyword_set set = account_keyword_set(a, keyword_set);
        for (size_t i = 0; i < set.count; i++) {
            buf_add(b, set.names[i]);
            buf_add_char(b, ' ');
        }
    }
    if (b->len > begin && !b->failed)
        b->len--; /* the last space */
    buf_add_char(b, ')');
}

/* What stands in front of the number. */
static struct slice objectid_prefix(char room[24], char kind, uint64_t foreign)
{
    int n = foreign == 0 ? snprintf(room, 24, "%c", kind) : snprintf(room, 24, "%c%llx_", kind, (unsigned long long)foreign);

    return slice_make(room, (size_t)n);
}

static void write_objectid(struct buf *b, char kind, uint64_t foreign, uint64_t id)
{
    char room[24];

    buf_add(b, objectid_prefix(room, kind, foreign));
    buf_add_u64(b, id);
}

void imap_write_emailid(struct buf *b, uint64_t foreign, uint64_t message_id)
{
    write_objectid(b, 'M', foreign, message_id);
}

void imap_write_threadid(struct buf *b, uint64_t foreign, uint64_t thread_id)
{
    write_objectid(b, 'T', foreign, thread_id);
}

bool imap_parse_objectid(struct slice objectid, char kind, uint64_t foreign, uint64_t *id)
{
    char room[24];
    const struct slice prefix = objectid_prefix(room, kind, foreign);
    const struct slice digits = slice_from(objectid, prefix.len);

    return slice_starts(objectid, prefix) && digits.len > 0 && digits.ptr[0] != '0' && slice_to_u64(digits, INT64_MAX, id);
}

static char *two_digits(char *p, int64_t n)
{
    *p++ = (char)('0' + n / 10);
    *p++ = (char)('0' + n % 10);
    return p;
}

/* Year, month and day of a day since 1970 (proleptic Gregorian; the inverse of reader.c's days_of). */
static void civil_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

void imap_write_date_time(struct buf *b, int64_t seconds, int zone)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t local = seconds + (int64_t)zone * 60;
    int64_t days = local >= 0 ? local / 86400 : -((86399 - local) / 86400);
    int64_t rest = local - days * 86400;
    int64_t year, month, day;
    char text[32], *p = text;

    civil_of(days, &year, &month, &day);
    if (year < 0 || year > 9999) { /* nothing a date-time can say */
        buf_add(b, SLICE("\"01-Jan-1970 00:00:00 +0000\""));
        return;
    }
    *p++ = '"';
    p = two_digits(p, day);
    *p++ = '-';
    memcpy(p, months + (month - 1) * 3, 3);
    p += 3;
    *p++ = '-';
    p = two_digits(p, year / 100);
    p = two_digits(p, year % 100);
    *p++ = ' ';
    p = two_digits(p, rest / 3600);
    *p++ = ':';
    p = two_digits(p, rest / 60 % 60);
    *p++ = ':';
    p = two_digits(p, rest % 60);
    *p++ = ' ';
    *p++ = zone < 0 ? '-' : '+';
    int64_t east = zone < 0 ? -zone : zone;
    p = two_digits(p, east / 60 % 100);
    p = two_digits(p, east % 60);
    *p++ = '"';
    buf_add(b, slice_make(text, (size_t)(p - text)));
}
