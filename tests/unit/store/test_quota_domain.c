/* store: limits of all accounts of a domain together, and of each there. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

#include "store/internal.h"
#include "tests/unit/store/room.h"

/* Domain n has the accounts from 100 n to 100 n + 99. */
static struct quota_domain domains[10];
static unsigned accounts[10]; /* how many */

static bool domain_of(void *ctx, uint64_t account, struct quota_domain *out)
{
    (void)ctx;
    *out = domains[account / 100 % 10];
    return account >= 100;
}

static sem_t gate;
static _Atomic bool gated; /* listing a domain takes until somebody opens */

static bool members(void *ctx, const struct quota_domain *d, bool (*each)(void *ctx, uint64_t account), void *each_ctx,
                    struct fail *why)
{
    (void)ctx;
    (void)why;
    if (gated)
        (void)sem_wait(&gate);
    for (unsigned i = 0; i < accounts[d->id]; i++)
        if (!each(each_ctx, 100 * d->id + i))
            break;
    return true;
}

static const struct quota_source source = {.domain_of = domain_of, .members = members};

static void open_room(struct room *r)
{
    room_open(r);
    quota_set_source(r->store, &source);
}

static void init_domains(void)
{
    for (unsigned i = 0; i < 10; i++) {
        domains[i] = (struct quota_domain){.id = i, .most = {QUOTA_UNLIMITED, QUOTA_UNLIMITED}};
        (void)snprintf(domains[i].name, sizeof domains[i].name, "d%u.example", i);
    }
}

static void print_finding(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "problem: %s\n", line);
}

static bool is_sound(struct room *r)
{
    struct check_totals totals;
    struct fail why;

    return store_check(r->store, print_finding, NULL, NULL, &totals, &why) && totals.problems == 0;
}

static struct quota_amount used(struct room *r, unsigned domain)
{
    struct quota_amount sum = {0, 0};
    struct fail why;

    CHECK("asked", quota_domain_used(r->store, &domains[domain], &sum, &why));
    return sum;
}

static struct account *member(struct room *r, unsigned domain, unsigned n)
{
    if (accounts[domain] <= n)
        accounts[domain] = n + 1;
    return room_account(r, 100 * domain + n);
}

/* A domain that takes long to count holds nobody up for long, and other accounts not at all. */
static void test_slow(struct room *r)
{
    struct account *a = member(r, 8, 0), *free_one = room_account(r, 5);
    const struct quota_amount one = {10, 1};
    struct fail why = {0};

    CHECK("a gate", sem_init(&gate, 0, 0) == 0);
    domains[8].most = (struct quota_amount){1000, 100};
    gated = true;
    for (int i = 0; i < 2; i++)
        CHECK("come again", !quota_reserve(a, one, &why) && why.kind == FAIL_TEMP && why.reason != FAIL_OVER_DOMAIN_QUOTA &&
                                strstr(why.text, "d8.example are being counted") != NULL);
    CHECK("others go on", quota_reserve(free_one, one, &why));
    quota_release(r->store, 5, one);
    gated = false;
    CHECK("opened", sem_post(&gate) == 0);
    CHECK("counted", quota_reserve(a, one, &why));
    quota_release(r->store, account_id(a), one);
    domains[7].most = domains[8].most;
    gated = true;
    struct account *b = member(r, 7, 0);
    CHECK("another one begins", !quota_reserve(b, one, &why) && why.kind == FAIL_TEMP);
    gated = false;
    CHECK("opened", sem_post(&gate) == 0);
    quota_set_source(r->store, &source); /* waits for it */
    account_release(&a);
    account_release(&b);
    account_release(&free_one);
}

