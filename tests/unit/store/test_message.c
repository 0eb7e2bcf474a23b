/* store: append, fetch, flags, copy, move, expunge, and what is left after closing. */
#include "tests/unit/store/room.h"

static const char mail[] = "From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: Hello\r\n"
                           "Date: Fri, 13 Feb 2009 23:31:30 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"
                           "Hello, world.\r\n";

struct seen {
    unsigned count;
    uint32_t uids[64];
    uint64_t size[64], ref[64];
    bool envelope_ok;
    char prefix[128];
};

static bool see(void *ctx, const struct message_info *m)
{
    struct seen *s = ctx;

    if (s->count < 64) {
        s->uids[s->count] = m->uid;
        s->size[s->count] = m->size;
        s->ref[s->count] = m->ref;
    }
    (void)snprintf(s->prefix, sizeof s->prefix, PRIslice, SLICE_ARG(m->prefix));
    s->envelope_ok = slice_find(m->envelope, SLICE("\"Hello\"")) < m->envelope.len;
    s->count++;
    return true;
}

static struct seen fetch(struct account *a, uint64_t box, uint32_t first, uint32_t last)
{
    struct seen s = {.count = 0};
    struct uid_range range = {first, last};
    struct fail why;

    CHECK("fetch", message_fetch(a, box, &range, 1, FETCH_ENVELOPE, see, &s, &why));
    return s;
}

static void test_append_and_read(struct room *r, struct account *a, uint64_t inbox)
{
    struct fail why;
    char text[sizeof mail];

    CHECK("first UID", room_append(r, a, inbox, slice_of(mail), 0) == 1);
    CHECK("second UID", room_append(r, a, inbox, slice_of(mail), STORE_SEEN | STORE_FLAGGED) == 2);
    struct seen s = fetch(a, inbox, 1, UINT32_MAX);
    CHECK("both are there", s.count == 2 && s.uids[0] == 1 && s.uids[1] == 2);
    CHECK("size", s.size[0] == sizeof mail - 1);
    CHECK("envelope", s.envelope_ok);
    struct store_body *b = store_body_open(r->store, s.ref[0], SLICE("X: y\r\n"), s.size[0] + 6);
    CHECK("read across the prefix",
          store_body_read(b, 4, text, 8, &why) && memcmp(text, "\r\nFrom: ", 8) == 0);
    CHECK("all of it",
          store_body_read(b, 6, text, sizeof mail - 1, &why) && memcmp(text, mail, sizeof mail - 1) == 0);
    CHECK("no further", !store_body_read(b, 6, text, sizeof mail, &why));
    store_body_release(&b);
    CHECK("no such mailbox", room_append(r, a, 999, slice_of(mail), 0) == 0);
}

