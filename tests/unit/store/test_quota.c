/*
 * store: how much an account may hold.  What is used and what is reserved add up at every moment,
 * after every failure, and after a kill.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "store/internal.h"
#include "tests/unit/store/room.h"

static void limit(struct account *a, enum quota_resource resource, uint64_t most)
{
    struct quota_change change = {.resource = resource, .most = most};
    struct fail why = {0};

    CHECK("set", quota_set(a, &change, 1, &why));
}

static bool nothing_reserved(struct room *r, uint64_t id)
{
    struct quota_amount amount = quota_reserved(r->store, id);

    return amount.bytes == 0 && amount.messages == 0;
}

static bool is_sound(struct room *r)
{
    struct check_totals totals;
    struct fail why = {0};

    return store_check(r->store, NULL, NULL, NULL, &totals, &why) && totals.problems == 0;
}

/* ---- limits ---- */

static void test_limits(struct room *r)
{
    struct account *a = room_account(r, 1);
    struct quota_change back = {.resource = QUOTA_MESSAGE, .by_default = true};
    struct quota_change both[] = {{.resource = QUOTA_MESSAGE, .most = 5},
                                  {.resource = QUOTA_MAILBOX, .most = QUOTA_MOST + 1}};
    struct quota q;
    struct fail why = {0};

    CHECK("the default of all", quota_read(a, &q, &why) && q.most[QUOTA_MESSAGE] == 7 && !q.own[QUOTA_MESSAGE]);
    CHECK("no limit", q.most[QUOTA_STORAGE] == QUOTA_UNLIMITED && q.used[QUOTA_STORAGE] == 0);
    CHECK("mailboxes", q.used[QUOTA_MAILBOX] == 6 && q.most[QUOTA_MAILBOX] == QUOTA_UNLIMITED);
    limit(a, QUOTA_MESSAGE, 0);
    limit(a, QUOTA_STORAGE, QUOTA_MOST);
    account_release(&a);
    room_close(r);
    room_open(r);
    a = room_account(r, 1);
    CHECK("kept in the file", quota_read(a, &q, &why) && q.most[QUOTA_MESSAGE] == 0 && q.own[QUOTA_MESSAGE] &&
                                  q.most[QUOTA_STORAGE] == QUOTA_MOST);
    limit(a, QUOTA_MESSAGE, QUOTA_UNLIMITED);
    CHECK("none of its own, though all have one",
          quota_read(a, &q, &why) && q.most[QUOTA_MESSAGE] == QUOTA_UNLIMITED && q.own[QUOTA_MESSAGE]);
    CHECK("too high", !quota_set(a, both, 2, &why) && why.reason == FAIL_INVALID);
    CHECK("all or none", quota_read(a, &q, &why) && q.most[QUOTA_MESSAGE] == QUOTA_UNLIMITED);
    CHECK("back", quota_set(a, &back, 1, &why) && quota_read(a, &q, &why) && q.most[QUOTA_MESSAGE] == 7 &&
                      !q.own[QUOTA_MESSAGE]);
    account_release(&a);
}

/* ---- reserving ---- */

static void test_reserve(struct room *r)
{
    static const struct {
        const char *note;
        struct quota_amount more;
        bool ok;
    } cases[] = {
        {"some", {60, 1}, true},
        {"too many bytes", {41, 1}, false},
        {"too many messages", {1, 2}, false},
        {"the last", {40, 1}, true},
        {"no byte more", {1, 0}, false},
        {"no message more", {0, 1}, false},
        {"nothing", {0, 0}, true},
        {"a sum too large", {UINT64_MAX, 1}, false},
    };
    struct account *a = room_account(r, 2);
    struct fail why = {0};

    limit(a, QUOTA_STORAGE, 100);
    limit(a, QUOTA_MESSAGE, 2);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool fits = quota_fits(a, cases[i].more, &why);
        CHECK(cases[i].note, quota_reserve(a, cases[i].more, &why) == cases[i].ok && fits == cases[i].ok);
        CHECK(cases[i].note, cases[i].ok || (why.reason == FAIL_OVER_QUOTA &&
                                             why.kind == (cases[i].more.bytes > 100 ? FAIL_PERM : FAIL_TEMP)));
    }
    quota_release(r->store, 2, (struct quota_amount){60, 1});
    CHECK("given back", quota_reserve(a, (struct quota_amount){60, 1}, &why));
    quota_release(r->store, 2, (struct quota_amount){100, 2});
    CHECK("all of it", nothing_reserved(r, 2));
    account_release(&a);
}