static void test_together(struct room *r)
{
    struct account *a = member(r, 1, 0), *b = member(r, 1, 1);
    const uint64_t in_a = room_mailbox(a, SLICE("INBOX")), in_b = room_mailbox(b, SLICE("INBOX"));
    const struct quota_amount one = {10, 1};
    struct fail why = {0};

    (void)room_append(r, a, in_a, SLICE("0123456789"), 0);
    CHECK("the sum", used(r, 1).bytes == 10 && used(r, 1).messages == 1);
    domains[1].most = (struct quota_amount){35, 3};
    CHECK("room for two", quota_reserve(a, one, &why) && quota_reserve(b, one, &why));
    CHECK("not for three", !quota_reserve(b, one, &why) && why.reason == FAIL_OVER_DOMAIN_QUOTA && why.kind == FAIL_TEMP);
    CHECK(why.text, strcmp(why.code, "4.2.2") == 0 && strstr(why.text, "d1.example") != NULL);
    quota_release(r->store, account_id(a), one);
    CHECK("not so many bytes", !quota_reserve(b, (struct quota_amount){16, 1}, &why));
    CHECK("never so many", !quota_reserve(b, (struct quota_amount){36, 1}, &why) && why.kind == FAIL_PERM &&
                               why.reason == FAIL_OVER_DOMAIN_QUOTA && strcmp(why.code, "5.2.2") == 0);
    quota_release(r->store, account_id(b), one);
    CHECK("appended", room_append(r, b, in_b, SLICE("0123456789"), 0) > 0 && used(r, 1).messages == 2);
    CHECK("the next", room_append(r, a, in_a, SLICE("0123456789"), 0) > 0 && used(r, 1).bytes == 30);
    CHECK("that is all", room_append(r, b, in_b, SLICE("0"), 0) == 0);
    CHECK("expunged", message_expunge(a, in_a, NULL, 0, true, NULL, NULL, &why) && used(r, 1).messages == 1);
    CHECK("room again", room_append(r, b, in_b, SLICE("0"), 0) > 0);

    struct account *c = member(r, 1, 2);
    CHECK("a new one counts", room_append(r, c, room_mailbox(c, SLICE("INBOX")), SLICE("01"), 0) > 0 &&
                                  used(r, 1).messages == 3 && used(r, 1).bytes == 13);
    CHECK("and is refused", room_append(r, c, room_mailbox(c, SLICE("INBOX")), SLICE("01"), 0) == 0);
    struct account *other = member(r, 2, 0);
    CHECK("other domains are not", room_append(r, other, room_mailbox(other, SLICE("INBOX")), SLICE("01"), 0) > 0);
    account_release(&c);
    CHECK("removed", store_account_remove(r->store, 102, &why));
    CHECK("it holds nothing", used(r, 1).messages == 2 && used(r, 1).bytes == 11);
    domains[1].most = (struct quota_amount){QUOTA_UNLIMITED, QUOTA_UNLIMITED};
    CHECK("without limits", room_append(r, b, in_b, SLICE("0123456789"), 0) > 0 && used(r, 1).messages == 3);
    account_release(&a);
    account_release(&b);
    account_release(&other);
    CHECK("sound", is_sound(r));
}

static void test_copy(struct room *r)
{
    struct account *a = member(r, 3, 0);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX")), sent = room_mailbox(a, SLICE("Sent"));
    const struct uid_range all = {1, UINT32_MAX};
    struct copy_result copied = {0};
    struct fail why = {0};

    (void)room_append(r, a, inbox, SLICE("0123456789"), 0);
    (void)room_append(r, a, inbox, SLICE("0123456789"), 0);
    domains[3].most.messages = 3;
    CHECK("two are too many", !message_copy(a, inbox, &all, 1, sent, false, &copied, &why) &&
                                  why.reason == FAIL_OVER_DOMAIN_QUOTA);
    CHECK("nothing is reserved", quota_reserved(r->store, account_id(a)).messages == 0);
    CHECK("a move takes no room", message_copy(a, inbox, &all, 1, sent, true, &copied, &why));
    uid_set_finish(&copied.source);
    domains[3].most.messages = 4;
    CHECK("two fit", message_copy(a, sent, &all, 1, inbox, false, &copied, &why) && used(r, 3).messages == 4);
    uid_set_finish(&copied.source);
    CHECK("nothing is reserved", quota_reserved(r->store, account_id(a)).messages == 0);
    account_release(&a);
}

static void test_defaults(struct room *r)
{
    struct account *a = member(r, 4, 0);
    const struct quota_change own = {.resource = QUOTA_MESSAGE, .most = 5};
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct quota q;
    struct fail why;

    domains[4].has_default[QUOTA_MESSAGE] = domains[4].has_default[QUOTA_MAILBOX] = true;
    domains[4].each[QUOTA_MESSAGE] = 1;
    domains[4].each[QUOTA_MAILBOX] = 6;
    CHECK("read", quota_read(a, &q, &why) && q.most[QUOTA_MESSAGE] == 1 && !q.own[QUOTA_MESSAGE] &&
                      q.most[QUOTA_STORAGE] == QUOTA_UNLIMITED);
    CHECK("one", room_append(r, a, inbox, SLICE("x"), 0) > 0 && room_append(r, a, inbox, SLICE("x"), 0) == 0);
    CHECK("mailboxes", !mailbox_create(a, SLICE("New"), USE_NONE, NULL, &why) && why.reason == FAIL_OVER_QUOTA);
    CHECK("its own goes first", quota_set(a, &own, 1, &why) && room_append(r, a, inbox, SLICE("x"), 0) > 0);
    CHECK("read", quota_read(a, &q, &why) && q.most[QUOTA_MESSAGE] == 5 && q.own[QUOTA_MESSAGE]);
    account_release(&a);
}

/* ---- many at once ---- */

struct runner {
    struct room *room;
    unsigned n, done;
};

