/*
 * The spool under steering, and under a clock that the test moves: what is being sent is held, removed and returned when
 * that has ended; who has sent enough delays nobody else; back-off, warning and end of a lifetime come when they should.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "spool.h"

/* The wall clock is the machine's, moved. */
static _Atomic int64_t moved;

int clock_gettime(clockid_t id, struct timespec *out)
{
    long result = syscall(SYS_clock_gettime, id, out);

    if (result == 0 && id == CLOCK_REALTIME)
        out->tv_sec += (time_t)moved;
    return (int)result;
}

/* Waits for something that other threads do. */
#define COMES(note, what) do { for (int tries = 0; tries < 3000 && !(what); tries++) (void)usleep(10000); CHECK(note, what); } while (0)

static const struct queue_filter all = {0};
static uint64_t changed;

struct seen { unsigned count, held, active; int64_t next; unsigned attempts; };

static bool see_row(void *ctx, const struct queue_row *row)
{
    struct seen *s = ctx;

    if (row->sender.len == 0)
        return true; /* a notification, on its way home */
    s->count++;
    s->held += row->state == QUEUE_HELD;
    s->active += row->state == QUEUE_ACTIVE;
    s->next = row->next;
    s->attempts = row->attempts;
    return true;
}

static struct seen look(struct queue *q)
{
    struct seen s = {0};

    CHECK("seen", queue_each(q, &all, 0, see_row, &s, &why));
    return s;
}

static void clear(struct queue *q)
{
    set_home(true);
    (void)queue_remove(q, &all, false, &changed, &why);
    CHECK("nothing is left", stats(q).messages == 0 && stats(q).recipients == 0 && stats(q).held == 0);
}

/* What is claimed is marked, and that counts when its report comes. */
static void test_marks(void)
{
    struct queue *q = start();
    const char   *to[] = {"a@m.example", "b@m.example", "c@m.example"};
    const struct queue_filter b = {.recipient = SLICE("b@")};

    set_home(true);
    CHECK("taken", give(q, 8, "ann@here.example", to, 3, (struct envelope_options){0}));
    struct queue_claim *c = queue_claim(q);
    CHECK("one is to be held", queue_hold(q, &b, &changed, &why) && changed == 1);
    CHECK("once", queue_hold(q, &b, &changed, &why) && changed == 0);
    report(q, c, QUEUE_LATER, QUEUE_WELL);
    CHECK("it is held", look(q).held == 1 && stats(q).held == 1 && look(q).count == 3);
    CHECK("released", queue_release(q, &b, &changed, &why) && changed == 1 && stats(q).held == 0);
    c = queue_claim(q);
    CHECK("it is sent again, alone", c->recipient_count == 1 && slice_eq(c->recipients[0].address, SLICE("b@m.example")));
    CHECK("the others are not with it", queue_remove(q, &(struct queue_filter){.recipient = SLICE("a@")}, false, &changed, &why) && changed == 1 &&
                                           look(q).count == 2);
    CHECK("it is to go", queue_remove(q, &b, false, &changed, &why) && changed == 1 && look(q).count == 2);
    report(q, c, QUEUE_LATER, QUEUE_WELL);
    CHECK("it has gone, and nobody is told", look(q).count == 1 && !came_home("Action"));
    clear(q);

    CHECK("taken", give(q, 16, "ann@here.example", to, 2, (struct envelope_options){0}));
    c = queue_claim(q);
    CHECK("to be returned", queue_remove(q, &b, true, &changed, &why) && changed == 1);
    report(q, c, QUEUE_LATER, QUEUE_WELL);
    COMES("it is returned", came_home("administrator") && stats(q).messages == 1);
    CHECK("the other waits", look(q).count == 1);
    clear(q);

    CHECK("taken", give(q, 24, "ann@here.example", to, 1, (struct envelope_options){0}));
    c = queue_claim(q);
    CHECK("held, and then not", queue_hold(q, &all, &changed, &why) && queue_release(q, &all, &changed, &why) && changed == 1);
    report(q, c, QUEUE_LATER, QUEUE_WELL);
    CHECK("it waits", look(q).held == 0 && look(q).count == 1);
    clear(q);

    CHECK("taken", give(q, 32, "ann@here.example", to, 1, (struct envelope_options){0}));
    c = queue_claim(q);
    CHECK("to be removed", queue_remove(q, &all, false, &changed, &why) && changed == 1);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("what has left has left", stats(q).messages == 0);
    queue_close(&q);
}

