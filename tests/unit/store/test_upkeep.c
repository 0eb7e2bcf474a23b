/* store: expunged bodies are given back in time, snapshots, check, rebuild, removal, formats. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/internal.h"
#include "tests/unit/storage/fault.h"
#include "tests/unit/store/room.h"

enum { DAY = 86400 };

static const char mail[] = "From: Ann <ann@example.org>\r\nSubject: Hello\r\n\r\nHello, world.\r\n";

static char last_finding[400];

static void report(void *ctx, const char *line)
{
    (void)snprintf(last_finding, sizeof last_finding, "%s", line);
    if (ctx != NULL)
        (*(unsigned *)ctx)++;
}

static uint64_t problems(struct room *r)
{
    struct check_totals totals;
    struct fail why;

    last_finding[0] = '\0';
    if (!store_check(r->store, report, NULL, NULL, &totals, &why))
        room_die("check", &why);
    if (totals.problems > 0)
        fprintf(stderr, "problem: %s\n", last_finding);
    return totals.problems;
}

static uint32_t count(struct account *a, const char *name)
{
    struct mailbox_info info;
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 20);
    bool ok = mailbox_find(a, slice_of(name), &arena, &info, &why);
    arena_finish(&arena);
    return ok ? info.messages : UINT32_MAX;
}

/* A message for two accounts. */
static volume_ref deliver(struct room *r, struct account *one, struct account *other, uint64_t mailbox)
{
    struct record_target targets[] = {
        {.kind = RECORD_LOCAL, .account = account_id(one), .mailbox = mailbox, .prefix = SLICE("X: 1\r\n")},
        {.kind = RECORD_LOCAL, .account = account_id(other), .flags = STORE_FLAGGED},
    };
    struct record rec = {.kind = RECORD_DELIVERY, .internal_date = 5, .targets = targets, .target_count = 2};
    struct body *b = room_body(r, slice_of(mail));
    volume_ref ref;
    struct fail why;

    if (!volume_append(r->volumes, &rec, b, &ref, &why))
        room_die("record", &why);
    struct place_item first = {.ref = ref, .target = &targets[0], .internal_date = 5};
    struct place_item second = {.ref = ref, .target = &targets[1], .internal_date = 5};
    CHECK("placed", message_place(one, &first, 1, &why) && message_place(other, &second, 1, &why));
    body_destroy(&b);
    return ref;
}

static bool released(struct room *r, volume_ref ref, uint64_t account)
{
    bool is = false;
    struct fail why;

    CHECK("asked", node_is_released(r->store, ref, account, &is, &why));
    return is;
}