static void *append_until_full(void *ctx)
{
    struct runner *me = ctx;
    struct account *a = room_account(me->room, 500 + me->n);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX")), sent = room_mailbox(a, SLICE("Sent"));
    struct body *b = room_body(me->room, SLICE("0123456789"));

    for (unsigned i = 0; i < 200; i++) {
        struct append_item item = {.body = b};
        struct uid_range last = {1, UINT32_MAX};
        struct copy_result copied = {0};
        uint32_t uidvalidity;
        uint64_t modseq;
        if (i % 3 < 2) {
            me->done += message_append(a, inbox, &item, 1, &uidvalidity, &modseq, NULL);
            last.first = item.uid;
        } else if (message_copy(a, inbox, (last.last = last.first, &last), 1, sent, false, &copied, NULL)) {
            me->done += (unsigned)uid_set_size(&copied.source);
            uid_set_finish(&copied.source);
        }
    }
    body_destroy(&b);
    account_release(&a);
    return NULL;
}

static void test_race(struct room *r)
{
    enum { RUNNERS = 6 };
    struct runner runners[RUNNERS];
    pthread_t threads[RUNNERS];
    unsigned done = 0;

    for (unsigned i = 0; i < RUNNERS; i++) {
        struct account *a = member(r, 5, i);
        account_release(&a);
    }
    domains[5].most = (struct quota_amount){4000, 333};
    for (unsigned i = 0; i < RUNNERS; i++) {
        runners[i] = (struct runner){.room = r, .n = i};
        if (pthread_create(&threads[i], NULL, append_until_full, &runners[i]) != 0)
            exit(1);
    }
    for (unsigned i = 0; i < RUNNERS; i++) {
        (void)pthread_join(threads[i], NULL);
        done += runners[i].done;
    }
    CHECK("exactly so many", done == 333 && used(r, 5).messages == 333 && used(r, 5).bytes == 3330);
    for (unsigned i = 0; i < RUNNERS; i++)
        CHECK("nothing is reserved", quota_reserved(r->store, 500 + i).messages == 0);
    CHECK("sound", is_sound(r));
}

/* ---- from one process to the next ---- */

static void test_starts(struct room *r)
{
    const struct quota_amount before = used(r, 5);

    room_close(r);
    open_room(r); /* nobody asks this one */
    room_close(r);
    open_room(r);
    CHECK("the sum is known", used(r, 5).bytes == before.bytes && used(r, 5).messages == before.messages);
    CHECK("without opening any", r->store->open_count == 0);
    struct account *a = room_account(r, 500);
    struct fail why;
    CHECK("expunged", message_expunge(a, room_mailbox(a, SLICE("INBOX")), NULL, 0, true, NULL, NULL, &why));
    CHECK("it has changed", used(r, 5).messages < before.messages);
    struct account_usage usage;
    uint64_t sum = 0;
    account_release(&a);
    for (unsigned i = 0; i < accounts[5]; i++) {
        a = room_account(r, 500 + i);
        CHECK("usage", account_usage(a, &usage, &why));
        sum += usage.messages;
        account_release(&a);
    }
    CHECK("by as many", used(r, 5).messages == sum);
}

/* Appends to its accounts in turn, says so each time, until it is killed. */
static void live(struct room *r, int out)
{
    open_room(r);
    for (unsigned i = 0; i < 1000; i++) {
        struct account *a = room_account(r, 600 + i % 3);
        if (room_append(r, a, room_mailbox(a, SLICE("INBOX")), SLICE("01234567"), 0) == 0 || write(out, "x", 1) != 1)
            _exit(1);
        account_release(&a);
    }
}

static void test_kill(struct room *r)
{
    unsigned told = 0;
    int ends[2];
    char n;

    for (unsigned i = 0; i < 3; i++) {
        struct account *a = member(r, 6, i);
        account_release(&a);
    }
    domains[6].most.messages = 100000;
    CHECK("counted", used(r, 6).messages == 0);
    room_close(r);
    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0)
        live(r, ends[1]);
    (void)close(ends[1]);
    while (told < 30 && read(ends[0], &n, 1) == 1)
        told++;
    (void)kill(child, SIGKILL);
    while (read(ends[0], &n, 1) == 1)
        told++;
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    open_room(r);
    struct quota_amount sum = used(r, 6);
    CHECK("every answered one counts", told >= 30 && sum.messages >= told && sum.messages <= told + 1);
    CHECK("bytes too", sum.bytes == sum.messages * 8);
    CHECK("sound", is_sound(r));
}

int main(void)
{
    struct room r;

    init_domains();
    room_init(&r);
    quota_set_source(r.store, &source);
    test_together(&r);
    test_slow(&r);
    test_copy(&r);
    test_defaults(&r);
    test_race(&r);
    test_starts(&r);
    test_kill(&r);
    room_finish(&r);
    return check_done();
}
