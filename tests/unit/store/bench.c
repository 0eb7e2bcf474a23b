/*
 * tests/unit/store/bench.c - what the store costs, without protocols.
 *
 *     bench-store FOLDER [MESSAGES [PARTS]]
 *
 * Prints wall and CPU time of the operations that the goals name, on an empty
 * folder on the disk to be measured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/body.h"
#include "base/buf.h"
#include "storage/volume.h"
#include "store/store.h"
#include "store/view.h"

struct bench {
    struct volumes *volumes;
    struct store *store;
    struct store_limits limits;
    const char *dir;
    struct body *body;
    struct message_facts facts;
    struct arena arena;
};

static double now_ms(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct timer {
    double wall, cpu;
};

static struct timer start(void)
{
    return (struct timer){now_ms(CLOCK_MONOTONIC), now_ms(CLOCK_PROCESS_CPUTIME_ID)};
}

static void stop(struct timer t, const char *what, double times)
{
    double wall = now_ms(CLOCK_MONOTONIC) - t.wall, cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID) - t.cpu;

    printf("%-46s %9.2f ms wall %9.2f ms CPU", what, wall, cpu);
    if (times > 1)
        printf("   %8.2f us wall %8.2f us CPU each, %.0f/s", wall * 1e3 / times, cpu * 1e3 / times,
               times / wall * 1e3);
    printf("\n");
    (void)fflush(stdout);
}

static void must(bool ok, const struct fail *why)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", why->text);
    exit(1);
}

static void make_body(struct bench *b)
{
    struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 24, .spool_dir = b->dir};
    struct buf text;
    struct fail why;

    buf_init(&text, 1 << 16);
    buf_add(&text,
            SLICE("Received: from client.example.org (client.example.org [192.0.2.7])\r\n"
                  "\tby mx.example.test (Posthorn) with ESMTPS id k3f9; Sun, 22 Nov 2026 10:51:07 +0000\r\n"
                  "From: Ann Example <ann@example.org>\r\nTo: Bob Example <bob@example.test>\r\n"
                  "Cc: Carol Example <carol@example.test>, dave@example.test\r\n"
                  "Subject: A message of four kilobytes, more or less\r\n"
                  "Date: Sun, 22 Nov 2026 10:51:07 +0000\r\nMessage-ID: <20261122105107.1234@example.org>\r\n"
                  "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"));
    while (text.len < 4096)
        buf_add(&text,
                SLICE("All work and no play makes a dull message, so here is a line that says so.\r\n"));
    b->body = body_create(&limits);
    must(body_add(b->body, buf_slice(&text), &why), &why);
    buf_finish(&text);
}

static struct account *open_account(struct bench *b, uint64_t id)
{
    struct account *a;
    struct fail why;

    must(store_account(b->store, id, &a, &why), &why);
    return a;
}

static uint64_t inbox_of(struct account *a)
{
    struct mailbox_info info;
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 16);
    must(mailbox_find(a, SLICE("INBOX"), &arena, &info, &why), &why);
    arena_finish(&arena);
    return info.id;
}

static volume_ref put_record(struct bench *b, const struct record_target *targets, size_t count, bool sync)
{
    struct record record = {
        .kind = RECORD_DELIVERY, .internal_date = 1, .targets = targets, .target_count = count};
    volume_ref ref;
    struct fail why;

    must(volume_append_start(b->volumes, &record, b->body, &ref, &why), &why);
    if (sync)
        must(volume_sync(b->volumes, ref, ref, &why), &why);
    return ref;
}

/* `batch` messages for each of `accounts` accounts in turn, until `messages` are placed. */
static void place(struct bench *b, uint64_t first, uint64_t accounts, uint64_t messages, size_t batch,
                  const char *what)
{
    struct place_item *items = calloc(batch, sizeof *items);
    struct record_target target = {.kind = RECORD_LOCAL,
                                   .prefix = SLICE("Return-Path: <ann@example.org>\r\n"
                                                   "Delivered-To: <bob@example.test>\r\n")};
    volume_ref *refs = calloc(messages, sizeof *refs);
    struct fail why;

    if (items == NULL || refs == NULL)
        exit(1);
    for (uint64_t i = 0; i < messages; i++)
        refs[i] = put_record(b, &target, 1, i + 1 == messages);
    struct timer t = start();
    for (uint64_t i = 0; i < messages; i += batch) {
        struct account *a = open_account(b, first + i / batch % accounts);
        for (size_t k = 0; k < batch; k++)
            items[k] = (struct place_item){
                .ref = refs[i + k], .target = &target, .facts = &b->facts, .internal_date = 1};
        must(message_place(a, items, batch, &why), &why);
        account_release(&a);
    }
    stop(t, what, (double)messages);
    free(items);
    free(refs);
}

static bool count_one(void *ctx, const struct message_info *m)
{
    *(uint64_t *)ctx += m->envelope.len;
    return true;
}

static void fetch(struct account *a, uint64_t inbox, unsigned what, const char *title, double messages)
{
    struct uid_range all = {1, UINT32_MAX};
    uint64_t bytes = 0;
    struct fail why;
    struct timer t = start();

    must(message_fetch(a, inbox, &all, 1, what, count_one, &bytes, &why), &why);
    stop(t, title, messages);
}