static void test_purge(struct room *r)
{
    struct account *one = room_account(r, 1), *other = room_account(r, 2);
    uint64_t inbox = room_mailbox(one, SLICE("INBOX")), trash = room_mailbox(one, SLICE("Trash"));
    struct uid_range all = {1, UINT32_MAX};
    struct copy_result copied;
    struct uid_set gone;
    int64_t later = clock_now() + 15 * DAY;
    struct fail why;
    bool complete, placed;

    volume_ref ref = deliver(r, one, other, 0);
    CHECK("copy", message_copy(one, inbox, &all, 1, trash, false, &copied, &why));
    uid_set_finish(&copied.source);
    CHECK("expunge",
          message_expunge(one, inbox, NULL, 0, true, NULL, NULL, &why) && count(one, "INBOX") == 0);
    CHECK("purge", release_purge(one, later, &why) && release_sweep(one, &why));
    CHECK("a copy keeps it", message_was_placed(one, ref, &placed, &why) && placed);
    CHECK("expunge the copy", message_expunge(one, trash, NULL, 0, true, NULL, NULL, &why));
    CHECK("too early",
          release_purge(one, later - 2 * DAY, &why) && release_sweep(one, &why) && !released(r, ref, 1));
    CHECK("not below the low-water mark", release_purge(one, later, &why) && release_sweep(one, &why) &&
                                              message_was_placed(one, ref, &placed, &why) && placed);
    CHECK("mark", store_set_low_water(r->store, volume_end(r->volumes), &why));
    CHECK("purge", release_purge(one, later, &why) && message_was_placed(one, ref, &placed, &why) && !placed);
    CHECK("check: a dead one is accounted for", problems(r) == 0);
    CHECK("sweep", release_sweep(one, &why) && released(r, ref, 1) && !released(r, ref, 0));
    CHECK("check: a released one is accounted for", problems(r) == 0);
    CHECK("still vanished",
          message_vanished(one, inbox, 0, &gone, &complete, &why) && complete && uid_set_has(&gone, 1));
    uid_set_finish(&gone);
    CHECK("the log is trimmed", release_purge(one, later + 60 * DAY, &why) &&
                                    message_vanished(one, inbox, 0, &gone, &complete, &why) && !complete);
    uid_set_finish(&gone);
    uint64_t other_inbox = room_mailbox(other, SLICE("INBOX"));
    CHECK("the other lets go", message_expunge(other, other_inbox, NULL, 0, true, NULL, NULL, &why) &&
                                   release_purge(other, later, &why) && release_sweep(other, &why));
    CHECK("released by all", released(r, ref, 0) && released(r, ref, 1) && released(r, ref, 77));
    CHECK("again is harmless",
          release_sweep(one, &why) && release_announce(r->store, &why) && released(r, ref, 0));
    CHECK("check", problems(r) == 0);
    account_release(&one);
    account_release(&other);
}

/* A log shorter than expunged messages are kept is as long as they are. */
static void test_short_log(struct room *r)
{
    struct account *a = room_account(r, 3);
    unsigned days = r->store->limits.change_log_days;
    struct uid_set gone;
    struct fail why;
    bool complete;

    CHECK("append", room_append(r, a, 1, slice_of(mail), 0) == 1);
    CHECK("expunge", message_expunge(a, 1, NULL, 0, true, NULL, NULL, &why));
    r->store->limits.change_log_days = 1;
    CHECK("purge", release_purge(a, clock_now() + 5 * DAY, &why));
    CHECK("remembered",
          message_vanished(a, 1, 0, &gone, &complete, &why) && complete && uid_set_has(&gone, 1));
    uid_set_finish(&gone);
    r->store->limits.change_log_days = days;
    account_release(&a);
}

static void account_file(const struct room *r, uint64_t id, const char *folder, char out[200])
{
    (void)snprintf(out, 200, "%s/%s/%02x/00/%016x/mail.db", r->dir, folder, (unsigned)id, (unsigned)id);
}

static void test_rebuild(struct room *r)
{
    struct account *a = room_account(r, 11), *b = room_account(r, 12);
    uint64_t inbox = room_mailbox(a, SLICE("INBOX")), work, later;
    char file[200], snapshot[200];
    uint32_t uidvalidity;
    struct view *v;
    struct fail why;

    CHECK("mailbox", mailbox_create(a, SLICE("Work"), USE_NONE, &work, &why));
    CHECK("append", room_append(r, a, work, slice_of(mail), STORE_SEEN) == 1);
    (void)deliver(r, a, b, 0);
    CHECK("view", view_open(a, work, &v, &why));
    uidvalidity = view_uidvalidity(v);
    view_release(&v);
    CHECK("snapshot", store_snapshot(r->store, 11, &why));
    account_file(r, 11, "snapshots", snapshot);
    CHECK("is there", access(snapshot, R_OK) == 0);

    CHECK("after the snapshot", mailbox_create(a, SLICE("Later"), USE_NONE, &later, &why));
    CHECK("append", room_append(r, a, later, slice_of(mail), STORE_FLAGGED) == 1);
    (void)deliver(r, a, b, work);
    CHECK("mark", store_set_low_water(r->store, volume_end(r->volumes), &why));
    CHECK("check", problems(r) == 0);
    account_release(&a);
    account_release(&b);
    room_close(r);
    account_file(r, 11, "accounts", file);
    CHECK("lost", unlink(file) == 0);
    room_open(r);
    CHECK("records without rows are found", store_account(r->store, 11, &a, &why) == false);
    CHECK("rebuild", store_rebuild(r->store, 11, report, NULL, &why));
    a = room_account(r, 11);
    CHECK("from the snapshot", count(a, "Work") == 2 && count(a, "INBOX") == 1);
    char name[40];
    (void)snprintf(name, sizeof name, "Recovered/%llu", (unsigned long long)later);
    CHECK("from the records", count(a, name) == 1);
    CHECK("view", view_open(a, work, &v, &why));
    CHECK("new UIDVALIDITY", view_uidvalidity(v) > uidvalidity);
    view_release(&v);
    CHECK("check", problems(r) == 0);
    CHECK("inbox is where it was", room_mailbox(a, SLICE("INBOX")) == inbox);
    CHECK("rebuilt again: nothing twice",
          store_rebuild(r->store, 11, report, NULL, &why) && count(a, "Work") == 2);
    account_release(&a);
}

