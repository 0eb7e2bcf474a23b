/* net/foreign.h: lines of other protocols. */
#include "net/foreign.h"

#include "tests/unit/check.h"

static void test_lines(void)
{
    static const struct { struct slice line; bool foreign, hello; } rows[] = {
        {{"GET / HTTP/1.1", 14}, true, false},
        {{"post", 4}, true, false},
        {{"OPTIONS *", 9}, true, false},
        {{"PROPFIND /x HTTP/1.1", 20}, true, false},
        {{"PRI * HTTP/2.0", 14}, true, false},
        {{"GETTER / HTTP", 13}, false, false},
        {{"HTTP/1.1", 8}, false, false},
        {{"\x16\x03\x01", 3}, true, false},
        {{"\x16\x03", 2}, false, false},
        {{"\x80\x2e\x01\x00", 4}, true, false},
        {{"\xc3\xa9h", 3}, false, false},
        {{"EHLO x", 6}, false, true},
        {{"lhlo", 4}, false, true},
        {{"NOOP", 4}, false, false},
        {{"a1 LOGIN u p", 12}, false, false},
        {{"", 0}, false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK(rows[i].line.ptr, foreign_line(rows[i].line) == rows[i].foreign);
        CHECK(rows[i].line.ptr, foreign_hello(rows[i].line) == rows[i].hello);
    }
}

int main(void)
{
    test_lines();
    return check_done();
}
