/*
 * message/date.c - date-time (RFC 5322 section 3.3, obsolete forms of 4.3).
 *
 * Layer: message.  Reads besides: a day name without its comma, names longer
 * than three letters, dashes between day, month and year, and the C library's
 * "Thu Jan  1 00:00:00 1970".
 */
#include "message/header.h"
#include "message/lex.h"

struct civil {
    unsigned day, month, year, hour, minute, second;
    int zone; /* minutes east of UTC */
};

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const day_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/* obs-zone; the single letters say nothing (RFC 5322 section 4.3) and mean -0000, as unknown names do. */
static const struct {
    const char *name;
    int hours;
} zone_names[] = {{"edt", -4}, {"est", -5}, {"cdt", -5}, {"cst", -6},
                  {"mdt", -6}, {"mst", -7}, {"pdt", -7}, {"pst", -8}};

/* Days since 1970-01-01 of a day in the Gregorian calendar; years are counted from March, so that leap days
 * come last. */
static int64_t days_from_civil(unsigned year, unsigned month, unsigned day)
{
    int64_t years = (int64_t)year - (month <= 2);
    int64_t era = years / 400, year_of_era = years % 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

static struct slice read_letters(struct lex *l)
{
    lex_skip(l, NULL);
    size_t start = l->at;

    while (ascii_is_alpha(lex_peek(l)))
        l->at++;
    return slice_sub(l->in, start, l->at - start);
}

/* 1*max_digits DIGIT. */
static bool read_number(struct lex *l, size_t max_digits, unsigned *value, size_t *digits)
{
    size_t start;

    lex_skip(l, NULL);
    start = l->at;
    for (*value = 0; ascii_is_digit(lex_peek(l)) && l->at - start < max_digits; l->at++)
        *value = *value * 10 + (unsigned)(lex_peek(l) - '0');
    *digits = l->at - start;
    return *digits > 0 && !ascii_is_digit(lex_peek(l));
}

/* The position of a name that `word` begins with, from 1; 0 if there is none. */
static unsigned find_name(const char *const *names, size_t count, struct slice word)
{
    for (unsigned i = 0; i < count; i++)
        if (slice_starts_nocase(word, slice_of(names[i])))
            return i + 1;
    return 0;
}

/* Two digits are 1950 to 2049, three count from 1900 (RFC 5322 section 4.3). */
static bool read_year(struct lex *l, struct civil *out)
{
    size_t digits;

    if (!read_number(l, 4, &out->year, &digits) || digits == 1)
        return false;
    if (digits == 2)
        out->year += out->year < 50 ? 2000 : 1900;
    else if (digits == 3)
        out->year += 1900;
    return out->year >= 1900;
}

/* time-of-day = hour ":" minute [ ":" second ] */
static bool read_time(struct lex *l, struct civil *out)
{
    size_t digits;

    if (!read_number(l, 2, &out->hour, &digits))
        return false;
    lex_skip(l, NULL);
    if (!lex_accept(l, ':') || !read_number(l, 2, &out->minute, &digits))
        return false;
    lex_skip(l, NULL);
    if (lex_accept(l, ':') && !read_number(l, 2, &out->second, &digits))
        return false;
    return out->hour <= 23 && out->minute <= 59 && out->second <= 60;
}

/* zone = ( "+" / "-" ) 4DIGIT / obs-zone; what says nothing is UTC. */
static int read_zone(struct lex *l)
{
    unsigned value;
    size_t digits;
    bool west;

    lex_skip(l, NULL);
    west = lex_peek(l) == '-';
    if (lex_accept(l, '+') || lex_accept(l, '-')) {
        if (!read_number(l, 4, &value, &digits) || digits != 4 || value % 100 > 59 || value / 100 > 23)
            return 0;
        int minutes = (int)(value / 100 * 60 + value % 100);
        return west ? -minutes : minutes;
    }
    struct slice name = read_letters(l);
    for (size_t i = 0; i < ARRAY_LEN(zone_names); i++)
        if (slice_eq_nocase(name, slice_of(zone_names[i].name)))
            return zone_names[i].hours * 60;
    return 0;
}

static bool read_month(struct lex *l, struct civil *out)
{
    out->month = find_name(month_names, ARRAY_LEN(month_names), read_letters(l));
    return out->month != 0;
}

static bool read_day(struct lex *l, struct civil *out)
{
    size_t digits;

    return read_number(l, 2, &out->day, &digits);
}

static void skip_dash(struct lex *l)
{
    lex_skip(l, NULL);
    (void)lex_accept(l, '-');
}

/* date-time = [ day-of-week "," ] day month year time-of-day zone / [ day-of-week ] month day time-of-day
 * year */
static bool read_date_time(struct lex *l, struct civil *out)
{
    struct lex before = *l;
    struct slice word = read_letters(l);

    if (find_name(day_names, ARRAY_LEN(day_names), word) != 0) {
        lex_skip(l, NULL);
        (void)(lex_accept(l, ',') || lex_accept(l, '.'));
        before = *l;
        word = read_letters(l);
    }
    *l = before;
    if (word.len > 0) {
        if (!read_month(l, out) || !read_day(l, out) || !read_time(l, out))
            return false;
        out->zone = ascii_is_digit((lex_skip(l, NULL), lex_peek(l))) ? 0 : read_zone(l);
        return read_year(l, out);
    }
    if (!read_day(l, out))
        return false;
    skip_dash(l);
    if (!read_month(l, out))
        return false;
    skip_dash(l);
    if (!read_year(l, out) || !read_time(l, out))
        return false;
    out->zone = read_zone(l);
    return true;
}

bool header_parse_date(struct slice body, int64_t *seconds, int *zone_minutes)
{
    struct lex l = {.in = body};
    struct civil date = {0};

    if (!read_date_time(&l, &date) || date.day == 0 || date.day > days_in_month(date.year, date.month))
        return false;
    *seconds = days_from_civil(date.year, date.month, date.day) * 86400 + (int64_t)date.hour * 3600 +
               (int64_t)date.minute * 60 + date.second - (int64_t)date.zone * 60;
    *zone_minutes = date.zone;
    return true;
}
