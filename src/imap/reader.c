/*
 * imap/reader.c - reads the words of one command.
 *
 * Layer: imap.  Grammar: RFC 3501 section 9.
 */
#include "imap/reader.h"

#include "base/unicode.h"
#include "store/store.h"

void imap_reader_init(struct imap_reader *r, struct slice text, struct arena *a,
                      const struct imap_limits *limits)
{
    *r = (struct imap_reader){.text = text, .arena = a, .limits = limits};
}

bool imap_fail(struct imap_reader *r, const char *expected)
{
    if (!r->failed) {
        r->failed = true;
        r->expected = expected;
    }
    return false;
}

bool imap_at_end(const struct imap_reader *r)
{
    return r->at >= r->text.len;
}

char imap_peek(const struct imap_reader *r)
{
    return r->failed || imap_at_end(r) ? '\0' : r->text.ptr[r->at];
}

bool imap_accept(struct imap_reader *r, char c)
{
    if (r->failed || imap_at_end(r) || r->text.ptr[r->at] != c)
        return false;
    r->at++;
    return true;
}

void imap_expect(struct imap_reader *r, char c)
{
    if (imap_accept(r, c))
        return;
    switch (c) {
    case '(': imap_fail(r, "\"(\""); break;
    case ')': imap_fail(r, "\")\""); break;
    case '[': imap_fail(r, "\"[\""); break;
    case ']': imap_fail(r, "\"]\""); break;
    case '<': imap_fail(r, "\"<\""); break;
    case '>': imap_fail(r, "\">\""); break;
    case '"': imap_fail(r, "a double quote"); break;
    case '-': imap_fail(r, "\"-\""); break;
    case ':': imap_fail(r, "\":\""); break;
    case '.': imap_fail(r, "\".\""); break;
    default: imap_fail(r, "something else"); break;
    }
}

void imap_expect_space(struct imap_reader *r)
{
    if (!imap_accept(r, ' '))
        imap_fail(r, imap_at_end(r) ? "an argument" : "a space");
}

void imap_expect_end(struct imap_reader *r)
{
    if (!imap_at_end(r))
        imap_fail(r, "the end of the command");
}

/*
 * ATOM-CHAR      = <any CHAR except atom-specials>
 * atom-specials  = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
 */
bool imap_is_atom_char(char c)
{
    switch (c) {
    case '(':
    case ')':
    case '{':
    case '%':
    case '*':
    case '"':
    case '\\':
    case ']': return false;
    default: return c > ' ' && c < 0x7f;
    }
}

/* ASTRING-CHAR = ATOM-CHAR / resp-specials */
static bool is_astring_char(char c)
{
    return imap_is_atom_char(c) || c == ']';
}

/* list-char = ATOM-CHAR / list-wildcards / resp-specials */
static bool is_list_char(char c)
{
    return is_astring_char(c) || c == '%' || c == '*';
}

/* tag = 1*<any ASTRING-CHAR except "+"> */
static bool is_tag_char(char c)
{
    return is_astring_char(c) && c != '+';
}

static struct slice read_chars(struct imap_reader *r, bool (*is)(char), const char *expected)
{
    size_t begin = r->at;

    if (r->failed)
        return (struct slice){0};
    while (!imap_at_end(r) && is(r->text.ptr[r->at]))
        r->at++;
    if (r->at == begin)
        imap_fail(r, expected);
    return slice_sub(r->text, begin, r->at - begin);
}

bool imap_accept_word(struct imap_reader *r, const char *word)
{
    struct slice w = slice_of(word);
    struct slice rest = slice_from(r->text, r->at);

    if (r->failed || !slice_starts_nocase(rest, w) ||
        (rest.len > w.len && imap_is_atom_char(rest.ptr[w.len])))
        return false;
    r->at += w.len;
    return true;
}

bool imap_descend(struct imap_reader *r)
{
    if (r->depth >= r->limits->nesting)
        imap_fail(r, "less nesting");
    r->depth++;
    return !r->failed;
}

void imap_ascend(struct imap_reader *r)
{
    r->depth--;
}

struct slice imap_read_tag(struct imap_reader *r)
{
    return read_chars(r, is_tag_char, "a tag");
}