/* A destination rests; somebody wants it tried now. */
static void test_retry(void)
{
    struct queue *q = start();

    CHECK("taken", give_one(q, 40, "z@rests.example"));
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_DEAD);
    CHECK("not now", queue_claim_more(q, SLICE("rests.example")) == NULL);
    CHECK("now", queue_retry(q, &all, &changed, &why) && changed == 1);
    struct queue_claim *c = queue_claim(q);
    CHECK("really now", c != NULL && c->afresh);
    report(q, c, QUEUE_LATER, QUEUE_DEAD);
    queue_close(&q);
    q = start(); /* at rest and not in memory */
    CHECK("now", queue_retry(q, &all, &changed, &why) && changed == 1);
    c = queue_claim(q);
    CHECK("really now", c != NULL && c->afresh);
    report(q, c, QUEUE_LATER, QUEUE_DEAD);
    clear(q);
    queue_close(&q);
}

/* Who has sent enough for this minute waits; whoever else writes to the same destination does not. */
static void test_source_rate(void)
{
    setting.limits.source_per_minute = 3;
    struct queue *q = start();
    const char   *to = "z@rate.example";
    unsigned      bulk = 0, small = 0;

    for (uint64_t i = 0; i < 10; i++)
        CHECK("bulk", give(q, 1000 + 8 * i, "bulk@here.example", &to, 1, (struct envelope_options){.source = SLICE("bulk")}));
    for (uint64_t i = 0; i < 3; i++)
        CHECK("small", give(q, 2000 + 8 * i, "small@here.example", &to, 1, (struct envelope_options){.source = SLICE("small")}));
    for (unsigned i = 0; i < 6; i++) {
        struct queue_claim *c = queue_claim(q);
        *(slice_starts(c->sender, SLICE("bulk")) ? &bulk : &small) += 1;
        report(q, c, QUEUE_SENT, QUEUE_WELL);
    }
    CHECK("each as many as it may", bulk == 3 && small == 3);
    CHECK("nothing more now", queue_claim_more(q, SLICE("rate.example")) == NULL);
    moved += 61;
    struct queue_claim *c = queue_claim(q);
    CHECK("the next minute", c != NULL && slice_starts(c->sender, SLICE("bulk")));
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    clear(q);
    queue_close(&q);
    setting.limits.source_per_minute = 0;
}

/* 5, 10, 20 ... minutes with a quarter of jitter, 4 hours at most; after 4 hours a warning, after 5 days the end. */
static void test_times(void)
{
    struct queue *q = start();
    const char   *to = "z@times.example";
    int64_t       wait = 300, began = clock_now();

    set_home(true);
    CHECK("taken", give(q, 4000, "ann@here.example", &to, 1, (struct envelope_options){0}));
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        report(q, queue_claim(q), QUEUE_LATER, QUEUE_WELL);
        struct seen s = look(q);
        int64_t     left = s.next - clock_now();
        CHECK("attempts are counted", s.attempts == attempt + 1);
        CHECK("the wait doubles", left >= wait * 3 / 4 - 2 && left <= wait * 5 / 4 + 2);
        wait = wait * 2 < 14400 ? wait * 2 : 14400;
        CHECK("no warning before its time", clock_now() - began >= 14400 || !came_home("Action: delayed"));
        moved += left;
    }
    COMES("the warning", came_home("Action: delayed"));
    moved += began + 5 * 86400 - clock_now() - 10;
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_WELL);
    CHECK("not before five days are over", look(q).count == 1 && look(q).next <= began + 5 * 86400);
    moved += 11;
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_WELL);
    COMES("it is returned", came_home("Action: failed") && stats(q).messages == 0);
    queue_close(&q);
}