static void flags(struct account *a, uint64_t inbox, enum flag_op op, uint32_t bits, struct slice keyword,
                  const char *title, double messages)
{
    struct uid_range all = {1, UINT32_MAX};
    struct flag_change change = {
        .op = op, .flags = bits, .keywords = &keyword, .keyword_count = keyword.len > 0};
    uint64_t modseq;
    struct fail why;
    struct timer t = start();

    must(message_flags(a, inbox, &all, 1, &change, NULL, &modseq, &why), &why);
    stop(t, title, messages);
}

static void every_other(struct account *a, uint64_t inbox, uint32_t messages)
{
    struct uid_range *ranges = calloc(messages / 2 + 1, sizeof *ranges);
    struct flag_change change = {.op = FLAGS_ADD, .flags = STORE_FLAGGED};
    uint64_t modseq;
    struct fail why;
    size_t count = 0;

    for (uint32_t uid = 1; ranges != NULL && uid < messages; uid += 2)
        ranges[count++] = (struct uid_range){uid, uid};
    struct timer t = start();
    must(message_flags(a, inbox, ranges, count, &change, NULL, &modseq, &why), &why);
    stop(t, "+FLAGS (\\Flagged) to every other message", (double)count);
    free(ranges);
}

static void big_mailbox(struct bench *b, uint64_t messages)
{
    struct account *a;
    struct view *v;
    struct fail why;
    struct copy_result copied;
    struct uid_range all = {1, UINT32_MAX};
    double n = (double)messages;

    place(b, 1, 1, messages, 500, "place, one account, 500 at a time");
    a = open_account(b, 1);
    uint64_t inbox = inbox_of(a);
    struct timer t = start();
    must(view_open(a, inbox, &v, &why), &why);
    stop(t, "view, loaded", n);
    struct view_token token = view_token(v);
    view_release(&v);
    t = start();
    for (int i = 0; i < 10000; i++) {
        must(view_open(a, inbox, &v, &why), &why);
        view_release(&v);
    }
    stop(t, "view, cached", 10000);
    fetch(a, inbox, FETCH_ENVELOPE, "FETCH ENVELOPE of all", n);
    fetch(a, inbox, FETCH_ENVELOPE, "FETCH ENVELOPE of all, again", n);
    fetch(a, inbox, FETCH_STRUCTURE, "FETCH BODYSTRUCTURE of all", n);
    fetch(a, inbox, 0, "FETCH RFC822.SIZE of all", n);
    flags(a, inbox, FLAGS_ADD, STORE_SEEN, SLICE(""), "+FLAGS (\\Seen) to all", n);
    every_other(a, inbox, (uint32_t)messages);
    flags(a, inbox, FLAGS_ADD, STORE_ANSWERED, SLICE(""), "+FLAGS (\\Answered) to all", n);
    flags(a, inbox, FLAGS_REMOVE, STORE_FLAGGED, SLICE(""), "-FLAGS (\\Flagged), every other has it", n / 2);
    flags(a, inbox, FLAGS_ADD, 0, SLICE("$Label"), "+FLAGS ($Label) to all", n);
    flags(a, inbox, FLAGS_ADD, STORE_DELETED, SLICE(""), "+FLAGS (\\Deleted) to all", n);
    t = start();
    for (uint32_t i = 0; i < 2000; i++) {
        struct uid_range one = {1 + i, 1 + i};
        struct flag_change change = {.op = FLAGS_REMOVE, .flags = STORE_DELETED};
        uint64_t modseq;
        must(message_flags(a, inbox, &one, 1, &change, NULL, &modseq, &why), &why);
    }
    stop(t, "-FLAGS (\\Deleted), one by one, 2,000", 2000);
    t = start();
    for (int i = 0; i < 1000; i++) {
        must(view_restore(a, inbox, token, &v, &why), &why);
        view_release(&v);
    }
    stop(t, "view restored, flags changed", 1000);
    t = start();
    must(message_copy(a, inbox, &all, 1, 5, true, &copied, &why), &why);
    uid_set_finish(&copied.source);
    stop(t, "MOVE of all", n);
    account_release(&a);
}

/* What the first SELECT of a mailbox waits for, by its rows and by its file. */
static void cold_view(struct bench *b, uint64_t messages)
{
    static const struct {
        unsigned least;
        const char *what;
    } rounds[] = {{0, "first view, by its rows"}, {5000, "the same, by its file"}, {5000, "once more"}};
    struct uid_range all = {1, UINT32_MAX};
    struct copy_result copied;
    struct fail why;
    struct view *v;
    double n = 10000;

    place(b, 2, 1, 10000, 500, "place, one account, 500 at a time");
    struct account *a = open_account(b, 2);
    uint64_t inbox = inbox_of(a);
    for (; n < (double)messages; n *= 2) {
        if (n * 2 > (double)messages)
            all.last = (uint32_t)messages - (uint32_t)n;
        must(message_copy(a, inbox, &all, 1, inbox, false, &copied, &why), &why);
        uid_set_finish(&copied.source);
    }
    account_release(&a);
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        struct timer t = start();
        store_close(&b->store);
        stop(t, "store closed", 1);
        b->limits.view_file_messages = rounds[i].least;
        must(store_open(b->dir, b->volumes, &b->limits, &b->store, &why), &why);
        a = open_account(b, 2);
        inbox = inbox_of(a);
        t = start();
        must(view_open(a, inbox, &v, &why), &why);
        stop(t, rounds[i].what, view_count(v));
        view_release(&v);
        account_release(&a);
    }
}