static void test_flags(struct account *a, uint64_t inbox)
{
    struct slice names[] = {SLICE("$Work"), SLICE("later")}, again[] = {SLICE("$WORK")};
    struct flag_change add = {.op = FLAGS_ADD, .flags = STORE_SEEN, .keywords = names, .keyword_count = 2};
    struct flag_change seen = {.op = FLAGS_ADD, .flags = STORE_SEEN};
    struct flag_change off = {.op = FLAGS_REMOVE, .keywords = again, .keyword_count = 1};
    struct flag_change replace = {.op = FLAGS_REPLACE, .flags = STORE_DELETED, .conditional = true};
    struct uid_range all = {1, UINT32_MAX};
    struct uid_set refused = {.count = 0};
    uint64_t modseq, before;
    struct view *v = NULL;
    struct fail why;

    CHECK("add", message_flags(a, inbox, &all, 1, &add, NULL, &modseq, &why));
    CHECK("view", view_open(a, inbox, &v, &why));
    CHECK("modseq",
          view_modseq(v) == modseq && view_at(v, 0).modseq == modseq && view_at(v, 1).modseq == modseq);
    CHECK("flags kept", view_at(v, 1).flags == (STORE_SEEN | STORE_FLAGGED));
    struct keyword_set set = account_keyword_set(a, view_at(v, 0).keyword_set);
    CHECK("two keywords", set.count == 2);
    view_release(&v);
    CHECK("nothing to do", message_flags(a, inbox, &all, 1, &seen, NULL, &before, &why) && before == modseq);
    CHECK("keyword off, whatever its case", message_flags(a, inbox, &all, 1, &off, NULL, &modseq, &why));
    CHECK("a new modseq", modseq == before + 1);
    CHECK("view", view_open(a, inbox, &v, &why));
    set = account_keyword_set(a, view_at(v, 0).keyword_set);
    CHECK("one keyword", set.count == 1 && slice_eq(set.names[0], SLICE("later")));
    view_release(&v);
    replace.unchanged_since = modseq - 1;
    CHECK("UNCHANGEDSINCE", message_flags(a, inbox, &all, 1, &replace, &refused, &modseq, &why));
    CHECK("both refused", uid_set_size(&refused) == 2 && modseq == before + 1);
    uid_set_finish(&refused);
    struct slice bad[] = {SLICE("two words")};
    struct flag_change wrong = {.op = FLAGS_ADD, .keywords = bad, .keyword_count = 1};
    CHECK("no keyword",
          !message_flags(a, inbox, &all, 1, &wrong, NULL, &modseq, &why) && why.reason == FAIL_INVALID);
}

/* What a change that failed had done until then must not be half there. */
static void test_failure(struct room *r, struct account **a, uint64_t inbox)
{
    struct slice good[] = {SLICE("$Fresh")}, bad[] = {SLICE("two words")};
    struct body *b = room_body(r, slice_of(mail));
    struct append_item items[] = {
        {.body = b, .keywords = good, .keyword_count = 1},
        {.body = b, .keywords = bad, .keyword_count = 1},
    };
    struct flag_change set_it = {
        .op = FLAGS_REPLACE, .flags = STORE_SEEN, .keywords = good, .keyword_count = 1};
    struct uid_range one = {1, 1};
    uint32_t uidvalidity;
    uint64_t modseq;
    struct view *before = NULL, *after = NULL;
    struct fail why;

    CHECK("view", view_open(*a, inbox, &before, &why));
    CHECK("all or none",
          !message_append(*a, inbox, items, 2, &uidvalidity, &modseq, &why) && why.reason == FAIL_INVALID);
    CHECK("none", view_open(*a, inbox, &after, &why) && after == before);
    view_release(&before);
    view_release(&after);
    CHECK("the keyword is written again", message_flags(*a, inbox, &one, 1, &set_it, NULL, &modseq, &why));
    account_release(a);
    room_close(r);
    room_open(r);
    *a = room_account(r, 5);
    CHECK("view", view_open(*a, inbox, &after, &why) && view_count(after) == 2);
    struct keyword_set set = account_keyword_set(*a, view_at(after, 0).keyword_set);
    CHECK("kept", set.count == 1 && slice_eq(set.names[0], SLICE("$Fresh")));
    view_release(&after);
    body_destroy(&b);
}

