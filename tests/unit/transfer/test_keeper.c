/* transfer/keeper.h, teller.h, store/import.h: mail that moves into an account, again, and out into another. */
#include "tests/unit/store/room.h"

#include "base/io.h"
#include "store/import.h"
#include "store/maildrop.h"
#include "transfer/keeper.h"
#include "transfer/teller.h"

struct notes {
    unsigned left_out, others;
    char     last[300];
};

static void note(void *ctx, bool left_out, struct slice what, const char *reason)
{
    struct notes *n = ctx;

    n->left_out += left_out;
    n->others += !left_out;
    (void)snprintf(n->last, sizeof n->last, PRIslice ": %s", SLICE_ARG(what), reason);
}

struct told {
    const char *key, *text; /* text NULL: only its flags */
    uint32_t    uid, flags;
    const char *keyword, *uidl;
};

/* One mailbox, whole. */
static struct keeper_summary tell(struct room *r, struct account *a, const struct keeper_options *options,
                                  const struct transfer_mailbox *box, const struct told *list, size_t count,
                                  struct notes *notes)
{
    struct keeper       *k = keeper_create(a, options, note, notes);
    struct transfer_into into = keeper_into(k);
    struct fail          why = {.text = ""};

    bool ok = into.mailbox(into.ctx, box, &why);
    for (size_t i = 0; ok && i < count; i++) {
        struct slice            keyword = slice_of(list[i].keyword);
        struct body            *b = list[i].text != NULL ? room_body(r, slice_of(list[i].text)) : NULL;
        struct transfer_message m = {.uid = list[i].uid, .flags = list[i].flags, .keywords = &keyword,
                                     .keyword_count = keyword.len > 0, .uidl = slice_of(list[i].uidl),
                                     .internal_date = 1000, .key = slice_of(list[i].key), .body = b};
        ok = into.message(into.ctx, &m, &why);
        body_destroy(&b);
    }
    ok = ok && into.mailbox_end(into.ctx, true, &why) && keeper_finish(k, &why);
    CHECK(why.text, ok);
    struct keeper_summary sum = *keeper_summary(k);
    keeper_destroy(&k);
    return sum;
}

static struct slice uids_of(struct account *a, const char *name, struct buf *out)
{
    struct view *v;
    struct fail  why;

    buf_reset(out);
    if (!view_open(a, room_mailbox(a, slice_of(name)), &v, &why))
        room_die(name, &why);
    buf_addf(out, "%u %u:", view_uidvalidity(v), view_uidnext(v));
    for (uint32_t i = 0; i < view_count(v); i++) {
        struct view_entry e = view_at(v, i);
        buf_addf(out, " %u/%u/%zu", e.uid, e.flags, account_keyword_set(a, e.keyword_set).count);
    }
    view_release(&v);
    return buf_slice(out);
}

static const struct keeper_options plain = {.over_quota = false};

static void keeps_and_changes(struct room *r, struct buf *text)
{
    const struct transfer_mailbox box = {.name = SLICE("INBOX"), .uidvalidity = 77, .uidnext = 50, .subscribed = true, .source = SLICE("s")};
    const struct told first[] = {{"a", "Subject: a\r\n\r\n", 10, STORE_SEEN, "k", "ua"}, {"b", "Subject: b\r\n\r\n", 20, 0, NULL, NULL},
                                 {"c", "Subject: c\r\n\r\n", 30, 0, NULL, NULL}};
    const struct told second[] = {{"a", NULL, 10, STORE_SEEN | STORE_FLAGGED, NULL, NULL}, {"c", NULL, 30, 0, NULL, NULL},
                                  {"d", "Subject: d\r\n\r\n", 60, 0, NULL, NULL}};
    const struct told third[] = {{"a", NULL, 10, STORE_SEEN, NULL, NULL}};
    struct account *a = room_account(r, 1);
    uint64_t        inbox = room_mailbox(a, SLICE("INBOX"));
    struct notes    n = {0};
    struct fail     why;

    /* It had a message once: its UIDs begin anew, and what was expunged is kept aside. */
    CHECK("a message here", room_append(r, a, inbox, SLICE("Subject: x\r\n\r\n"), 0) == 1);
    CHECK("expunged", message_expunge(a, inbox, NULL, 0, true, NULL, NULL, &why));
    struct keeper_summary s = tell(r, a, &plain, &box, first, 3, &n);
    CHECK("all came", s.messages == 3 && s.known == 0 && s.renumbered == 0 && n.left_out + n.others == 0);
    CHECK_SLICE("UIDs, flags and keywords", uids_of(a, "INBOX", text), SLICE("77 50: 10/1/1 20/0/0 30/0/0"));
    s = tell(r, a, &plain, &box, second, 3, &n);
    CHECK("changes came", s.messages == 1 && s.known == 2 && s.flags == 1 && s.gone == 1);
    CHECK_SLICE("... and are seen", uids_of(a, "INBOX", text), SLICE("77 61: 10/5/0 30/0/0 60/0/0"));

    /* Touched here: left alone from then on. */
    const struct uid_range   range = {10, 10}, other = {30, 30};
    const struct flag_change change = {.op = FLAGS_ADD, .flags = STORE_ANSWERED};
    CHECK("touched", message_flags(a, inbox, &range, 1, &change, NULL, NULL, &why) &&
                         message_flags(a, inbox, &other, 1, &change, NULL, NULL, &why));
    s = tell(r, a, &plain, &box, third, 1, &n);
    CHECK("what was touched stays", s.flags == 0 && s.gone == 1);
    CHECK_SLICE("... as it is here", uids_of(a, "INBOX", text), SLICE("77 61: 10/7/0 30/2/0"));
    account_release(&a);
}

