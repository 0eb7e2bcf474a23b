/*
 * test_outbound.c - what must leave is handed over: once, whatever happens between.
 *
 * The queue role is a table here that can be away.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "check.h"
#include "deliver/deliver.h"
#include "deliver/srs.h"
#include "queue/queue.h"
#include "storage/volume.h"
#include "store/store.h"

static _Atomic time_t ahead; /* seconds */

/* In front of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    const int failed = (int)syscall(SYS_clock_gettime, clock, out);

    if (clock == CLOCK_REALTIME)
        out->tv_sec += ahead;
    return failed;
}

enum { TAKEN_MAX = 64 };

/* What the queue has. */
static struct taken {
    uint64_t id;
    char     sender[128], first[64], prefix[128], envid[32];
    size_t   recipients;
    unsigned notify;
    char     orcpt[64];
    char     body[64];
} taken[TAKEN_MAX];
static size_t taken_count;
static unsigned offered;
static _Atomic bool away;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  changed = PTHREAD_COND_INITIALIZER;

static void copy(char *out, size_t size, struct slice s)
{
    (void)snprintf(out, size, PRIslice, SLICE_ARG(s));
}

static void remember(const struct queue_message *m)
{
    struct taken *t = &taken[taken_count++ % TAKEN_MAX];
    struct slice  text = SLICE("");

    *t = (struct taken){.id = m->id, .recipients = m->recipient_count, .notify = m->recipients[0].options.notify};
    copy(t->sender, sizeof t->sender, m->sender);
    copy(t->first, sizeof t->first, m->recipients[0].address);
    copy(t->prefix, sizeof t->prefix, m->recipients[0].prefix);
    copy(t->orcpt, sizeof t->orcpt, m->recipients[0].options.orcpt);
    copy(t->envid, sizeof t->envid, m->options.envid);
    (void)body_in_memory(m->body, &text);
    copy(t->body, sizeof t->body, text);
}

static bool take(void *ctx, const struct queue_message *messages, size_t count, bool *out, struct fail *why)
{
    (void)ctx;
    (void)pthread_mutex_lock(&lock);
    const bool ok = !away;
    for (size_t i = 0; ok && i < count; i++) {
        bool known = false;
        for (size_t k = 0; k < taken_count; k++)
            known = known || taken[k].id == messages[i].id;
        if (!known)
            remember(&messages[i]);
        out[i] = true;
    }
    offered++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    return ok || fail_set(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "away");
}

/* What is tried from memory: `early`: its end is told while the hand-over is still on its way. */
static struct queue_over over[TAKEN_MAX];
static size_t over_count, tried_count;
static bool early, told_early, gone; /* gone: as if its process had ended */

