/*
 * store: views in files: used when they are of today, and only then.  Whether one was used is seen by
 * putting an entry into it that the rows do not say.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/encode.h"
#include "base/io.h"
#include "store/internal.h"
#include "tests/unit/store/room.h"

enum { HEADER = 80, CRC_AT = 8 };

static struct room r;
static struct account *a;
static uint64_t box;
static uint32_t messages; /* in it */
static char path[STORE_PATH_BYTES];

static void reopen(void)
{
    account_release(&a);
    room_close(&r);
    room_open(&r);
    a = room_account(&r, 5);
}

static bool is_there(void)
{
    return access(path, F_OK) == 0;
}

/* The flags of the first message, as a view says that is loaded now. */
static uint32_t first_flags(void)
{
    struct view *v;
    struct fail why;
    bool found;

    if (!view_open(a, box, &v, &why))
        room_die("view", &why);
    CHECK("count", view_count(v) == messages);
    CHECK("the last", view_find(v, view_uidnext(v) - 1, &found) == messages - 1 && found);
    for (uint32_t i = 1; i < messages; i++)
        if (view_at(v, i).uid <= view_at(v, i - 1).uid)
            CHECK("in order", false);
    uint32_t flags = view_at(v, 0).flags;
    view_release(&v);
    return flags;
}

static struct buf content(void)
{
    struct buf b;
    struct fail why;

    buf_init(&b, 1 << 20);
    if (!io_read_file(path, &b, &why))
        room_die("file", &why);
    return b;
}

/* Writes `bytes` at that place; `right`: with the CRC that belongs to it. */
static void patch(size_t at, const void *bytes, size_t len, bool right)
{
    struct buf b = content();
    struct fail why;
    uint32_t crc;

    memcpy(b.data + at, bytes, len);
    if (right) {
        memset(b.data + CRC_AT, 0, sizeof crc);
        crc = htole32(crc32c(0, b.data, b.len));
        memcpy(b.data + CRC_AT, &crc, sizeof crc);
    }
    if (!io_replace_file(path, buf_slice(&b), 0600, &why))
        room_die("file", &why);
    buf_finish(&b);
}

/* The first entry is \Draft now, which it never is by the rows. */
static void mark(bool right)
{
    patch(HEADER + 4, &(uint32_t){htole32(STORE_DRAFT)}, 4, right);
}

static void set_flag(uint32_t uid, enum flag_op op)
{
    struct uid_range one = {uid, uid};
    struct flag_change change = {.op = op, .flags = STORE_FLAGGED};
    uint64_t modseq;
    struct fail why;

    if (!message_flags(a, box, &one, 1, &change, NULL, &modseq, &why))
        room_die("flags", &why);
}

static void test_used(void)
{
    struct check_totals totals;
    struct fail why;

    CHECK("none yet", !is_there());
    CHECK("by rows", first_flags() == STORE_SEEN);
    reopen();
    CHECK("written at the end", is_there());
    CHECK("by file", first_flags() == STORE_SEEN);
    reopen();
    mark(true);
    CHECK("it is what is used", first_flags() == STORE_DRAFT);
    CHECK("check finds it", store_check(r.store, NULL, NULL, NULL, &totals, &why) && totals.problems == 1);
    CHECK("and removes it", !is_there());
    reopen();
    CHECK("by rows again", first_flags() == STORE_SEEN);
    reopen();
    CHECK("check has nothing to say",
          store_check(r.store, NULL, NULL, NULL, &totals, &why) && totals.problems == 0 && is_there());
}

static void test_stale(void)
{
    reopen();
    mark(true);
    set_flag(700, FLAGS_ADD); /* loads it, marked, and changes it: written again */
    reopen();
    CHECK("written again", first_flags() == STORE_DRAFT);
    view_file_remove(a, box);
    reopen();
    (void)first_flags();
    reopen();
    mark(true);
    CHECK("appended", room_append(&r, a, box, SLICE("A: b\r\n\r\n"), 0) == ++messages); /* needs no view */
    CHECK("it is of yesterday", is_there() && first_flags() == STORE_SEEN);
    CHECK("and removed", !is_there());
    reopen();
    CHECK("and written again", is_there() && first_flags() == STORE_SEEN);
}

static void test_damaged(void)
{
    const size_t places[] = {0, 12, 40, 79, 80, 83, 80 + 16 * 1024 + 3, 80 + 16 * (messages - 1)};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct buf b = content();
        char byte = (char)(b.data[places[i]] ^ 0x20);
        buf_finish(&b);
        patch(places[i], &byte, 1, false);
        reopen(); /* nobody looked: it stays */
        CHECK("there", is_there());
        CHECK("not used", first_flags() == STORE_SEEN);
        CHECK("removed", !is_there());
        reopen();
        CHECK("made anew", is_there());
    }
    mark(false);
    CHECK("a wrong CRC", first_flags() == STORE_SEEN && !is_there());
    reopen();
    patch(HEADER, &(uint32_t){htole32(7)}, 4, true); /* right by its CRC, but out of order */
    CHECK("nonsense", first_flags() == STORE_SEEN && !is_there());
    reopen();
    CHECK("cut", truncate(path, HEADER + 16 * 1500) == 0);
    CHECK("not used", first_flags() == STORE_SEEN && !is_there());
    reopen();
    CHECK("empty", truncate(path, 0) == 0);
    CHECK("not used", first_flags() == STORE_SEEN && !is_there());
    reopen();
}

