/* base/log: one write a line, quoting, cutting, ids. */
#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map.h"
#include "tests/unit/check.h"

/* What the call before this one wrote, without the time in front; "" for nothing. */
static struct slice last_line(int fd, char *out, size_t size)
{
    ssize_t n = read(fd, out, size);

    if (n < 25)
        return SLICE("");
    return slice_sub(slice_make(out, (size_t)n), 25, (size_t)n);
}

static void test_values(int fd)
{
    static const struct { const char *note, *value, *want; } cases[] = {
        {"plain", "abc", "abc"},
        {"empty", "", "\"\""},
        {"blank", "a b", "\"a b\""},
        {"address", "a@b.example", "a@b.example"},
        {"quote and backslash", "a\"b\\", "\"a\\\"b\\\\\""},
        {"line end", "a\r\nevil", "\"a\\x0d\\x0aevil\""},
        {"escape", "\x1b[2J", "\"\\x1b[2J\""},
        {"equals", "a=b", "\"a=b\""},
        {"UTF-8 stays", "\xc3\xa4", "\"\xc3\xa4\""},
        {"not UTF-8", "\xff\xc3", "\"\\xff\\xc3\""},
        {"C1 control", "\xc2\x9b", "\"\\xc2\\x9b\""},
        {"U+FFFD itself", "\xef\xbf\xbd", "\"\xef\xbf\xbd\""},
    };
    char line[5000], want[300];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        log_event(LOG_INFO, "t", LOG_CSTR("v", cases[i].value));
        (void)snprintf(want, sizeof want, "info t v=%s\n", cases[i].want);
        CHECK_SLICE(cases[i].note, last_line(fd, line, sizeof line), slice_of(want));
    }
    log_event(LOG_WARNING, "t", LOG_U64("u", UINT64_MAX), LOG_I64("i", -3), LOG_HEX("h", 0xbeef));
    CHECK_SLICE("numbers", last_line(fd, line, sizeof line),
                SLICE("warning t u=18446744073709551615 i=-3 h=beef\n"));
}

static void test_cutting(int fd)
{
    char         text[5000], line[6000];
    struct slice got;

    memset(text, 'x', sizeof text);
    log_event(LOG_INFO, "t", LOG_TEXT("v", slice_make(text, 200)));
    /* limit: a log value */
    CHECK("200 bytes whole", last_line(fd, line, sizeof line).len == strlen("info t v=") + 200 + 1);
    log_event(LOG_INFO, "t", LOG_TEXT("v", slice_make(text, sizeof text)));
    got = last_line(fd, line, sizeof line);
    CHECK("longer cut", got.len == strlen("info t v=") + 200 + strlen("...\n"));
    CHECK("and said so", slice_ends(got, SLICE("x...\n")));

    struct log_field many[40];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = LOG_TEXT("v", slice_make(text, 200));
    log_write(LOG_INFO, "t", many, ARRAY_LEN(many));
    got = last_line(fd, line, sizeof line);
    /* limit: a log line */
    CHECK("line cut, end kept", got.len + 25 == 4096 && slice_ends(got, SLICE("\n")));
}

static void test_levels_and_role(int fd)
{
    char line[5000];

    log_event(LOG_DEBUG, "t", LOG_U64("n", 1));
    CHECK_SLICE("below the level", last_line(fd, line, sizeof line), SLICE(""));
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "t", LOG_U64("n", 1));
    CHECK_SLICE("at the level", last_line(fd, line, sizeof line), SLICE("debug t n=1\n"));
    log_set_role("mail");
    log_event(LOG_ERROR, "t", LOG_U64("n", 1));
    CHECK_SLICE("role", last_line(fd, line, sizeof line), SLICE("error t role=mail n=1\n"));
}

static void test_ids(void)
{
    struct map seen;
    bool       unique = true, shown = true;

    map_init(&seen);
    for (int i = 0; i < 5000; i++) {
        struct log_id id = log_new_id();
        unique = unique && map_put(&seen, slice_of(id.text), &seen) == NULL;
        shown = shown && id.text[0] != '\0';
    }
    CHECK("ids differ", unique && shown);
    map_finish(&seen);
}

int main(void)
{
    int ends[2];

    if (pipe(ends) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
        return 1;
    log_set_fd(ends[1]);
    test_values(ends[0]);
    test_cutting(ends[0]);
    test_levels_and_role(ends[0]);
    test_ids();
    return check_done();
}