/* One by one: visible at once or not at all, and in place of another. */
static void test_appender(struct room *r, struct account *a, uint64_t inbox)
{
    uint64_t drafts = room_mailbox(a, SLICE("Drafts"));
    struct body *b = room_body(r, slice_of(mail));
    struct append_item item = {.body = b, .flags = STORE_DRAFT};
    struct account_usage before, after;
    struct appended out;
    struct view *v = NULL;
    struct fail why;
    bool found;

    CHECK("usage", account_usage(a, &before, &why));
    struct appender *p = appender_create(a, drafts);
    CHECK("empty", !appender_commit(p, &out, &why) && why.reason == FAIL_INVALID);
    CHECK("added", appender_add(p, &item, &why) && appender_add(p, &item, &why) && appender_count(p) == 2);
    appender_destroy(&p);
    appender_destroy(&p);
    CHECK("given up", account_usage(a, &after, &why) && after.messages == before.messages);

    p = appender_create(a, drafts);
    CHECK("added", appender_add(p, &item, &why) && appender_add(p, &item, &why));
    CHECK("kept", appender_commit(p, &out, &why) && out.first_uid == 1);
    appender_destroy(&p);

    p = appender_create(a, inbox);
    appender_replaces(p, drafts, 1);
    CHECK("replaced", appender_add(p, &item, &why) && appender_commit(p, &out, &why));
    appender_destroy(&p);
    CHECK("the old one is gone", view_open(a, drafts, &v, &why) && view_count(v) == 1);
    view_release(&v);
    CHECK("the new one is there", view_open(a, inbox, &v, &why) && (view_find(v, out.first_uid, &found), found));
    uint32_t count = view_count(v);
    view_release(&v);

    p = appender_create(a, inbox);
    appender_replaces(p, drafts, 1);
    CHECK("not twice", appender_add(p, &item, &why) && !appender_commit(p, &out, &why) && why.reason == FAIL_NOT_FOUND);
    appender_destroy(&p);
    CHECK("and nothing was added", view_open(a, inbox, &v, &why) && view_count(v) == count);
    view_release(&v);
    body_destroy(&b);
}

static void test_copy_move_expunge(struct room *r, struct account *a, uint64_t inbox)
{
    uint64_t trash = room_mailbox(a, SLICE("Trash")), modseq;
    struct uid_range all = {1, UINT32_MAX}, two = {2, 2};
    struct copy_result copied, moved;
    struct uid_set gone;
    struct mailbox_info info;
    struct arena arena;
    struct fail why;
    bool complete;

    arena_init(&arena, 1 << 20);
    CHECK("copy", message_copy(a, inbox, &all, 1, trash, false, &copied, &why));
    CHECK("copied", uid_set_size(&copied.source) == 2 && copied.first_uid == 1);
    CHECK("move", message_copy(a, inbox, &two, 1, trash, true, &moved, &why));
    CHECK("moved",
          uid_set_size(&moved.source) == 1 && moved.first_uid == 3 && moved.source.ranges[0].first == 2);
    CHECK("counts", mailbox_get(a, trash, &arena, &info, &why) && info.messages == 3 &&
                        info.bytes == 3 * (sizeof mail - 1));
    CHECK("counts", mailbox_get(a, inbox, &arena, &info, &why) && info.messages == 1);
    struct seen s = fetch(a, inbox, 1, UINT32_MAX);
    CHECK("a moved message may still be fetched", s.count == 2 && s.uids[1] == 2);
    CHECK("vanished",
          message_vanished(a, inbox, 0, &gone, &complete, &why) && complete && uid_set_has(&gone, 2));
    uid_set_finish(&gone);
    struct flag_change deleted = {.op = FLAGS_ADD, .flags = STORE_DELETED};
    CHECK("delete", message_flags(a, trash, &two, 1, &deleted, NULL, &modseq, &why));
    CHECK("deleted bytes", mailbox_get(a, trash, &arena, &info, &why) && info.deleted == 1 &&
                               info.deleted_bytes == sizeof mail - 1);
    CHECK("expunge", message_expunge(a, trash, NULL, 0, false, &gone, &modseq, &why));
    CHECK("one", uid_set_size(&gone) == 1 && uid_set_has(&gone, 2));
    uid_set_finish(&gone);
    s = fetch(a, trash, 1, UINT32_MAX);
    CHECK("in order, whether there or not",
          s.count == 3 && s.uids[0] == 1 && s.uids[1] == 2 && s.uids[2] == 3);
    uid_set_finish(&copied.source);
    uid_set_finish(&moved.source);
    CHECK("counts", mailbox_get(a, trash, &arena, &info, &why) && info.messages == 2 && info.deleted == 0 &&
                        info.deleted_bytes == 0 && info.bytes == 2 * (sizeof mail - 1));
    arena_finish(&arena);
    (void)r;
}

