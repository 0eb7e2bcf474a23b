/* The first attempt, straight from memory: nothing is written of what goes well, and nothing else is lost or made twice. */
#include "spool.h"

static const struct body_limits in_memory = {.memory_max = 65536, .size_max = 65536, .spool_dir = "/tmp"};

/* Hands one over for the first time. */
static enum queue_tried try_as(struct queue *q, uint64_t id, const char *const *to, size_t count, struct envelope_options options, unsigned notify)
{
    struct queue_recipient *r = calloc(count, sizeof *r);
    struct body            *body = body_create(&in_memory);
    enum queue_tried        fate = QUEUE_NOT_TRIED;

    options.source = SLICE("ann");
    for (size_t i = 0; i < count; i++)
        r[i] = (struct queue_recipient){.address = slice_of(to[i]), .options = {.notify = notify}};
    (void)body_add(body, SLICE("Subject: hello\r\n\r\ntext\r\n"), &why);
    const struct queue_message m = {.id = id, .sender = SLICE("ann@here.example"), .trace = SLICE("t1"), .received = clock_now(),
                                    .options = options, .recipients = r, .recipient_count = count, .body = body};
    CHECK("handed over", queue_try(q, &m, &body, 1, &fate, &why));
    CHECK("its body is the queue's if it is tried", (body == NULL) == (fate == QUEUE_TRIED) || fate == QUEUE_TRIED);
    body_destroy(&body);
    free(r);
    return fate;
}

static enum queue_tried try_one(struct queue *q, uint64_t id, const char *to)
{
    return try_as(q, id, &to, 1, (struct envelope_options){0}, 0);
}

/* A destination that is known, and idle: only such are tried. */
static struct queue *start_warm(const char *to)
{
    static uint64_t id = 80000;
    struct queue   *q = start();

    CHECK("a first one goes by the spool", try_one(q, id += 8, to) == QUEUE_TAKEN);
    struct queue_claim *c = queue_claim(q);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("gone", stats(q).messages == 0);
    return q;
}

/* The one that is told; 0: it is not to be had. */
static uint64_t told(struct queue *q, bool *taken)
{
    struct queue_over list[8];
    size_t            n = queue_outcomes(q, list, 8);

    CHECK("one", n == 1);
    *taken = n == 1 && list[0].taken;
    return n == 1 ? list[0].id : 0;
}

static bool wait_until_gone(struct queue *q)
{
    for (int i = 0; i < 500 && stats(q).messages > 0; i++) {
        (void)usleep(10000);
        queue_settle(q);
    }
    return stats(q).messages == 0;
}

static uint64_t records(struct queue *q)
{
    struct volume_stats s;

    volume_stats(queue_volumes(q), &s);
    return s.records_written;
}

static void test_delivered(void)
{
    struct queue  *q = start_warm("bob@one.example");
    const uint64_t before = records(q);
    char           text[64];
    bool           taken;

    CHECK("tried", try_one(q, 16, "bob@one.example") == QUEUE_TRIED);
    CHECK("seen", stats(q).messages == 1 && stats(q).recipients == 1 && stats(q).waiting == 1);
    struct queue_claim *c = queue_claim(q);
    CHECK("its text", queue_read(q, c, 0, text, 14, &why) && memcmp(text, "Subject: hello", 14) == 0);
    CHECK("no further than its end", !queue_read(q, c, 20, text, 14, &why));
    CHECK("active", stats(q).active == 1);
    CHECK("once more while it is on its way", try_one(q, 16, "bob@one.example") == QUEUE_TRIED && stats(q).messages == 1);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("told", told(q, &taken) == 16 && taken);
    CHECK("gone, and nothing was written", stats(q).messages == 0 && stats(q).sent == 2 && stats(q).active == 0 && records(q) == before);
    CHECK("not taken a second time", try_one(q, 16, "bob@one.example") == QUEUE_TAKEN && stats(q).messages == 0);
    CHECK("in neither way", give_one(q, 16, "bob@one.example") && stats(q).messages == 0);
    /* Nobody asked again: it is known in the next life too. */
    CHECK("another", try_one(q, 24, "bob@one.example") == QUEUE_TRIED);
    c = queue_claim(q);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    queue_close(&q);
    q = start();
    CHECK("known", give_one(q, 24, "bob@one.example") && stats(q).messages == 0);
    CHECK("that which was told and perhaps not heard", give_one(q, 16, "bob@one.example") && stats(q).messages == 0);
    queue_close(&q);
}

