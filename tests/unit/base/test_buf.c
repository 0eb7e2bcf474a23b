/* base/buf: limits, remembered failure, formatting, dropping. */
#include "base/buf.h"

#include "tests/unit/check.h"

static void test_limit(void)
{
    struct buf b;

    buf_init(&b, 8);
    CHECK("nothing allocated", b.data == NULL && b.cap == 0);
    buf_add(&b, SLICE("12345"));
    buf_add(&b, SLICE("678"));
    CHECK_SLICE("exactly full", buf_slice(&b), SLICE("12345678"));
    CHECK("not failed yet", !b.failed);
    buf_add_char(&b, '9');
    CHECK("one more fails", b.failed);
    CHECK_SLICE("and leaves it", buf_slice(&b), SLICE("12345678"));
    CHECK("capacity within the limit", b.cap <= b.max);
    buf_reset(&b);
    buf_add(&b, SLICE("123456789"));
    CHECK("too much at once", b.failed && b.len == 0);
    buf_add(&b, SLICE("1"));
    CHECK("stays failed", b.failed && b.len == 0);
    CHECK("no room once failed", buf_room(&b, 0) == NULL);
    buf_reset(&b);
    CHECK("reset forgives", !b.failed && b.len == 0);
    buf_finish(&b);
    buf_add(&b, SLICE("again"));
    CHECK_SLICE("usable after finish", buf_slice(&b), SLICE("again"));
    buf_finish(&b);

    buf_init(&b, 0);
    buf_add(&b, SLICE(""));
    CHECK("nothing fits into nothing", !b.failed);
    buf_add_char(&b, 'x');
    CHECK("something does not", b.failed);
    buf_finish(&b);
}

static void test_growth(void)
{
    struct buf b;
    bool       same = true;

    buf_init(&b, 100000);
    for (unsigned i = 0; i < 100000; i++)
        buf_add_char(&b, (char)('a' + i % 26));
    for (unsigned i = 0; i < 100000; i++)
        same = same && b.data[i] == (char)('a' + i % 26);
    CHECK("a hundred thousand pieces", !b.failed && b.len == 100000 && same);
    buf_finish(&b);
}

static void test_text(void)
{
    struct buf b;
    char       long_text[600];

    memset(long_text, 'x', sizeof long_text);
    buf_init(&b, 1000);
    buf_add_u64(&b, 0);
    buf_add_char(&b, ' ');
    buf_add_u64(&b, UINT64_MAX);
    CHECK_SLICE("numbers", buf_slice(&b), SLICE("0 18446744073709551615"));
    buf_reset(&b);
    buf_addf(&b, "%s-%d", "a", -7);
    CHECK_SLICE("formatted", buf_slice(&b), SLICE("a--7"));
    buf_reset(&b);
    for (int n = 250; n <= 600; n += 1) { /* around the size of the first try */
        buf_reset(&b);
        buf_addf(&b, "%.*s", n, long_text);
        if (!slice_eq(buf_slice(&b), slice_make(long_text, (size_t)n)))
            break;
    }
    CHECK("formatted, long", b.len == 600);
    buf_addf(&b, "%.*s", 401, long_text);
    CHECK("formatted past the limit", b.failed && b.len == 600);
    buf_finish(&b);
}

static void test_room_and_drop(void)
{
    struct buf b;

    buf_init(&b, 100);
    char *to = buf_room(&b, 10);
    memcpy(to, "hello", 5);
    buf_grew(&b, 5);
    CHECK_SLICE("written in place", buf_slice(&b), SLICE("hello"));
    buf_drop(&b, 0);
    buf_drop(&b, 2);
    CHECK_SLICE("dropped", buf_slice(&b), SLICE("llo"));
    buf_drop(&b, 3);
    CHECK("dropped all", b.len == 0);
    CHECK("no room past the limit", buf_room(&b, 101) == NULL && b.failed);
    buf_finish(&b);
}

int main(void)
{
    test_limit();
    test_growth();
    test_text();
    test_room_and_drop();
    return check_done();
}
