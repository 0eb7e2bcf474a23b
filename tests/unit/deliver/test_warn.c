/*
 * test_warn.c - warnings at percentages of a quota: once on the way up, again after the way down, over restarts.
 */
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "check.h"
#include "deliver/deliver.h"
#include "storage/volume.h"
#include "store/store.h"

enum { ACCOUNTS = 4, PATIENCE_MS = 20000 };

struct world {
    char dir[64];
    struct volumes *volumes;
    struct store *store;
    struct directory *directory;
    struct deliver *deliver;
    uint64_t ids[ACCOUNTS];
    struct fail why;
};

static const unsigned percents[] = {90, 50};

static const char *in_dir(const struct world *w, char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", w->dir, name);
    return out;
}

static void world_start(struct world *w)
{
    char path[128];
    struct volume_limits vl;
    struct store_limits sl;
    struct directory_limits dl;
    struct deliver_limits limits;

    volume_limits_default(&vl);
    vl.volume_bytes = 8 << 20;
    vl.prewrite_bytes = 1 << 20;
    vl.reserve_percent = 0;
    vl.reserve_bytes = 0;
    store_limits_default(&sl);
    directory_limits_default(&dl);
    deliver_limits_default(&limits);
    limits.mark_seconds = 1;
    limits.quota_warnings = percents;
    limits.quota_warning_count = ARRAY_LEN(percents);
    CHECK("volumes", volumes_open(in_dir(w, path, "volumes"), &vl, &w->volumes, &w->why));
    CHECK("store", store_open(w->dir, w->volumes, &sl, &w->store, &w->why));
    CHECK("directory", directory_open(in_dir(w, path, "directory.db"), &dl, &w->directory, &w->why));
    CHECK("deliver", deliver_open(w->store, w->volumes, w->directory, &limits, &w->deliver, &w->why));
}

static void world_stop(struct world *w)
{
    deliver_close(&w->deliver, 10);
    directory_close(&w->directory);
    store_close(&w->store);
    volumes_close(&w->volumes);
}

static void world_make(struct world *w)
{
    char path[128];

    *w = (struct world){.dir = "/tmp/posthorn-warn-XXXXXX"};
    if (mkdtemp(w->dir) == NULL)
        abort();
    CHECK("folder", io_make_dirs(in_dir(w, path, "volumes"), 0700, &w->why));
    world_start(w);
    CHECK("domain", directory_domain_add(w->directory, SLICE("x.test"), &w->why));
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "u%u@x.test", i);
        CHECK("account", directory_account_add(w->directory, slice_of(address), &w->ids[i], &w->why) &&
                             store_account_create(w->store, w->ids[i], &w->why));
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static struct account *open_one(struct world *w, unsigned n)
{
    struct account *a = NULL;

    if (!store_account(w->store, w->ids[n], &a, &w->why))
        abort();
    return a;
}

static unsigned count(struct world *w, unsigned n)
{
    struct account_usage usage = {0};
    struct account *a = open_one(w, n);

    CHECK("usage", account_usage(a, &usage, &w->why));
    account_release(&a);
    return (unsigned)usage.messages;
}

static void send(struct world *w, const char *to, unsigned times)
{
    const struct body_limits limits = {.memory_max = 1 << 16, .size_max = 1 << 16, .spool_dir = "/tmp"};
    struct delivery_recipient r = {.address = slice_of(to)};
    struct body *body = body_create(&limits);
    struct arena arena;

    arena_init(&arena, 1 << 16);
    struct delivery d = {.recipients = &r, .recipient_count = 1, .body = body, .received = clock_now(), .trace = SLICE("t1")};
    bool ok = body_add(body, SLICE("Subject: a\r\n\r\ntext\r\n"), &w->why) &&
              directory_route(w->directory, r.address, &arena, &r.route, &w->why);
    for (unsigned i = 0; i < times; i++)
        ok = ok && deliver_message(w->deliver, &d, &w->why);
    CHECK("sent", ok);
    deliver_settle(w->deliver);
    arena_finish(&arena);
    body_destroy(&body);
}

/* Waits until so much was told of the account's messages. */
static bool told(struct world *w, unsigned n, unsigned level)
{
    struct account *a = open_one(w, n);
    const int64_t until = clock_mono_ms() + PATIENCE_MS;
    unsigned now[2] = {0, 0};

    while (quota_read_told(a, now, &w->why) && now[QUOTA_MESSAGE] != level && clock_mono_ms() < until)
        (void)usleep(5000);
    account_release(&a);
    return now[QUOTA_MESSAGE] == level;
}

static void limit(struct world *w, unsigned n, uint64_t messages)
{
    const struct quota_change change = {.resource = QUOTA_MESSAGE, .most = messages};
    struct account *a = open_one(w, n);

    CHECK("limit", quota_set(a, &change, 1, &w->why));
    account_release(&a);
}

static void expunge(struct world *w, unsigned n, uint32_t first)
{
    const struct uid_range range = {first, UINT32_MAX};
    struct account *a = open_one(w, n);
    struct mailbox_info box = {0};
    struct arena arena;

    arena_init(&arena, 1 << 16);
    CHECK("expunged", mailbox_find(a, SLICE("INBOX"), &arena, &box, &w->why) &&
                          message_expunge(a, box.id, &range, 1, true, NULL, NULL, &w->why));
    arena_finish(&arena);
    account_release(&a);
}

