/* store: names, lists, create, delete, rename, subscribe; who is told; the gate. */
#include <stdatomic.h>

#include "base/clock.h"
#include "store/internal.h"
#include "tests/unit/store/room.h"

static const char mail[] = "Subject: x\r\n\r\nbody\r\n";

static void test_names(const struct store_limits *limits)
{
    static const struct {
        const char *note, *name, *result;
    } cases[] = {
        {"plain", "Work", "Work"},
        {"levels", "Work/2026/Nov", "Work/2026/Nov"},
        {"inbox in any case", "inBox", "INBOX"},
        {"below inbox", "inbox/x", "INBOX/x"},
        {"not inbox", "inboxes", "inboxes"},
        {"into NFC", "Ame\xcc\x81lie", "Am\xc3\xa9lie"},
        {"spaces are names too", " a b ", " a b "},
        {"empty", "", NULL},
        {"empty level", "a//b", NULL},
        {"leading", "/a", NULL},
        {"trailing", "a/", NULL},
        {"dots", "a/../b", NULL},
        {"control", "a\x01", NULL},
        {"C1 control", "a\xc2\x85", NULL},
        {"line separator", "a\xe2\x80\xa8", NULL},
        {"not UTF-8", "a\xff", NULL},
        {"too deep",
         "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/31/32/33", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice out = {0};
        struct arena arena;
        struct fail why;
        arena_init(&arena, 1 << 16);
        bool ok = mailbox_name_check(&arena, slice_of(cases[i].name), limits, &out, &why);
        CHECK(cases[i].note, ok == (cases[i].result != NULL));
        if (ok && cases[i].result != NULL)
            CHECK_SLICE(cases[i].note, out, slice_of(cases[i].result));
        arena_finish(&arena);
    }
}

/* All names, a line each: "-" cannot be selected, "+" has children, "s" subscribed. */
static void check_list(const char *note, struct account *a, const char *expected)
{
    const struct mailbox_list *l = NULL;
    struct fail why;
    struct buf text;

    buf_init(&text, 1 << 16);
    CHECK(note, mailbox_list(a, &l, &why));
    for (size_t i = 0; l != NULL && i < l->count; i++) {
        const struct mailbox_info *m = &l->items[i];
        buf_addf(&text, PRIslice "%s%s%s\n", SLICE_ARG(m->name), m->no_select ? "-" : "",
                 m->has_children ? "+" : "", m->subscribed ? "s" : "");
        CHECK(note, mailbox_in_list(l, m->name) == m);
    }
    for (size_t i = 0; l != NULL && i < l->subscribed_only_count; i++)
        buf_addf(&text, "only " PRIslice "\n", SLICE_ARG(l->subscribed_only[i]));
    CHECK_SLICE(note, buf_slice(&text), slice_of(expected));
    mailbox_list_release(&l);
    buf_finish(&text);
}

static struct mailbox_info info_of(struct account *a, const char *name)
{
    struct mailbox_info info = {0};
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 16);
    if (!mailbox_find(a, slice_of(name), &arena, &info, &why))
        info.id = 0;
    info.name = SLICE("");
    arena_finish(&arena);
    return info;
}

