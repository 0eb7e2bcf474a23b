/* net/hush: one line an address and a minute, counted and bounded. */
#include "net/hush.h"

#include "tests/unit/check.h"

static const struct conn_address ann = {"192.0.2.1"}, bob = {"192.0.2.2"};

static void test_one_address(void)
{
    struct hush *h = hush_create();
    struct hush_count c;

    CHECK("the first", hush_speak(h, HUSH_REFUSED, 1, &ann, 1000));
    CHECK("not the next", !hush_speak(h, HUSH_REFUSED, 1, &ann, 1001));
    CHECK("not the last of the minute", !hush_speak(h, HUSH_REFUSED, 1, &ann, 1000 + HUSH_MS - 1));
    CHECK("another kind", hush_speak(h, HUSH_TLS_FAILED, 1, &ann, 1002));
    CHECK("another address", hush_speak(h, HUSH_REFUSED, 2, &bob, 1003));
    CHECK("nothing to tell yet", !hush_next(h, 1004, &c));
    CHECK("told", hush_next(h, 1000 + HUSH_MS, &c) && c.kind == HUSH_REFUSED && c.count == 2);
    CHECK_SLICE("told", slice_of(c.peer.text), slice_of(ann.text));
    CHECK("once", !hush_next(h, 1000 + HUSH_MS, &c));
    CHECK("and none where none was hushed", !hush_next(h, 1000 + 3 * HUSH_MS, &c));
    CHECK("a new minute", hush_speak(h, HUSH_REFUSED, 1, &ann, 1000 + HUSH_MS));
    hush_destroy(&h);
    hush_destroy(&h);
}

static void test_many(void)
{
    struct hush *h = hush_create();
    struct hush_count c;
    unsigned lines = 0, told = 0;

    for (uint64_t key = 0; key < 100000; key++)
        lines += hush_speak(h, HUSH_REFUSED, key * 0x9e3779b97f4a7c15u, &ann, 5000) ? 1 : 0;
    CHECK("so many lines and no more", lines == HUSH_LINES);
    for (int64_t now = 5000 + HUSH_MS; hush_next(h, now, &c);)
        told += c.count;
    CHECK("every one is counted", lines + told == 100000);
    hush_destroy(&h);
}

int main(void)
{
    test_one_address();
    test_many();
    return check_done();
}
