/*
 * base/fail.c - what went wrong: for now or for good, and the story.
 *
 * Layer: base.
 */
#include "base/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAIL_TEXT_BYTES = sizeof((struct fail *)NULL)->text };

/* The story may carry bytes from outside: one line, no control characters. */
static void make_one_line(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

/* Puts ": more" behind the text, cut where the array ends. */
static void append(char text[FAIL_TEXT_BYTES], const char *more)
{
    size_t at = strlen(text);

    for (const char *c = ": "; *c != '\0' && at < FAIL_TEXT_BYTES - 1; c++)
        text[at++] = *c;
    while (*more != '\0' && at < FAIL_TEXT_BYTES - 1)
        text[at++] = *more++;
    text[at] = '\0';
}

static void start(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *code,
                  const char *fmt, va_list ap) __attribute__((format(printf, 5, 0)));
static void start(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *code,
                  const char *fmt, va_list ap)
{
    struct fail f = {.kind = kind, .reason = reason}; /* apart: an argument may point into *why */

    (void)snprintf(f.code, sizeof f.code, "%s", code);
    (void)vsnprintf(f.text, sizeof f.text, fmt, ap);
    make_one_line(f.text);
    *why = f;
}

bool fail_set(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *fmt, ...)
{
    va_list ap;

    if (why == NULL)
        return false;
    va_start(ap, fmt);
    start(why, kind, reason, "", fmt, ap);
    va_end(ap);
    return false;
}

bool fail_code(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *code,
               const char *fmt, ...)
{
    va_list ap;

    if (why == NULL)
        return false;
    va_start(ap, fmt);
    start(why, kind, reason, code, fmt, ap);
    va_end(ap);
    return false;
}

bool fail_internal(struct fail *why, enum fail_kind kind, enum fail_reason reason, const char *code,
                   const char *fmt, ...)
{
    va_list ap;

    if (why == NULL)
        return false;
    va_start(ap, fmt);
    start(why, kind, reason, code, fmt, ap);
    va_end(ap);
    why->internal = true;
    return false;
}

bool fail_at(struct fail *why, const char *fmt, ...)
{
    char    text[sizeof why->text];
    va_list ap;

    if (why == NULL)
        return false;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    append(text, why->text);
    make_one_line(text);
    memcpy(why->text, text, sizeof text);
    return false;
}

const char *errno_text(int errnum)
{
    const char *text = strerrordesc_np(errnum);
    return text != NULL ? text : "an error without a name";
}

bool fail_errno(struct fail *why, int errnum, const char *fmt, ...)
{
    bool    full = errnum == ENOSPC || errnum == EDQUOT;
    va_list ap;

    if (why == NULL)
        return false;
    va_start(ap, fmt);
    start(why, FAIL_TEMP, full ? FAIL_NO_SPACE : FAIL_OTHER, full ? "4.3.1" : "", fmt, ap);
    va_end(ap);
    append(why->text, errno_text(errnum));
    why->internal = true;
    return false;
}

const char *fail_said(const struct fail *why)
{
    if (!why->internal)
        return why->text;
    if (why->reason == FAIL_NO_SPACE)
        return "the disk is full";
    if (why->reason == FAIL_DAMAGED)
        return "what is stored here is damaged; the administrator can mend it (posthorn check)";
    if (why->kind == FAIL_TEMP)
        return "the server has trouble of its own; please try again later";
    return "the server cannot do this; its administrator's log says why";
}

const char *fail_kind_name(enum fail_kind kind)
{
    switch (kind) {
    case FAIL_TEMP: return "temporary";
    case FAIL_PERM: return "permanent";
    }
    bug("fail kind %d", (int)kind);
}

void bug_at(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "posthorn: bug at %s:%d: ", file, line);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    abort();
}

void die_no_memory(size_t wanted)
{
    fprintf(stderr, "posthorn: out of memory (%zu bytes wanted)\n", wanted);
    abort();
}

/* malloc(0) may give NULL; asking for one byte instead keeps "never NULL" simple. */
void *xmalloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);

    if (p == NULL)
        die_no_memory(size);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = count > 0 && size > 0 ? calloc(count, size) : malloc(1);

    if (p == NULL)
        die_no_memory(size);
    return p;
}

void *xrealloc(void *old, size_t size)
{
    void *p = realloc(old, size > 0 ? size : 1);

    if (p == NULL)
        die_no_memory(size);
    return p;
}

char *xstrdup(const char *text)
{
    return xslicedup(slice_of(text));
}

char *xslicedup(struct slice s)
{
    char *copy = xmalloc(s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}