static long resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long all = 0, resident = 0;

    if (f == NULL || fscanf(f, "%ld %ld", &all, &resident) != 2)
        exit(1);
    (void)fclose(f);
    return resident * 4;
}

static void no_wake(void *ctx)
{
    (void)ctx;
}

/* What an account costs that somebody watches, in use and idle. */
static void idle_accounts(struct bench *b, unsigned idle_seconds)
{
    enum { ACCOUNTS = 1000 };
    struct account **accounts = calloc(ACCOUNTS, sizeof(struct account *));
    struct watch *watches = calloc(ACCOUNTS, sizeof *watches);
    struct timespec pause = {.tv_sec = idle_seconds + 3};
    struct view *v;
    struct fail why;

    place(b, 1, ACCOUNTS, 100 * ACCOUNTS, 100, "place, 1,000 accounts, 100 at a time");
    (void)nanosleep(&pause, NULL);
    long before = resident_kb();
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        accounts[i] = open_account(b, 1 + i);
        watch_begin(&watches[i], accounts[i], 1, (struct waker){no_wake, NULL});
        must(view_open(accounts[i], 1, &v, &why), &why);
        view_release(&v);
    }
    printf("1,000 accounts opened: %ld KB more\n", resident_kb() - before);
    (void)nanosleep(&pause, NULL);
    printf("the same, idle: %ld KB more\n", resident_kb() - before);
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        watch_end(&watches[i]);
        account_release(&accounts[i]);
    }
    free(accounts);
    free(watches);
}

/* What the first command of a session in an account that nobody used of late costs. */
static void open_files(struct bench *b, uint64_t accounts)
{
    struct fail why;
    struct timer t = start();

    for (uint64_t id = 1; id <= accounts; id++) {
        const struct mailbox_list *list;
        struct account *a = open_account(b, id);
        must(mailbox_list(a, &list, &why), &why);
        mailbox_list_release(&list);
        account_release(&a);
    }
    stop(t, "account file opened, mailboxes listed", (double)accounts);
}

int main(int argc, char **argv)
{
    struct bench b = {.dir = argc > 1 ? argv[1] : "."};
    uint64_t messages = argc > 2 ? strtoull(argv[2], NULL, 10) / 500 * 500 : 100000;
    struct volume_limits volume_limits;
    struct store_limits limits;
    struct rusage usage;
    struct fail why;
    char path[4096];

    volume_limits_default(&volume_limits);
    store_limits_default(&limits);
    limits.handle_idle_seconds = 2;
    (void)snprintf(path, sizeof path, "%s/volumes", b.dir);
    must(volumes_open(path, &volume_limits, &b.volumes, &why), &why);
    b.limits = limits;
    must(store_open(b.dir, b.volumes, &limits, &b.store, &why), &why);
    arena_init(&b.arena, 1 << 20);
    make_body(&b);
    const char *parts =
        argc > 3 ? argv[3] : "fa14mb"; /* facts, accounts, 1 or 4 at a time, many, big; i: idle, o: open, c: cold */
    struct timer t = start();
    for (int i = 0; i < (strchr(parts, 'f') != NULL ? 1000 : 1); i++)
        must(message_facts_compute(b.body, &b.arena, &b.facts, &why), &why);
    stop(t, "facts of 4 KB", 1000);
    if (strchr(parts, 'a') != NULL) {
        t = start();
        for (uint64_t id = 1; id <= 1000; id++)
            must(store_account_create(b.store, id, &why), &why);
        stop(t, "account made", 1000);
    }
    if (strchr(parts, 'o') != NULL)
        open_files(&b, 400);
    place(&b, 100, 100, 100, 1, "place, 100 accounts, first open");
    if (strchr(parts, '1') != NULL)
        place(&b, 100, 100, 10000, 1, "place, 100 accounts, 1 at a time");
    if (strchr(parts, '4') != NULL)
        place(&b, 100, 100, 10000, 4, "place, 100 accounts, 4 at a time");
    if (strchr(parts, 'm') != NULL)
        place(&b, 1, 1000, 2000, 1, "place, 1,000 accounts, 1 at a time");
    if (strchr(parts, 'b') != NULL)
        big_mailbox(&b, messages);
    if (strchr(parts, 'c') != NULL)
        cold_view(&b, messages);
    if (strchr(parts, 'i') != NULL)
        idle_accounts(&b, limits.handle_idle_seconds);
    store_close(&b.store);
    volumes_close(&b.volumes);
    body_destroy(&b.body);
    arena_finish(&b.arena);
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("most memory: %ld KB\n", usage.ru_maxrss);
    return 0;
}