static void test_tree(struct room *r, struct account *a)
{
    uint64_t id, again;
    struct fail why;

    check_list("as made", a, "INBOXs\nArchives\nDraftss\nJunks\nSents\nTrashs\n");
    CHECK("use", info_of(a, "Drafts").use == USE_DRAFTS && info_of(a, "Archive").use == USE_ARCHIVE);
    CHECK("create", mailbox_create(a, SLICE("a/b/c"), USE_NONE, &id, &why));
    CHECK("create", mailbox_create(a, SLICE("a-b"), USE_NONE, &again, &why) && again != id);
    check_list("levels are made, and stand before what sorts between", a,
               "INBOXs\nArchives\nDraftss\nJunks\nSents\nTrashs\na-+\na/b-+\na/b/c\na-b\n");
    CHECK("exists", !mailbox_create(a, SLICE("a/b/c"), USE_NONE, &id, &why) && why.reason == FAIL_EXISTS);
    CHECK("INBOX exists",
          !mailbox_create(a, SLICE("inbox"), USE_NONE, &id, &why) && why.reason == FAIL_EXISTS);
    CHECK("append", room_append(r, a, id, slice_of(mail), 0) == 1);
    CHECK("not into a level", room_append(r, a, info_of(a, "a").id, slice_of(mail), 0) == 0);
    CHECK("a level becomes a mailbox", mailbox_create(a, SLICE("a"), USE_NONE, &again, &why));
    CHECK("with its own UIDVALIDITY", info_of(a, "a").uidvalidity > info_of(a, "a-b").uidvalidity);
    CHECK("append", room_append(r, a, again, slice_of(mail), 0) == 1);
    CHECK("delete with children", mailbox_delete(a, SLICE("a"), &why));
    CHECK("another id holds the level", info_of(a, "a").no_select && info_of(a, "a").id != again);
    CHECK("not twice", !mailbox_delete(a, SLICE("a"), &why) && why.reason == FAIL_HAS_CHILDREN);
    CHECK("delete", mailbox_delete(a, SLICE("a/b/c"), &why) && mailbox_delete(a, SLICE("a/b"), &why) &&
                        mailbox_delete(a, SLICE("a"), &why));
    CHECK("missing", !mailbox_delete(a, SLICE("a"), &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("INBOX stays", !mailbox_delete(a, SLICE("INBOX"), &why) && why.reason == FAIL_NOT_ALLOWED);
    struct account_usage usage;
    CHECK("nothing is left", account_usage(a, &usage, &why) && usage.messages == 0 && usage.bytes == 0);
    check_list("the rest", a, "INBOXs\nArchives\nDraftss\nJunks\nSents\nTrashs\na-b\n");
}

static void test_rename(struct room *r, struct account *a)
{
    uint64_t id;
    struct fail why;

    CHECK("create", mailbox_create(a, SLICE("x/y"), USE_NONE, &id, &why));
    CHECK("append", room_append(r, a, id, slice_of(mail), 0) == 1);
    struct mailbox_info before = info_of(a, "x/y");
    CHECK("rename", mailbox_rename(a, SLICE("x"), SLICE("new/z"), &why));
    struct mailbox_info after = info_of(a, "new/z/y");
    CHECK("children move along",
          after.id == id && after.messages == 1 && after.uidvalidity == before.uidvalidity);
    CHECK("not below itself",
          !mailbox_rename(a, SLICE("new"), SLICE("new/z/q"), &why) && why.reason == FAIL_NOT_ALLOWED);
    CHECK("not onto another",
          !mailbox_rename(a, SLICE("new"), SLICE("Trash"), &why) && why.reason == FAIL_EXISTS);
    CHECK("missing", !mailbox_rename(a, SLICE("none"), SLICE("some"), &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("below INBOX",
          mailbox_rename(a, SLICE("new/z"), SLICE("INBOX/z"), &why) && info_of(a, "inbox/z/y").id == id);

    uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    CHECK("append", room_append(r, a, inbox, slice_of(mail), STORE_SEEN) == 1);
    CHECK("rename INBOX", mailbox_rename(a, SLICE("INBOX"), SLICE("old/mail"), &why));
    CHECK("its messages move", info_of(a, "old/mail").messages == 1 && info_of(a, "old/mail").unseen == 0);
    CHECK("it stays, and what is below", info_of(a, "INBOX").id == inbox &&
                                             info_of(a, "INBOX").messages == 0 &&
                                             info_of(a, "INBOX/z/y").id == id);
    struct view *v = NULL;
    CHECK("its view", view_open(a, inbox, &v, &why) && view_count(v) == 0 && view_uidnext(v) == 2);
    view_release(&v);
    CHECK("the other's", view_open(a, info_of(a, "old/mail").id, &v, &why) && view_count(v) == 1);
    view_release(&v);
}

static void test_subscriptions(struct account *a)
{
    uint64_t id;
    struct fail why;

    CHECK("subscribe to nothing", mailbox_subscribe(a, SLICE("gone/by"), true, &why));
    CHECK("unsubscribe", mailbox_subscribe(a, SLICE("Junk"), false, &why));
    check_list(
        "outlives", a,
        "INBOX+s\nINBOX/z-+\nINBOX/z/y\nArchives\nDraftss\nJunk\nSents\nTrashs\na-b\nnew-\nold-+\nold/mail\n"
        "only gone/by\n");
    CHECK("made later", mailbox_create(a, SLICE("gone/by"), USE_NONE, &id, &why));
    CHECK("then subscribed", info_of(a, "gone/by").subscribed);
}

static void test_limits(struct room *r)
{
    struct account *a = room_account(r, 9);
    uint64_t id;
    struct fail why;

    account_release(&a);
    room_close(r);
    r->limits.mailboxes = 8;
    r->limits.keywords = 3;
    r->limits.keyword_sets = 2;
    room_open(r);
    a = room_account(r, 9);
    CHECK("up to the limit", mailbox_create(a, SLICE("x/y"), USE_NONE, &id, &why));
    CHECK("no further", !mailbox_create(a, SLICE("z"), USE_NONE, &id, &why) && why.reason == FAIL_LIMIT);
    CHECK("append", room_append(r, a, 1, slice_of(mail), 0) == 1);
    struct slice four[] = {SLICE("a"), SLICE("b"), SLICE("c"), SLICE("d")};
    struct flag_change change = {.op = FLAGS_ADD, .keywords = four, .keyword_count = 4};
    struct uid_range all = {1, UINT32_MAX};
    uint64_t modseq;
    CHECK("too many keywords",
          !message_flags(a, 1, &all, 1, &change, NULL, &modseq, &why) && why.reason == FAIL_LIMIT);
    change.keyword_count = 3;
    CHECK("three", message_flags(a, 1, &all, 1, &change, NULL, &modseq, &why));
    change.op = FLAGS_REPLACE;
    change.keyword_count = 2;
    CHECK("two combinations", message_flags(a, 1, &all, 1, &change, NULL, &modseq, &why));
    change.keyword_count = 1;
    CHECK("no third",
          !message_flags(a, 1, &all, 1, &change, NULL, &modseq, &why) && why.reason == FAIL_LIMIT);
    CHECK("subscribe",
          mailbox_subscribe(a, SLICE("p"), true, &why) && mailbox_subscribe(a, SLICE("q"), true, &why));
    CHECK("to no more", !mailbox_subscribe(a, SLICE("r"), true, &why) && why.reason == FAIL_LIMIT);
    CHECK("unused combinations go", release_purge(a, clock_now(), &why));
    account_release(&a);
    room_close(r);
    room_open(r);
    a = room_account(r, 9);
    CHECK("then there is room", message_flags(a, 1, &all, 1, &change, NULL, &modseq, &why));
    struct arena arena;
    arena_init(&arena, 1 << 16);
    CHECK("known", account_keywords(a, &arena).count == 2);
    arena_finish(&arena);
    account_release(&a);
}

static void count_wake(void *ctx)
{
    (*(_Atomic unsigned *)ctx)++;
}

static void test_watch(struct room *r)
{
    struct account *a = room_account(r, 10);
    _Atomic unsigned here = 0, other = 0, all = 0;
    struct watch on_inbox, on_trash, on_all;
    struct fail why;

    watch_begin(&on_inbox, a, 1, (struct waker){count_wake, &here});
    watch_begin(&on_trash, a, room_mailbox(a, SLICE("Trash")), (struct waker){count_wake, &other});
    watch_begin(&on_all, a, 0, (struct waker){count_wake, &all});
    CHECK("quiet", !watch_take(&on_inbox));
    (void)room_append(r, a, 1, slice_of(mail), 0);
    CHECK("told", here == 1 && watch_take(&on_inbox) && !watch_take(&on_inbox));
    CHECK("not of others", other == 0 && !watch_take(&on_trash));
    CHECK("of all", all == 1 && watch_take(&on_all));
    CHECK("of mailboxes", mailbox_subscribe(a, SLICE("Trash"), false, &why) && watch_take(&on_all));
    watch_end(&on_inbox);
    watch_end(&on_inbox);
    (void)room_append(r, a, 1, slice_of(mail), 0);
    CHECK("no longer", here == 2); /* the subscription's, not the second message's */
    watch_end(&on_trash);
    watch_end(&on_all);
    account_release(&a);
}

static void test_gate(struct room *r)
{
    struct account *a = room_account(r, 10);
    _Atomic unsigned woken[4] = {0};
    struct waker w[4];

    for (size_t i = 0; i < 4; i++)
        w[i] = (struct waker){count_wake, &woken[i]};
    for (unsigned i = 0; i < r->limits.workers_per_account; i++)
        CHECK("room", account_enter(a, w[0]));
    CHECK("full", !account_enter(a, w[1]) && !account_enter(a, w[1]) && !account_enter(a, w[2]) &&
                      !account_enter(a, w[3]));
    account_leave(a);
    CHECK("the first is called, once", woken[1] == 1 && woken[2] == 0);
    account_forget(a, w[1]);
    CHECK("it hands the call on", woken[2] == 1 && woken[3] == 0);
    CHECK("who was called enters", account_enter(a, w[2]));
    account_forget(a, w[3]);
    for (unsigned i = 0; i < r->limits.workers_per_account; i++)
        account_leave(a);
    CHECK("nobody waits any more", woken[3] == 0);
    account_release(&a);
}

int main(void)
{
    struct room r;

    room_init(&r);
    test_names(&r.limits);
    struct account *a = room_account(&r, 1);
    test_tree(&r, a);
    test_rename(&r, a);
    test_subscriptions(a);
    account_release(&a);
    test_watch(&r);
    test_gate(&r);
    test_limits(&r);
    room_finish(&r);
    return check_done();
}
