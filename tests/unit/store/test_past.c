/* store: what was expunged comes back, mailboxes as they were, what is given back before its time. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "store/internal.h"
#include "store/past.h"
#include "tests/unit/store/room.h"

enum { HOUR = 3600, DAY = 24 * HOUR };

/* The clock goes as it does, from wherever the test has put it. */
static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int status = (int)syscall(SYS_clock_gettime, clock, out);

    if (clock == CLOCK_REALTIME)
        out->tv_sec += ahead;
    return status;
}

static const char mail[] = "From: Ann <ann@example.org>\r\nSubject: Hello\r\n\r\nHello, world.\r\n";
static const struct uid_range all = {1, UINT32_MAX};

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

static struct mailbox_info info_of(struct account *a, const char *name)
{
    struct mailbox_info info = {.messages = UINT32_MAX};
    struct arena arena;

    arena_init(&arena, 1 << 20);
    if (mailbox_find(a, slice_of(name), &arena, &info, NULL))
        info.name = SLICE("");
    arena_finish(&arena);
    return info;
}

static uint32_t count(struct account *a, const char *name)
{
    return info_of(a, name).messages;
}

static void expunge(struct account *a, const char *name, uint32_t uid)
{
    struct uid_range range = {uid > 0 ? uid : 1, uid > 0 ? uid : UINT32_MAX};
    struct fail why;

    if (!message_expunge(a, room_mailbox(a, slice_of(name)), &range, 1, true, NULL, NULL, &why))
        room_die("expunge", &why);
}

static void copy(struct account *a, const char *from, const char *to, bool move)
{
    struct copy_result copied = {0};
    struct fail why;

    if (!message_copy(a, room_mailbox(a, slice_of(from)), &all, 1, room_mailbox(a, slice_of(to)), move, &copied, &why))
        room_die("copy", &why);
    uid_set_finish(&copied.source);
}

/* How many could come back. */
static size_t offered(struct account *a, const char *mailbox, bool moved)
{
    const struct past_filter f = {.mailbox = slice_of(mailbox), .moved = moved};
    struct past *p = NULL;
    struct fail why = {0};

    if (!past_expunged(a, &f, &p, &why)) {
        CHECK(why.text, why.reason == FAIL_NOT_FOUND);
        return SIZE_MAX;
    }
    size_t n = p->count;
    past_destroy(&p);
    return n;
}

static uint64_t bring_back(struct account *a, const char *mailbox, bool moved)
{
    const struct past_filter f = {.mailbox = slice_of(mailbox), .moved = moved};
    struct past_result result = {0};
    struct past *p = NULL;
    struct fail why;

    if (!past_expunged(a, &f, &p, &why) || !past_bring_back(a, p, &result, &why))
        room_die("bring back", &why);
    past_destroy(&p);
    return result.messages;
}

static struct view_entry entry_at(struct account *a, const char *mailbox, uint32_t position)
{
    struct view_entry e = {0};
    struct view *v;
    struct fail why;

    if (!view_open(a, room_mailbox(a, slice_of(mailbox)), &v, &why))
        room_die("view", &why);
    if (position < view_count(v))
        e = view_at(v, position);
    view_release(&v);
    return e;
}

