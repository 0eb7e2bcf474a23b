/* auth/exchange: so many, for so long, each taken once. */
#include "auth/exchange.h"

#include "base/clock.h"
#include "tests/unit/check.h"

static const struct auth_context about = {.service = {"imap", 4}, .peer = {"192.0.2.1", 9}};

static uint64_t put(struct exchanges *t)
{
    struct exchange *x = exchange_create(&about);
    uint64_t id = x->id;

    exchanges_put(t, &x);
    CHECK("put away", x == NULL);
    return id;
}

static bool is_there(struct exchanges *t, uint64_t id)
{
    struct exchange *x = exchanges_take(t, id);
    bool there = x != NULL;

    if (there)
        exchanges_put(t, &x);
    return there;
}

static void wait_a_millisecond(void)
{
    int64_t began = clock_mono_ms();

    while (clock_mono_ms() <= began)
        ;
}

static void test_table(void)
{
    struct exchanges *t = exchanges_create(2, 60);
    uint64_t one = put(t), two = put(t);

    CHECK("two fit", two != one && is_there(t, one) && is_there(t, two));
    uint64_t three = put(t);
    CHECK("the third takes the place of the first", !is_there(t, one) && is_there(t, two) && is_there(t, three));
    uint64_t four = put(t);
    CHECK("the fourth that of the second", !is_there(t, two) && is_there(t, three) && is_there(t, four));

    struct exchange *x = exchanges_take(t, three);
    CHECK("it is there", x != NULL && x->id == three);
    CHECK("it remembers from where", x != NULL && slice_eq(x->about.peer, SLICE("192.0.2.1")));
    CHECK("but once only", exchanges_take(t, three) == NULL);
    CHECK("and an id that nobody gave out never", exchanges_take(t, three + 1) == NULL && exchanges_take(t, 0) == NULL);
    exchanges_put(t, &x);
    exchanges_sweep(t);
    CHECK("what has time is not swept", (x = exchanges_take(t, three)) != NULL);
    exchange_destroy(&x);
    exchange_destroy(&x);
    exchanges_destroy(&t); /* with the fourth in it */
}

static void test_time(void)
{
    struct exchanges *t = exchanges_create(3, 0);
    uint64_t one = put(t), two = put(t);

    wait_a_millisecond();
    CHECK("too late", exchanges_take(t, one) == NULL);
    (void)put(t);
    wait_a_millisecond();
    exchanges_sweep(t);
    CHECK("swept", exchanges_take(t, two) == NULL);
    exchanges_destroy(&t);
}

int main(void)
{
    test_table();
    test_time();
    return check_done();
}
