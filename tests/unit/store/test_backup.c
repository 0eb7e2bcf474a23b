/* store: what a backup relies on: leases, stamps, copies that have all their records, files that are renewed. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/clock.h"
#include "store/internal.h"
#include "tests/unit/store/room.h"

enum { DAY = 86400 };

static const char mail[] = "From: Ann <ann@example.org>\r\nSubject: Hello\r\n\r\nHello, world.\r\n";

static void report(void *ctx, const char *line)
{
    (void)line;
    (*(unsigned *)ctx)++;
}

static const char *file_of(const struct room *r, const char *name)
{
    static char path[200];

    (void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
    return path;
}

static bool expunge_all(struct account *a, uint64_t mailbox)
{
    struct uid_set gone = {0};
    uint64_t modseq;
    struct fail why;
    bool ok = message_expunge(a, mailbox, NULL, 0, true, &gone, &modseq, &why);

    uid_set_finish(&gone);
    return ok;
}

static unsigned dead_ones(struct account *a)
{
    struct node_release some[16];
    size_t count = 0;
    struct fail why;

    CHECK("lock", account_lock(a, &why));
    CHECK("dead", release_read_dead(a->db, 0, some, ARRAY_LEN(some), &count, &why));
    account_unlock(a);
    return (unsigned)count;
}

/* An account's dead records stay in its file as long as a lease lives. */
static void test_sweep_waits(struct room *r)
{
    struct account *a = room_account(r, 11);
    uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct fail why;

    CHECK("a message", room_append(r, a, inbox, slice_of(mail), 0) != 0 && expunge_all(a, inbox));
    CHECK("low water", store_set_low_water(r->store, volume_end(r->volumes), &why));
    CHECK("purged", release_purge(a, clock_now() + 20 * DAY, &why) && dead_ones(a) == 1);
    store_lease_begin(r->store);
    CHECK("swept under a lease", release_sweep(a, &why) && dead_ones(a) == 1);
    store_lease_end(r->store);
    CHECK("swept after it", release_sweep(a, &why) && dead_ones(a) == 0);
    account_release(&a);
}

/* Two seconds and more ago: then it is believed. */
static void make_older(const struct room *r, const char *file)
{
    struct timeval times[2] = {{.tv_sec = clock_now() - 100}, {.tv_sec = clock_now() - 100}};

    CHECK("older", utimes(file_of(r, file), times) == 0);
}

static void test_stamp(struct room *r)
{
    static const char file[] = "accounts/0c/00/000000000000000c/mail.db";
    struct account *a = room_account(r, 12);
    struct store_stamp one, two;
    struct fail why;

    uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    CHECK("no such account", !store_account_stamp(r->store, 99, &one, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("just written: not believed", store_account_stamp(r->store, 12, &one, &why) && one.text[0] == '\0');
    account_release(&a);
    room_close(r);
    make_older(r, file);
    room_open(r);
    CHECK("a stamp", store_account_stamp(r->store, 12, &one, &why) && one.text[0] != '\0');
    a = room_account(r, 12);
    CHECK("read", room_mailbox(a, SLICE("INBOX")) == inbox);
    CHECK("reading changes nothing", store_account_stamp(r->store, 12, &two, &why) && strcmp(one.text, two.text) == 0);
    CHECK("a change", room_append(r, a, inbox, slice_of(mail), 0) != 0);
    CHECK("it is another at once", store_account_stamp(r->store, 12, &two, &why) && strcmp(one.text, two.text) != 0);
    account_release(&a);
}

static void test_copy(struct room *r)
{
    struct account *a = room_account(r, 13);
    uint64_t inbox = room_mailbox(a, SLICE("INBOX")), messages = 0;
    struct stat st;
    struct fail why;
    unsigned findings = 0;

    for (unsigned i = 0; i < 300; i++)
        CHECK("a message", room_append(r, a, inbox, slice_of(mail), 0) != 0);
    CHECK("a copy", store_copy_account(r->store, 13, file_of(r, "copy.db"), &why));
    CHECK("node's", store_copy_node(r->store, file_of(r, "node-copy.db"), &why) && stat(file_of(r, "node-copy.db"), &st) == 0);
    CHECK("it has its records",
          store_check_copy(file_of(r, "copy.db"), false, 13, r->volumes, report, &findings, &messages, &why) && findings == 0 && messages == 300);
    CHECK("no such account", !store_copy_account(r->store, 99, file_of(r, "none.db"), &why) && why.reason == FAIL_NOT_FOUND);

    struct room other = {0}; /* volumes that have none of them */
    room_init(&other);
    CHECK("each that is missing is told",
          store_check_copy(file_of(r, "copy.db"), false, 13, other.volumes, report, &findings, &messages, &why) && findings == 300);
    room_finish(&other);

    int fd = open(file_of(r, "copy.db"), O_RDWR | O_CLOEXEC);
    CHECK("damage", fd >= 0 && pwrite(fd, "XXXXXXXXXXXXXXXX", 16, 4096 * 3 + 8) == 16 && close(fd) == 0);
    CHECK("is found", !store_check_copy(file_of(r, "copy.db"), false, 13, r->volumes, report, &findings, &messages, &why) || findings > 300);
    account_release(&a);
}

static void test_renew(struct room *r)
{
    struct account *a = room_account(r, 14);
    uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    struct mailbox_info before, after;
    struct account_usage usage, renewed;
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 20);
    CHECK("a message", room_append(r, a, inbox, slice_of(mail), STORE_FLAGGED) != 0);
    CHECK("before", mailbox_get(a, inbox, &arena, &before, &why) && account_usage(a, &usage, &why));
    account_release(&a);
    room_close(r);
    CHECK("the volumes leave a gap", volumes_skip(r->volumes_dir, 100, &why));
    room_open(r);
    volume_ref end = volume_end(r->volumes);
    CHECK("renewed", store_renew(r->store, 14, &why));
    CHECK("not one that is not there", !store_renew(r->store, 99, &why));
    a = room_account(r, 14);
    CHECK("after", mailbox_get(a, inbox, &arena, &after, &why) && account_usage(a, &renewed, &why));
    CHECK("a new UIDVALIDITY, above", after.uidvalidity > before.uidvalidity);
    CHECK("what is in it is the same", after.messages == 1 && after.uidnext == before.uidnext && renewed.bytes == usage.bytes);
    CHECK("modseqs go on far above", renewed.highest_modseq > usage.highest_modseq + (UINT64_C(1) << 31));
    CHECK("and references", end >> 32 > 100);
    CHECK("mail goes on", room_append(r, a, inbox, slice_of(mail), 0) == before.uidnext);
    account_release(&a);
    room_close(r);
    room_open(r);
    CHECK("no number twice after another start", volume_end(r->volumes) > end);
    arena_finish(&arena);
}

int main(void)
{
    struct room r = {0};

    room_init(&r);
    test_sweep_waits(&r);
    test_stamp(&r);
    test_copy(&r);
    test_renew(&r);
    room_finish(&r);
    return check_done();
}
