/* The spool: taken once, claimed in turn, reported, found again after a start; holding, undo, notifications. */
#include "spool.h"

static void test_once(void)
{
    struct queue *q = start();

    CHECK("taken", give_one(q, 8, "bob@one.example"));
    CHECK("taken again is taken", give_one(q, 8, "bob@one.example"));
    CHECK("there is one", stats(q).messages == 1 && stats(q).recipients == 1);
    struct queue_claim *c = queue_claim(q);
    char                text[64];
    CHECK("claimed", c != NULL && c->recipient_count == 1);
    CHECK_SLICE("address", c->recipients[0].address, SLICE("bob@one.example"));
    CHECK_SLICE("destination", c->destination, SLICE("one.example"));
    CHECK("its text", queue_read(q, c, 0, text, 14, &why) && memcmp(text, "Subject: hello", 14) == 0);
    CHECK("active", stats(q).active == 1);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("gone", stats(q).messages == 0 && stats(q).recipients == 0 && stats(q).sent == 1);
    CHECK("taken once more, though it is gone", give_one(q, 8, "bob@one.example") && stats(q).messages == 0);
    queue_close(&q);
}

/* What was claimed, and never reported, is due again after a start. */
static void test_start(void)
{
    struct queue *q = start();
    const char   *to[] = {"a@two.example", "b@three.example", "c@two.example"};

    CHECK("taken", give(q, 16, "ann@here.example", to, 3, (struct envelope_options){0}));
    queue_close(&q);
    q = start();
    CHECK("still there", stats(q).messages == 1 && stats(q).recipients == 3);
    struct queue_claim *c = queue_claim(q), *d = queue_claim(q);
    if (c->recipient_count < d->recipient_count) {
        struct queue_claim *swap = c;
        c = d;
        d = swap;
    }
    CHECK("those of one destination together", c->recipient_count == 2 && d->recipient_count == 1);
    CHECK("nothing more at that destination", queue_claim_more(q, SLICE("two.example")) == NULL);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    report(q, d, QUEUE_LATER, QUEUE_WELL);
    CHECK("one waits", stats(q).messages == 1 && stats(q).recipients == 1 && stats(q).deferred == 1);
    queue_close(&q);
    q = start();
    struct queue_filter f = {.domain = SLICE("three.example")};
    uint64_t            changed;
    CHECK("retried", queue_retry(q, &f, &changed, &why) && changed == 1);
    c = queue_claim(q);
    CHECK("due at once", c != NULL && c->recipients[0].attempts == 1);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("gone", stats(q).messages == 0);
    queue_close(&q);
}

static bool count_row(void *ctx, const struct queue_row *row)
{
    unsigned *states = ctx;

    states[row->state]++;
    return true;
}

static void test_steering(void)
{
    struct queue       *q = start();
    unsigned            states[3] = {0};
    struct queue_filter all = {0};
    uint64_t            changed;

    CHECK("claims its place", give_one(q, 24, "x@busy.example"));
    struct queue_claim *c = queue_claim(q);
    CHECK("waits", give(q, 32, "ann@here.example", (const char *[]){"y@four.example"}, 1,
                        (struct envelope_options){.hold_until = clock_now() + 1000, .account = 7}));
    CHECK("held, once it is not being sent any more too", queue_hold(q, &all, &changed, &why) && changed == 2);
    CHECK("seen", queue_each(q, &all, 0, count_row, states, &why));
    CHECK("each in its state", states[QUEUE_ACTIVE] == 1 && states[QUEUE_HELD] == 1 && states[QUEUE_WAITING] == 0);
    CHECK("counted", stats(q).held == 1);
    CHECK("released", queue_release(q, &all, &changed, &why) && changed == 2 && stats(q).held == 0);
    struct queue_claim *d = queue_claim(q);
    CHECK_SLICE("it goes", d->recipients[0].address, SLICE("y@four.example"));
    report(q, d, QUEUE_UNTOUCHED, QUEUE_WELL);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("removed", queue_remove(q, &all, false, &changed, &why) && changed == 1);
    CHECK("nothing is left", stats(q).messages == 0 && stats(q).recipients == 0);
    queue_close(&q);
}

