/*
 * smtp/path.c - what MAIL and RCPT say: a path and its parameters.
 *
 * Layer: smtp.  Limits of RFC 5321 section 4.5.3.1: a domain has at most 255
 * bytes.  A local part may have 256 instead of 64: VERP and SRS make such.
 */
#include "smtp/path.h"

#include <arpa/inet.h>

#include "base/unicode.h"

enum { LOCAL_MAX = 256, DOMAIN_MAX = 255, LABEL_MAX = 63 };

static bool is_high(char c)
{
    return (unsigned char)c >= 0x80;
}

static bool take(struct slice *in, char c)
{
    if (in->len == 0 || in->ptr[0] != c)
        return false;
    *in = slice_from(*in, 1);
    return true;
}

/* atext = ALPHA / DIGIT / "!" / ... / UTF8-non-ascii     RFC 5322 section 3.2.3, RFC 6531 section 3.3 */
static bool is_atext(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || is_high(c) ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Dot-string = Atom *("." Atom)                                RFC 5321 section 4.1.2 */
static bool is_dot_string(struct slice s)
{
    bool in_atom = false;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' && !in_atom)
            return false;
        if (s.ptr[i] != '.' && !is_atext(s.ptr[i]))
            return false;
        in_atom = s.ptr[i] != '.';
    }
    return in_atom;
}

/* sub-domain = Let-dig [Ldh-str] / U-label;  "_" is let through: such names are in use. */
static bool is_label(struct slice s)
{
    if (s.len == 0 || s.len > LABEL_MAX || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && !is_high(c) && c != '-' && c != '_')
            return false;
    }
    return true;
}

/* Domain = sub-domain *("." sub-domain)                        RFC 5321 section 4.1.2 */
static bool is_domain(struct slice s)
{
    if (s.len > DOMAIN_MAX || !utf8_valid(s))
        return false;
    for (;;) {
        size_t dot = slice_find_char(s, '.');

        if (!is_label(slice_sub(s, 0, dot)))
            return false;
        if (dot == s.len)
            return true;
        s = slice_from(s, dot + 1);
    }
}

/* address-literal = "[" ( IPv4-address-literal / "IPv6:" IPv6-addr ) "]"      RFC 5321 section 4.1.3 */
static bool is_address_literal(struct slice s)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char address[16];
    int family = AF_INET;

    if (s.len < 2 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']')
        return false;
    s = slice_sub(s, 1, s.len - 2);
    if (slice_starts_nocase(s, SLICE("IPv6:"))) {
        family = AF_INET6;
        s = slice_from(s, 5);
    }
    if (s.len == 0 || s.len >= sizeof text || memchr(s.ptr, '\0', s.len) != NULL)
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(family, text, address) == 1;
}

bool smtp_is_client_name(struct slice name)
{
    return is_domain(name) || is_address_literal(name);
}

/*
 * Quoted-string = DQUOTE *( qtextSMTP / quoted-pairSMTP ) DQUOTE
 * qtextSMTP = %d32-33 / %d35-91 / %d93-126;  quoted-pairSMTP = "\" %d32-126
 *                                                              RFC 5321 section 4.1.2
 */
static bool read_quoted(struct slice *in, struct arena *a, struct slice *content)
{
    struct slice at = slice_from(*in, 1);
    char *out = arena_alloc(a, at.len + 1);
    size_t n = 0;

    while (out != NULL && at.len > 0) {
        if (take(&at, '"')) {
            *content = slice_make(out, n);
            *in = at;
            return true;
        }
        (void)take(&at, '\\');
        if (at.len == 0 || (unsigned char)at.ptr[0] < ' ' || at.ptr[0] == 0x7f)
            return false;
        out[n++] = at.ptr[0];
        at = slice_from(at, 1);
    }
    return false;
}

/* Local-part = Dot-string / Quoted-string */
static bool read_local(struct slice *in, struct arena *a, struct slice *content)
{
    if (in->len > 0 && in->ptr[0] == '"')
        return read_quoted(in, a, content);

    size_t n = 0;
    while (n < in->len && (is_atext(in->ptr[n]) || in->ptr[n] == '.'))
        n++;
    *content = slice_sub(*in, 0, n);
    *in = slice_from(*in, n);
    return is_dot_string(*content);
}

/* Domain / address-literal, up to ">" */
static bool read_domain(struct slice *in, struct slice *domain)
{
    size_t n = slice_find_char(*in, '>');

    *domain = slice_sub(*in, 0, n);
    *in = slice_from(*in, n);
    return is_domain(*domain) || is_address_literal(*domain);
}

