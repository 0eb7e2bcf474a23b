/*
 * trust/sts_policy.c - an MTA-STS policy's text, and which hosts it allows (RFC 8461 sections 3.2 and 4.1).
 *
 * Layer: trust.
 */
#include "base/unicode.h"
#include "trust/mta_sts.h"

enum { MX_MAX = 1000, TEXT_MAX = 64 * 1024, MAX_AGE = 31557600 };

static bool invalid(struct fail *why, const char *what)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "the policy is not valid: %s", what);
}

/* Domain = sub-domain *("." sub-domain)                                   RFC 5321 section 4.1.2 */
static bool is_domain(struct slice s)
{
    size_t label = 0;

    if (s.len == 0 || s.len > 253)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '.') {
            if (label == 0 || s.ptr[i - 1] == '-')
                return false;
            label = 0;
        } else if ((!ascii_is_alpha(c) && !ascii_is_digit(c) && (c != '-' || label == 0)) || ++label > 63) {
            return false;
        }
    }
    return label > 0 && s.ptr[s.len - 1] != '-';
}

static bool is_pattern(struct slice s)
{
    return is_domain(slice_starts(s, SLICE("*.")) ? slice_from(s, 2) : s);
}

/* sts-policy-alphanum *31(sts-policy-alphanum / "_" / "-" / ".") */
static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_alpha(s.ptr[i]) && !ascii_is_digit(s.ptr[i]) &&
            (i == 0 || (s.ptr[i] != '_' && s.ptr[i] != '-' && s.ptr[i] != '.')))
            return false;
    return s.len >= 1 && s.len <= 32;
}

static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return s.len > 0 && utf8_valid(s);
}

struct reading {
    struct sts_policy *p;
    bool               version, mode, max_age;
};

static bool take_mode(struct reading *r, struct slice value, struct fail *why)
{
    static const struct { const char *name; enum sts_mode mode; } modes[] = {
        {"none", STS_NONE}, {"testing", STS_TESTING}, {"enforce", STS_ENFORCE}};

    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (!slice_eq(value, slice_of(modes[i].name)))
            continue;
        r->p->mode = modes[i].mode;
        r->mode = true;
        return true;
    }
    return invalid(why, "mode is neither enforce nor testing nor none");
}

static bool take_max_age(struct reading *r, struct slice value, struct fail *why)
{
    uint64_t seconds;

    if (value.len > 10 || !slice_to_u64(value, UINT64_MAX, &seconds))
        return invalid(why, "max_age is no number of seconds");
    r->p->max_age = seconds < MAX_AGE ? (int64_t)seconds : MAX_AGE;
    r->max_age = true;
    return true;
}

/* One field.  Of those that come twice, but for mx, the first counts. */
static bool take_field(struct reading *r, struct slice name, struct slice value, struct fail *why)
{
    if (slice_eq(name, SLICE("version"))) {
        if (r->version)
            return true;
        r->version = slice_eq(value, SLICE("STSv1"));
        return r->version || invalid(why, "version is not STSv1");
    }
    if (slice_eq(name, SLICE("mode")))
        return r->mode || take_mode(r, value, why);
    if (slice_eq(name, SLICE("max_age")))
        return r->max_age || take_max_age(r, value, why);
    if (slice_eq(name, SLICE("mx"))) {
        if (!is_pattern(value))
            return invalid(why, "mx is no name of a host");
        if (r->p->mx_count == MX_MAX)
            return invalid(why, "too many mx");
        r->p->mx[r->p->mx_count++] = value;
        return true;
    }
    return is_value(value) || invalid(why, "a value with control characters");
}

/* sts-policy-field-delim = ":" *WSP; blanks may follow a field */
static bool take_line(struct reading *r, struct slice line, struct fail *why)
{
    struct slice value = line, name = slice_cut(&value, ':');

    if (name.len == line.len || !is_name(name))
        return invalid(why, "a line that is not \"name: value\"");
    while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t'))
        value = slice_from(value, 1);
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    return take_field(r, name, value, why);
}

bool sts_policy_parse(struct arena *a, struct slice text, struct sts_policy *out, struct fail *why)
{
    struct sts_policy p = {.text = arena_keep(a, text)};
    struct reading    r = {.p = &p};
    struct slice      rest = p.text;
    size_t            lines = 0;

    if (text.len > TEXT_MAX)
        return invalid(why, "longer than 64 KB");
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    p.mx = arena_new_array(a, struct slice, lines < MX_MAX ? lines + 1 : MX_MAX);
    if (p.mx == NULL || p.text.len < text.len)
        return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no memory for the policy");
    while (rest.len > 0) {
        struct slice line = slice_cut(&rest, '\n');
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        /* The grammar knows no empty lines; many policies end in one, and nothing is lost by passing them over. */
        if (line.len > 0 && !take_line(&r, line, why))
            return false;
    }
    if (!r.version || !r.mode || !r.max_age)
        return invalid(why, "version, mode and max_age must all be there");
    if (p.mode != STS_NONE && p.mx_count == 0)
        return invalid(why, "it allows no mx");
    *out = p;
    return true;
}

bool sts_policy_allows(const struct sts_policy *p, struct slice host)
{
    size_t dot;

    if (slice_ends(host, SLICE(".")))
        host.len--;
    dot = slice_find_char(host, '.');
    for (size_t i = 0; i < p->mx_count; i++) {
        struct slice want = p->mx[i];
        if (slice_starts(want, SLICE("*.")) ? dot > 0 && dot < host.len && slice_eq_nocase(slice_from(host, dot), slice_from(want, 1))
                                            : slice_eq_nocase(host, want))
            return true;
    }
    return false;
}