/* Damage made by hand, as another program would. */
static void spoil(const struct room *r, uint64_t id, const char *sql)
{
    char file[200];
    sqlite3 *db = NULL;

    account_file(r, id, "accounts", file);
    CHECK("spoilt",
          sqlite3_open(file, &db) == SQLITE_OK && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
}

static bool note_last_of_21(void *ctx, volume_ref ref, const struct record *rec)
{
    if (rec->targets[0].account == 21)
        *(volume_ref *)ctx = ref;
    return true;
}

static bool take_id(void *ctx, const struct message_info *m)
{
    *(uint64_t *)ctx = m->message_id;
    return false;
}

/* The file is lost and made from the records; the id of a message then, which is its EMAILID. */
static uint64_t id_after_loss(struct room *r, uint64_t account)
{
    char file[200];
    uint64_t id = 0;
    struct fail why;

    account_file(r, account, "accounts", file);
    room_close(r);
    CHECK("then the file too", unlink(file) == 0);
    room_open(r);
    CHECK("comes back", store_rebuild(r->store, account, report, NULL, &why));
    struct account *a = room_account(r, account);
    CHECK("all there", count(a, "INBOX") == 1);
    CHECK("read", message_fetch(a, room_mailbox(a, SLICE("INBOX")), &(struct uid_range){1, UINT32_MAX}, 1, 0, take_id,
                                &id, &why));
    account_release(&a);
    return id;
}

static void test_check(struct room *r)
{
    static const struct {
        const char *sql, *finding;
    } damages[] = {
        {"UPDATE mailbox SET unseen = unseen + 1 WHERE name = 'INBOX'", "the counts of mailbox \"INBOX\""},
        {"UPDATE account SET bytes = bytes + 1", "its counts are not those"},
        {"DELETE FROM cached", "no cached envelope"},
        {"UPDATE message SET size = size + 1; UPDATE mailbox SET bytes = bytes + 1 WHERE name = 'INBOX';"
         "UPDATE account SET bytes = bytes + 1",
         "bytes, its record says"},
    };
    struct account *a = room_account(r, 21);
    struct fail why;

    CHECK("append", room_append(r, a, room_mailbox(a, SLICE("INBOX")), slice_of(mail), 0) == 1);
    account_release(&a);
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        room_close(r);
        spoil(r, 21, damages[i].sql);
        room_open(r);
        CHECK(damages[i].sql, problems(r) == 1 && strstr(last_finding, damages[i].finding) != NULL);
        CHECK(damages[i].sql, store_rebuild(r->store, 21, report, NULL, &why));
        CHECK(damages[i].sql, problems(r) == 0);
    }
    room_close(r);
    spoil(r, 21,
          "DELETE FROM entry; DELETE FROM message; UPDATE mailbox SET messages = 0, bytes = 0, unseen = 0;"
          "UPDATE account SET messages = 0, bytes = 0; DELETE FROM cached");
    room_open(r);
    volume_ref ref = 0;
    uint64_t damaged;
    CHECK("an APPEND without a row may be one that a crash cut short", problems(r) == 0);
    CHECK("or the only copy of a message whose row was lost",
          volume_scan(r->volumes, 0, note_last_of_21, &ref, &damaged, &why) && ref != 0 &&
              !released(r, ref, 21));
    uint64_t first = id_after_loss(r, 21), second = id_after_loss(r, 21);
    CHECK("no id is used again", first > 0 && second > first);
}

