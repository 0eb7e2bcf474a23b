/*
 * base/log.h - one line per event, key=value.
 *
 * Layer: base.  Lines go to standard error (or where log_open says), each in one
 * write.  Values are quoted and cut where they come from outside: control
 * characters never reach the log raw.
 *
 *     2026-11-22T10:51:07.123Z info smtp.accepted session=k3 trace=9f2c from="a@b.example" size=4096
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

struct fail;

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log_field {
    const char  *key;
    enum log_type { LOG_TYPE_TEXT, LOG_TYPE_U64, LOG_TYPE_I64, LOG_TYPE_HEX64 } type;
    struct slice text;
    uint64_t     number;
};

/* Fields for log_event.  LOG_TEXT quotes and cuts (at 200 bytes) when needed. */
#define LOG_TEXT(k, slice_value) ((struct log_field){.key = (k), .type = LOG_TYPE_TEXT, .text = (slice_value)})
#define LOG_CSTR(k, cstr)        ((struct log_field){.key = (k), .type = LOG_TYPE_TEXT, .text = slice_of(cstr)})
#define LOG_U64(k, n)            ((struct log_field){.key = (k), .type = LOG_TYPE_U64, .number = (uint64_t)(n)})
#define LOG_I64(k, n)            ((struct log_field){.key = (k), .type = LOG_TYPE_I64, .number = (uint64_t)(int64_t)(n)})
#define LOG_HEX(k, n)            ((struct log_field){.key = (k), .type = LOG_TYPE_HEX64, .number = (uint64_t)(n)})
#define LOG_FAIL(why)            LOG_CSTR("error", (why)->text)

/* log_event(LOG_INFO, "smtp.accepted", LOG_TEXT("from", s), LOG_U64("size", n)) */
#define log_event(level, event, ...)                                                              \
    log_write((level), (event), (const struct log_field[]){__VA_ARGS__},                          \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/*
 * The same for a line that only those want who follow one message (`posthorn trace`): it goes to log_set_trace's
 * keeper and, at debug, to the log.  The first field is its trace id.
 */
#define log_trace(event, ...)                                                                     \
    log_write_trace((event), (const struct log_field[]){__VA_ARGS__},                             \
                    sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

void log_write_trace(const char *event, const struct log_field *fields, size_t count);
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count);

/* Below `level` nothing is written.  For main/ at start only. */
void log_set_level(enum log_level level);
/* The role's name, put on each line as role=...; for main/ at start only.  Copied. */
void log_set_role(const char *role);
/* The descriptor lines go to, 2 unless told; for main/ and tests. */
void log_set_fd(int fd);

/* Gets every line (with its line end) that has a field "trace", whatever the level; from any thread.  For main/ at start only. */
void log_set_trace(void (*keep)(struct slice line));

/* A short process-unique id for sessions and traces ("k3f9"), NUL-terminated. */
struct log_id { char text[14]; };
struct log_id log_new_id(void);

#endif