static void test_put_off(void)
{
    struct queue *q = start_warm("bob@one.example");
    bool          taken;

    CHECK("tried", try_one(q, 32, "bob@one.example") == QUEUE_TRIED);
    struct queue_claim *c = queue_claim(q);
    report(q, c, QUEUE_LATER, QUEUE_WELL);
    queue_settle(q);
    CHECK("taken", told(q, &taken) == 32 && taken);
    CHECK("waits in the spool", stats(q).messages == 1 && stats(q).deferred == 1 && stats(q).waiting == 1);
    CHECK("known", give_one(q, 32, "bob@one.example") && stats(q).messages == 1);
    queue_close(&q);
    q = start();
    CHECK("after a start too", stats(q).messages == 1);
    struct queue_filter all = {0};
    uint64_t            changed;
    CHECK("retried", queue_retry(q, &all, &changed, &why) && changed == 1);
    c = queue_claim(q);
    CHECK("the first attempt counts", c->recipients[0].attempts == 1);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("gone", stats(q).messages == 0);
    queue_close(&q);
}

/* Of two recipients one is refused: its sender hears of it, the other has it once. */
static void test_refused(void)
{
    struct queue       *q = start_warm("bob@one.example");
    const char         *to[] = {"x@one.example", "y@one.example"};
    struct queue_outcome o[2] = {{.fate = QUEUE_SENT, .code = 250}, {.fate = QUEUE_NEVER, .code = 550, .status = SLICE("5.1.1"), .text = SLICE("no such user")}};
    bool                taken;

    set_home(true);
    CHECK("tried", try_as(q, 40, to, 2, (struct envelope_options){0}, 0) == QUEUE_TRIED);
    struct queue_claim *c = queue_claim(q);
    CHECK("both", c->recipient_count == 2);
    queue_report(q, &c, QUEUE_WELL, o);
    queue_settle(q);
    queue_settle(q);
    CHECK("taken", told(q, &taken) == 40 && taken);
    CHECK("a notification and nothing else", wait_until_gone(q) && came_home("no such user") && came_home("y@one.example"));
    CHECK("counted", stats(q).bounced == 1 && stats(q).sent >= 2);
    /* Relayed, and the sender asked to hear of success. */
    CHECK("tried", try_as(q, 48, to, 1, (struct envelope_options){0}, NOTIFY_SUCCESS) == QUEUE_TRIED);
    set_home(true);
    c = queue_claim(q);
    report(q, c, QUEUE_RELAYED, QUEUE_WELL);
    queue_settle(q);
    CHECK("taken", told(q, &taken) == 48 && taken);
    CHECK("told", wait_until_gone(q) && came_home("relayed"));
    queue_close(&q);
}

static bool count_row(void *ctx, const struct queue_row *row)
{
    unsigned *states = ctx;

    states[row->state]++;
    return true;
}

/* The administrator sees and steers what is in memory. */
static void test_steering(void)
{
    struct queue       *q = start_warm("bob@one.example");
    unsigned            states[3] = {0};
    struct queue_filter all = {0};
    uint64_t            changed = 0;
    char                text[16];

    for (uint64_t id = 56; id <= 72; id += 8)
        CHECK("tried", try_one(q, id, "bob@one.example") == QUEUE_TRIED);
    struct queue_claim *c = queue_claim(q);
    CHECK("seen", queue_each(q, &all, 0, count_row, states, &why) && states[QUEUE_ACTIVE] == 1 && states[QUEUE_WAITING] == 2);
    CHECK("counted once", stats(q).messages == 3 && stats(q).active == 1 && stats(q).waiting == 2);
    CHECK("held", queue_hold(q, &all, &changed, &why) && changed == 3);
    CHECK("what is being sent is read from memory still", queue_read(q, c, 0, text, 7, &why) && memcmp(text, "Subject", 7) == 0);
    report(q, c, QUEUE_LATER, QUEUE_WELL);
    memset(states, 0, sizeof states);
    CHECK("all of it", queue_each(q, &all, 0, count_row, states, &why) && states[QUEUE_HELD] == 3 && stats(q).held == 3);
    struct queue_over list[8];
    size_t            n = queue_outcomes(q, list, 8);
    CHECK("all three are taken", n == 3 && list[0].taken && list[1].taken && list[2].taken);
    CHECK("removed", queue_remove(q, &all, false, &changed, &why) && changed == 3 && stats(q).messages == 0 && stats(q).held == 0);
    queue_close(&q);
}

