/*
 * main/config_syntax.c - what libconfuse does not notice by itself.
 *
 * Layer: main.
 */
#include "main/config_syntax.h"

#include "base/fail.h"

enum { DEPTH_MAX = 16 }; /* sections in sections; ours have one level, lists one more */

struct scanner {
    const char  *path;
    struct slice text;
    size_t       at;
    unsigned     line;
    unsigned     opened[DEPTH_MAX]; /* lines of the open braces */
    unsigned     depth;
};

static bool wrong(const struct scanner *s, unsigned line, const char *what, struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s:%u: %s", s->path, line, what);
}

static bool ahead(const struct scanner *s, struct slice mark)
{
    return slice_starts(slice_from(s->text, s->at), mark);
}

static char take(struct scanner *s)
{
    char c = s->text.ptr[s->at++];

    if (c == '\n')
        s->line++;
    return c;
}

/* Up to and with `end`, or to the end of the text: then false.  `escapes`: a backslash hides what follows. */
static bool skip_to(struct scanner *s, struct slice end, bool escapes)
{
    while (s->at < s->text.len) {
        if (ahead(s, end)) {
            for (size_t i = 0; i < end.len; i++)
                (void)take(s);
            return true;
        }
        if (take(s) == '\\' && escapes && s->at < s->text.len)
            (void)take(s);
    }
    return false;
}

/* One string, comment, brace or other character. */
static bool step(struct scanner *s, struct fail *why)
{
    unsigned line = s->line;

    if (ahead(s, SLICE("#")) || ahead(s, SLICE("//"))) {
        (void)skip_to(s, SLICE("\n"), false);
        return true;
    }
    if (ahead(s, SLICE("/*")))
        return skip_to(s, SLICE("*/"), false) || wrong(s, line, "this comment never ends", why);

    char c = take(s);
    switch (c) {
    case '"':
        return skip_to(s, SLICE("\""), true) || wrong(s, line, "this string never ends", why);
    case '\'':
        return skip_to(s, SLICE("'"), true) || wrong(s, line, "this string never ends", why);
    case '\0':
        return wrong(s, line, "a NUL byte", why);
    case '{':
        if (s->depth == DEPTH_MAX)
            return wrong(s, line, "too many braces in braces", why);
        s->opened[s->depth++] = line;
        return true;
    case '}':
        if (s->depth == 0)
            return wrong(s, line, "this brace closes nothing", why);
        s->depth--;
        return true;
    default:
        return true;
    }
}

bool config_syntax_check(const char *path, struct slice text, struct fail *why)
{
    struct scanner s = {.path = path, .text = text, .line = 1};

    while (s.at < text.len) {
        if (!step(&s, why))
            return false;
    }
    return s.depth == 0 || wrong(&s, s.opened[s.depth - 1], "this brace is never closed", why);
}