struct slice imap_read_atom(struct imap_reader *r)
{
    return read_chars(r, imap_is_atom_char, "a word");
}

/*
 * quoted      = DQUOTE *QUOTED-CHAR DQUOTE
 * QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials
 *             / UTF8-2 / UTF8-3 / UTF8-4               RFC 9051 section 9, RFC 6855 section 3
 *
 * Clients have always put other octets there too, passwords and search strings in whatever charset:
 * who has not promised UTF-8 is taken as he comes.
 */
static struct slice read_quoted(struct imap_reader *r)
{
    size_t begin, end;
    bool escapes = false, eight_bit = false;

    imap_expect(r, '"');
    begin = r->at;
    for (end = begin; end < r->text.len && r->text.ptr[end] != '"'; end++) {
        char c = r->text.ptr[end];
        if (c == '\r' || c == '\n' || c == '\0')
            break;
        eight_bit = eight_bit || (unsigned char)c > 0x7f;
        if (c == '\\') {
            escapes = true;
            if (++end == r->text.len || (r->text.ptr[end] != '"' && r->text.ptr[end] != '\\'))
                break;
        }
    }
    if (end >= r->text.len || r->text.ptr[end] != '"' || r->failed) {
        imap_fail(r, "a quoted string");
        return (struct slice){0};
    }
    struct slice raw = slice_sub(r->text, begin, end - begin);
    if (eight_bit && r->utf8 && !utf8_valid(raw)) {
        imap_fail(r, "UTF-8");
        return (struct slice){0};
    }
    r->at = end + 1;
    if (!escapes)
        return raw;

    char *out = arena_alloc(r->arena, raw.len);
    size_t n = 0;
    if (out == NULL) {
        imap_fail(r, "a shorter command");
        return (struct slice){0};
    }
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\')
            i++;
        out[n++] = raw.ptr[i];
    }
    return slice_make(out, n);
}

/* literal = "{" number ["+"] "}" CRLF *CHAR8          RFC 7888 section 8 */
static struct slice read_literal(struct imap_reader *r)
{
    imap_expect(r, '{');
    uint64_t n = imap_read_number(r, 0, r->text.len);
    imap_accept(r, '+');
    if (!imap_accept(r, '}'))
        imap_fail(r, "a literal");
    imap_accept(r, '\r');
    if (!imap_accept(r, '\n') || n > r->text.len - r->at)
        imap_fail(r, "a literal");
    if (r->failed)
        return (struct slice){0};
    struct slice s = slice_sub(r->text, r->at, (size_t)n);
    if (slice_find_char(s, '\0') < s.len) {
        imap_fail(r, "a literal without NUL");
        return (struct slice){0};
    }
    r->at += s.len;
    return s;
}

/* string = quoted / literal */
struct slice imap_read_string(struct imap_reader *r)
{
    switch (imap_peek(r)) {
    case '"': return read_quoted(r);
    case '{': return read_literal(r);
    default: imap_fail(r, "a string"); return (struct slice){0};
    }
}

/* astring = 1*ASTRING-CHAR / string */
struct slice imap_read_astring(struct imap_reader *r)
{
    char c = imap_peek(r);

    return c == '"' || c == '{' ? imap_read_string(r) : read_chars(r, is_astring_char, "a word or string");
}

/* nstring = string / nil */
bool imap_read_nstring(struct imap_reader *r, struct slice *out)
{
    if (imap_accept_word(r, "NIL"))
        return false;
    *out = imap_read_string(r);
    return !r->failed;
}

static struct slice decode_mailbox(struct imap_reader *r, struct slice name, size_t began)
{
    struct slice utf8 = {0};

    if (r->failed)
        return utf8;
    if (r->utf8) {
        if (utf8_valid(name))
            return name;
        r->at = began;
        imap_fail(r, "a mailbox name in UTF-8");
    } else if (!utf7_decode(r->arena, name, &utf8)) {
        r->at = began;
        imap_fail(r, "a mailbox name in modified UTF-7");
    }
    return utf8;
}

/* mailbox = "INBOX" / astring                          RFC 3501 section 5.1 */
struct slice imap_read_mailbox(struct imap_reader *r)
{
    size_t began = r->at;
    struct slice name = decode_mailbox(r, imap_read_astring(r), began);