static void test_undelete(struct room *r)
{
    struct account *a = room_account(r, 1);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct slice keyword = SLICE("$Important");
    struct flag_change add = {.op = FLAGS_ADD, .flags = STORE_DELETED | STORE_FLAGGED, .keywords = &keyword, .keyword_count = 1};
    struct uid_range first = {1, 1};
    struct uid_set gone = {.count = 0};
    struct account_usage before, after;
    uint64_t modseq;
    bool complete;
    struct fail why;

    for (int i = 0; i < 3; i++)
        (void)room_append(r, a, inbox, slice_of(mail), STORE_SEEN);
    CHECK("flags", message_flags(a, inbox, &first, 1, &add, NULL, &modseq, &why));
    CHECK("usage", account_usage(a, &before, &why));
    expunge(a, "INBOX", 1);
    CHECK("one is offered", offered(a, "", false) == 1 && offered(a, "inbox", false) == 1);
    CHECK("not elsewhere", offered(a, "Sent", false) == 0);
    CHECK("no such mailbox", offered(a, "Never", false) == SIZE_MAX);
    CHECK("back", bring_back(a, "", false) == 1);
    CHECK("only once", offered(a, "", false) == 0 && bring_back(a, "", false) == 0);
    CHECK("counts as before", account_usage(a, &after, &why) && after.bytes == before.bytes &&
                                  after.messages == before.messages && after.highest_modseq > before.highest_modseq);

    struct view_entry e = entry_at(a, "INBOX", 2);
    CHECK("a new UID", e.uid == 4);
    CHECK("its flags but \\Deleted", e.flags == (STORE_SEEN | STORE_FLAGGED));
    CHECK("its keywords", account_keyword_set(a, e.keyword_set).count == 1);
    CHECK("a new modseq", e.modseq > modseq && e.modseq == info_of(a, "INBOX").highest_modseq);
    CHECK("the old UID is gone", message_vanished(a, inbox, modseq, &gone, &complete, &why) && complete &&
                                     uid_set_size(&gone) == 1 && uid_set_has(&gone, 1));
    uid_set_finish(&gone);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

static void test_moved_and_copied(struct room *r)
{
    struct account *a = room_account(r, 2);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));

    (void)room_append(r, a, inbox, slice_of(mail), 0);
    copy(a, "INBOX", "Trash", true);
    CHECK("moved: it is there still", offered(a, "", false) == 0);
    CHECK("unless asked for", offered(a, "", true) == 1);
    expunge(a, "Trash", 0);
    CHECK("once, from where it left last", offered(a, "", false) == 1 && offered(a, "Trash", false) == 1);
    CHECK("or from where it is asked for", offered(a, "INBOX", false) == 1);
    CHECK("back to INBOX", bring_back(a, "INBOX", false) == 1 && count(a, "INBOX") == 1 && count(a, "Trash") == 0);
    CHECK("then it is there", offered(a, "", false) == 0);

    copy(a, "INBOX", "Archive", false);
    expunge(a, "INBOX", 0);
    CHECK("a copy is left", offered(a, "", false) == 0 && offered(a, "INBOX", false) == 0);
    CHECK("the other one, asked for", offered(a, "INBOX", true) == 1 && bring_back(a, "INBOX", true) == 1);
    CHECK("once", count(a, "INBOX") == 1 && bring_back(a, "INBOX", true) == 0);
    CHECK("both gone", (expunge(a, "INBOX", 0), expunge(a, "Archive", 0), bring_back(a, "", false) == 1));
    CHECK("the last", count(a, "Archive") == 1 && count(a, "INBOX") == 0);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