/* RCPT took a message of unknown size. */
static void test_grow(struct room *r)
{
    struct account *a = room_account(r, 3);
    struct quota_amount one = {1, 1}, two = {1, 1}, three = {30, 1};
    struct fail why = {0};

    limit(a, QUOTA_STORAGE, 100);
    CHECK("three at a time", quota_reserve(a, one, &why) && quota_reserve(a, two, &why) && quota_reserve(a, three, &why));
    CHECK("over by one message", quota_grow(a, &one, 500, &why) && one.bytes == 500);
    CHECK("by no other", !quota_grow(a, &two, 2, &why) && why.reason == FAIL_OVER_QUOTA && two.bytes == 1);
    CHECK("what was reserved is kept", quota_grow(a, &three, 30, &why) && quota_grow(a, &three, 7, &why));
    CHECK("nor is it made less", three.bytes == 30);
    quota_release(r->store, 3, one);
    quota_release(r->store, 3, two);
    quota_release(r->store, 3, three);
    CHECK("nothing is left", nothing_reserved(r, 3));
    account_release(&a);
}

/* ---- messages ---- */

static uint64_t used(struct account *a, enum quota_resource resource)
{
    struct quota q = {.used = {0}};
    struct fail why;

    return quota_read(a, &q, &why) ? q.used[resource] : UINT64_MAX;
}

static void test_append(struct room *r)
{
    struct account *a = room_account(r, 4);
    struct slice bad[] = {SLICE("not good")};
    struct body *b = room_body(r, SLICE("A: b\r\n\r\n"));
    struct append_item good = {.body = b}, refused = {.body = b, .keywords = bad, .keyword_count = 1};
    struct appender *one = appender_create(a, 1), *two = appender_create(a, 1);
    struct appended out;
    struct fail why = {0};

    limit(a, QUOTA_MESSAGE, 2);
    limit(a, QUOTA_STORAGE, 20);
    CHECK("one", appender_add(one, &good, &why) && appender_add(one, &good, &why));
    CHECK("two has no room while one may still commit", !appender_add(two, &good, &why) && why.reason == FAIL_OVER_QUOTA);
    CHECK("committed", appender_commit(one, &out, &why) && nothing_reserved(r, 4) && used(a, QUOTA_MESSAGE) == 2);
    appender_destroy(&one);
    CHECK("and now it is full", !appender_add(two, &good, &why));
    appender_replaces(two, 1, 1);
    CHECK("what takes another's place has room", appender_add(two, &good, &why) && appender_commit(two, &out, &why));
    CHECK("the same number", used(a, QUOTA_MESSAGE) == 2 && used(a, QUOTA_STORAGE) == 16 && nothing_reserved(r, 4));
    appender_destroy(&two);

    limit(a, QUOTA_MESSAGE, 4);
    limit(a, QUOTA_STORAGE, QUOTA_UNLIMITED);
    one = appender_create(a, 1);
    CHECK("begun", appender_add(one, &good, &why) && !nothing_reserved(r, 4));
    appender_destroy(&one);
    CHECK("and left: given back", nothing_reserved(r, 4));
    one = appender_create(a, 1);
    CHECK("its rows fail", appender_add(one, &refused, &why) && !appender_commit(one, &out, &why));
    appender_destroy(&one);
    CHECK("given back too", nothing_reserved(r, 4) && used(a, QUOTA_MESSAGE) == 2);
    one = appender_create(a, 1);
    appender_replaces(one, 1, 99);
    CHECK("what is gone makes no room", appender_add(one, &good, &why) && !appender_commit(one, &out, &why));
    appender_destroy(&one);
    CHECK("nothing left", nothing_reserved(r, 4));
    body_destroy(&b);
    account_release(&a);
}