    return slice_eq_nocase(name, SLICE("INBOX")) ? SLICE("INBOX") : name;
}

/* list-mailbox = 1*list-char / string */
struct slice imap_read_list_mailbox(struct imap_reader *r)
{
    size_t began = r->at;
    char c = imap_peek(r);

    return decode_mailbox(
        r, c == '"' || c == '{' ? imap_read_string(r) : read_chars(r, is_list_char, "a mailbox pattern"),
        began);
}

uint64_t imap_read_number(struct imap_reader *r, uint64_t min, uint64_t max)
{
    size_t begin = r->at, end = begin;
    uint64_t n = 0;

    if (r->failed)
        return 0;
    while (end < r->text.len && ascii_is_digit(r->text.ptr[end]))
        end++;
    if (!slice_to_u64(slice_sub(r->text, begin, end - begin), max, &n) || n < min) {
        imap_fail(r, end == begin ? "a number" : "a number within limits");
        return 0;
    }
    r->at = end;
    return n;
}

enum { KEYWORDS_MAX = 1000 }; /* in one list: each is compared with those of each message */

/*
 * flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword / flag-extension
 *
 * \Recent cannot be set by a client, and no flag-extension is known: both are refused.
 */
static void read_flag(struct imap_reader *r, struct imap_flags *out, size_t *cap)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } known[] = {
        {"Answered", STORE_ANSWERED}, {"Flagged", STORE_FLAGGED}, {"Deleted", STORE_DELETED},
        {"Seen", STORE_SEEN},         {"Draft", STORE_DRAFT},
    };

    if (imap_accept(r, '\\')) {
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
            if (imap_accept_word(r, known[i].name)) {
                out->flags |= known[i].bit;
                return;
            }
        }
        imap_fail(r, "a system flag that can be set");
        return;
    }
    struct slice keyword = read_chars(r, imap_is_atom_char, "a flag");
    if (out->keyword_count == KEYWORDS_MAX)
        imap_fail(r, "at most 1000 keywords");
    if (r->failed)
        return;
    if (out->keyword_count == *cap) {
        size_t more = *cap == 0 ? 8 : *cap * 2;
        struct slice *grown = arena_new_array(r->arena, struct slice, more);
        if (grown == NULL) {
            imap_fail(r, "fewer flags");
            return;
        }
        if (out->keyword_count > 0)
            memcpy(grown, out->keywords, out->keyword_count * sizeof(*grown));
        out->keywords = grown;
        *cap = more;
    }
    out->keywords[out->keyword_count++] = keyword;
}

/* flag-list = "(" [flag *(SP flag)] ")" */
struct imap_flags imap_read_flag_list(struct imap_reader *r)
{
    struct imap_flags flags = {0};
    size_t cap = 0;

    imap_expect(r, '(');
    if (imap_accept(r, ')'))
        return flags;
    do
        read_flag(r, &flags, &cap);
    while (imap_accept(r, ' '));
    imap_expect(r, ')');
    return flags;
}

/* store-att-flags = ... (flag-list / (flag *(SP flag))) */
struct imap_flags imap_read_store_flags(struct imap_reader *r)
{
    struct imap_flags flags = {0};
    size_t cap = 0;

    if (imap_peek(r) == '(')
        return imap_read_flag_list(r);
    do
        read_flag(r, &flags, &cap);
    while (imap_accept(r, ' '));
    return flags;
}

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3; /* from March on, so that leap days come last */

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* date-month "-" date-year, after the day */
static int64_t read_month_year(struct imap_reader *r, uint64_t day)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const uint8_t lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct slice name = slice_sub(r->text, r->at, 3);
    size_t month = 0;

    while (month < 12 && !slice_eq_nocase(name, slice_make(months + month * 3, 3)))
        month++;
    if (month == 12 || r->failed) {
        imap_fail(r, "a month");
        return 0;
    }
    r->at += 3;
    imap_expect(r, '-');
    if (r->text.len - r->at < 4 || (r->text.len - r->at > 4 && ascii_is_digit(r->text.ptr[r->at + 4])))
        imap_fail(r, "a year of four digits");
    uint64_t year = imap_read_number(r, 1, 9999);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > lengths[month] || (month == 1 && day == 29 && !leap))
        imap_fail(r, "a day of that month");
    return days_of((int64_t)year, (int64_t)month + 1, (int64_t)day);
}