static void test_account(struct world *w)
{
    limit(w, 0, 10);
    send(w, "u0@x.test", 4);
    CHECK("not yet", count(w, 0) == 4 && told(w, 0, 0));
    send(w, "u0@x.test", 1);
    CHECK("half full", told(w, 0, 50) && count(w, 0) == 6);
    send(w, "u0@x.test", 2);
    CHECK("said once", told(w, 0, 50) && count(w, 0) == 8);
    send(w, "u0@x.test", 1);
    CHECK("nearly full", told(w, 0, 90) && count(w, 0) == 10);
    world_stop(w);
    world_start(w);
    send(w, "u1@x.test", 1); /* others go on */
    CHECK("not said again", told(w, 0, 90) && count(w, 0) == 10);
    expunge(w, 0, 6);
    CHECK("half full is no news on the way down", told(w, 0, 50) && count(w, 0) == 5);
    expunge(w, 0, 5);
    CHECK("fallen below", told(w, 0, 0) && count(w, 0) == 4);
    send(w, "u0@x.test", 1);
    CHECK("again", told(w, 0, 50) && count(w, 0) == 6);
}

/* What a warning itself makes full is not told of. */
static void test_own_weight(struct world *w)
{
    limit(w, 2, 2);
    send(w, "u2@x.test", 1);
    CHECK("both at once", told(w, 2, 90) && count(w, 2) == 2);
    world_stop(w);
    world_start(w);
    CHECK("nothing more", told(w, 2, 90) && count(w, 2) == 2);
}

/* A full mailbox hears of it all the same. */
static void test_full(struct world *w)
{
    limit(w, 1, 1);
    CHECK("over", told(w, 1, 90) && count(w, 1) == 2);
}

static void test_domain(struct world *w)
{
    const struct domain_quota_change most = {.which = DOMAIN_MESSAGES, .limit = 30},
                                     wide = {.which = DOMAIN_MESSAGES, .limit = 100};
    struct domain_quota q;
    struct quota_domain d;
    struct quota_amount used;
    unsigned now[2] = {0, 0};
    const int64_t until = clock_mono_ms() + PATIENCE_MS;

    CHECK("postmaster", directory_alias_add(w->directory, SLICE("postmaster@x.test"), SLICE("u3@x.test"), &w->why));
    CHECK("limit", directory_domain_quota_set(w->directory, SLICE("x.test"), &most, 1, &w->why) &&
                       directory_domain_quota(w->directory, SLICE("X.test"), &q, &w->why));
    deliver_domain_quota(&q, &d);
    CHECK("counted", quota_domain_used(w->store, &d, &used, &w->why) && used.messages == 10);
    send(w, "u3@x.test", 5);
    do
        quota_read_domain_told(w->store, d.id, now);
    while (now[QUOTA_MESSAGE] != 50 && clock_mono_ms() < until && usleep(5000) == 0);
    CHECK("the postmaster is told", now[QUOTA_MESSAGE] == 50 && count(w, 3) == 6);
    world_stop(w);
    world_start(w);
    CHECK("counted again", quota_domain_used(w->store, &d, &used, &w->why) && used.messages == 16);
    quota_read_domain_told(w->store, d.id, now);
    CHECK("remembered", now[QUOTA_MESSAGE] == 50 && count(w, 3) == 6);
    CHECK("more room", directory_domain_quota_set(w->directory, SLICE("x.test"), &wide, 1, &w->why));
    send(w, "u3@x.test", 1);
    const int64_t later = clock_mono_ms() + PATIENCE_MS;
    do
        quota_read_domain_told(w->store, d.id, now);
    while (now[QUOTA_MESSAGE] != 0 && clock_mono_ms() < later && usleep(5000) == 0);
    CHECK("fallen below", now[QUOTA_MESSAGE] == 0);
}

static void test_levels(void)
{
    const struct quota_warnings two = {.percents = percents, .count = 2};

    CHECK("none", quota_level(&two, 49, 100) == 0 && quota_level(&two, 0, 100) == 0);
    CHECK("exactly", quota_level(&two, 50, 100) == 50 && quota_level(&two, 90, 100) == 90);
    CHECK("between", quota_level(&two, 89, 100) == 50 && quota_level(&two, 1000, 100) == 90);
    CHECK("no limit", quota_level(&two, UINT64_MAX - 1, QUOTA_UNLIMITED) == 0);
    CHECK("nothing may be there", quota_level(&two, 0, 0) == 90);
    CHECK("large", quota_level(&two, QUOTA_MOST / 2 + 100, QUOTA_MOST) == 50 &&
                       quota_level(&two, QUOTA_MOST / 3, QUOTA_MOST) == 0 && quota_level(&two, QUOTA_MOST, QUOTA_MOST) == 90);
}

int main(void)
{
    struct world w;

    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    test_levels();
    world_make(&w);
    test_account(&w);
    test_own_weight(&w);
    test_full(&w);
    test_domain(&w);
    world_stop(&w);
    (void)nftw(w.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return check_done();
}
