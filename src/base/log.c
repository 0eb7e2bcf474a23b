/*
 * base/log.c - one line per event, key=value.
 *
 * Layer: base.  A line is put together on the stack and leaves in one write(2), so
 * that lines of several threads and processes never mix.  What does not fit into
 * LINE_MAX_BYTES is cut; the line end is always there.
 */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/unicode.h"

enum {
    LINE_MAX_BYTES = 4096,  /* as PIPE_BUF: one atomic write */
    VALUE_MAX_BYTES = 200,  /* of a text value */
    ROLE_MAX_BYTES = 16,
};

/* Set by main/ at start, before any thread; atomic so that nobody need know. */
static _Atomic int  least_level = LOG_INFO;
static _Atomic int  log_fd = STDERR_FILENO;
static void (*_Atomic trace_keeper)(struct slice line);
static char         role[ROLE_MAX_BYTES];
static _Atomic uint64_t next_id; /* 0: not begun */

struct line {
    char   text[LINE_MAX_BYTES];
    size_t len; /* at most LINE_MAX_BYTES - 1: the line end fits */
};

static void put(struct line *l, char c)
{
    if (l->len < sizeof l->text - 1)
        l->text[l->len++] = c;
}

static void put_text(struct line *l, const char *text)
{
    while (*text != '\0')
        put(l, *text++);
}

static bool needs_quotes(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return true;
    }
    return s.len == 0;
}

static void put_hex_byte(struct line *l, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    put(l, '\\');
    put(l, 'x');
    put(l, hex[c >> 4]);
    put(l, hex[c & 15]);
}

/*
 * "..." with \" and \\, and \xNN for control characters (C1 too: terminals obey
 * them) and for what is not UTF-8.  Other UTF-8 passes: addresses stay readable.
 */
static void put_quoted(struct line *l, struct slice s)
{
    put(l, '"');
    for (size_t at = 0, next = 0; at < s.len; at = next) {
        uint32_t c = utf8_next(s, &next);
        bool     plain = c >= 0x20 && (c < 0x7f || c > 0x9f) && (c != 0xfffd || next - at == 3);

        if (c == '"' || c == '\\')
            put(l, '\\');
        for (size_t i = at; i < next; i++) {
            if (plain)
                put(l, s.ptr[i]);
            else
                put_hex_byte(l, (unsigned char)s.ptr[i]);
        }
    }
    put(l, '"');
}

static void put_value(struct line *l, struct slice s)
{
    struct slice shown = slice_sub(s, 0, VALUE_MAX_BYTES);

    if (needs_quotes(shown)) {
        put_quoted(l, shown);
    } else {
        for (size_t i = 0; i < shown.len; i++)
            put(l, shown.ptr[i]);
    }
    if (shown.len < s.len)
        put_text(l, "...");
}

static void put_field(struct line *l, const struct log_field *f)
{
    char number[24];

    put(l, ' ');
    put_text(l, f->key);
    put(l, '=');
    switch (f->type) {
    case LOG_TYPE_TEXT:
        put_value(l, f->text);
        return;
    case LOG_TYPE_U64: (void)snprintf(number, sizeof number, "%llu", (unsigned long long)f->number); break;
    case LOG_TYPE_I64: (void)snprintf(number, sizeof number, "%lld", (long long)f->number); break;
    case LOG_TYPE_HEX64: (void)snprintf(number, sizeof number, "%llx", (unsigned long long)f->number); break;
    }
    put_text(l, number);
}

/* 2026-11-22T10:51:07.123Z */
static void put_time(struct line *l)
{
    int64_t   us = clock_now_us();
    time_t    seconds = (time_t)(us / 1000000);
    struct tm tm;
    char      text[64];

    if (gmtime_r(&seconds, &tm) == NULL)
        return;
    (void)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(us / 1000 % 1000));
    put_text(l, text);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG: return " debug ";
    case LOG_INFO: return " info ";
    case LOG_WARNING: return " warning ";
    case LOG_ERROR: return " error ";
    }
    bug("log level %d", (int)level);
}

static bool has_trace(const struct log_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].key, "trace") == 0)
            return true;
    }
    return false;
}

static void write_line(enum log_level level, bool logged, void (*keep)(struct slice line), const char *event,
                       const struct log_field *fields, size_t count)
{
    struct line l;

    l.len = 0;
    put_time(&l);
    put_text(&l, level_name(level));
    put_text(&l, event);
    if (role[0] != '\0') {
        put_text(&l, " role=");
        put_text(&l, role);
    }
    for (size_t i = 0; i < count; i++)
        put_field(&l, &fields[i]);
    l.text[l.len++] = '\n';
    if (keep != NULL)
        keep(slice_make(l.text, l.len));
    /* A log that cannot be written has nobody to tell: the line is lost. */
    while (logged && write(atomic_load_explicit(&log_fd, memory_order_relaxed), l.text, l.len) < 0 && errno == EINTR)
        ;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    bool logged = (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
    void (*keep)(struct slice line) = atomic_load_explicit(&trace_keeper, memory_order_relaxed);

    if (keep != NULL && (level < LOG_INFO || !has_trace(fields, count)))
        keep = NULL;
    if (logged || keep != NULL)
        write_line(level, logged, keep, event, fields, count);
}

void log_write_trace(const char *event, const struct log_field *fields, size_t count)
{
    bool logged = LOG_DEBUG >= atomic_load_explicit(&least_level, memory_order_relaxed);
    void (*keep)(struct slice line) = atomic_load_explicit(&trace_keeper, memory_order_relaxed);

    if (logged || keep != NULL)
        write_line(LOG_DEBUG, logged, keep, event, fields, count);
}

void log_set_trace(void (*keep)(struct slice line))
{
    atomic_store(&trace_keeper, keep);
}

void log_set_level(enum log_level level)
{
    atomic_store(&least_level, (int)level);
}

void log_set_role(const char *name)
{
    (void)snprintf(role, sizeof role, "%s", name);
}

void log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

/*
 * A counter in base 36.  It starts at random, so that ids of one process hardly
 * meet those of the one before it in the same log.
 */
struct log_id log_new_id(void)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    struct log_id     id;
    uint64_t          n = atomic_load(&next_id);

    while (n == 0) {
        uint64_t first = (UINT64_C(1) << 31) + (random_u64() >> 33);
        if (atomic_compare_exchange_strong(&next_id, &n, first))
            n = first;
    }
    n = atomic_fetch_add(&next_id, 1);

    char   backwards[sizeof id.text];
    size_t len = 0;
    for (; n > 0; n /= 36)
        backwards[len++] = digits[n % 36];
    for (size_t i = 0; i < len; i++)
        id.text[i] = backwards[len - 1 - i];
    id.text[len] = '\0';
    return id;
}