/* date = date-text / DQUOTE date-text DQUOTE; date-text = date-day "-" date-month "-" date-year */
int64_t imap_read_date(struct imap_reader *r)
{
    bool quoted = imap_accept(r, '"');
    uint64_t day = imap_read_number(r, 1, 31);

    imap_expect(r, '-');
    int64_t days = read_month_year(r, day);
    if (quoted)
        imap_expect(r, '"');
    return r->failed ? 0 : days;
}

static int64_t read_two_digits(struct imap_reader *r, uint64_t max)
{
    if (r->failed || r->text.len - r->at < 2) {
        imap_fail(r, "two digits");
        return 0;
    }
    uint64_t n = 0;
    if (!slice_to_u64(slice_sub(r->text, r->at, 2), max, &n)) {
        imap_fail(r, "two digits");
        return 0;
    }
    r->at += 2;
    return (int64_t)n;
}

/*
 * date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
 * date-day-fixed = (SP DIGIT) / 2DIGIT; time = 2DIGIT ":" 2DIGIT ":" 2DIGIT; zone = ("+" / "-") 4DIGIT
 */
int64_t imap_read_date_time(struct imap_reader *r, int *zone)
{
    imap_expect(r, '"');
    imap_accept(r, ' ');
    uint64_t day = imap_read_number(r, 1, 31);
    imap_expect(r, '-');
    int64_t days = read_month_year(r, day);
    imap_expect_space(r);
    int64_t hour = read_two_digits(r, 23);
    imap_expect(r, ':');
    int64_t minute = read_two_digits(r, 59);
    imap_expect(r, ':');
    int64_t second = read_two_digits(r, 60);
    imap_expect_space(r);
    bool west = imap_accept(r, '-');
    if (!west && !imap_accept(r, '+'))
        imap_fail(r, "a zone such as +0100");
    int64_t offset = read_two_digits(r, 23) * 60;
    offset += read_two_digits(r, 59);
    imap_expect(r, '"');
    *zone = (int)(west ? -offset : offset);
    return days * 86400 + hour * 3600 + minute * 60 + second - (west ? -offset : offset) * 60;
}

/* seq-last-command = "$"                               RFC 5182 section 3 */
static bool at_saved(const struct imap_reader *r)
{
    return imap_peek(r) == '$' && (r->at + 1 == r->text.len || !imap_is_atom_char(r->text.ptr[r->at + 1]));
}

bool imap_at_set(const struct imap_reader *r)
{
    char c = imap_peek(r);

    return ascii_is_digit(c) || c == '*' || at_saved(r);
}

/* seq-number = nz-number / "*" */
static uint32_t read_seq_number(struct imap_reader *r)
{
    return imap_accept(r, '*') ? 0 : (uint32_t)imap_read_number(r, 1, UINT32_MAX);
}

/*
 * sequence-set = (seq-number / seq-range) *("," sequence-set) / seq-last-command
 * seq-range    = seq-number ":" seq-number
 */
struct imap_set imap_read_set(struct imap_reader *r)
{
    struct imap_set set = {0};
    size_t cap = 0;

    if (at_saved(r)) {
        r->at++;
        set.saved = true;
        return set;
    }
    do {
        if (set.count == r->limits->sets)
            imap_fail(r, "fewer ranges");
        if (!imap_at_set(r))
            imap_fail(r, "a set of message numbers");
        if (r->failed)
            break;
        if (set.count == cap) {
            size_t more = cap == 0 ? 4 : cap * 2;
            struct uid_range *grown = arena_new_array(r->arena, struct uid_range, more);
            if (grown == NULL) {
                imap_fail(r, "fewer ranges");
                break;
            }
            if (set.count > 0)
                memcpy(grown, set.ranges, set.count * sizeof(*grown));
            set.ranges = grown;
            cap = more;
        }
        uint32_t first = read_seq_number(r);
        uint32_t last = imap_accept(r, ':') ? read_seq_number(r) : first;
        set.ranges[set.count++] = (struct uid_range){first, last};
    } while (imap_accept(r, ','));
    return set;
}