static void test_copy(struct room *r)
{
    struct account *a = room_account(r, 5);
    struct uid_range all = {1, 100}, one = {1, 1};
    struct copy_result result = {0};
    struct fail why = {0};

    for (int i = 0; i < 4; i++)
        CHECK("append", room_append(r, a, 1, SLICE("A: b\r\n\r\n"), i == 1 ? STORE_DELETED : 0) != 0);
    limit(a, QUOTA_MESSAGE, 6);
    CHECK("four are too many", !message_copy(a, 1, &all, 1, 2, false, &result, &why) && why.reason == FAIL_OVER_QUOTA);
    CHECK("none was copied", used(a, QUOTA_MESSAGE) == 4);
    CHECK("one fits", message_copy(a, 1, &one, 1, 2, false, &result, &why) && used(a, QUOTA_MESSAGE) == 5);
    uid_set_finish(&result.source);
    CHECK("reserved by another", quota_reserve(a, (struct quota_amount){1, 1}, &why) &&
                                     !message_copy(a, 1, &one, 1, 2, false, &result, &why));
    quota_release(r->store, 5, (struct quota_amount){1, 1});
    limit(a, QUOTA_MESSAGE, 1);
    CHECK("over the limit all can move", message_copy(a, 1, &all, 1, 3, true, &result, &why) &&
                                             used(a, QUOTA_MESSAGE) == 5);
    uid_set_finish(&result.source);
    CHECK("and be expunged", message_expunge(a, 3, NULL, 0, false, NULL, NULL, &why) && used(a, QUOTA_MESSAGE) == 4);
    CHECK("or all of INBOX renamed", mailbox_rename(a, SLICE("INBOX"), SLICE("Old"), &why));
    account_release(&a);
}

static void test_mailboxes(struct room *r)
{
    struct account *a = room_account(r, 6);
    struct fail why = {0};

    limit(a, QUOTA_MAILBOX, 8);
    CHECK("levels do not count", mailbox_create(a, SLICE("a/b/c"), USE_NONE, NULL, &why) && used(a, QUOTA_MAILBOX) == 7);
    CHECK("but once they hold mail", mailbox_create(a, SLICE("a"), USE_NONE, NULL, &why) && used(a, QUOTA_MAILBOX) == 8);
    CHECK("full", !mailbox_create(a, SLICE("a/b"), USE_NONE, NULL, &why) && why.reason == FAIL_OVER_QUOTA);
    CHECK("there already comes first", !mailbox_create(a, SLICE("a"), USE_NONE, NULL, &why) && why.reason == FAIL_EXISTS);
    CHECK("a rename makes none", mailbox_rename(a, SLICE("a/b/c"), SLICE("x/y"), &why));
    CHECK("but of INBOX", !mailbox_rename(a, SLICE("INBOX"), SLICE("z"), &why) && why.reason == FAIL_OVER_QUOTA);
    CHECK("delete", mailbox_delete(a, SLICE("a"), &why) && mailbox_create(a, SLICE("n"), USE_NONE, NULL, &why));
    account_release(&a);
}

/* 250 was said: it comes in whatever the limit, and what was reserved for it ends with its row. */
static void test_place(struct room *r)
{
    struct account *a = room_account(r, 7);
    struct body *b = room_body(r, SLICE("A: b\r\n\r\n"));
    struct record_target target = {.kind = RECORD_LOCAL, .account = 7};
    struct record record = {.kind = RECORD_DELIVERY, .targets = &target, .target_count = 1};
    struct place_item item = {.target = &target, .reserved = {8, 1}};
    struct fail why = {0};

    limit(a, QUOTA_MESSAGE, 1);
    CHECK("record", volume_append(r->volumes, &record, b, &item.ref, &why));
    CHECK("reserved", quota_reserve(a, item.reserved, &why));
    CHECK("placed", message_place(a, &item, 1, &why) && nothing_reserved(r, 7) && used(a, QUOTA_MESSAGE) == 1);
    limit(a, QUOTA_MESSAGE, 2);
    CHECK("once more", quota_reserve(a, item.reserved, &why) && message_place(a, &item, 1, &why));
    CHECK("is no second row, and reserves nothing", used(a, QUOTA_MESSAGE) == 1 && nothing_reserved(r, 7));
    limit(a, QUOTA_MESSAGE, 0);
    item.reserved = (struct quota_amount){0, 0};
    CHECK("record", volume_append(r->volumes, &record, b, &item.ref, &why));
    CHECK("over the limit", message_place(a, &item, 1, &why) && used(a, QUOTA_MESSAGE) == 2);
    body_destroy(&b);
    account_release(&a);
}

/* ---- many at once ---- */

enum { APPENDERS = 4, PLACES = 50 };

