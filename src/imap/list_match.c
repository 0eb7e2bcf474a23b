/*
 * imap/list_match.c - mailbox names against LIST's wildcards.
 *
 * Layer: imap.
 */
#include "imap/list_match.h"

static bool is_wildcard(char c)
{
    return c == '*' || c == '%';
}

struct list_pattern list_pattern_make(struct arena *a, struct slice reference, struct slice pattern)
{
    size_t n = 0, whole = reference.len + pattern.len;
    char *text = arena_alloc(a, whole + 1);
    struct list_pattern p = {.reached = arena_new_array(a, bool, whole + 1)};

    if (text == NULL || p.reached == NULL)
        return (struct list_pattern){0};
    for (size_t i = 0; i < whole; i++) {
        char c = i < reference.len ? reference.ptr[i] : pattern.ptr[i - reference.len];
        if (is_wildcard(c) && n > 0 && is_wildcard(text[n - 1])) {
            if (c == '*')
                text[n - 1] = c; /* "*" takes all that "%" does */
            continue;
        }
        text[n++] = c;
        p.literals += is_wildcard(c) ? 0 : 1;
    }
    p.text = slice_make(text, n);
    return p;
}

/* What is reached without another byte: a wildcard may stand for nothing. */
static void reach_on(const struct list_pattern *p)
{
    for (size_t i = 0; i < p->text.len; i++)
        if (p->reached[i] && is_wildcard(p->text.ptr[i]))
            p->reached[i + 1] = true;
}

bool list_pattern_matches(const struct list_pattern *p, struct slice name, bool nocase)
{
    if (p->reached == NULL || p->literals > name.len)
        return false;
    memset(p->reached, 0, p->text.len + 1);
    p->reached[0] = true;
    reach_on(p);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        for (size_t at = p->text.len + 1; at-- > 0;) {
            char here = at < p->text.len ? p->text.ptr[at] : '\0';
            char before = at > 0 ? p->text.ptr[at - 1] : '\0';
            bool stays = p->reached[at] && (here == '*' || (here == '%' && c != '/'));
            bool comes = at > 0 && p->reached[at - 1] && !is_wildcard(before) &&
                         (before == c || (nocase && ascii_lower(before) == ascii_lower(c)));
            p->reached[at] = stays || comes;
        }
        reach_on(p);
    }
    return p->reached[p->text.len];
}
