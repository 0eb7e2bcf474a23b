/* base/arena: alignment, zeroing, the limit, reset. */
#include "base/arena.h"
#include "base/budget.h"

#include "tests/unit/check.h"

static bool all_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

static void test_pieces(void)
{
    struct arena a;
    bool         aligned = true, zero = true;

    arena_init(&a, 10 * 1024 * 1024);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 3000; size += 37) {
            char *p = arena_alloc(&a, size);
            aligned = aligned && p != NULL && (uintptr_t)p % _Alignof(max_align_t) == 0;
            zero = zero && all_zero(p, size);
            memset(p, 0xff, size);
        }
        arena_reset(&a);
        CHECK("empty after reset", a.used == 0);
    }
    CHECK("aligned", aligned);
    CHECK("zeroed, also the second time", zero);
    char *big = arena_alloc(&a, 1024 * 1024);
    CHECK("large piece", big != NULL && all_zero(big, 1024 * 1024));
    char *one = arena_alloc(&a, 1), *two = arena_alloc(&a, 1);
    CHECK("pieces are apart", one != two && one != big);
    arena_finish(&a);
    CHECK("usable after finish", arena_alloc(&a, 1) != NULL);
    arena_finish(&a);
}

static void test_limit(void)
{
    struct arena a;

    arena_init(&a, 1000);
    CHECK("within", arena_alloc(&a, 900) != NULL && !a.failed);
    CHECK("beyond", arena_alloc(&a, 200) == NULL && a.failed);
    CHECK("stays failed", arena_alloc(&a, 1) == NULL);
    arena_reset(&a);
    CHECK("reset forgives", arena_alloc(&a, 1) != NULL && !a.failed);
    CHECK("no wrap", arena_alloc(&a, SIZE_MAX) == NULL);
    arena_reset(&a);
    CHECK("no wrap when rounded", arena_alloc(&a, SIZE_MAX - 3) == NULL);
    arena_reset(&a);
    CHECK("no wrap in arrays", arena_alloc_array(&a, SIZE_MAX / 2, 3) == NULL && a.failed);
    arena_finish(&a);
    arena_init(&a, SIZE_MAX);
    CHECK("no wrap when rounded, without a limit", arena_alloc(&a, SIZE_MAX - 3) == NULL);
    arena_reset(&a);
    CHECK("no wrap without a limit", arena_alloc_array(&a, SIZE_MAX, 2) == NULL);
    arena_finish(&a);
    arena_init(&a, 0);
    CHECK("nothing in nothing", arena_alloc(&a, 0) == NULL && a.failed);
    arena_finish(&a);
}

static void test_text(void)
{
    struct arena a;
    char         text[] = "hello";

    arena_init(&a, 4096);
    struct slice kept = arena_keep(&a, slice_of(text));
    const char  *cstr = arena_cstr(&a, slice_sub(slice_of(text), 1, 3));
    text[1] = 'X';
    CHECK_SLICE("kept", kept, SLICE("hello"));
    CHECK("NUL behind", strcmp(cstr, "ell") == 0);
    CHECK_SLICE("kept empty", arena_keep(&a, slice_of(NULL)), SLICE(""));
    CHECK_SLICE("formatted", arena_printf(&a, "%d/%s", 7, "x"), SLICE("7/x"));
    CHECK("past the limit", strcmp(arena_cstr(&a, slice_make(text, 5)), "hXllo") == 0);
    (void)arena_alloc(&a, 5000);
    CHECK("never NULL", strcmp(arena_cstr(&a, SLICE("x")), "") == 0);
    CHECK("empty past the limit", arena_printf(&a, "x").len == 0);
    arena_finish(&a);
}

/* Of a budget that many share nobody has more than is left for the others. */
static void test_budget(void)
{
    struct budget budget = {.max = 100 * 1024};
    struct arena one, other;

    arena_init(&one, 1 << 20);
    arena_init(&other, 1 << 20);
    arena_charge_to(&one, &budget);
    arena_charge_to(&other, &budget);
    CHECK("half of it", arena_alloc(&one, 40 * 1024) != NULL);
    CHECK("it is charged", budget.used >= 40 * 1024);
    CHECK("the greediest is refused", arena_alloc(&one, 40 * 1024) == NULL && one.failed);
    CHECK("the other is not", arena_may_have(&other, 10 * 1024) && arena_alloc(&other, 10 * 1024) != NULL);
    CHECK("nor much", !arena_may_have(&other, 60 * 1024));
    arena_reset(&one);
    CHECK("after a reset there is room again", arena_alloc(&one, 40 * 1024) != NULL);
    arena_finish(&one);
    arena_finish(&other);
    CHECK("all is given back", budget.used == 0);
}

int main(void)
{
    test_pieces();
    test_limit();
    test_text();
    test_budget();
    return check_done();
}