/* Another copy of the account's file in its place, and one of another epoch. */
static void test_other_file(void)
{
    char command[256];
    struct fail why;

    mark(true);
    account_release(&a);
    room_close(&r);
    (void)snprintf(command, sizeof command, "cd '%s'/accounts/*/*/*5 && cp mail.db copy && mv copy mail.db", r.dir);
    CHECK("copied", system(command) == 0);
    room_open(&r);
    a = room_account(&r, 5);
    CHECK("another inode", first_flags() == STORE_SEEN && !is_there());
    reopen();
    CHECK("there again", is_there());
    CHECK("rebuilt", store_rebuild(r.store, 5, NULL, NULL, &why) && !is_there());
    reopen();
    (void)first_flags();
    reopen();
    patch(24, &(uint64_t){htole64(12345)}, 8, true);
    CHECK("another epoch", first_flags() == STORE_SEEN && !is_there());
    reopen();
}

static void set_box(const char *name)
{
    char file[32];
    struct fail why;

    box = room_mailbox(a, slice_of(name));
    (void)snprintf(file, sizeof file, "view-%llx", (unsigned long long)box);
    if (!account_path(r.store, "accounts", 5, file, path, &why))
        room_die("path", &why);
}

static void copy(uint64_t to, uint32_t count)
{
    struct uid_range first = {1, count};
    struct copy_result out;
    struct fail why;

    if (!message_copy(a, box, &first, 1, to, false, &out, &why))
        room_die("copy", &why);
    uid_set_finish(&out.source);
}

/* What is deleted takes its file along; what becomes small has none any more. */
static void test_small_and_gone(void)
{
    struct uid_set gone;
    struct fail why;

    CHECK("there", is_there());
    CHECK("renamed", mailbox_rename(a, SLICE("INBOX"), SLICE("Old"), &why));
    set_box("Old");
    CHECK("view", !is_there() && first_flags() == STORE_SEEN);
    copy(room_mailbox(a, SLICE("Archive")), messages);
    reopen();
    CHECK("of the new one", is_there() && first_flags() == STORE_SEEN);
    CHECK("deleted", mailbox_delete(a, SLICE("Old"), &why));
    CHECK("gone", !is_there());
    set_box("Archive");
    CHECK("there", is_there()); /* it was in memory since it was empty */
    CHECK("view", first_flags() == STORE_SEEN);
    CHECK("expunged", message_expunge(a, box, &(struct uid_range){2, messages - 200}, 1, true, &gone, NULL, &why));
    messages -= (uint32_t)uid_set_size(&gone);
    uid_set_finish(&gone);
    reopen();
    CHECK("gone", !is_there() && messages == 201 && first_flags() == STORE_SEEN);
    reopen();
    CHECK("none", !is_there() && first_flags() == STORE_SEEN);
}

/* The background writes what nobody looks at any more. */
static void test_evicted(void)
{
    struct view *v;
    struct fail why;

    CHECK("changed", room_append(&r, a, box, SLICE("A: b\r\n\r\n"), 0) == ++messages);
    CHECK("view", view_open(a, box, &v, &why));
    view_release(&v);
    (void)unlink(path);
    view_files_keep(a, INT64_MAX);
    CHECK("written", is_there());
    (void)unlink(path);
    set_flag(1, FLAGS_ADD);
    view_files_keep(a, INT64_MAX);
    CHECK("not so soon again", !is_there());
    view_files_keep_last(a, INT64_MAX);
    CHECK("at the end", is_there());
    set_flag(1, FLAGS_REMOVE);
    reopen();
    CHECK("and when it is closed", first_flags() == STORE_SEEN);
}

int main(void)
{
    room_init(&r);
    room_close(&r);
    r.limits.view_file_messages = 1000;
    room_open(&r);
    a = room_account(&r, 5);
    set_box("INBOX");
    if (room_append(&r, a, box, SLICE("A: b\r\n\r\n"), STORE_SEEN) != 1)
        return 1;
    for (messages = 1; messages < 2048; messages *= 2)
        copy(box, messages);
    copy(box, 52);
    messages += 52;
    reopen();
    (void)unlink(path); /* copying had loaded it */
    test_used();
    test_evicted();
    test_stale();
    test_damaged();
    test_other_file();
    test_small_and_gone();
    account_release(&a);
    room_finish(&r);
    return check_done();
}