static void tell(uint64_t id, bool was_taken)
{
    (void)pthread_mutex_lock(&lock);
    over[over_count++] = (struct queue_over){.id = id, .taken = was_taken};
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static bool attempt(void *ctx, const struct queue_message *messages, size_t count, enum queue_tried *fates, struct fail *why)
{
    (void)ctx;
    (void)pthread_mutex_lock(&lock);
    const bool ok = !away;
    for (size_t i = 0; ok && i < count; i++) {
        remember(&messages[i]);
        fates[i] = QUEUE_TRIED;
        tried_count++;
        if (early) {
            over[over_count++] = (struct queue_over){.id = messages[i].id, .taken = true};
            told_early = false;
            (void)pthread_cond_broadcast(&changed);
            while (!told_early)
                (void)pthread_cond_wait(&changed, &lock);
        }
    }
    offered++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    return ok || fail_set(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "away");
}

static bool outcomes(void *ctx, struct queue_over *out, size_t most, size_t *count, struct fail *why)
{
    struct timespec until;

    (void)ctx;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    (void)pthread_mutex_lock(&lock);
    int waited = 0;
    while (over_count == 0 && !gone && waited == 0)
        waited = pthread_cond_timedwait(&changed, &lock, &until);
    *count = over_count < most ? over_count : most;
    memcpy(out, over, *count * sizeof *out);
    told_early = over_count > 0;
    over_count = 0;
    (void)pthread_cond_broadcast(&changed);
    const bool ok = !gone;
    (void)pthread_mutex_unlock(&lock);
    return ok || fail_set(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "gone");
}

static size_t taken_messages(void)
{
    (void)pthread_mutex_lock(&lock);
    size_t count = taken_count;
    (void)pthread_mutex_unlock(&lock);
    return count;
}

static const struct deliver_outbound outbound = {.take = take}, trying = {.take = take, .attempt = attempt, .outcomes = outcomes};
static bool tries;

static struct world {
    char              dir[64];
    struct volumes   *volumes;
    struct store     *store;
    struct directory *directory;
    struct srs       *srs;
    struct deliver   *deliver;
    uint64_t          id;
} w;

static const char *in_dir(char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", w.dir, name);
    return out;
}

static void start(void)
{
    char                    path[128];
    struct volume_limits    vl;
    struct store_limits     sl;
    struct directory_limits dl;
    struct deliver_limits   limits;
    struct fail             why;

    volume_limits_default(&vl);
    vl.volume_bytes = 8 << 20;
    vl.prewrite_bytes = 1 << 20;
    vl.reserve_percent = 0;
    vl.reserve_bytes = 0;
    store_limits_default(&sl);
    directory_limits_default(&dl);
    deliver_limits_default(&limits);
    limits.retry_seconds = 1;
    limits.backlog = 5;
    limits.outbound_backlog = 8;
    limits.outbound = tries ? &trying : &outbound;
    CHECK("volumes", volumes_open(in_dir(path, "volumes"), &vl, &w.volumes, &why));
    CHECK("store", store_open(w.dir, w.volumes, &sl, &w.store, &why));
    CHECK("directory", directory_open(in_dir(path, "directory.db"), &dl, &w.directory, &why));
    CHECK("srs", srs_open(in_dir(path, "srs.keys"), "", &w.srs, &why));
    limits.srs = w.srs;
    CHECK("deliver", deliver_open(w.store, w.volumes, w.directory, &limits, &w.deliver, &why));
}

static void stop(void)
{
    deliver_close(&w.deliver, 0);
    srs_close(&w.srs);
    directory_close(&w.directory);
    store_close(&w.store);
    volumes_close(&w.volumes);
}

static void make(void)
{
    char        path[128];
    struct fail why;

    w = (struct world){.dir = "/tmp/posthorn-outbound-XXXXXX"};
    if (mkdtemp(w.dir) == NULL)
        abort();
    taken_count = offered = 0;
    away = false;
    CHECK("folder", io_make_dirs(in_dir(path, "volumes"), 0700, &why));
    start();
    CHECK("domain", directory_domain_add(w.directory, SLICE("x.test"), &why));
    CHECK("account", directory_account_add(w.directory, SLICE("ann@x.test"), &w.id, &why) &&
                         store_account_create(w.store, w.id, &why));
}

static void end(void)
{
    char command[128];

    stop();
    (void)snprintf(command, sizeof command, "rm -rf %s", w.dir);
    if (system(command) != 0)
        perror(w.dir);
}

/* To one address, from another server. */
static int64_t hold; /* what is sent is held until then */

static bool send_as(const char *from, const char *to, unsigned notify, struct fail *why)
{
    struct body_limits        of_body = {.memory_max = 1 << 16, .size_max = 1 << 16, .spool_dir = "/tmp"};
    struct body              *body = body_create(&of_body);
    struct delivery_recipient r = {.address = slice_of(to), .options = {.notify = notify}};
    struct deliver_hold       room;
    struct arena              arena;

    arena_init(&arena, 1 << 16);
    deliver_hold_init(&room);
    bool ok = body_add(body, SLICE("Subject: a\r\n\r\ntext\r\n"), why) &&
              directory_route(w.directory, r.address, &arena, &r.route, why) &&
              deliver_may(w.deliver, &room, &r, 100, why);
    struct delivery d = {.sender = slice_of(from), .recipients = &r, .recipient_count = 1, .body = body,
                         .received = clock_now(), .trace = SLICE("t1"), .options = {.envid = SLICE("e1"), .hold_until = hold}};
    ok = ok && deliver_message(w.deliver, &d, why);
    deliver_hold_finish(w.deliver, &room);
    body_destroy(&body);
    arena_finish(&arena);
    return ok;
}

static void send_ok(const char *from, const char *to, unsigned notify)
{
    struct fail why = {0};
    bool ok = send_as(from, to, notify, &why);

    CHECK(ok ? "sent" : why.text, ok);
}

static void wait_for_offer(unsigned n)
{
    (void)pthread_mutex_lock(&lock);
    while (offered < n)
        (void)pthread_cond_wait(&changed, &lock);
    (void)pthread_mutex_unlock(&lock);
}

static void test_simple(void)
{
    make();
    send_ok("ann@x.test", "Bob@far.test", NOTIFY_NEVER);
    deliver_settle(w.deliver);
    CHECK("taken", taken_count == 1 && taken[0].recipients == 1);
    CHECK("id", taken[0].id != 0 && taken[0].id % 8 == 0);
    CHECK("sender", strcmp(taken[0].sender, "ann@x.test") == 0);
    CHECK("address", strcmp(taken[0].first, "Bob@far.test") == 0);
    CHECK("nothing in front", taken[0].prefix[0] == '\0');
    CHECK("options", taken[0].notify == NOTIFY_NEVER && strcmp(taken[0].envid, "e1") == 0);
    CHECK("body", strcmp(taken[0].body, "Subject: a\r\n\r\ntext\r\n") == 0);
    bool released = false;
    struct fail why;
    CHECK("released", store_is_released(w.store, 0, taken[0].id, &released, &why) && released);
    end();
}

/* While it is away all waits, over restarts too; then it has each once. */
static void test_away(void)
{
    struct fail why = {0};

    make();
    away = true;
    send_ok("ann@x.test", "b1@far.test", 0);
    wait_for_offer(1);
    for (int i = 0; i < 7; i++) /* more than the backlog: nobody is held back for it */
        send_ok("ann@x.test", "b2@far.test", 0);
    CHECK("no more", !send_as("ann@x.test", "b3@far.test", 0, &why) && why.kind == FAIL_TEMP);
    CHECK("says why", strcmp(why.code, "4.3.2") == 0);
    send_ok("b@far.test", "ann@x.test", 0); /* what stays here comes in */
    stop();
    start();
    away = false;
    deliver_queue_is_back(w.deliver);
    deliver_settle(w.deliver);
    CHECK("all of it", taken_messages() == 8);
    stop();
    start();
    deliver_settle(w.deliver);
    CHECK("once", taken_messages() == 8);
    end();
}

static bool is_released(size_t i)
{
    bool        released = false;
    struct fail why;

    return store_is_released(w.store, 0, taken[i].id, &released, &why) && released;
}

/* Tried from memory: the record stays until the queue says that it need not. */
static void test_tried(void)
{
    struct deliver_stats s;

    tries = true;
    tried_count = over_count = 0;
    early = gone = false;
    make();
    send_ok("ann@x.test", "b1@far.test", 0);
    wait_for_offer(1);
    deliver_stats(w.deliver, &s);
    CHECK("tried, and not given away", tried_count == 1 && !is_released(0) && s.leaving == 1 && s.outbound == 0);
    tell(taken[0].id + 8, true); /* of another life */
    tell(taken[0].id, true);
    deliver_settle(w.deliver);
    deliver_stats(w.deliver, &s);
    CHECK("released", is_released(0) && s.leaving == 0 && s.outbound == 1);
    send_ok("ann@x.test", "b2@far.test", 0);
    wait_for_offer(2);
    tell(taken[1].id, false);
    deliver_settle(w.deliver);
    CHECK("not to be had there: handed over in the other way", tried_count == 2 && offered == 3 && is_released(1) && taken_messages() == 2);
    early = true;
    send_ok("ann@x.test", "b3@far.test", 0);
    deliver_settle(w.deliver);
    CHECK("told before the hand-over had returned", tried_count == 3 && offered == 4 && is_released(2));
    early = false;
    end();
}

/* The queue role ends, and then this one, while something is tried. */
static void test_tried_and_gone(void)
{
    make();
    tried_count = over_count = 0;
    send_ok("ann@x.test", "b1@far.test", 0);
    wait_for_offer(1);
    (void)pthread_mutex_lock(&lock);
    gone = true;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    deliver_settle(w.deliver);
    CHECK("handed over again, as one that may be known", tried_count == 1 && offered == 2 && is_released(0) && taken_messages() == 1);
    gone = false;
    send_ok("ann@x.test", "b2@far.test", 0);
    wait_for_offer(3);
    CHECK("tried", tried_count == 2 && !is_released(1));
    stop();
    start();
    deliver_settle(w.deliver);
    CHECK("found again", tried_count == 2 && offered == 4 && is_released(1) && taken_messages() == 2);
    end();
    tries = false;
}

static void test_forward(void)
{
    struct fail why;

    make();
    CHECK("alias", directory_alias_add(w.directory, SLICE("all@x.test"), SLICE("ann@x.test"), &why) &&
                       directory_alias_add(w.directory, SLICE("all@x.test"), SLICE("b@far.test"), &why) &&
                       directory_alias_add(w.directory, SLICE("all@x.test"), SLICE("c@far.test"), &why));
    send_ok("carl@y.test", "all@x.test", NOTIFY_SUCCESS | NOTIFY_FAILURE);
    deliver_settle(w.deliver);
    CHECK("one entry for the list, and a notification", taken_count == 2 && taken[0].recipients == 2);
    CHECK("to the sender", taken[1].sender[0] == '\0' && strcmp(taken[1].first, "carl@y.test") == 0);
    CHECK("SRS", strncmp(taken[0].sender, "SRS0=", 5) == 0 && strstr(taken[0].sender, "=carl@x.test") != NULL);
    CHECK("Delivered-To", strcmp(taken[0].prefix, "Delivered-To: all@x.test\r\n") == 0);
    CHECK("no SUCCESS for each", taken[0].notify == NOTIFY_FAILURE);
    CHECK("who was meant", strcmp(taken[0].orcpt, "rfc822;all@x.test") == 0);
    CHECK("ENVID", strcmp(taken[0].envid, "e1") == 0);
    send_ok("", "all@x.test", 0);
    send_ok("ann@x.test", "all@x.test", 0);
    deliver_settle(w.deliver);
    CHECK("a bounce stays one", taken_count == 4 && taken[2].sender[0] == '\0');
    CHECK("ours need no SRS", strcmp(taken[3].sender, "ann@x.test") == 0);
    end();
}

static void test_list(void)
{
    struct fail why;

    make();
    CHECK("list", directory_alias_add(w.directory, SLICE("all@x.test"), SLICE("b@far.test"), &why) &&
                      directory_alias_add(w.directory, SLICE("owner-all@x.test"), SLICE("ann@x.test"), &why));
    send_ok("carl@y.test", "all@x.test", NOTIFY_SUCCESS);
    send_ok("", "all@x.test", 0);
    deliver_settle(w.deliver);
    CHECK("its owner answers", taken_count == 3 && strcmp(taken[0].sender, "owner-all@x.test") == 0);
    CHECK("nothing of the sender's wishes", taken[0].notify == 0 && taken[0].orcpt[0] == '\0' && taken[0].envid[0] == '\0');
    CHECK("the list had it, says a notification", strcmp(taken[1].first, "carl@y.test") == 0);
    CHECK("a bounce stays one", taken[2].sender[0] == '\0' && strcmp(taken[2].first, "b@far.test") == 0);
    end();
}

/* An account without a file, and a message that is older than anything is tried. */
static void test_given_up(void)
{
    struct body_limits        of_body = {.memory_max = 1 << 16, .size_max = 1 << 16, .spool_dir = "/tmp"};
    struct body              *body = body_create(&of_body);
    struct delivery_recipient r = {.address = SLICE("bob@x.test")};
    struct arena              arena;
    struct fail               why;
    uint64_t                  id;

    make();
    arena_init(&arena, 1 << 16);
    CHECK("account", directory_account_add(w.directory, SLICE("bob@x.test"), &id, &why));
    CHECK("body", body_add(body, SLICE("Subject: a\r\n\r\ntext\r\n"), &why));
    CHECK("route", directory_route(w.directory, r.address, &arena, &r.route, &why));
    struct delivery d = {.sender = SLICE("carl@y.test"), .recipients = &r, .recipient_count = 1, .body = body,
                         .received = clock_now() - 6 * 86400, .trace = SLICE("t1")};
    log_set_level(LOG_ERROR + 1);
    CHECK("accepted", deliver_message(w.deliver, &d, &why));
    wait_for_offer(1); /* of the notification */
    deliver_settle(w.deliver);
    log_set_level(LOG_ERROR);
    CHECK("returned", taken_count == 1 && taken[0].sender[0] == '\0' && strcmp(taken[0].first, "carl@y.test") == 0);
    struct deliver_stats stats;
    deliver_stats(w.deliver, &stats);
    CHECK("not tried again", stats.retrying == 0);
    body_destroy(&body);
    arena_finish(&arena);
    end();
}

static bool has_mail(void)
{
    struct account *a = NULL;
    struct account_usage usage = {0};
    struct fail why;

    CHECK("account", store_account(w.store, w.id, &a, &why) && account_usage(a, &usage, &why));
    account_release(&a);
    return usage.messages > 0;
}

/* FUTURERELEASE for a mailbox here: over a restart, and until its time and no longer. */
static void test_held(void)
{
    make();
    hold = clock_now() + 3600;
    send_ok("ann@x.test", "ann@x.test", 0);
    hold = 0;
    send_ok("ann@x.test", "b@far.test", 0); /* others go on */
    wait_for_offer(1);
    CHECK("not yet", !has_mail());
    stop();
    start();
    CHECK("nor after a restart", !has_mail());
    ahead = 3601;
    stop();
    start();
    deliver_settle(w.deliver);
    CHECK("its time has come", has_mail());
    ahead = 0;
    hold = clock_now() + 3600;
    send_ok("ann@x.test", "ann@x.test", 0);
    hold = 0;
    ahead = 3601;
    send_ok("b@far.test", "ann@x.test", 0); /* somebody looks at the clock */
    deliver_settle(w.deliver);
    ahead = 0;
    end();
}

int main(void)
{
    log_set_level(LOG_ERROR);
    test_simple();
    test_away();
    test_tried();
    test_tried_and_gone();
    test_forward();
    test_list();
    test_given_up();
    test_held();
    return check_done();
}
