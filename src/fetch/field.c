/*
 * fetch/field.c - header fields of requests and answers.
 *
 * Layer: fetch.
 */
#include "fetch/web.h"

/* token of RFC 9110 section 5.6.2. */
static bool is_token_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Those that say how the message itself is to be read, or that the request has places of its own for. */
static bool is_reserved(struct slice name)
{
    static const char *const names[] = {"Host",   "Content-Length", "Transfer-Encoding", "Connection",   "Expect", "TE",
                                        "Trailer", "Upgrade",       "Authorization",     "Content-Type", "Cookie", "Proxy-Authorization"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

static bool field_is_fit(struct slice line)
{
    struct slice value = line, name = slice_cut(&value, ':');

    if (name.len == 0 || name.len == line.len || slice_trim(value).len == 0 || is_reserved(name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_token_char(name.ptr[i]))
            return false;
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f)
            return false;
    return true;
}

bool web_fields_are_fit(struct slice fields)
{
    while (fields.len > 0) {
        size_t end = slice_find(fields, SLICE("\r\n"));
        if (end == fields.len || !field_is_fit(slice_sub(fields, 0, end)))
            return false;
        fields = slice_from(fields, end + 2);
    }
    return true;
}

int64_t web_max_age(struct slice value)
{
    enum { AGE_MAX = 366 * 24 * 3600 };
    int64_t fresh = -1;

    while (value.len > 0) {
        struct slice directive = slice_trim(slice_cut(&value, ',')), argument = directive;
        struct slice name = slice_cut(&argument, '=');
        uint64_t     seconds;
        if (slice_eq_nocase(name, SLICE("no-store")) || slice_eq_nocase(name, SLICE("no-cache")))
            return 0;
        if (!slice_eq_nocase(name, SLICE("max-age")) || fresh >= 0)
            continue;
        if (argument.len >= 2 && argument.ptr[0] == '"' && argument.ptr[argument.len - 1] == '"')
            argument = slice_sub(argument, 1, argument.len - 2);
        if (slice_to_u64(argument, UINT64_MAX, &seconds))
            fresh = seconds < AGE_MAX ? (int64_t)seconds : AGE_MAX;
    }
    return fresh;
}