static void *append_until_full(void *ctx)
{
    struct room *r = ctx;
    struct account *a = room_account(r, 8);
    struct body *b = room_body(r, SLICE("A: b\r\n\r\n"));
    struct append_item item = {.body = b};
    uint32_t uidvalidity;
    uint64_t modseq;
    struct fail why = {0};

    while (message_append(a, 1, &item, 1, &uidvalidity, &modseq, &why))
        continue;
    CHECK("full, and nothing else", why.reason == FAIL_OVER_QUOTA);
    body_destroy(&b);
    account_release(&a);
    return NULL;
}

static void test_race(struct room *r)
{
    struct account *a = room_account(r, 8);
    pthread_t threads[APPENDERS];

    limit(a, QUOTA_MESSAGE, PLACES);
    for (int i = 0; i < APPENDERS; i++)
        if (pthread_create(&threads[i], NULL, append_until_full, r) != 0)
            exit(1);
    for (int i = 0; i < APPENDERS; i++)
        (void)pthread_join(threads[i], NULL);
    CHECK("to the last place and no further", used(a, QUOTA_MESSAGE) == PLACES && nothing_reserved(r, 8));
    account_release(&a);
}

/* ---- what is remembered ---- */

static void test_forgetting(struct room *r)
{
    struct account *first = room_account(r, 100);
    struct fail why = {0};

    limit(first, QUOTA_MESSAGE, 1);
    CHECK("reserve", quota_reserve(first, (struct quota_amount){1, 1}, &why));
    r->store->quotas_max = 4;
    for (uint64_t id = 101; id < 120; id++) {
        struct account *a = room_account(r, id);
        CHECK("another", quota_fits(a, (struct quota_amount){1, 1}, &why));
        account_release(&a);
    }
    CHECK("what is reserved is not forgotten", !quota_fits(first, (struct quota_amount){1, 1}, &why));
    quota_release(r->store, 100, (struct quota_amount){1, 1});
    r->store->quotas_max = r->store->quotas.count;
    for (uint64_t id = 120; id < 124; id++) {
        struct account *a = room_account(r, id);
        CHECK("another", quota_fits(a, (struct quota_amount){1, 1}, &why));
        account_release(&a);
    }
    CHECK("known again", quota_fits(first, (struct quota_amount){1, 1}, &why) &&
                             !quota_fits(first, (struct quota_amount){1, 2}, &why));
    account_release(&first);
}

/* ---- a kill ---- */

static void live(struct room *r, int tell)
{
    room_open(r);
    struct account *a = room_account(r, 9);

    for (char n = 0;; n++) {
        struct appender *left = appender_create(a, 1); /* reserves and never commits */
        struct body *b = room_body(r, SLICE("A: b\r\n\r\n"));
        struct append_item item = {.body = b};
        struct fail why;
        if (!appender_add(left, &item, &why) || room_append(r, a, 1, SLICE("A: b\r\n\r\n"), 0) == 0 ||
            write(tell, &n, 1) != 1)
            _exit(1);
        body_destroy(&b);
    }
}

static void test_kill(struct room *r)
{
    int ends[2];
    char n;
    unsigned told = 0;

    room_close(r);
    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0)
        live(r, ends[1]);
    (void)close(ends[1]);
    while (told < 20 && read(ends[0], &n, 1) == 1)
        told++;
    (void)kill(child, SIGKILL);
    while (read(ends[0], &n, 1) == 1)
        told++;
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    room_open(r);
    struct account *a = room_account(r, 9);
    uint64_t there = used(a, QUOTA_MESSAGE);
    CHECK("every answered one counts", told >= 20 && there >= told && there <= told + 1);
    CHECK("bytes too", used(a, QUOTA_STORAGE) == there * 8);
    CHECK("nothing is reserved any more", nothing_reserved(r, 9));
    CHECK("and check agrees", is_sound(r));
    account_release(&a);
}

int main(void)
{
    struct room r;

    room_init(&r);
    room_close(&r);
    r.limits.quota_messages = 7;
    room_open(&r);
    test_limits(&r);
    room_close(&r);
    r.limits.quota_messages = 0;
    room_open(&r);
    test_reserve(&r);
    test_grow(&r);
    test_append(&r);
    test_copy(&r);
    test_mailboxes(&r);
    test_place(&r);
    test_race(&r);
    test_forgetting(&r);
    CHECK("check agrees", is_sound(&r));
    test_kill(&r);
    room_finish(&r);
    return check_done();
}