/*
 * A-d-l = At-domain *( "," At-domain ) ":";  At-domain = "@" Domain
 * Accepted and ignored (RFC 5321 section 4.1.2 and appendix C).
 */
static bool skip_source_route(struct slice *in)
{
    if (in->len == 0 || in->ptr[0] != '@')
        return true;
    size_t colon = slice_find_char(*in, ':');
    struct slice route = slice_sub(*in, 0, colon);

    if (colon == in->len)
        return false;
    *in = slice_from(*in, colon + 1);
    while (route.len > 0) {
        struct slice hop = slice_cut(&route, ',');
        if (!take(&hop, '@') || !is_domain(hop))
            return false;
    }
    return true;
}

/* The one way to write it: "ann"@example.org and ann@example.org are the same mailbox. */
static struct slice join_address(struct arena *a, const struct smtp_path *p)
{
    char *out = arena_alloc(a, p->local.len * 2 + 3 + p->domain.len);
    size_t n = 0;

    if (out == NULL)
        return (struct slice){NULL, 0};
    const bool quoted = !is_dot_string(p->local);
    if (quoted)
        out[n++] = '"';
    for (size_t i = 0; i < p->local.len; i++) {
        if (quoted && (p->local.ptr[i] == '"' || p->local.ptr[i] == '\\'))
            out[n++] = '\\';
        out[n++] = p->local.ptr[i];
    }
    if (quoted)
        out[n++] = '"';
    if (p->domain.len > 0) {
        out[n++] = '@';
        memcpy(out + n, p->domain.ptr, p->domain.len);
        n += p->domain.len;
    }
    return slice_make(out, n);
}

/*
 * Reverse-path = Path / "<>";  Forward-path = Path, also "<Postmaster>"
 * Path = "<" [ A-d-l ":" ] Mailbox ">";  Mailbox = Local-part "@" ( Domain / address-literal )
 *                                                              RFC 5321 section 4.1.2
 */
bool smtp_read_path(struct slice *in, struct arena *a, struct smtp_path *out)
{
    struct slice at = *in;
    struct smtp_path path = {.ascii = true};

    if (!take(&at, '<'))
        return false;
    if (!take(&at, '>')) {
        if (!skip_source_route(&at) || !read_local(&at, a, &path.local) || path.local.len > LOCAL_MAX)
            return false;
        if (take(&at, '@') && !read_domain(&at, &path.domain))
            return false;
        if (!take(&at, '>'))
            return false;
        path.address = join_address(a, &path);
        path.ascii = slice_is_ascii(path.address);
        if (a->failed || (!path.ascii && !utf8_valid(path.address)))
            return false;
    }
    *out = path;
    *in = at;
    return true;
}

/*
 * esmtp-param = esmtp-keyword ["=" esmtp-value]
 * esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
 * esmtp-value = 1*(%d33-60 / %d62-126 / UTF8-non-ascii)        RFC 5321 section 4.1.2, RFC 6531 section 3.3
 */
enum smtp_parameter_found smtp_read_parameter(struct slice *in, struct smtp_parameter *out)
{
    struct slice at = *in;

    while (take(&at, ' '))
        continue;
    if (at.len == 0)
        return PARAMETER_END;
    if (at.len == in->len)
        return PARAMETER_BAD;

    size_t end = slice_find_char(at, ' ');
    struct slice value = slice_sub(at, 0, end);
    const bool has_value = slice_find_char(value, '=') < value.len;
    struct slice keyword = slice_cut(&value, '=');

    for (size_t i = 0; i < keyword.len; i++) {
        char c = keyword.ptr[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && (c != '-' || i == 0))
            return PARAMETER_BAD;
    }
    for (size_t i = 0; has_value && i < value.len; i++) {
        char c = value.ptr[i];
        if ((c < '!' && !is_high(c)) || c == '=' || c == 0x7f)
            return PARAMETER_BAD;
    }
    if (keyword.len == 0 || (has_value && value.len == 0))
        return PARAMETER_BAD;
    *out = (struct smtp_parameter){keyword, has_value ? value : (struct slice){NULL, 0}};
    *in = slice_from(at, end);
    return PARAMETER_OK;
}

bool smtp_is_xtext(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '+') {
            for (size_t k = 1; k <= 2; k++)
                if (i + k >= s.len || strchr("0123456789ABCDEF", s.ptr[i + k]) == NULL ||
                    s.ptr[i + k] == '\0')
                    return false;
            i += 2;
        } else if (c < '!' || c > '~' || c == '=') {
            return false;
        }
    }
    return true;
}
