/*
 * test_deliver.c - messages to rows, over the real store, directory and volumes.
 *
 * Each case has a folder of its own; "crash" means that rows were never written:
 * a record appended beside delivery, as if the program had died right after.
 */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "check.h"
#include "deliver/deliver.h"
#include "base/crash_note.h"
#include "storage/volume.h"
#include "store/store.h"

enum { ACCOUNTS = 4 };

struct world {
    char              dir[64];
    struct volumes   *volumes;
    struct store     *store;
    struct directory *directory;
    struct deliver   *deliver;
    uint64_t          ids[ACCOUNTS];
    struct fail       why;
};

static const char *in_dir(const struct world *w, char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", w->dir, name);
    return out;
}

static void world_start(struct world *w)
{
    char                  path[128];
    struct volume_limits  vl;
    struct store_limits   sl;
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
    limits.retry_seconds = 1;
    limits.backlog = 50;
    CHECK("volumes", volumes_open(in_dir(w, path, "volumes"), &vl, &w->volumes, &w->why));
    CHECK("store", store_open(w->dir, w->volumes, &sl, &w->store, &w->why));
    CHECK("directory", directory_open(in_dir(w, path, "directory.db"), &dl, &w->directory, &w->why));
    char note[128];
    limits.note_path = in_dir(w, note, "parsing");
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

    *w = (struct world){.dir = "/tmp/posthorn-deliver-XXXXXX"};
    if (mkdtemp(w->dir) == NULL)
        abort();
    CHECK("folder", io_make_dirs(in_dir(w, path, "volumes"), 0700, &w->why));
    world_start(w);
    CHECK("domain", directory_domain_add(w->directory, SLICE("x.test"), &w->why));
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "u%u@x.test", i);
        CHECK("account", directory_account_add(w->directory, slice_of(address), &w->ids[i], &w->why));
        if (i < ACCOUNTS - 1) /* the last one has no file yet */
            CHECK("account file", store_account_create(w->store, w->ids[i], &w->why));
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static void world_end(struct world *w)
{
    world_stop(w);
    (void)nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static unsigned count(struct world *w, unsigned account)
{
    struct account     *a = NULL;
    struct mailbox_info box = {0};
    struct arena        arena;

    arena_init(&arena, 1 << 16);
    if (!store_account(w->store, w->ids[account], &a, &w->why) ||
        !mailbox_find(a, SLICE("INBOX"), &arena, &box, &w->why))
        fprintf(stderr, "count: %s\n", w->why.text);
    unsigned n = box.messages;
    arena_finish(&arena);
    account_release(&a);
    return n;
}

static struct body *make_body(const char *text)
{
    struct body_limits limits = {.memory_max = 1 << 16, .size_max = 1 << 16, .spool_dir = "/tmp"};
    struct body       *b = body_create(&limits);

    (void)body_add(b, slice_of(text), NULL);
    return b;
}

/* Sends to the addresses, NULL-terminated. */
static bool send(struct world *w, const char *const *to)
{
    struct delivery_recipient recipients[8];
    struct arena              arena;
    struct fail               why = {0};
    struct body              *body = make_body("Subject: a\r\n\r\ntext\r\n");
    size_t                    n = 0;
    bool                      ok = true;

    arena_init(&arena, 1 << 16);
    for (; to[n] != NULL; n++) {
        recipients[n] = (struct delivery_recipient){.address = slice_of(to[n])};
        ok = ok && directory_route(w->directory, slice_of(to[n]), &arena, &recipients[n].route, &why) &&
             recipients[n].route.kind == ROUTE_LOCAL;
    }
    struct delivery d = {.sender = SLICE("s@y.test"), .recipients = recipients, .recipient_count = n, .body = body,
                         .received = clock_now(), .trace = SLICE("t1")};
    ok = ok && deliver_message(w->deliver, &d, &why);
    if (!ok)
        fprintf(stderr, "send: %s\n", why.text);
    arena_finish(&arena);
    body_destroy(&body);
    return ok;
}

#define SEND(w, ...) send((w), (const char *const[]){__VA_ARGS__, NULL})

struct seen { char prefix[256], envelope[256]; uint64_t size; };

static bool look(void *ctx, const struct message_info *m)
{
    struct seen *s = ctx;

    (void)snprintf(s->prefix, sizeof s->prefix, PRIslice, SLICE_ARG(m->prefix));
    (void)snprintf(s->envelope, sizeof s->envelope, PRIslice, SLICE_ARG(m->envelope));
    s->size = m->size;
    return true;
}

/* The only message of that account. */
static struct seen fetch_one(struct world *w, unsigned account)
{
    struct seen seen = {0};
    struct account *a = NULL;
    struct mailbox_info box = {0};
    struct arena arena;

    arena_init(&arena, 1 << 16);
    CHECK("fetch", store_account(w->store, w->ids[account], &a, &w->why) &&
                       mailbox_find(a, SLICE("INBOX"), &arena, &box, &w->why) &&
                       message_fetch(a, box.id, &(struct uid_range){1, UINT32_MAX}, 1, FETCH_ENVELOPE, look, &seen, &w->why));
    account_release(&a);
    arena_finish(&arena);
    return seen;
}

static void test_one_message(void)
{
    struct world w;

    world_make(&w);
    CHECK("two recipients", SEND(&w, "u0@x.test", "u1@x.test"));
    CHECK("one account, three ways", SEND(&w, "u2@x.test", "u2+lists@x.test", "U2@X.test"));
    deliver_settle(w.deliver);
    CHECK("first", count(&w, 0) == 1);
    CHECK("second", count(&w, 1) == 1);
    CHECK("one copy", count(&w, 2) == 1);

    struct seen seen = fetch_one(&w, 1);
    CHECK_SLICE("prefix", slice_of(seen.prefix), SLICE("Return-Path: <s@y.test>\r\nDelivered-To: u1@x.test\r\n"));
    CHECK("size with prefix", seen.size == strlen(seen.prefix) + 20);
    CHECK("envelope", strstr(seen.envelope, "\"a\"") != NULL);

    struct deliver_stats stats;
    deliver_stats(w.deliver, &stats);
    CHECK("stats", stats.records == 2 && stats.placed == 3 && stats.waiting == 0 && stats.retrying == 0);
    world_end(&w);
}

struct sender { struct world *w; unsigned first; bool ok; };

static void *send_many(void *ctx)
{
    struct sender *s = ctx;

    s->ok = true;
    for (unsigned i = 0; i < 100; i++) {
        char to[32];
        (void)snprintf(to, sizeof to, "u%u@x.test", (s->first + i) % 3);
        s->ok = SEND(s->w, to) && s->ok;
    }
    return NULL;
}

/* More than the backlog holds: senders are held back, nothing is lost. */
static void test_burst(void)
{
    struct world  w;
    struct sender senders[6];
    pthread_t     threads[6];

    world_make(&w);
    for (unsigned i = 0; i < ARRAY_LEN(senders); i++) {
        senders[i] = (struct sender){.w = &w, .first = i};
        if (pthread_create(&threads[i], NULL, send_many, &senders[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < ARRAY_LEN(senders); i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK("all kept", senders[i].ok);
    }
    deliver_settle(w.deliver);
    CHECK("all there", count(&w, 0) + count(&w, 1) + count(&w, 2) == 600);
    world_end(&w);
}

static volume_ref append_beside(struct world *w, uint64_t first, uint64_t second)
{
    struct record_target targets[2] = {{.kind = RECORD_LOCAL, .account = first, .recipient = SLICE("a@x.test"), .prefix = SLICE("P: a\r\n")},
                                       {.kind = RECORD_LOCAL, .account = second, .recipient = SLICE("b@x.test"), .prefix = SLICE("P: b\r\n")}};
    struct record        rec = {.kind = RECORD_DELIVERY, .sender = SLICE("s@y.test"), .internal_date = 1000, .trace = SLICE("t2"),
                                .targets = targets, .target_count = 2};
    struct body         *body = make_body("Subject: lost\r\n\r\n");
    volume_ref           ref = 0;

    CHECK("record", volume_append(w->volumes, &rec, body, &ref, &w->why));
    body_destroy(&body);
    return ref;
}

static void test_replay(void)
{
    struct world w;
    uint64_t     mark = 0;

    world_make(&w);
    CHECK("before", SEND(&w, "u0@x.test"));
    deliver_settle(w.deliver);
    deliver_close(&w.deliver, 10); /* nobody places what comes now */
    volume_ref ref = append_beside(&w, w.ids[0], w.ids[1]);
    world_stop(&w);

    world_start(&w);
    deliver_settle(w.deliver);
    CHECK("found after the crash", count(&w, 0) == 2);
    CHECK("for every recipient", count(&w, 1) == 1);
    CHECK("once is enough", store_set_low_water(w.store, 0, &w.why));
    world_stop(&w);
    world_start(&w);
    deliver_settle(w.deliver);
    CHECK("not twice", count(&w, 0) == 2 && count(&w, 1) == 1);
    world_stop(&w);
    world_start(&w);
    CHECK("mark", store_low_water(w.store, &mark, &w.why) && mark > ref);
    world_end(&w);
}

/*
 * Volumes that never came to hold a record have no number after the next start: a mark saved
 * among them is above records that are still to come.
 */
static void test_mark_ahead(void)
{
    struct world w;
    uint64_t     mark = 0;

    world_make(&w);
    CHECK("before", SEND(&w, "u0@x.test"));
    deliver_settle(w.deliver);
    deliver_close(&w.deliver, 10);
    CHECK("three volumes on", store_set_low_water(w.store, volume_end(w.volumes) + (UINT64_C(3) << 32), &w.why));
    world_stop(&w);

    world_start(&w);
    CHECK("taken back", store_low_water(w.store, &mark, &w.why) && mark <= volume_end(w.volumes));
    deliver_close(&w.deliver, 10); /* nobody places what comes now */
    (void)append_beside(&w, w.ids[0], w.ids[1]);
    world_stop(&w);
    world_start(&w);
    deliver_settle(w.deliver);
    CHECK("found after the crash", count(&w, 0) == 2 && count(&w, 1) == 1);
    world_end(&w);
}

/* Reads the log until a line has `event`. */
static void wait_for_log(int fd, const char *event)
{
    char   text[8192];
    size_t len = 0;

    do {
        if (len == sizeof text - 1)
            len = 0;
        ssize_t n = read(fd, text + len, sizeof text - 1 - len);
        if (n <= 0)
            abort();
        len += (size_t)n;
        text[len] = '\0';
    } while (strstr(text, event) == NULL);
}

/* The volumes cannot be read when delivery starts, and can be a moment later. */
static void test_replay_that_fails(void)
{
    struct deliver_limits limits;
    struct world          w;
    char                  path[128], away[128];
    int                   logged[2];

    world_make(&w);
    deliver_close(&w.deliver, 10);
    (void)append_beside(&w, w.ids[0], w.ids[1]);
    world_stop(&w);
    world_start(&w);
    deliver_settle(w.deliver);
    deliver_close(&w.deliver, 10);
    (void)append_beside(&w, w.ids[0], w.ids[1]);

    if (pipe(logged) != 0)
        abort();
    log_set_fd(logged[1]);
    CHECK("away", rename(in_dir(&w, path, "volumes"), in_dir(&w, away, "away")) == 0);
    deliver_limits_default(&limits);
    limits.retry_seconds = 1;
    CHECK("starts", deliver_open(w.store, w.volumes, w.directory, &limits, &w.deliver, &w.why));
    wait_for_log(logged[0], "deliver.replayed");
    CHECK("back", rename(away, path) == 0);
    deliver_settle(w.deliver);
    CHECK("placed without a restart", count(&w, 0) == 2 && count(&w, 1) == 2);
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    (void)close(logged[0]);
    (void)close(logged[1]);
    world_end(&w);
}

/* A record that was being parsed when the program crashed, and again: it is placed unparsed. */
static void test_poison(void)
{
    struct world w;
    char path[128];

    world_make(&w);
    deliver_close(&w.deliver, 10);
    volume_ref ref = append_beside(&w, w.ids[0], w.ids[1]);
    world_stop(&w);
    for (unsigned crash = 1; crash <= 2; crash++) {
        struct crash_note *note = NULL;
        CHECK("note", crash_note_open(in_dir(&w, path, "parsing"), &note, &w.why));
        CHECK("in work", crash_note_enter(note, ref));
        crash_note_close(&note);
    }
    world_start(&w);
    deliver_settle(w.deliver);
    CHECK("it is there", count(&w, 0) == 1 && count(&w, 1) == 1);
    struct seen seen = fetch_one(&w, 0);
    CHECK("unparsed", strstr(seen.envelope, "lost") == NULL && strstr(seen.envelope, "NIL NIL") != NULL);
    CHECK("and whole", seen.size == strlen(seen.prefix) + 17);
    world_end(&w);
}

/* An account without its file: kept for later; one that the directory does not know: dropped. */
static void test_retry(void)
{
    struct world         w;
    struct deliver_stats stats;

    world_make(&w);
    struct delivery_recipient r = {.address = SLICE("u3@x.test")};
    struct deliver_hold       hold;
    struct arena              arena;
    deliver_hold_init(&hold);
    arena_init(&arena, 1 << 16);
    CHECK("route", directory_route(w.directory, r.address, &arena, &r.route, &w.why));
    CHECK("refused at RCPT", !deliver_may(w.deliver, &hold, &r, 0, &w.why) && w.why.kind == FAIL_TEMP);
    deliver_hold_finish(w.deliver, &hold);
    arena_finish(&arena);

    CHECK("kept all the same once it is recorded", SEND(&w, "u3@x.test", "u0@x.test"));
    do
        deliver_stats(w.deliver, &stats);
    while (stats.retrying == 0 || stats.placed == 0);
    CHECK("the others have it", count(&w, 0) == 1 && stats.waiting == 0);
    CHECK("who asks is not kept waiting for it", !deliver_settle_within(w.deliver, 0) && !deliver_settle_within(w.deliver, 1));
    CHECK("the file is back", store_account_create(w.store, w.ids[3], &w.why));
    deliver_settle(w.deliver);
    CHECK("and so is the message", count(&w, 3) == 1);
    CHECK("nothing is left", deliver_settle_within(w.deliver, 0));

    deliver_close(&w.deliver, 10);
    (void)append_beside(&w, 999, w.ids[1]);
    world_stop(&w);
    world_start(&w);
    deliver_settle(w.deliver);
    CHECK("an account that is gone holds nobody up", count(&w, 1) == 1);
    world_end(&w);
}

/* ---- quotas ---- */

static void limit(struct world *w, unsigned account, enum quota_resource resource, uint64_t most)
{
    struct quota_change change = {.resource = resource, .most = most};
    struct account     *a = NULL;

    CHECK("limit", store_account(w->store, w->ids[account], &a, &w->why) && quota_set(a, &change, 1, &w->why));
    account_release(&a);
}

static bool nothing_reserved(struct world *w, unsigned account)
{
    struct quota_amount amount = quota_reserved(w->store, w->ids[account]);

    return amount.bytes == 0 && amount.messages == 0;
}

static struct delivery_recipient recipient(struct world *w, struct arena *arena, const char *address)
{
    struct delivery_recipient r = {.address = slice_of(address)};

    CHECK(address, directory_route(w->directory, r.address, arena, &r.route, &w->why) && r.route.kind == ROUTE_LOCAL);
    return r;
}

/* Room is reserved once for each account, given back when nothing comes of it, and ends with the rows. */
static void test_quota(void)
{
    struct world        w;
    struct deliver_hold hold, other;
    struct arena        arena;

    world_make(&w);
    arena_init(&arena, 1 << 16);
    deliver_hold_init(&hold);
    deliver_hold_init(&other);
    limit(&w, 0, QUOTA_MESSAGE, 1);
    CHECK("alias", directory_alias_add(w.directory, SLICE("all@x.test"), SLICE("u1@x.test"), &w.why) &&
                       directory_alias_add(w.directory, SLICE("all@x.test"), SLICE("u0@x.test"), &w.why));
    struct delivery_recipient u0 = recipient(&w, &arena, "u0@x.test"), all = recipient(&w, &arena, "all@x.test");

    CHECK("reserved", deliver_may(w.deliver, &hold, &u0, 0, &w.why));
    CHECK("once for both", deliver_may(w.deliver, &hold, &all, 0, &w.why));
    CHECK("not for others", !deliver_may(w.deliver, &other, &all, 0, &w.why) && w.why.reason == FAIL_OVER_QUOTA &&
                                w.why.kind == FAIL_TEMP && strcmp(w.why.code, "4.2.2") == 0);
    CHECK("who is not told how full it is", strpbrk(w.why.text, "0123456789") == NULL);
    CHECK("nothing stays of a recipient that was refused", other.count == 0);
    deliver_hold_finish(w.deliver, &hold);
    CHECK("given back", nothing_reserved(&w, 0) && nothing_reserved(&w, 1));

    struct delivery_recipient both[] = {u0, all};
    struct body *body = make_body("Subject: a\r\n\r\ntext\r\n");
    struct delivery d = {.recipients = both, .recipient_count = 2, .body = body, .received = 1, .hold = &hold};
    CHECK("again", deliver_may(w.deliver, &hold, &u0, 5, &w.why) && deliver_may(w.deliver, &hold, &all, 5, &w.why));
    CHECK("still", deliver_still_may(w.deliver, &hold, &u0, body_size(body), &w.why));
    CHECK("accepted", deliver_message(w.deliver, &d, &w.why));
    deliver_hold_finish(w.deliver, &hold);
    deliver_settle(w.deliver);
    CHECK("placed, and reserved no more",
          count(&w, 0) == 1 && count(&w, 1) == 1 && nothing_reserved(&w, 0) && nothing_reserved(&w, 1));
    CHECK("full", !deliver_may(w.deliver, &other, &u0, 0, &w.why));
    CHECK("250 means kept: what has a record comes in", SEND(&w, "u0@x.test"));
    deliver_settle(w.deliver);
    CHECK("over the quota", count(&w, 0) == 2);
    limit(&w, 0, QUOTA_MESSAGE, QUOTA_UNLIMITED);
    limit(&w, 0, QUOTA_STORAGE, 1000);
    CHECK("never", !deliver_may(w.deliver, &other, &u0, 1001, &w.why) && w.why.kind == FAIL_PERM &&
                       strcmp(w.why.code, "5.2.2") == 0);
    deliver_hold_finish(w.deliver, &other);
    body_destroy(&body);
    arena_finish(&arena);
    world_end(&w);
}

/* More accounts than are looked through one by one. */
static void test_many_holds(void)
{
    struct world              w;
    struct deliver_hold       hold;
    struct route_target       targets[ACCOUNTS - 1];
    struct delivery_recipient r = {.route = {.kind = ROUTE_LOCAL, .targets = targets, .count = 1}};
    uint64_t                  ids[40];

    world_make(&w);
    deliver_hold_init(&hold);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ids[i] = 1000 + i;
        CHECK("account", store_account_create(w.store, ids[i], &w.why));
    }
    for (int twice = 0; twice < 2; twice++) {
        for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
            targets[0] = (struct route_target){.local = true, .account = ids[i]};
            CHECK("reserve", deliver_may(w.deliver, &hold, &r, 100 + i, &w.why));
            CHECK("once", quota_reserved(w.store, ids[i]).bytes == 100 + i &&
                              quota_reserved(w.store, ids[i]).messages == 1);
        }
    }
    CHECK("each", hold.count == ARRAY_LEN(ids));
    deliver_hold_finish(w.deliver, &hold);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        CHECK("given back", quota_reserved(w.store, ids[i]).bytes == 0);
    world_end(&w);
}

int main(void)
{
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    test_one_message();
    test_burst();
    test_replay();
    test_poison();
    test_mark_ahead();
    test_replay_that_fails();
    test_retry();
    test_quota();
    test_many_holds();
    return check_done();
}