static void quiet(void *ctx, const char *line)
{
    (void)ctx, (void)line;
}

/* The account's file is lost: what is made anew from snapshot and records knows what came, and nothing comes twice. */
static void lost(struct room *r, bool snapshot)
{
    const struct transfer_mailbox inbox = {.name = SLICE("INBOX"), .uidvalidity = 77, .source = SLICE("s")},
                                  other = {.name = SLICE("Other"), .uidvalidity = 78, .source = SLICE("o")};
    const struct told             list[] = {{"a", "Subject: a\r\n\r\n", 10, STORE_SEEN, "k", "ua"}, {"b", "Subject: b\r\n\r\n", 20, 0, NULL, NULL},
                                            {"c", "Subject: c\r\n\r\n", 30, 0, NULL, "uc"}};
    const uint64_t                id = snapshot ? 7 : 8;
    struct account               *a = room_account(r, id);
    struct notes                  n = {0};
    struct fail                   why;
    char                          file[200];

    (void)tell(r, a, &plain, &inbox, list, 2, &n);
    CHECK("a snapshot", !snapshot || store_snapshot(r->store, id, &why));
    CHECK("one after it", tell(r, a, &plain, &inbox, list, 3, &n).messages == 1);
    CHECK("and others elsewhere", tell(r, a, &plain, &other, list, 2, &n).messages == 2);
    account_release(&a);
    room_close(r);
    (void)snprintf(file, sizeof file, "%s/accounts/%02x/00/%016llx/mail.db", r->dir, (unsigned)id, (unsigned long long)id);
    CHECK("lost", unlink(file) == 0);
    room_open(r);
    CHECK("rebuilt", store_rebuild(r->store, id, quiet, NULL, &why));
    a = room_account(r, id);
    struct keeper_summary s = tell(r, a, &plain, &inbox, list, 3, &n);
    CHECK("all known", s.messages == 0 && s.known == 3 && s.flags == 0 && s.gone == 0);
    s = tell(r, a, &plain, &other, list, 2, &n);
    CHECK("... of the other mailbox too", s.messages == 0 && s.known == 2 && s.gone == 0);
    s = tell(r, a, &plain, &inbox, list, 2, &n);
    CHECK("what is gone goes", s.known == 2 && s.gone == 1);
    account_release(&a);
}

