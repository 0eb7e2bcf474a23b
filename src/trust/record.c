/*
 * trust/record.c - see trust/record.h.
 *
 * Layer: trust.
 */
#include "trust/record.h"

#include "base/address.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice without_blanks(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool record_begin(struct slice text, struct slice version, struct record_reader *r)
{
    struct slice rest = slice_from(text, version.len);

    while (rest.len > 0 && is_blank(rest.ptr[0]))
        rest = slice_from(rest, 1);
    if (!slice_starts(text, version) || rest.len == 0 || rest.ptr[0] != ';')
        return false;
    r->rest = slice_from(rest, 1);
    return true;
}

/* name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".") */
static bool is_name(struct slice s)
{
    if (s.len == 0 || s.len > 32 || (!ascii_is_alpha(s.ptr[0]) && !ascii_is_digit(s.ptr[0])))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!ascii_is_alpha(s.ptr[i]) && !ascii_is_digit(s.ptr[i]) && s.ptr[i] != '_' && s.ptr[i] != '-' && s.ptr[i] != '.')
            return false;
    return true;
}

bool record_value_is_plain(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] <= ' ' || value.ptr[i] > '~' || value.ptr[i] == ';' || value.ptr[i] == '=')
            return false;
    return value.len > 0;
}

static bool is_visible(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] > '~')
            return false;
    return value.len > 0;
}

bool record_next(struct record_reader *r, struct slice *name, struct slice *value, bool *valid)
{
    *valid = true;
    if (without_blanks(r->rest).len == 0)
        return false;
    *value = without_blanks(slice_cut(&r->rest, ';'));
    *name = slice_cut(value, '=');
    *valid = is_name(*name) && is_visible(*value);
    return *valid;
}

/* ---- _mta-sts ---- */

static bool is_id(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_alpha(s.ptr[i]) && !ascii_is_digit(s.ptr[i]))
            return false;
    return s.len >= 1 && s.len <= 32;
}

bool sts_record_parse(struct slice text, struct slice *id)
{
    struct record_reader r;
    struct slice         name, value;
    bool                 valid, found = false;

    if (!record_begin(text, SLICE("v=STSv1"), &r))
        return false;
    while (record_next(&r, &name, &value, &valid)) {
        bool is = slice_eq(name, SLICE("id"));
        if (is ? !is_id(value) : !record_value_is_plain(value))
            return false;
        if (is && !found)
            *id = value; /* of fields that come twice the first counts */
        found = found || is;
    }
    return valid && found;
}

/* ---- _smtp._tls ---- */

/* URI characters of RFC 3986; commas, exclamation marks and semicolons must be encoded (RFC 8460 section 3). */
static bool is_uri(struct slice s)
{
    size_t colon = slice_find_char(s, ':');

    if (colon == 0 || colon == s.len)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_alpha(s.ptr[i]) && !ascii_is_digit(s.ptr[i]) &&
            (s.ptr[i] == '\0' || strchr("-._~:/?#[]@$&'()*+=%", s.ptr[i]) == NULL))
            return false;
    return true;
}

static bool read_rua(struct slice list, struct slice rua[RUA_MAX], size_t *count)
{
    bool more = true;

    while (more) {
        more = slice_find_char(list, ',') < list.len;
        struct slice uri = without_blanks(slice_cut(&list, ','));
        if (!is_uri(uri))
            return false;
        if (*count < RUA_MAX)
            rua[(*count)++] = uri;
    }
    return true;
}

bool tls_report_record_parse(struct slice text, struct slice rua[RUA_MAX], size_t *count)
{
    struct record_reader r;
    struct slice         name, value;
    bool                 valid, found = false;

    *count = 0;
    if (!record_begin(text, SLICE("v=TLSRPTv1"), &r))
        return false;
    while (record_next(&r, &name, &value, &valid)) {
        bool is = slice_eq(name, SLICE("rua"));
        if (!is && !record_value_is_plain(value))
            return false;
        if (is && !found && !read_rua(value, rua, count))
            return false;
        found = found || is;
    }
    return valid && found;
}

static int hex_digit(char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mailto_parse(struct slice uri, char *room, size_t size, struct slice *address)
{
    struct slice       to = slice_from(uri, strlen("mailto:"));
    struct address_key key;
    size_t             n = 0;

    if (!slice_starts_nocase(uri, SLICE("mailto:")))
        return false;
    to = slice_sub(to, 0, slice_find_char(to, '?'));
    for (size_t i = 0; i < to.len; i++) {
        char c = to.ptr[i];
        if (c == '%') {
            int high = i + 2 < to.len ? hex_digit(to.ptr[i + 1]) : -1, low = i + 2 < to.len ? hex_digit(to.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (n == size || c <= ' ' || c > '~') /* also what would break a header field */
            return false;
        room[n++] = c;
    }
    *address = slice_make(room, n);
    return address_key_parse(*address, &key);
}