static void test_undo(void)
{
    struct queue *q = start();
    const char   *to = "y@five.example";

    CHECK("taken", give(q, 40, "ann@here.example", &to, 1, (struct envelope_options){.hold_until = clock_now() + 1000, .account = 7}));
    CHECK("not by somebody else", !queue_undo(q, 8, SLICE("t40"), &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("undone", queue_undo(q, 7, SLICE("t40"), &why));
    CHECK("once", !queue_undo(q, 7, SLICE("t40"), &why));
    CHECK("gone", stats(q).messages == 0);
    queue_close(&q);
}

static void test_bounces(void)
{
    struct queue *q = start();

    set_home(true);
    CHECK("taken", give_one(q, 48, "nobody@six.example"));
    struct queue_claim *c = queue_claim(q);
    report(q, c, QUEUE_NEVER, QUEUE_WELL);
    CHECK("bounced", stats(q).bounced == 1);
    for (int i = 0; i < 500 && stats(q).messages > 0; i++) {
        (void)usleep(10000);
        queue_settle(q);
    }
    CHECK("the notification came home", stats(q).messages == 0);
    CHECK("it says who and why", came_home("nobody@six.example") && came_home("no such user"));

    set_home(false);
    CHECK("taken", give_one(q, 56, "nobody@six.example"));
    report(q, queue_claim(q), QUEUE_NEVER, QUEUE_WELL);
    c = queue_claim(q);
    CHECK_SLICE("not here: it is sent out", c->recipients[0].address, SLICE("ann@here.example"));
    CHECK_SLICE("from nobody", c->sender, SLICE(""));
    report(q, c, QUEUE_NEVER, QUEUE_WELL);
    CHECK("and never answered itself", stats(q).messages == 0);
    queue_close(&q);
}

/* 1,000 of one sender at one destination, then one of another: the second claim for that destination is hers. */
static void test_fair(void)
{
    struct queue *q = start();
    const char   *to = "z@seven.example";

    for (uint64_t i = 0; i < 100; i++)
        CHECK("bulk", give(q, 1000 + 8 * i, "bulk@here.example", &to, 1, (struct envelope_options){.source = SLICE("bulk")}));
    struct queue_claim *c = queue_claim(q), *d;
    CHECK("small", give(q, 9000, "small@here.example", &to, 1, (struct envelope_options){.source = SLICE("small")}));
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    unsigned waited = 0;
    do {
        d = queue_claim(q);
        waited++;
        bool small = slice_eq(d->sender, SLICE("small@here.example"));
        report(q, d, QUEUE_SENT, QUEUE_WELL);
        if (small)
            break;
    } while (waited < 90);
    CHECK("not behind all of bulk's", waited <= 4);
    for (unsigned left = 101 - 1 - waited; left > 0; left--)
        report(q, queue_claim(q), QUEUE_SENT, QUEUE_WELL);
    CHECK("all gone", stats(q).messages == 0);
    queue_close(&q);
}

/* A dead destination gets one attempt, and then none, however much waits for it; others are not held up. */
static void test_dead(void)
{
    struct queue *q = start();
    uint64_t      changed;

    for (uint64_t i = 0; i < 10; i++)
        CHECK("taken", give_one(q, 20000 + 8 * i, "z@dead.example"));
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_DEAD);
    CHECK("no more of it", queue_claim_more(q, SLICE("dead.example")) == NULL);
    CHECK("a live one", give_one(q, 30000, "z@live.example"));
    struct queue_claim *c = queue_claim(q);
    if (slice_eq(c->destination, SLICE("dead.example"))) { /* two had been offered at first */
        report(q, c, QUEUE_LATER, QUEUE_DEAD);
        c = queue_claim(q);
    }
    CHECK_SLICE("goes at once", c->destination, SLICE("live.example"));
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    queue_close(&q);
    q = start();
    CHECK("waiting, after a start too", queue_claim_more(q, SLICE("dead.example")) == NULL && stats(q).recipients == 10);
    CHECK("removed", queue_remove(q, &(struct queue_filter){0}, false, &changed, &why) && changed == 10);
    CHECK("nothing is left", stats(q).messages == 0);
    queue_close(&q);
}

/* Its time is over: what could not be sent comes back to its sender; before that she hears that it takes long. */
static void test_age(void)
{
    struct queue_limits before = setting.limits;
    const char         *to = "z@slow.example";

    set_home(true);
    setting.limits.lifetime_seconds = 2;
    setting.limits.delay_warning_seconds = 1;
    struct queue *q = start();
    CHECK("taken", give(q, 50000, "ann@here.example", &to, 1, (struct envelope_options){0}));
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_DEAD);
    for (int i = 0; i < 1000 && !came_home("Action: delayed"); i++)
        (void)usleep(10000);
    CHECK("it takes long", came_home("Action: delayed"));
    for (int i = 0; i < 1000 && stats(q).messages > 0; i++) {
        (void)usleep(10000);
        queue_settle(q);
    }
    CHECK("it has failed", came_home("Action: failed") && stats(q).bounced == 1);
    CHECK("nothing is left", stats(q).messages == 0 && stats(q).recipients == 0);
    queue_close(&q);
    setting.limits = before;
}

/* 10,000 recipients at 100 domains: 100 claims of 100. */
static void test_many(void)
{
    enum { MANY = 10000 };
    struct queue *q = start();
    static char   text[MANY][32];
    const char  **to = calloc(MANY, sizeof(char *));
    size_t        recipients = 0, claims = 0;

    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(text[i], sizeof text[i], "u%zu@d%zu.example", i, i % 100);
        to[i] = text[i];
    }
    CHECK("taken", give(q, 40000, "ann@here.example", to, MANY, (struct envelope_options){0}));
    while (recipients < MANY) {
        struct queue_claim *c = queue_claim(q);
        recipients += c->recipient_count;
        claims++;
        struct queue_outcome o[128];
        for (size_t i = 0; i < c->recipient_count; i++)
            o[i] = (struct queue_outcome){.fate = QUEUE_SENT};
        queue_report(q, &c, QUEUE_WELL, o);
    }
    queue_settle(q);
    CHECK("in as many claims as there are destinations", claims == 100 && recipients == MANY);
    CHECK("gone", stats(q).messages == 0 && stats(q).recipients == 0);
    free(to);
    queue_close(&q);
}

int main(void)
{
    if (!begin_spool())
        return 1;
    test_once();
    test_start();
    test_steering();
    test_undo();
    test_bounces();
    test_fair();
    test_dead();
    test_many();
    test_age();
    end_spool();
    return check_done();
}