/* Who cannot open a file just now must not take it for a lost one. */
static void test_rebuild_of_a_sound_one(struct room *r)
{
    struct account *a = room_account(r, 14);
    char file[200];
    sqlite3 *shell = NULL;
    struct fail why;

    CHECK("append", room_append(r, a, 2, slice_of(mail), 0) == 1);
    CHECK("snapshot", store_snapshot(r->store, 14, &why));
    CHECK("after the snapshot", mailbox_create(a, SLICE("Later"), USE_NONE, NULL, &why));
    account_release(&a);
    room_close(r);
    account_file(r, 14, "accounts", file);
    CHECK("an administrator's shell",
          sqlite3_open(file, &shell) == SQLITE_OK &&
              sqlite3_exec(shell, "BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK);
    room_open(r);
    CHECK("in use", !store_rebuild(r->store, 14, report, NULL, &why) && why.kind == FAIL_TEMP);
    (void)sqlite3_close(shell);
    CHECK("rebuild", store_rebuild(r->store, 14, report, NULL, &why));
    a = room_account(r, 14);
    CHECK("nothing was lost", room_mailbox(a, SLICE("Later")) != 0);
    account_release(&a);
}

/*
 * Rebuilding fails here and there, or is killed: what it says is done is done, and what it leaves
 * behind harms no later one.
 */
static void test_rebuild_cut_short(struct room *r)
{
    struct account *a = room_account(r, 15), *other = room_account(r, 16);
    char file[200], others[200], left[220], command[450];
    bool done = false;
    struct fail why;

    CHECK("append",
          room_append(r, a, 2, slice_of(mail), 0) == 1 && room_append(r, other, 2, slice_of(mail), 0) == 1);
    CHECK("snapshot", store_snapshot(r->store, 15, &why));
    account_release(&a);
    account_file(r, 16, "accounts", others);
    account_file(r, 15, "accounts", file);
    (void)snprintf(left, sizeof left, "%s.new-wal", file);
    (void)snprintf(command, sizeof command, "cp '%s-wal' '%s'", others, left);
    CHECK("a WAL of something else", system(command) == 0);
    account_release(&other);
    room_close(r);
    CHECK("lost", unlink(file) == 0);
    room_open(r);
    CHECK("rebuilt all the same", store_rebuild(r->store, 15, report, NULL, &why));
    for (int spared = 0; !done; spared++) {
        room_close(r);
        (void)unlink(file);
        room_open(r);
        atomic_store(&fault_spared, spared);
        atomic_store(&fault_syncs, 1);
        bool ok = store_rebuild(r->store, 15, report, NULL, &why);
        done = atomic_exchange(&fault_syncs, 0) == 1;
        atomic_store(&fault_spared, 0);
        CHECK("said to be done, and in the file itself", !ok || access(left, F_OK) != 0);
        CHECK("in the end", ok || store_rebuild(r->store, 15, report, NULL, &why));
        a = room_account(r, 15);
        CHECK("all there", count(a, "Drafts") == 1);
        account_release(&a);
    }
}

static void test_formats(struct room *r)
{
    struct account *a = room_account(r, 31);
    struct fail why = {0};
    struct account_usage usage;

    account_release(&a);
    room_close(r);
    spoil(r, 31, "PRAGMA user_version = 99");
    room_open(r);
    a = room_account(r, 31);
    CHECK("a newer format is refused", !account_usage(a, &usage, &why) && strstr(why.text, "newer") != NULL);
    CHECK("and not thrown away",
          !store_rebuild(r->store, 31, report, NULL, &why) && strstr(why.text, "newer") != NULL);
    account_release(&a);
    room_close(r);
    spoil(r, 31, "PRAGMA user_version = 3");
    room_open(r);
}

static void test_wrong_file(struct room *r)
{
    struct account *a = room_account(r, 33);
    char from[200], to[200], command[1024];
    struct account_usage usage;
    struct fail why = {0};

    account_release(&a);
    a = room_account(r, 34);
    account_release(&a);
    room_close(r);
    account_file(r, 33, "accounts", from);
    account_file(r, 34, "accounts", to);
    (void)snprintf(command, sizeof command, "cp '%s' '%s.kept' && cp '%s' '%s'", to, to, from, to);
    CHECK("exchanged", system(command) == 0);
    room_open(r);
    a = room_account(r, 34);
    CHECK("another account's file is refused",
          !account_usage(a, &usage, &why) && strstr(why.text, "holds account 33") != NULL);
    account_release(&a);
    room_close(r);
    (void)snprintf(command, sizeof command, "mv '%s.kept' '%s'", to, to);
    CHECK("put back", system(command) == 0);
    room_open(r);
}

/* A session parked for longer than expunges are remembered cannot be told what it missed. */
static void test_parked_too_long(struct room *r)
{
    struct account *a = room_account(r, 35);
    struct view *v = NULL;
    struct fail why = {0};

    CHECK("append", room_append(r, a, 1, slice_of(mail), 0) == 1);
    CHECK("view", view_open(a, 1, &v, &why));
    struct view_token token = view_token(v);
    view_release(&v);
    CHECK("expunge", message_expunge(a, 1, NULL, 0, true, NULL, NULL, &why));
    CHECK("followed", view_restore(a, 1, token, &v, &why) && view_count(v) == 1);
    view_release(&v);
    CHECK("mark", store_set_low_water(r->store, volume_end(r->volumes), &why));
    CHECK("the log is trimmed", release_purge(a, clock_now() + 61 * DAY, &why));
    CHECK("not to be followed", !view_restore(a, 1, token, &v, &why) && why.kind == FAIL_PERM);
    account_release(&a);
}

static void test_remove(struct room *r)
{
    struct account *a = room_account(r, 41), *b = room_account(r, 42);
    struct account_usage usage;
    char file[200];
    struct fail why;

    volume_ref ref = deliver(r, a, b, 0);
    CHECK("snapshot", store_snapshot(r->store, 41, &why));
    CHECK("remove", store_account_remove(r->store, 41, &why));
    CHECK("who uses it hears of it", !account_usage(a, &usage, &why) && why.reason == FAIL_OUT_OF_SERVICE);
    CHECK("not made again", !store_account_create(r->store, 41, &why));
    account_release(&a);
    CHECK("gone", !store_account(r->store, 41, &a, &why) && why.reason == FAIL_NOT_FOUND);
    account_file(r, 41, "accounts", file);
    CHECK("no file", access(file, F_OK) != 0);
    account_file(r, 41, "snapshots", file);
    CHECK("no snapshot", access(file, F_OK) != 0);
    CHECK("its share is released", released(r, ref, 41) && !released(r, ref, 0));
    CHECK("the other's is there", count(b, "INBOX") == 1);
    CHECK("removed once", !store_account_remove(r->store, 41, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("mark", store_set_low_water(r->store, volume_end(r->volumes), &why));
    CHECK("check", problems(r) == 0);
    account_release(&b);
}

/* Filed, thrown away with its mailbox, and then placed once more after a crash: it stays away. */
static void test_placed_where_nothing_is(struct room *r)
{
    struct account *one = room_account(r, 71), *other = room_account(r, 72);
    uint64_t work, lost;
    struct fail why;

    CHECK("mailbox", mailbox_create(one, SLICE("Work"), USE_NONE, &work, &why));
    CHECK("another", mailbox_create(one, SLICE("Lost"), USE_NONE, &lost, &why));
    volume_ref ref = deliver(r, one, other, work);
    struct record_target t = {.kind = RECORD_LOCAL, .account = 71, .mailbox = work};
    struct place_item again = {.ref = ref, .target = &t, .internal_date = 5};
    CHECK("filed", count(one, "Work") == 1 && count(one, "INBOX") == 0);
    CHECK("deleted", mailbox_delete(one, SLICE("Work"), &why) && mailbox_delete(one, SLICE("Lost"), &why));
    CHECK("once more", message_place(one, &again, 1, &why) && count(one, "INBOX") == 0);
    t.mailbox = lost;
    CHECK("it never was in that one", message_place(one, &again, 1, &why) && count(one, "INBOX") == 1);
    account_release(&one);
    account_release(&other);
}

static bool note_ref(void *ctx, volume_ref ref, const struct record *rec)
{
    (void)rec;
    *(volume_ref *)ctx = ref;
    return true;
}

/* A client may send the same large message with the same bad keyword all day. */
static void test_refused_append(struct room *r)
{
    struct account *a = room_account(r, 61);
    struct body *b = room_body(r, slice_of(mail));
    struct slice bad = SLICE("no keyword");
    struct append_item item = {.body = b, .keywords = &bad, .keyword_count = 1};
    volume_ref ref = 0;
    uint32_t uidvalidity;
    uint64_t modseq, damaged;
    struct fail why;

    CHECK("refused", !message_append(a, 1, &item, 1, &uidvalidity, &modseq, &why));
    CHECK("a record is left", volume_scan(r->volumes, 0, note_ref, &ref, &damaged, &why) && ref != 0);
    CHECK("and given back", released(r, ref, 0));
    CHECK("taken", room_append(r, a, 1, slice_of(mail), 0) == 1);
    CHECK("the next one", volume_scan(r->volumes, ref + 1, note_ref, &ref, &damaged, &why));
    CHECK("is kept", !released(r, ref, 0));
    body_destroy(&b);
    account_release(&a);
}

static void test_daily(struct room *r)
{
    struct account *a = room_account(r, 51);
    int64_t now = clock_now(), hour = now - now % DAY + (51 % 24) * 3600;
    char file[200];
    struct fail why;
    struct stat first, again;

    account_release(&a);
    account_file(r, 51, "snapshots", file);
    CHECK("a round", daily_account(r->store, 51, hour, &why));
    CHECK("a first snapshot", stat(file, &first) == 0);
    CHECK("a round", daily_account(r->store, 51, hour + 3 * DAY, &why));
    CHECK("nothing changed: no other", stat(file, &again) == 0 && again.st_ino == first.st_ino);
}

/* Nothing else writes yet: the failed sync is node.db's. */
static void test_node_comes_back(struct room *r)
{
    uint32_t first, next;
    uint64_t mark;
    struct fail why;

    CHECK("before", node_new_uidvalidity(r->store, &first, &why));
    atomic_store(&fault_syncs, 1);
    CHECK("the disk fails", !store_set_low_water(r->store, 64, &why));
    atomic_store(&fault_syncs, 0);
    CHECK("and works again", store_set_low_water(r->store, 64, &why));
    CHECK("kept", store_low_water(r->store, &mark, &why) && mark == 64);
    CHECK("no UIDVALIDITY twice", node_new_uidvalidity(r->store, &next, &why) && next > first);
    CHECK("back to where it was", store_set_low_water(r->store, 0, &why));
}

int main(void)
{
    struct room r;

    room_init(&r);
    test_node_comes_back(&r);
    test_purge(&r);
    test_short_log(&r);
    test_rebuild(&r);
    test_rebuild_of_a_sound_one(&r);
    test_rebuild_cut_short(&r);
    test_check(&r);
    test_formats(&r);
    test_wrong_file(&r);
    test_parked_too_long(&r);
    test_remove(&r);
    test_daily(&r);
    test_refused_append(&r);
    test_placed_where_nothing_is(&r);
    room_finish(&r);
    return check_done();
}
