/*
 * store: flags of long runs of messages, of which the rows are written later: a model of the mailbox against
 * the view in memory, the view made of the rows after the file was opened again, and copies.
 */
#include "store/flag_run.h"
#include "tests/unit/store/room.h"

enum { MESSAGES_MAX = 8192, STEPS = 120, ACCOUNT = 5 };

struct known {
    uint32_t uid, flags;
    uint64_t modseq;
    bool keyword;
};

static struct room r;
static struct account *a;
static uint64_t inbox, other;
static struct known model[MESSAGES_MAX];
static uint32_t count;
static unsigned seed;

static uint32_t pick(uint32_t below)
{
    return (uint32_t)rand_r(&seed) % below;
}

static void reopen(void)
{
    account_release(&a);
    room_close(&r);
    room_open(&r);
    a = room_account(&r, ACCOUNT);
}

static struct view *view_of(uint64_t box)
{
    struct view *v;
    struct fail why;

    if (!view_open(a, box, &v, &why))
        room_die("view", &why);
    return v;
}

static void compare(const char *what)
{
    struct view *v = view_of(inbox);
    uint32_t wrong = 0;

    CHECK(what, view_count(v) == count);
    for (uint32_t i = 0; i < count && i < view_count(v); i++) {
        struct view_entry e = view_at(v, i);
        wrong += e.uid != model[i].uid || e.flags != model[i].flags || e.modseq != model[i].modseq ||
                 (e.keyword_set != 0) != model[i].keyword;
    }
    if (wrong > 0)
        fprintf(stderr, "%s: %u of %u are wrong\n", what, wrong, count);
    CHECK(what, wrong == 0);
    view_release(&v);
}

static void change(void)
{
    static const struct slice name[] = {SLICE("$Work")};
    uint32_t long_one = pick(3), first = long_one == 0 ? pick(count) : pick(40),
             last = long_one == 0 ? first + pick(5) : count - 1 - pick(40);
    struct flag_change c = {.op = (enum flag_op)pick(3), .flags = pick(32), .keywords = name, .keyword_count = pick(2)};
    uint64_t modseq;
    struct fail why;

    last = last < count ? last : count - 1;
    if (last < first)
        last = first;
    if (long_one == 2) { /* all */
        first = 0;
        last = count - 1;
    }
    struct uid_range range = {model[first].uid, model[last].uid};
    if (!message_flags(a, inbox, &range, 1, &c, NULL, &modseq, &why))
        room_die("flags", &why);
    for (uint32_t i = first; i <= last; i++) {
        struct known *k = &model[i], now = *k;
        now.flags = c.op == FLAGS_REPLACE ? c.flags : c.op == FLAGS_ADD ? k->flags | c.flags : k->flags & ~c.flags;
        if (c.op == FLAGS_REPLACE || c.keyword_count > 0)
            now.keyword = c.keyword_count > 0 && c.op != FLAGS_REMOVE;
        if (now.flags == k->flags && now.keyword == k->keyword)
            continue;
        now.modseq = modseq;
        *k = now;
    }
}

/* Some are moved away; the flags that they have there are those that they had here. */
static void move(void)
{
    uint32_t first = pick(count - 200), n = 1 + pick(150), wrong = 0;
    struct uid_range range = {model[first].uid, model[first + n - 1].uid};
    struct copy_result done;
    struct fail why;

    if (!message_copy(a, inbox, &range, 1, other, true, &done, &why))
        room_die("move", &why);
    struct view *v = view_of(other);
    for (uint32_t i = 0; i < n; i++) {
        struct view_entry e = view_at(v, view_count(v) - n + i);
        wrong += e.flags != model[first + i].flags || (e.keyword_set != 0) != model[first + i].keyword;
    }
    CHECK("flags move along", wrong == 0);
    view_release(&v);
    uid_set_finish(&done.source);
    count -= n;
    memmove(&model[first], &model[first + n], (count - first) * sizeof model[0]);
}

static void report(void *ctx, const char *finding)
{
    (void)ctx;
    fprintf(stderr, "check: %s\n", finding);
}

static void check_store(void)
{
    struct check_totals totals;
    struct fail why;

    CHECK("check", store_check(r.store, report, NULL, NULL, &totals, &why) && totals.problems == 0);
}

static int64_t runs(void)
{
    struct flag_runs found;
    struct fail why;

    if (!account_lock(a, &why) || !flag_runs_read(a->db, inbox, &found, &why))
        room_die("runs", &why);
    account_unlock(a);
    return (int64_t)found.count;
}

/* Doubled until there are many; each copy has another UID. */
static void fill(void)
{
    struct uid_range all = {1, UINT32_MAX};
    struct copy_result done;
    struct fail why;

    (void)room_append(&r, a, inbox, SLICE("Subject: one\r\n\r\nText.\r\n"), 0);
    for (count = 1; count < MESSAGES_MAX; count *= 2) {
        if (!message_copy(a, inbox, &all, 1, inbox, false, &done, &why))
            room_die("copy", &why);
        uid_set_finish(&done.source);
    }
    struct view *v = view_of(inbox);
    for (uint32_t i = 0; i < count; i++) {
        struct view_entry e = view_at(v, i);
        model[i] = (struct known){.uid = e.uid, .modseq = e.modseq};
    }
    view_release(&v);
}

static void test_joined(void)
{
    struct flag_change set = {.op = FLAGS_ADD, .flags = STORE_FLAGGED}, off = {.op = FLAGS_REMOVE, .flags = STORE_FLAGGED};
    struct uid_range all = {1, UINT32_MAX};
    uint64_t modseq;
    struct fail why;

    for (unsigned i = 0; i < 20; i++)
        if (!message_flags(a, inbox, &all, 1, &set, NULL, &modseq, &why) ||
            !message_flags(a, inbox, &all, 1, &off, NULL, &modseq, &why))
            room_die("flags", &why);
    CHECK("what is undone leaves one run", runs() == 1);
    for (uint32_t i = 0; i < count; i++)
        model[i].modseq = modseq;
    reopen();
    compare("joined");
}

static void test_random(void)
{
    for (unsigned i = 0; i < STEPS; i++) {
        change();
        if (pick(6) == 0)
            move();
        if (pick(4) == 0) {
            compare("in memory");
            reopen();
            compare("from the rows");
        }
    }
    CHECK("no more than are allowed", runs() <= FLAG_RUNS_MAX);
}

static void test_idle(void)
{
    change();
    flag_runs_settle_idle(a, INT64_MAX);
    CHECK("settled in the background", runs() == 0);
    compare("settled");
    reopen();
    compare("settled rows");
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? (unsigned)atoi(argv[1]) : 20091;
    room_init(&r);
    r.limits.view_file_messages = 0; /* views come from the rows */
    room_close(&r);
    room_open(&r);
    a = room_account(&r, ACCOUNT);
    inbox = room_mailbox(a, SLICE("INBOX"));
    other = room_mailbox(a, SLICE("Trash"));
    fill();
    compare("filled");
    test_joined();
    test_random();
    test_idle();
    check_store();
    for (unsigned i = 0; i < 5; i++)
        change();
    check_store();
    compare("after check");
    account_release(&a);
    room_finish(&r);
    return check_done();
}