/* What may not go at once is not tried: held, more than one destination, no room, a destination that does not answer. */
static void test_spooled(void)
{
    setting.limits.first_try_messages = 2;
    setting.limits.first_try_bytes = 60; /* two of them */
    struct queue *q = start_warm("bob@one.example");
    const char   *both[] = {"x@one.example", "x@two.example"}, *one[] = {"x@one.example"};

    CHECK("two destinations", try_as(q, 80, both, 2, (struct envelope_options){0}, 0) == QUEUE_TAKEN);
    CHECK("held", try_as(q, 88, one, 1, (struct envelope_options){.hold_until = clock_now() + 100}, 0) == QUEUE_TAKEN);
    CHECK("tried", try_one(q, 96, "x@one.example") == QUEUE_TRIED && try_one(q, 104, "x@one.example") == QUEUE_TRIED);
    CHECK("no more at once", try_one(q, 112, "x@one.example") == QUEUE_TAKEN);
    queue_close(&q);
}

static void test_none(void)
{
    setting.limits.first_try_messages = 0;
    struct queue *q = start_warm("bob@three.example");
    CHECK("none at all", try_one(q, 120, "bob@three.example") == QUEUE_TAKEN);
    queue_close(&q);
}

/* Not under a backup, and not to what does not answer. */
static void test_not_now(void)
{
    struct queue *q = start_warm("bob@four.example");

    queue_lease_begin(q);
    CHECK("spooled", try_one(q, 128, "bob@four.example") == QUEUE_TAKEN);
    queue_lease_end(q);
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_DEAD);
    CHECK("spooled", try_one(q, 136, "bob@four.example") == QUEUE_TAKEN);
    queue_close(&q);
}

/* The mail role was started anew and hands over what it does not know the end of. */
static void test_again(void)
{
    struct queue *q = start_warm("bob@five.example");
    bool          taken;

    CHECK("tried", try_one(q, 144, "bob@five.example") == QUEUE_TRIED);
    struct queue_claim *c = queue_claim(q);
    CHECK("again, while it is being sent", give_one(q, 144, "bob@five.example"));
    CHECK("there is one", stats(q).messages == 1 && told(q, &taken) == 144 && taken);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("and then none", stats(q).messages == 0 && stats(q).waiting == 0);
    CHECK("still known", give_one(q, 144, "bob@five.example") && stats(q).messages == 0);
    CHECK("tried", try_one(q, 152, "bob@five.example") == QUEUE_TRIED);
    CHECK("again, while it waits", give_one(q, 152, "bob@five.example") && stats(q).messages == 1);
    c = queue_claim(q);
    char text[16];
    CHECK("read from the spool", queue_read(q, c, 0, text, 7, &why) && memcmp(text, "Subject", 7) == 0);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("gone", stats(q).messages == 0);
    queue_close(&q);
}

/* An end before anything was tried: the mail role still has it, and this one has it not. */
static void test_end(void)
{
    struct queue *q = start_warm("bob@six.example");

    CHECK("tried", try_one(q, 160, "bob@six.example") == QUEUE_TRIED && try_one(q, 168, "bob@six.example") == QUEUE_TRIED);
    struct queue_claim *c = queue_claim(q);
    queue_stop_claims(q);
    report(q, c, QUEUE_UNTOUCHED, QUEUE_WELL);
    queue_close(&q);
    q = start();
    CHECK("what was being sent is here, the other is not", stats(q).messages == 1);
    CHECK("handed over again", give_one(q, 160, "bob@six.example") && give_one(q, 168, "bob@six.example") && stats(q).messages == 2);
    queue_close(&q);
}

int main(void)
{
    void (*const tests[])(void) = {test_delivered, test_put_off, test_refused, test_steering, test_spooled, test_none, test_not_now, test_again, test_end};

    for (size_t i = 0; i < ARRAY_LEN(tests); i++) { /* each in a spool of its own, so that its destinations are new */
        if (!begin_spool())
            return 1;
        tests[i]();
        end_spool();
    }
    return check_done();
}