static void test_place(struct room *r, struct account *a, uint64_t inbox)
{
    struct record_target target = {.kind = RECORD_LOCAL,
                                   .account = account_id(a),
                                   .mailbox = 4711,
                                   .prefix = SLICE("Return-Path: <>\r\n"),
                                   .keywords = SLICE("$Work")};
    struct record rec = {.kind = RECORD_DELIVERY, .internal_date = 77, .targets = &target, .target_count = 1};
    struct body *b = room_body(r, slice_of(mail));
    struct mailbox_info info;
    struct arena arena;
    volume_ref ref;
    struct fail why;
    struct check_totals totals;
    bool placed = true;

    arena_init(&arena, 1 << 20);
    CHECK("record", volume_append(r->volumes, &rec, b, &ref, &why));
    struct place_item items[] = {{.ref = ref, .target = &target, .internal_date = 77}};
    CHECK("not yet", message_was_placed(a, ref, &placed, &why) && !placed);
    CHECK("it may still come",
          store_check(r->store, NULL, NULL, NULL, &totals, &why) && totals.problems == 0);
    CHECK("mark", store_set_low_water(r->store, volume_end(r->volumes), &why));
    CHECK("it should be there",
          store_check(r->store, NULL, NULL, NULL, &totals, &why) && totals.problems == 1);
    CHECK("place, facts from the record", message_place(a, items, 1, &why));
    CHECK("now", message_was_placed(a, ref, &placed, &why) && placed);
    CHECK("again", message_place(a, items, 1, &why));
    CHECK("once", mailbox_get(a, inbox, &arena, &info, &why) && info.messages == 2);
    struct seen s = fetch(a, inbox, info.uidnext - 1, info.uidnext - 1);
    CHECK("with its prefix", s.count == 1 && s.size[0] == sizeof mail - 1 + 17 && s.envelope_ok);
    CHECK_SLICE("prefix", slice_of(s.prefix), SLICE("Return-Path: <>\r\n"));
    struct uid_range all = {1, UINT32_MAX};
    uint64_t modseq;
    CHECK("expunge", message_expunge(a, inbox, &all, 1, true, NULL, &modseq, &why));
    CHECK("place an expunged one", message_place(a, items, 1, &why));
    CHECK("stays away", mailbox_get(a, inbox, &arena, &info, &why) && info.messages == 0 && info.bytes == 0);
    body_destroy(&b);
    arena_finish(&arena);
}

static bool recent(struct account *a, uint64_t inbox, bool take, uint32_t *first, struct fail *why)
{
    struct view *v = NULL;
    bool ok = view_open_recent(a, inbox, take, &v, first, why);

    view_release(&v);
    return ok;
}

static void test_recent(struct room *r, struct account **a, uint64_t inbox)
{
    uint32_t first;
    struct fail why;

    uint32_t uid = room_append(r, *a, inbox, slice_of(mail), 0);
    CHECK("look", recent(*a, inbox, false, &first, &why) && first <= uid);
    CHECK("take", recent(*a, inbox, true, &first, &why) && first <= uid);
    CHECK("taken", recent(*a, inbox, true, &first, &why) && first == uid + 1);
    account_release(a);
    room_close(r);
    room_open(r);
    *a = room_account(r, 5);
    CHECK("kept", recent(*a, inbox, true, &first, &why) && first == uid + 1);
    CHECK("no UID twice", room_append(r, *a, inbox, slice_of(mail), 0) == uid + 1);
}

int main(void)
{
    struct room r;

    room_init(&r);
    struct account *a = room_account(&r, 5);
    uint64_t inbox = room_mailbox(a, SLICE("inbox"));
    test_append_and_read(&r, a, inbox);
    test_flags(a, inbox);
    test_failure(&r, &a, inbox);
    test_copy_move_expunge(&r, a, inbox);
    test_place(&r, a, inbox);
    test_recent(&r, &a, inbox);
    test_appender(&r, a, inbox);
    account_release(&a);
    room_finish(&r);
    return check_done();
}
