/*
 * base/address.c - see base/address.h.
 *
 * Layer: base.
 */
#include "base/address.h"

#include <idn2.h>
#include <unictype.h>

#include "base/fail.h"
#include "base/unicode.h"

/* atext of RFC 5322 section 3.2.3, without what is not ASCII. */
static bool is_atext(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* UTF8-non-ascii of RFC 6531, without what cannot be seen: controls and blanks. */
static bool is_visible(uint32_t code_point)
{
    return !uc_is_general_category(code_point, UC_CATEGORY_Cc) &&
           !uc_is_general_category(code_point, UC_CATEGORY_Z);
}

/* Dot-string = Atom *("." Atom)                                       RFC 5321 section 4.1.2 */
static bool is_dot_string(struct slice s)
{
    bool after_dot = true;
    size_t at = 0;

    if (!utf8_valid(s))
        return false;
    while (at < s.len) {
        uint32_t c = utf8_next(s, &at);
        if (c == '.' ? after_dot : c < 0x80 ? !is_atext((char)c) : !is_visible(c))
            return false;
        after_dot = c == '.';
    }
    return !after_dot;
}

/* Local-part = Dot-string / Quoted-string: what stands in the quotes must be a dot-string. */
static bool read_local_part(struct slice s, struct slice *out)
{
    if (s.len > LOCAL_PART_MAX)
        return false;
    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        s = slice_sub(s, 1, s.len - 2);
    *out = s;
    return is_dot_string(s);
}

/* sub-domain *("." sub-domain), each Let-dig [Ldh-str]; lower case goes to `out`. */
static bool read_ascii_domain(struct slice s, struct domain_key *out)
{
    size_t label = 0;

    if (s.len == 0 || s.len > DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = ascii_lower(s.ptr[i]);
        bool at_edge = label == 0 || i + 1 == s.len || s.ptr[i + 1] == '.';

        if (c == '.' ? label == 0 || i + 1 == s.len
                     : !ascii_is_alpha(c) && !ascii_is_digit(c) && (c != '-' || at_edge))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > IDN2_LABEL_MAX_LENGTH)
            return false;
        out->text[i] = c;
    }
    out->len = s.len;
    return true;
}

/* "[" dcontent "]": kept as it came but for case; somebody else's in any case. */
static bool read_address_literal(struct slice s, struct domain_key *out)
{
    if (s.len < 3 || s.len > DOMAIN_MAX || s.ptr[s.len - 1] != ']')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = ascii_lower(s.ptr[i]);
        bool inside = i > 0 && i + 1 < s.len;

        if (inside && !ascii_is_alpha(c) && !ascii_is_digit(c) && strchr(".:-", c) == NULL)
            return false;
        out->text[i] = c;
    }
    out->len = s.len;
    return true;
}

/* U-labels to A-labels. */
static bool read_unicode_domain(struct slice s, struct domain_key *out)
{
    char name[DOMAIN_MAX * 4 + 1];
    uint8_t *found = NULL;

    if (s.len >= sizeof name || !utf8_valid(s) || memchr(s.ptr, '\0', s.len) != NULL)
        return false;
    memcpy(name, s.ptr, s.len);
    name[s.len] = '\0';
    if (idn2_lookup_u8((const uint8_t *)name, &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;

    bool ok = read_ascii_domain(slice_of((const char *)found), out);
    idn2_free(found);
    return ok;
}

bool domain_key_parse(struct slice domain, struct domain_key *out)
{
    if (domain.len > 0 && domain.ptr[0] == '[')
        return read_address_literal(domain, out);
    return slice_is_ascii(domain) ? read_ascii_domain(domain, out) : read_unicode_domain(domain, out);
}

bool address_key_join(struct slice local, struct slice domain, struct address_key *out)
{
    struct domain_key host;
    struct buf folded;

    out->given = local;
    if ((local.len > 0 && !read_local_part(local, &out->given)) || !domain_key_parse(domain, &host))
        return false;

    buf_init(&folded, sizeof out->text - 1 - host.len);
    unicode_casefold(&folded, out->given);
    /* Folding may bring forth what stands in no address: U+037E becomes a semicolon. */
    bool ok = !folded.failed && (local.len == 0 || is_dot_string(buf_slice(&folded)));
    if (ok) {
        out->local_len = folded.len;
        out->len = folded.len + 1 + host.len;
        if (folded.len > 0)
            memcpy(out->text, folded.data, folded.len);
        out->text[folded.len] = '@';
        memcpy(out->text + folded.len + 1, host.text, host.len);
    }
    buf_finish(&folded);
    return ok;
}

bool address_key_parse(struct slice address, struct address_key *out)
{
    size_t at = slice_rfind_char(address, '@');

    return at > 0 && at < address.len && address.len <= ADDRESS_MAX &&
           address_key_join(slice_sub(address, 0, at), slice_from(address, at + 1), out);
}
