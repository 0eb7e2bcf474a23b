/* auth/exchange: so many, for so long, each taken once. */
#include "auth/exchange.h"

#include "base/clock.h"
#include "tests/unit/check.h"

static const struct auth_context about = {.service = {"imap", 4}, .peer = {"192.0.2.1", 9}};

static uint64_t put(struct exchanges *t, bool *ok)
{
    struct exchange *x = exchange_create(&about);
    uint64_t id = x->id;

    *ok = exchanges_put(t, &x);
    CHECK("put away, kept or not", x == NULL);
    return id;
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
    bool ok;
    uint64_t one = put(t, &ok), two, three;

    CHECK("the first fits", ok);
    two = put(t, &ok);
    CHECK("the second fits", ok && two != one);
    three = put(t, &ok);
    CHECK("the third does not", !ok);
    CHECK("it is not there", exchanges_take(t, three) == NULL);

    struct exchange *x = exchanges_take(t, one);
    CHECK("the first is", x != NULL && x->id == one);
    CHECK("it remembers from where", x != NULL && slice_eq(x->about.peer, SLICE("192.0.2.1")));
    CHECK("but once only", exchanges_take(t, one) == NULL);
    CHECK("it may go back", x != NULL && exchanges_put(t, &x));
    exchanges_sweep(t);
    CHECK("what has time is not swept", (x = exchanges_take(t, one)) != NULL);
    exchange_destroy(&x);
    exchange_destroy(&x);
    exchanges_destroy(&t); /* with the second in it */
}

static void test_time(void)
{
    struct exchanges *t = exchanges_create(2, 0);
    bool ok;
    uint64_t one = put(t, &ok);

    wait_a_millisecond();
    CHECK("too late", exchanges_take(t, one) == NULL);
    (void)put(t, &ok);
    (void)put(t, &ok);
    (void)put(t, &ok);
    CHECK("full of what is too late", !ok);
    wait_a_millisecond();
    exchanges_sweep(t);
    (void)put(t, &ok);
    CHECK("swept: there is room", ok);
    exchanges_destroy(&t);
}

int main(void)
{
    test_table();
    test_time();
    return check_done();
}