/* The server was off when its time ended: it is tried once more. */
static void test_off(void)
{
    struct queue *q = start();
    const char   *to = "z@off.example";

    set_home(true);
    CHECK("taken", give(q, 5000, "ann@here.example", &to, 1, (struct envelope_options){0}));
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_WELL);
    queue_close(&q);
    moved += 6 * 86400;
    q = start();
    for (int i = 0; i < 30; i++) /* whatever looks for old messages has its chance */
        (void)usleep(100000);
    CHECK("not returned unseen", !came_home("Action: failed") && stats(q).messages == 1);
    struct queue_claim *c = queue_claim(q);
    CHECK("tried", c != NULL && c->recipients[0].attempts == 1);
    report(q, c, QUEUE_LATER, QUEUE_WELL);
    COMES("and then returned", came_home("Action: failed") && stats(q).messages == 0);
    queue_close(&q);
}

/* DELIVERBY with R: its end is the sender's; with N she hears of it, and it goes on. */
static void test_by(void)
{
    struct queue *q = start();
    const char   *to = "z@by.example";

    set_home(true);
    CHECK("taken", give(q, 6000, "ann@here.example", &to, 1, (struct envelope_options){.by_mode = BY_RETURN, .by = clock_now() + 600}));
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_WELL);
    moved += 601;
    COMES("it is returned", came_home("Action: failed") && stats(q).messages == 0);
    set_home(true);
    CHECK("taken", give(q, 6008, "ann@here.example", &to, 1, (struct envelope_options){.by_mode = BY_NOTIFY, .by = clock_now() + 600}));
    report(q, queue_claim(q), QUEUE_LATER, QUEUE_DEAD);
    moved += 601;
    COMES("she hears", came_home("Action: delayed"));
    CHECK("it goes on", look(q).count == 1);
    clear(q);
    queue_close(&q);
}

/* 421: fewer at a time, and a pause of seconds. */
static void test_busy(void)
{
    struct queue *q = start();

    for (uint64_t i = 0; i < 4; i++)
        CHECK("taken", give_one(q, 7000 + 8 * i, "z@busy2.example"));
    report(q, queue_claim(q), QUEUE_UNTOUCHED, QUEUE_BUSY);
    CHECK("a pause", queue_claim_more(q, SLICE("busy2.example")) == NULL);
    moved += 2;
    struct queue_claim *c = queue_claim(q);
    CHECK("one", c != NULL);
    CHECK("and no other", queue_claim_more(q, SLICE("busy2.example")) == NULL);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    for (unsigned i = 0; i < 3; i++)
        report(q, queue_claim(q), QUEUE_SENT, QUEUE_WELL);
    CHECK("all have left", stats(q).messages == 0);
    queue_close(&q);
}

static bool has_rebuilt(struct queue *q, uint64_t count)
{
    char mark[128];

    queue_settle(q);
    (void)snprintf(mark, sizeof mark, "%s/rebuild", dir);
    return stats(q).messages == count && access(mark, F_OK) != 0;
}

/* The database is lost: the records say what it said.  All of it is held, because some of it may have left. */
static void test_lost(void)
{
    static const struct body_limits limits = {.memory_max = 65536, .size_max = 65536, .spool_dir = "/tmp"};
    struct queue *q = start();
    char          command[200];
    struct body  *body = body_create(&limits);
    bool          taken = false;

    (void)body_add(body, SLICE("Subject: lost\r\n\r\nfound\r\n"), &why);
    const struct queue_recipient to[] = {
        {.address = SLICE("z@lost.example"), .prefix = SLICE("Delivered-To: y@here.example\r\n"),
         .options = {.notify = NOTIFY_SUCCESS, .orcpt = SLICE("rfc822;y@here.example")}},
        {.address = SLICE("z@other.example"), .options = {.notify = NOTIFY_NEVER}}};
    const struct queue_message m = {.id = 800000, .sender = SLICE("ann@here.example"), .trace = SLICE("lost"), .received = clock_now(),
                                    .options = {.envid = SLICE("e1"), .ret = RET_HDRS, .source = SLICE("ann"), .priority = 2},
                                    .recipients = to, .recipient_count = 2, .body = body};
    CHECK("taken", queue_take(q, &m, 1, &taken, &why) && taken);
    queue_close(&q);
    (void)snprintf(command, sizeof command, "rm %s/queue.db*", dir);
    CHECK("lost", system(command) == 0);
    q = start();
    COMES("found", look(q).count >= 2 && has_rebuilt(q, stats(q).messages));
    CHECK("all is held", look(q).held == look(q).count && stats(q).held == stats(q).recipients);
    CHECK("the mail role hears that it is here", queue_take(q, &m, 1, &taken, &why) && taken);
    uint64_t all_of_it = stats(q).messages;
    CHECK("once", queue_hold(q, &all, &changed, &why) && changed == 0);
    queue_close(&q);
    q = start();
    COMES("after another start too", stats(q).messages == all_of_it);
    CHECK("released", queue_release(q, &(struct queue_filter){.domain = SLICE("lost.example")}, &changed, &why) && changed == 1);
    struct queue_claim *c = queue_claim(q);
    char                text[32];
    CHECK_SLICE("its recipient", c->recipients[0].address, SLICE("z@lost.example"));
    CHECK_SLICE("its prefix", c->recipients[0].prefix, SLICE("Delivered-To: y@here.example\r\n"));
    CHECK_SLICE("its ORCPT", c->recipients[0].options.orcpt, SLICE("rfc822;y@here.example"));
    CHECK("its wishes", c->recipients[0].options.notify == NOTIFY_SUCCESS && c->options.ret == RET_HDRS && c->options.priority == 2 &&
                            slice_eq(c->options.envid, SLICE("e1")) && c->delivery == 800000);
    CHECK("its text", c->size == body_size(body) && queue_read(q, c, 0, text, 13, &why) && memcmp(text, "Subject: lost", 13) == 0);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    clear(q);
    body_destroy(&body);
    queue_close(&q);
}

