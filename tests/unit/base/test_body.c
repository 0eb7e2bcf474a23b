/* base/body: memory, then a file; every read of every range. */
#include "base/body.h"

#include "base/fail.h"
#include "tests/unit/check.h"

/* Adds `size` bytes in pieces of `piece`; byte i is i % 251. */
static bool fill(struct body *b, size_t size, size_t piece, struct fail *why)
{
    char part[512];

    for (size_t at = 0; at < size;) {
        size_t n = size - at < piece ? size - at : piece;
        for (size_t i = 0; i < n; i++)
            part[i] = (char)(unsigned char)((at + i) % 251);
        if (!body_add(b, slice_make(part, n), why))
            return false;
        at += n;
    }
    return true;
}

static bool reads_back(const struct body *b, size_t size)
{
    char        out[700];
    struct fail why;

    for (size_t offset = 0; offset <= size + 1; offset += 13) {
        size_t n = offset % sizeof out, got = 0;
        size_t want = offset >= size ? 0 : size - offset < n ? size - offset : n;

        if (!body_read(b, offset, out, n, &got, &why) || got != want)
            return false;
        for (size_t i = 0; i < got; i++) {
            if ((unsigned char)out[i] != (offset + i) % 251)
                return false;
        }
    }
    return true;
}

static void test_sizes(void)
{
    static const struct { const char *note; size_t memory, size, piece; bool in_memory; } cases[] = {
        {"empty", 100, 0, 1, true},
        {"small", 100, 50, 7, true},
        {"exactly memory", 100, 100, 10, true},
        {"one more", 100, 101, 1, false},
        {"pieces larger than memory", 100, 2000, 300, false},
        {"many small pieces", 100, 5000, 3, false},
        {"no memory at all", 0, 1000, 64, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct body_limits limits = {.memory_max = cases[i].memory, .size_max = 10000, .spool_dir = "/tmp"};
        struct body       *b = body_create(&limits);
        struct fail        why = {0};
        struct slice       all;

        CHECK(cases[i].note, fill(b, cases[i].size, cases[i].piece, &why));
        CHECK(cases[i].note, body_size(b) == cases[i].size);
        CHECK(cases[i].note, body_in_memory(b, &all) == cases[i].in_memory);
        CHECK(cases[i].note, !cases[i].in_memory || all.len == cases[i].size);
        CHECK(cases[i].note, reads_back(b, cases[i].size));
        body_destroy(&b);
        CHECK(cases[i].note, b == NULL);
        body_destroy(&b);
    }
}

static void test_refusals(void)
{
    struct body_limits limits = {.memory_max = 10, .size_max = 20, .spool_dir = "/nonexistent/spool"};
    struct body       *b = body_create(&limits);
    struct fail        why = {0};

    CHECK("in memory", body_add(b, SLICE("0123456789"), &why));
    CHECK("no spool folder", !body_add(b, SLICE("0"), &why) && why.kind == FAIL_TEMP);
    CHECK("what was there stays", body_size(b) == 10);
    CHECK("too big", !body_add(b, SLICE("0123456789x"), &why));
    CHECK("too big for good", why.kind == FAIL_PERM && why.reason == FAIL_TOO_BIG);
    body_destroy(&b);
}

static bool no_room(void *ctx, uint64_t bytes, struct fail *why)
{
    unsigned *asked = ctx;

    ++*asked;
    return bytes < 2 * 1024 * 1024 && *asked == 1 ? true
                                                  : fail_set(why, FAIL_TEMP, FAIL_NO_SPACE, "the disk is full");
}

/* A file grows only while there is room; memory needs none. */
static void test_room(void)
{
    unsigned asked = 0;
    struct body_limits limits = {.memory_max = 1000, .size_max = 8 << 20, .spool_dir = "/tmp", .has_room = no_room, .room_ctx = &asked};
    struct body *b = body_create(&limits);
    struct fail why;

    CHECK("memory", fill(b, 1000, 500, &why) && asked == 0);
    CHECK("a file", fill(b, 500 * 1024, 500, &why) && asked == 1);
    CHECK("no more", !fill(b, 4 << 20, 500, &why) && why.reason == FAIL_NO_SPACE && asked == 2);
    body_destroy(&b);
}

/* Written into its place. */
static void test_filled(void)
{
    struct body_limits limits = {.memory_max = 10, .size_max = 12, .spool_dir = "/nonexistent"};
    struct body       *b = body_create(&limits);
    struct slice       all;
    struct fail        why;

    CHECK("added", body_add(b, SLICE("01"), &why));
    char *room = body_room(b, 8);
    CHECK("room", room != NULL);
    memcpy(room, "23456789", 8);
    body_grew(b, 8);
    CHECK("all of it", body_in_memory(b, &all) && slice_eq(all, SLICE("0123456789")) && body_size(b) == 10);
    CHECK("no more in memory", body_room(b, 1) == NULL);
    CHECK("nor at all", body_room(b, 3) == NULL);
    CHECK("and it still says why", !body_add(b, SLICE("012"), &why) && why.reason == FAIL_TOO_BIG);
    body_destroy(&b);
}

int main(void)
{
    test_filled();
    test_room();
    test_sizes();
    test_refusals();
    return check_done();
}