static void names_and_uids(struct room *r, struct buf *text)
{
    const struct told one[] = {{"a", "Subject: a\r\n\r\n", 10, 0, NULL, NULL}};
    const struct told bad[] = {{"a", "Subject: a\r\n\r\n", 10, 0, "two words", NULL}};
    const struct transfer_mailbox odd = {.name = SLICE("A\x01//B/"), .uidvalidity = 5, .source = SLICE("odd")};
    const struct transfer_mailbox odd_too = {.name = SLICE("A\x02/B"), .uidvalidity = 6, .source = SLICE("odd too")};
    const struct transfer_mailbox sent = {.name = SLICE("Sent Messages"), .uidvalidity = 8, .use = USE_SENT, .source = SLICE("sent")};
    const struct transfer_mailbox high = {.name = SLICE("High"), .uidvalidity = 9, .uidnext = UINT32_MAX, .source = SLICE("high")};
    const struct told far[] = {{"a", "Subject: a\r\n\r\n", UINT32_MAX, 0, NULL, NULL}};
    struct account *a = room_account(r, 2);
    struct notes    n = {0};

    (void)tell(r, a, &plain, &odd, one, 1, &n);
    CHECK("a name is mended, which is said", n.others == 1 && n.left_out == 0);
    CHECK_SLICE("... so", uids_of(a, "A_/B", text), SLICE("5 11: 10/0/0"));
    (void)tell(r, a, &plain, &odd_too, one, 1, &n);
    CHECK_SLICE("two that would be called the same are not one", uids_of(a, "A_/B", text), SLICE("5 11: 10/0/0"));
    (void)tell(r, a, &plain, &sent, bad, 1, &n);
    CHECK("a keyword that cannot be is said", n.left_out == 1);
    CHECK_SLICE("the message came", uids_of(a, "Sent Messages", text), SLICE("8 11: 10/0/0"));
    const struct mailbox_list *list;
    if (mailbox_list(a, &list, NULL)) {
        CHECK("the special use goes over", mailbox_in_list(list, SLICE("Sent Messages"))->use == USE_SENT &&
                                               mailbox_in_list(list, SLICE("Sent"))->use == USE_NONE);
        mailbox_list_release(&list);
    }
    struct keeper_summary s = tell(r, a, &plain, &high, far, 1, &n);
    CHECK("a UID at the very end is not kept: none would be left", s.renumbered == 1);
    CHECK_SLICE("...", uids_of(a, "High", text), SLICE("9 2: 1/0/0"));
    account_release(&a);
}

static bool keep_script(void *ctx, struct slice name, bool active, struct slice text)
{
    (void)text;
    buf_addf(ctx, " " PRIslice "%s", SLICE_ARG(name), active ? "*" : "");
    return true;
}

static bool find_uidl(void *ctx, const struct maildrop_message *m)
{
    buf_addf(ctx, "%u=" PRIslice " ", m->uid, SLICE_ARG(m->uidl));
    return true;
}

/* One account told into another is the same. */
static void out_and_in(struct room *r, struct buf *text)
{
    const struct body_limits    limits = {.memory_max = 100, .size_max = 1 << 20, .spool_dir = r->spool};
    const struct teller_options all = {.bodies = &limits};
    struct account             *from = room_account(r, 1), *to = room_account(r, 3);
    struct notes                n = {0};
    struct fail                 why = {.text = ""};

    CHECK("scripts", script_put(from, SLICE("one"), true, SLICE("keep;"), &why) && script_put(from, SLICE("two"), true, SLICE(""), &why));
    for (unsigned run = 0; run < 2; run++) {
        struct keeper       *k = keeper_create(to, &plain, note, &n);
        struct transfer_into into = keeper_into(k);
        CHECK("told", teller_tell(from, &all, &into, &why) && keeper_finish(k, &why));
        CHECK("once", keeper_summary(k)->messages == (run == 0 ? 2 : 0) && keeper_summary(k)->known == (run == 0 ? 0 : 2));
        keeper_destroy(&k);
    }
    CHECK_SLICE("the same", uids_of(to, "INBOX", text), SLICE("77 61: 10/7/0 30/2/0"));
    buf_reset(text);
    CHECK("maildrop", store_maildrop_read(to, room_mailbox(to, SLICE("INBOX")), 1, 10, find_uidl, text, &why));
    CHECK_SLICE("its unique-id too", buf_slice(text), SLICE("10=ua "));
    buf_reset(text);
    CHECK("read", script_each(to, keep_script, text, &why));
    CHECK_SLICE("one script is active", buf_slice(text), SLICE(" one two*"));
    account_release(&from);
    account_release(&to);
}

static void report(void *ctx, const char *finding)
{
    (void)ctx;
    fprintf(stderr, "%s\n", finding);
}

int main(void)
{
    struct room         r;
    struct buf          text;
    struct check_totals totals = {0};
    struct fail         why;

    room_init(&r);
    buf_init(&text, 10000);
    keeps_and_changes(&r, &text);
    names_and_uids(&r, &text);
    out_and_in(&r, &text);
    lost(&r, true);
    lost(&r, false);
    CHECK("the store is well", store_check(r.store, report, NULL, NULL, &totals, &why) && totals.problems == 0);
    buf_finish(&text);
    room_finish(&r);
    return check_done();
}