static void let_files_grow(rlim_t most)
{
    struct rlimit l;

    CHECK("limit", getrlimit(RLIMIT_FSIZE, &l) == 0);
    l.rlim_cur = most < l.rlim_max ? most : l.rlim_max;
    CHECK("limit", setrlimit(RLIMIT_FSIZE, &l) == 0);
}

static void *report_sent(void *claim)
{
    struct queue_claim *c = ((void **)claim)[1];

    report(((void **)claim)[0], c, QUEUE_SENT, QUEUE_WELL);
    return NULL;
}

/* Neither rows nor records can be written: nothing is taken, nothing that was taken is lost, and what was sent is not sent again. */
static void test_full(void)
{
    static const struct body_limits limits = {.memory_max = 65536, .size_max = 65536, .spool_dir = "/tmp"};
    struct queue *q = start();
    struct body  *body = body_create(&limits);
    bool          taken = false;
    pthread_t     reporter;

    (void)signal(SIGXFSZ, SIG_IGN);
    (void)body_add(body, SLICE("Subject: full\r\n\r\n"), &why);
    const struct queue_recipient to = {.address = SLICE("z@full.example")};
    const struct queue_message   m = {.id = 900008, .sender = SLICE("ann@here.example"), .received = clock_now(), .recipients = &to,
                                      .recipient_count = 1, .body = body};
    CHECK("taken", give_one(q, 900000, "z@full.example"));
    struct queue_claim *c = queue_claim(q);
    let_files_grow(1);
    CHECK("not taken, and said so", !(queue_take(q, &m, 1, &taken, &why) && taken) && why.kind == FAIL_TEMP);
    void *of_reporter[] = {q, c};
    CHECK("the one before waits for its report", pthread_create(&reporter, NULL, report_sent, of_reporter) == 0);
    for (int i = 0; i < 20; i++)
        (void)usleep(100000);
    CHECK("which cannot be written", stats(q).messages == 1);
    let_files_grow(RLIM_INFINITY);
    (void)pthread_join(reporter, NULL);
    COMES("now it can", stats(q).messages == 0);
    CHECK("and the other is taken", queue_take(q, &m, 1, &taken, &why) && taken && stats(q).messages == 1);
    queue_close(&q);
    q = start();
    CHECK("once, and on disk", stats(q).messages == 1 && stats(q).recipients == 1);
    c = queue_claim(q);
    CHECK_SLICE("it goes", c->recipients[0].address, SLICE("z@full.example"));
    CHECK("alone", queue_claim_more(q, SLICE("full.example")) == NULL);
    report(q, c, QUEUE_SENT, QUEUE_WELL);
    CHECK("nothing is left", stats(q).messages == 0);
    body_destroy(&body);
    queue_close(&q);
}

int main(void)
{
    if (!begin_spool())
        return 1;
    test_marks();
    test_retry();
    test_source_rate();
    test_times();
    test_off();
    test_by();
    test_busy();
    test_full();
    test_lost();
    end_spool();
    return check_done();
}
