/*
 * transfer/from_line.c - the line that begins a message in an mbox.
 *
 * Layer: transfer.
 */
#include "transfer/from_line.h"

#include <time.h>

#include "message/header.h"

static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const struct { const char *name; int minutes; } zones[] = {
    {"UT", 0},     {"GMT", 0},    {"UTC", 0},    {"EST", -300}, {"EDT", -240}, {"CST", -360}, {"CDT", -300}, {"MST", -420},
    {"MDT", -360}, {"PST", -480}, {"PDT", -420}, {"MET", 60},   {"CET", 60},   {"CEST", 120}, {"BST", 60},   {"WET", 0},
    {"EET", 120},  {"JST", 540},  {"DST", 0 /* "MET DST": an hour more, below */}};

/* ---- words ---- */

static struct slice word(struct slice *rest)
{
    size_t from = 0, to;

    while (from < rest->len && (rest->ptr[from] == ' ' || rest->ptr[from] == '\t'))
        from++;
    for (to = from; to < rest->len && rest->ptr[to] != ' ' && rest->ptr[to] != '\t';)
        to++;
    struct slice w = slice_sub(*rest, from, to - from);
    *rest = slice_from(*rest, to);
    return w;
}

/* The position in a list of three-letter names, -1. */
static int position(const char *const *names, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return (int)i;
    return -1;
}

static bool number(struct slice digits, uint64_t low, uint64_t high, int *out)
{
    uint64_t n;

    if (digits.len > 4 || !slice_to_u64(digits, high, &n) || n < low)
        return false;
    *out = (int)n;
    return true;
}

/* hh:mm[:ss] */
static bool clock_of(struct slice text, struct tm *out)
{
    struct slice h = slice_cut(&text, ':'), m = slice_cut(&text, ':');

    if (!number(h, 0, 23, &out->tm_hour) || !number(m, 0, 59, &out->tm_min))
        return false;
    out->tm_sec = 0;
    return text.len == 0 || number(text, 0, 60, &out->tm_sec);
}

/* "+0100", or letters; what nobody knows counts as UTC.  false: no zone at all. */
static bool zone_of(struct slice text, int *minutes)
{
    bool sign = text.len > 0 && (text.ptr[0] == '+' || text.ptr[0] == '-');
    int  n;

    if (sign && text.len == 5 && number(slice_from(text, 1), 0, 9959, &n) && n % 100 < 60 && n / 100 < 24) {
        *minutes = (text.ptr[0] == '-' ? -1 : 1) * (n / 100 * 60 + n % 100);
        return true;
    }
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alpha(text.ptr[i]))
            return false;
    *minutes = slice_eq_nocase(text, SLICE("DST")) ? *minutes + 60 : 0;
    for (size_t i = 0; i + 1 < ARRAY_LEN(zones); i++)
        if (slice_eq_nocase(text, slice_of(zones[i].name)))
            *minutes = zones[i].minutes;
    return true;
}

/* What may stand behind the date: nothing, or "remote from HOST". */
static bool is_tail(struct slice rest)
{
    rest = slice_trim(rest);
    return rest.len == 0 || slice_starts_nocase(rest, SLICE("remote from ")) || slice_eq_nocase(rest, SLICE("remote from"));
}

/* Www Mmm dd hh:mm[:ss] [zone [DST]] yyyy [zone] [remote from HOST]; `rest` begins behind Www. */
static bool date_of(struct slice rest, int64_t *date, int *zone)
{
    struct tm    t = {0};
    struct slice w = word(&rest);
    int          month = position(months, ARRAY_LEN(months), w), year;

    *zone = 0;
    if (month < 0 || !number(word(&rest), 1, 31, &t.tm_mday) || !clock_of(word(&rest), &t))
        return false;
    w = word(&rest);
    for (int i = 0; i < 2 && zone_of(w, zone); i++)
        w = word(&rest);
    if (w.len == 2 && number(w, 0, 99, &year))
        year += year < 70 ? 2000 : 1900;
    else if (w.len != 4 || !number(w, 1900, 9999, &year))
        return false;
    struct slice behind = rest, z = word(&behind);
    if (!slice_eq_nocase(z, SLICE("remote")) && zone_of(z, zone))
        rest = behind;
    if (!is_tail(rest))
        return false;
    t.tm_mon = month;
    t.tm_year = year - 1900;
    *date = (int64_t)timegm(&t) - (int64_t)*zone * 60;
    return true;
}

/* Www, dd Mmm yyyy hh:mm:ss +zone */
static bool rfc5322_of(struct slice text, int64_t *date, int *zone)
{
    struct slice rest = text;
    int          day;

    (void)word(&rest);
    return number(word(&rest), 1, 31, &day) && position(months, ARRAY_LEN(months), word(&rest)) >= 0 &&
           header_parse_date(text, date, zone);
}

bool from_line_read(struct slice line, struct from_line *out)
{
    if (!slice_starts(line, SLICE("From ")) || line.len > FROM_LINE_MAX)
        return false;
    line = slice_trim(slice_from(line, 5));
    for (size_t i = 0; i + 4 < line.len; i++) {
        if (i > 0 && line.ptr[i - 1] != ' ' && line.ptr[i - 1] != '\t')
            continue;
        struct slice behind = slice_from(line, i + 3);
        if (position(days, ARRAY_LEN(days), slice_sub(line, i, 3)) < 0)
            continue;
        out->sender = slice_trim(slice_sub(line, 0, i));
        if (behind.ptr[0] == ' ' ? date_of(behind, &out->date, &out->zone)
                                 : behind.ptr[0] == ',' && rfc5322_of(slice_from(line, i), &out->date, &out->zone))
            return true;
    }
    return false;
}

void from_line_write(struct buf *out, struct slice sender, int64_t date, int zone)
{
    struct tm t;
    time_t    local = (time_t)(date + (int64_t)zone * 60);
    bool      plain = sender.len > 0 && sender.len < 500;

    for (size_t i = 0; i < sender.len && plain; i++)
        plain = (unsigned char)sender.ptr[i] > ' ' && sender.ptr[i] != 0x7f;
    if (gmtime_r(&local, &t) == NULL || t.tm_year < 0 || t.tm_year > 8099) {
        local = 0;
        (void)gmtime_r(&local, &t);
    }
    buf_addf(out, "From " PRIslice " %s %s %2d %02d:%02d:%02d %d", SLICE_ARG(plain ? sender : SLICE("MAILER-DAEMON")), days[t.tm_wday],
             months[t.tm_mon], t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, t.tm_year + 1900);
    if (zone != 0)
        buf_addf(out, " %c%02d%02d", zone < 0 ? '-' : '+', (zone < 0 ? -zone : zone) / 60, (zone < 0 ? -zone : zone) % 60);
    buf_add_char(out, '\n');
}