static void test_deleted_mailboxes(struct room *r)
{
    struct account *a = room_account(r, 3);
    uint64_t work = 0, done = 0;
    struct fail why;

    CHECK("made", mailbox_create(a, SLICE("Work"), USE_NONE, &work, &why) &&
                      mailbox_create(a, SLICE("Work/Done"), USE_NONE, &done, &why));
    (void)room_append(r, a, work, slice_of(mail), 0);
    (void)room_append(r, a, done, slice_of(mail), STORE_ANSWERED);
    (void)room_append(r, a, done, slice_of(mail), 0);
    CHECK("deleted", mailbox_delete(a, SLICE("Work/Done"), &why) && mailbox_delete(a, SLICE("Work"), &why) &&
                         mailbox_delete(a, SLICE("Trash"), &why));
    CHECK("all of it is offered", offered(a, "", false) == 3);
    CHECK("of one", offered(a, "Work", false) == 1 && offered(a, "Work/Done", false) == 2);
    CHECK("of a tree", offered(a, "Work/", false) == 3);
    CHECK("back", bring_back(a, "Work/Done", false) == 2);
    CHECK("in a new one", count(a, "Work/Done") == 2 && count(a, "Work") == 0 &&
                              room_mailbox(a, SLICE("Work/Done")) != done && info_of(a, "Work/Done").subscribed);
    CHECK("and into it", bring_back(a, "", false) == 1 && count(a, "Work") == 1);
    CHECK("in order", entry_at(a, "Work/Done", 0).flags == STORE_ANSWERED && entry_at(a, "Work/Done", 1).flags == 0);

    CHECK("renamed", mailbox_rename(a, SLICE("Work"), SLICE("Play"), &why));
    expunge(a, "Play/Done", 0);
    CHECK("by the name of today", offered(a, "Play/Done", false) == 2 && bring_back(a, "", false) == 2 &&
                                      count(a, "Play/Done") == 2);
    CHECK("deleted with its use", mailbox_delete(a, SLICE("Archive"), &why));
    CHECK("nothing was in it", offered(a, "", false) == 0);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

/* A mailbox for a use is one again, unless there is another. */
static void test_special_use(struct room *r)
{
    struct account *a = room_account(r, 4);
    struct fail why;

    (void)room_append(r, a, room_mailbox(a, SLICE("Trash")), slice_of(mail), 0);
    (void)room_append(r, a, room_mailbox(a, SLICE("Junk")), slice_of(mail), 0);
    CHECK("deleted", mailbox_delete(a, SLICE("Trash"), &why) && mailbox_delete(a, SLICE("Junk"), &why) &&
                         mailbox_create(a, SLICE("Spam"), USE_JUNK, NULL, &why));
    CHECK("back", bring_back(a, "", false) == 2);
    CHECK("with its use", info_of(a, "Trash").use == USE_TRASH);
    CHECK("which another has", info_of(a, "Junk").use == USE_NONE && info_of(a, "Spam").use == USE_JUNK);
    account_release(&a);
}

static void test_quota(struct room *r)
{
    struct account *a = room_account(r, 5);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct quota_change limit = {.resource = QUOTA_MESSAGE, .most = 2};
    const struct past_filter every = {.since = 0};
    struct past_result result;
    struct past *p = NULL;
    struct fail why = {0};

    for (int i = 0; i < 3; i++)
        (void)room_append(r, a, inbox, slice_of(mail), 0);
    expunge(a, "INBOX", 0);
    CHECK("set", quota_set(a, &limit, 1, &why) && past_expunged(a, &every, &p, &why) && p->count == 3);
    CHECK("refused", !past_bring_back(a, p, &result, &why) && why.reason == FAIL_OVER_QUOTA);
    CHECK(why.text, strstr(why.text, "0 bytes and 1 messages are missing") != NULL);
    CHECK("nothing is reserved", quota_reserved(r->store, account_id(a)).messages == 0);
    CHECK("nothing came", result.messages == 0 && count(a, "INBOX") == 0);
    past_destroy(&p);

    const uint64_t ids[] = {1, 3};
    const struct past_filter two = {.messages = ids, .message_count = 2};
    CHECK("two fit", past_expunged(a, &two, &p, &why) && p->count == 2 && past_bring_back(a, p, &result, &why) &&
                         result.messages == 2 && result.bytes == p->bytes);
    CHECK("nothing is reserved", quota_reserved(r->store, account_id(a)).messages == 0);
    past_destroy(&p);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

static uint64_t restore(struct account *a, int64_t at, const char *mailbox, const char *under)
{
    struct past_result result = {0};
    struct past *p = NULL;
    struct fail why = {0};

    if (!past_at(a, at, slice_of(mailbox), &p, &why) || !past_restore(a, p, slice_of(under), &result, &why)) {
        fprintf(stderr, "restore: %s\n", why.text);
        result.messages = UINT64_MAX;
    }
    past_destroy(&p);
    return result.messages;
}

static void test_restore(struct room *r)
{
    struct account *a = room_account(r, 6);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX")), sent = room_mailbox(a, SLICE("Sent"));
    int64_t then[4];
    struct past *p = NULL;
    struct fail why = {0};

    then[0] = clock_now();
    ahead += HOUR;
    (void)room_append(r, a, inbox, slice_of(mail), STORE_FLAGGED);
    (void)room_append(r, a, inbox, slice_of(mail), STORE_DELETED);
    then[1] = clock_now();
    ahead += HOUR;
    expunge(a, "INBOX", 2);
    (void)room_append(r, a, sent, slice_of(mail), STORE_SEEN);
    then[2] = clock_now();
    ahead += HOUR;
    copy(a, "INBOX", "Archive", true);
    CHECK("deleted", mailbox_delete(a, SLICE("Sent"), &why));
    then[3] = clock_now();
    ahead += HOUR;

    CHECK("nothing was there", restore(a, then[0], "", "Zero") == 0 && count(a, "Zero") == UINT32_MAX);
    CHECK("two in INBOX", restore(a, then[1], "", "One") == 2 && count(a, "One/INBOX") == 2);
    CHECK("without \\Deleted", entry_at(a, "One/INBOX", 0).flags == STORE_FLAGGED && entry_at(a, "One/INBOX", 1).flags == 0);
    CHECK("one and one", restore(a, then[2], "", "Two") == 2 && count(a, "Two/INBOX") == 1 && count(a, "Two/Sent") == 1);
    CHECK("no second special use", info_of(a, "Two/Sent").use == USE_NONE);
    CHECK("where it was moved to", restore(a, then[3], "", "Three") == 1 && count(a, "Three/Archive") == 1 &&
                                       count(a, "Three/INBOX") == UINT32_MAX);
    CHECK("one mailbox", restore(a, then[2], "Sent", "Four") == 1 && count(a, "Four/INBOX") == UINT32_MAX);
    CHECK("nothing is overwritten", restore(a, then[2], "Sent", "Four") == UINT64_MAX && count(a, "Four/Sent") == 1);
    CHECK("what is restored was not there", restore(a, then[3], "", "Five") == 1);
    CHECK("nothing is taken away", count(a, "Archive") == 1);
    CHECK("not yet", !past_at(a, clock_now() + 60, SLICE(""), &p, &why) && why.reason == FAIL_INVALID);
    CHECK("never", !past_at(a, then[1], SLICE("Never"), &p, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

static void test_flags_of_many(struct room *r)
{
    struct account *a = room_account(r, 7);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    const struct flag_change seen = {.op = FLAGS_ADD, .flags = STORE_SEEN};
    uint64_t modseq;
    struct fail why;

    for (int i = 0; i < 700; i++)
        (void)room_append(r, a, inbox, slice_of(mail), 0);
    CHECK("as one row", message_flags(a, inbox, &all, 1, &seen, NULL, &modseq, &why));
    CHECK("restored", restore(a, clock_now(), "", "Now") == 700);
    CHECK("as they are", entry_at(a, "Now/INBOX", 699).flags == STORE_SEEN && info_of(a, "Now/INBOX").unseen == 0);
    expunge(a, "Now/INBOX", 0);
    CHECK("not offered", offered(a, "", false) == 0);
    CHECK("more than one piece", (expunge(a, "INBOX", 0), bring_back(a, "INBOX", false) == 700));
    for (int i = 0; i < 2; i++)
        copy(a, "INBOX", "Sent", false);
    expunge(a, "INBOX", 0);
    expunge(a, "Sent", 0);
    CHECK("each once", bring_back(a, "", false) == 700 && count(a, "Sent") == 700);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

static void test_purge(struct room *r)
{
    struct account *a = room_account(r, 8);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct purge_result result;
    struct past *p = NULL;
    struct fail why = {0};
    const int64_t start = clock_now();

    CHECK("mark", store_set_low_water(r->store, UINT64_MAX >> 1, &why));
    for (int i = 0; i < 2; i++)
        (void)room_append(r, a, inbox, slice_of(mail), 0);
    expunge(a, "INBOX", 1);
    ahead += 10 * DAY;
    const int64_t middle = clock_now();
    expunge(a, "INBOX", 2);
    CHECK("not yet", past_purge(a, false, &result, &why) && result.messages == 0 && offered(a, "", false) == 2);
    ahead += 5 * DAY;
    CHECK("one is due", past_purge(a, false, &result, &why) && result.messages == 1 && result.bytes > 0 &&
                            result.waiting == 0);
    CHECK("the other is kept", offered(a, "", false) == 1);
    CHECK("too far back", !past_at(a, start - 1, SLICE(""), &p, &why) && why.reason == FAIL_LIMIT);
    CHECK(why.text, strstr(why.text, "no longer kept") != NULL);
    CHECK("not too far", past_at(a, middle - 1, SLICE(""), &p, &why) && p->count == 1);
    past_destroy(&p);
    CHECK("all of it", past_purge(a, true, &result, &why) && result.messages == 1 && offered(a, "", false) == 0);
    CHECK("from now on", !past_at(a, middle - 1, SLICE(""), &p, &why) && past_at(a, clock_now(), SLICE(""), &p, &why));
    past_destroy(&p);

    (void)room_append(r, a, inbox, slice_of(mail), 0);
    expunge(a, "INBOX", 0);
    CHECK("mark", store_set_low_water(r->store, 0, &why));
    CHECK("in doubt it stays", past_purge(a, true, &result, &why) && result.messages == 0 && result.waiting == 1 &&
                                   offered(a, "", false) == 1);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

/* Bytes on the disk. */
static uint64_t volumes_bytes(const struct room *r)
{
    uint64_t sum = 0;
    DIR *dir = opendir(r->volumes_dir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat s;
        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &s, 0) == 0)
            sum += (uint64_t)s.st_blocks * 512;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return sum;
}

/* Text that does not compress. */
static void append_large(struct room *r, struct account *a, uint64_t mailbox)
{
    enum { SIZE = 900 * 1000 };
    char *text = malloc(SIZE);
    uint32_t x = (uint32_t)clock_mono_ms() | 1;

    for (size_t i = 0; i < SIZE; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = i % 70 == 69 ? '\n' : (char)('0' + (x >> 24) % 75);
    }
    memcpy(text, "S: x\r\n\r\n", 8);
    CHECK("appended", room_append(r, a, mailbox, slice_make(text, SIZE), 0) > 0);
    free(text);
}

static void test_space(struct room *r)
{
    struct account *a = room_account(r, 9);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct purge_result result;
    struct fail why = {0};

    for (int i = 0; i < 16; i++)
        append_large(r, a, inbox);
    const uint64_t full = volumes_bytes(r);
    expunge(a, "INBOX", 0);
    CHECK("mark", store_set_low_water(r->store, UINT64_MAX >> 1, &why));
    CHECK("kept", past_purge(a, false, &result, &why) && release_reclaim(r->store, clock_now(), &why) &&
                      volumes_bytes(r) >= full);
    ahead += 15 * DAY;
    CHECK("its time is over", past_purge(a, false, &result, &why) && result.messages == 16);
    CHECK("not at once", release_reclaim(r->store, clock_now(), &why) && volumes_bytes(r) >= full);
    ahead += 2 * HOUR;
    CHECK("then", release_reclaim(r->store, clock_now(), &why));
    CHECK("most of it is the disk's again", volumes_bytes(r) < full / 2);
    CHECK("mark", store_set_low_water(r->store, 0, &why));
    CHECK("sound", is_sound(r));
    account_release(&a);
}

/* Killed while messages come back: the same command does the rest, and none comes twice. */
static void test_kill(struct room *r)
{
    enum { MANY = 4000 };
    struct account *a = room_account(r, 10);
    const uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct body *b = room_body(r, slice_of(mail));
    struct appender *p = appender_create(a, inbox);
    const struct append_item item = {.body = b};
    struct appended out;
    struct fail why;
    bool ok = true;

    for (int i = 0; ok && i < MANY; i++)
        ok = appender_add(p, &item, &why);
    CHECK("appended", ok && appender_commit(p, &out, &why));
    appender_destroy(&p);
    body_destroy(&b);
    expunge(a, "INBOX", 0);
    account_release(&a);
    room_close(r);
    for (unsigned after_us = 2000; after_us < 60000; after_us *= 2) {
        pid_t child = fork();
        if (child == 0) {
            room_open(r);
            a = room_account(r, 10);
            (void)bring_back(a, "", false);
            _exit(0);
        }
        (void)usleep(after_us);
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    room_open(r);
    a = room_account(r, 10);
    const uint64_t there = count(a, "INBOX");
    CHECK("the rest", bring_back(a, "", false) == MANY - there && count(a, "INBOX") == MANY);
    CHECK("all of it", offered(a, "", true) == 0);
    CHECK("sound", is_sound(r));
    account_release(&a);
}

int main(void)
{
    struct room r;

    room_init(&r);
    room_close(&r);
    r.limits.view_file_messages = 100; /* lists of larger mailboxes lie in files */
    room_open(&r);
    test_undelete(&r);
    test_moved_and_copied(&r);
    test_deleted_mailboxes(&r);
    test_special_use(&r);
    test_quota(&r);
    test_restore(&r);
    test_flags_of_many(&r);
    test_purge(&r);
    test_space(&r);
    test_kill(&r);
    room_close(&r);
    room_open(&r);
    CHECK("sound after a start", is_sound(&r));
    room_finish(&r);
    return check_done();
}
