/*
 * store: mailboxes that are shared. Who has which rights and who shares with whom, annotations,
 * and each user's own \Seen, held against a model.
 */
#include <pthread.h>

#include "base/clock.h"
#include "store/acl.h"
#include "store/annotation.h"
#include "store/internal.h"
#include "tests/unit/store/room.h"

/* ---- rights ---- */

static void rights_from_entries(void)
{
    static const struct acl_entry list[] = {
        {{"-bob@x", 6}, RIGHT_WRITE},
        {{"-anyone", 7}, RIGHT_EXPUNGE},
        {{"ann@x", 5}, RIGHT_LOOKUP | RIGHT_READ},
        {{"anyone", 6}, RIGHT_LOOKUP},
        {{"authenticated", 13}, RIGHT_READ},
        {{"bob@x", 5}, RIGHT_WRITE | RIGHT_SEEN | RIGHT_EXPUNGE},
    };
    size_t n = ARRAY_LEN(list);

    CHECK("all that concern him, without what is taken",
          acl_rights(list, n, SLICE("bob@x"), false) == (RIGHT_LOOKUP | RIGHT_READ | RIGHT_SEEN));
    CHECK("a stranger", acl_rights(list, n, SLICE("cy@x"), false) == (RIGHT_LOOKUP | RIGHT_READ));
    CHECK("no entries", acl_rights(list, 0, SLICE("cy@x"), false) == 0);
    CHECK("an owner without entry", acl_rights(list, 2, SLICE("own@x"), true) == RIGHTS_ALL);
    CHECK("an owner with one", acl_rights(list, n, SLICE("ann@x"), true) ==
                                   (RIGHT_LOOKUP | RIGHT_READ | RIGHT_ADMINISTER));
    CHECK("an owner who took one away", acl_rights(list, 1, SLICE("bob@x"), true) == (RIGHTS_ALL & ~RIGHT_WRITE));
}

static bool shares(struct room *r, struct slice with, uint64_t owner)
{
    struct arena arena;
    uint64_t *owners;
    size_t count;
    bool found = false;

    arena_init(&arena, 1 << 20);
    if (store_sharing(r->store, &with, 1, &arena, &owners, &count, NULL))
        for (size_t i = 0; i < count; i++)
            found = found || owners[i] == owner;
    arena_finish(&arena);
    return found;
}

static unsigned rights_of(struct account *a, uint64_t mailbox, struct slice who)
{
    unsigned rights = 0;

    return acl_rights_in(a, mailbox, who, false, &rights, NULL) ? rights : 99999;
}

static bool set_acl(struct account *a, uint64_t mailbox, struct slice who, enum acl_op op, unsigned rights)
{
    return acl_set(a, mailbox, who, op, rights, 0, NULL);
}

static void entries_live_with_mailboxes(struct room *r)
{
    struct account *a = room_account(r, 1);
    uint64_t box = 0, below = 0;
    struct fail why;

    CHECK("make", mailbox_create(a, SLICE("Box"), USE_NONE, &box, &why));
    CHECK("nobody yet", !shares(r, SLICE("ann@x"), 1) && rights_of(a, box, SLICE("ann@x")) == 0);
    CHECK("give", set_acl(a, box, SLICE("ann@x"), ACL_REPLACE, RIGHT_LOOKUP | RIGHT_READ) &&
                      set_acl(a, box, SLICE("ann@x"), ACL_ADD, RIGHT_WRITE) &&
                      set_acl(a, box, SLICE("ann@x"), ACL_REMOVE, RIGHT_READ));
    CHECK("given", rights_of(a, box, SLICE("ann@x")) == (RIGHT_LOOKUP | RIGHT_WRITE));
    CHECK("in the index", shares(r, SLICE("ann@x"), 1));
    CHECK("taken from", set_acl(a, box, SLICE("-bob@x"), ACL_REPLACE, RIGHT_READ) && !shares(r, SLICE("-bob@x"), 1));
    CHECK("below", mailbox_create(a, SLICE("Box/In/Deep"), USE_NONE, &below, &why));
    CHECK("inherited", rights_of(a, below, SLICE("ann@x")) == (RIGHT_LOOKUP | RIGHT_WRITE));
    CHECK("not what comes later", set_acl(a, box, SLICE("cy@x"), ACL_ADD, RIGHT_READ) &&
                                      rights_of(a, below, SLICE("cy@x")) == 0);
    CHECK("renamed", mailbox_rename(a, SLICE("Box/In/Deep"), SLICE("Out"), &why) &&
                         rights_of(a, below, SLICE("ann@x")) == (RIGHT_LOOKUP | RIGHT_WRITE));
    account_release(&a);
    room_close(r);
    room_open(r);
    a = room_account(r, 1);
    CHECK("kept", rights_of(a, below, SLICE("ann@x")) == (RIGHT_LOOKUP | RIGHT_WRITE));
    CHECK("an address goes", store_forget_grantee(r->store, SLICE("cy@x"), &why) &&
                                 rights_of(a, box, SLICE("cy@x")) == 0 && !shares(r, SLICE("cy@x"), 1));
    CHECK("delete with children", mailbox_delete(a, SLICE("Box"), &why) && shares(r, SLICE("ann@x"), 1));
    CHECK("the level has them", rights_of(a, room_mailbox(a, SLICE("Box")), SLICE("ann@x")) != 0);
    CHECK("delete the last", mailbox_delete(a, SLICE("Out"), &why) &&
                                 set_acl(a, room_mailbox(a, SLICE("Box")), SLICE("ann@x"), ACL_REPLACE, 0) &&
                                 mailbox_delete(a, SLICE("Box/In"), &why));
    CHECK("out of the index", !shares(r, SLICE("ann@x"), 1));
    CHECK("no such mailbox", !acl_set(a, 4711, SLICE("ann@x"), ACL_ADD, 1, 0, &why) && why.reason == FAIL_NOT_FOUND);
    account_release(&a);
}

static void a_removed_account_shares_nothing(struct room *r)
{
    struct account *a = room_account(r, 9);
    struct fail why;

    CHECK("give", set_acl(a, 1, ACL_ANYONE, ACL_ADD, RIGHT_READ) && shares(r, ACL_ANYONE, 9));
    account_release(&a);
    CHECK("remove", store_account_remove(r->store, 9, &why) && !shares(r, ACL_ANYONE, 9));
}

/* ---- annotations ---- */

static bool annotate(struct account *a, uint64_t box, uint64_t user, struct slice name, struct slice value)
{
    struct annotation n = {.user = user, .name = name, .value = value};

    return annotation_set(a, box, &n, 1, NULL, NULL);
}

static bool is_annotated(struct account *a, uint64_t box, uint64_t user, struct slice name, const char *value)
{
    struct arena arena;
    struct slice got;

    arena_init(&arena, 1 << 20);
    bool ok = annotation_get(a, box, user, name, &arena, &got, NULL) &&
              (value == NULL ? got.ptr == NULL : got.ptr != NULL && slice_eq(got, slice_of(value)));
    arena_finish(&arena);
    return ok;
}

static void annotations_are_kept(struct room *r)
{
    struct account *a = room_account(r, 2);
    struct annotation two[] = {{.user = 2, .name = SLICE("/a"), .value = SLICE("x")},
                               {.user = 2, .name = SLICE("/b"), .value = {NULL, 0}}};
    struct annotation *list;
    char large[200] = {0};
    struct arena arena;
    uint64_t now, later;
    size_t count;
    struct fail why;

    arena_init(&arena, 1 << 20);
    CHECK("none", is_annotated(a, 1, 0, SLICE("/comment"), NULL));
    CHECK("set", annotate(a, 1, 0, SLICE("/Comment"), SLICE("ours")) && annotate(a, 1, 2, SLICE("/comment"), SLICE("")));
    CHECK("get", is_annotated(a, 1, 0, SLICE("/COMMENT"), "ours") && is_annotated(a, 1, 2, SLICE("/comment"), "") &&
                     is_annotated(a, 1, 3, SLICE("/comment"), NULL) && is_annotated(a, 0, 0, SLICE("/comment"), NULL));
    CHECK("names below, not beside", annotate(a, 1, 0, SLICE("/comment/x"), SLICE("1")) &&
                                         annotate(a, 1, 0, SLICE("/comment-x"), SLICE("2")) &&
                                         annotation_list(a, 1, 0, SLICE("/comment"), &arena, &list, &count, &why) &&
                                         count == 2 && slice_eq(list[1].name, SLICE("/comment/x")));
    CHECK("since when", annotation_changed(a, 1, 2, 0, &arena, &list, &count, &now, &why) && count == 4);
    CHECK("the same is no change", annotate(a, 1, 0, SLICE("/comment"), SLICE("ours")) &&
                                       annotation_changed(a, 1, 2, now, &arena, &list, &count, &later, &why) &&
                                       count == 0 && later == now);
    two[1].value = slice_make(large, sizeof large);
    CHECK("all or none", !annotation_set(a, 1, two, 2, NULL, &why) && why.reason == FAIL_TOO_BIG &&
                             is_annotated(a, 1, 2, SLICE("/a"), NULL));
    two[1].gone = true;
    CHECK("gone is fine", annotation_set(a, 1, two, 2, NULL, &why) && is_annotated(a, 1, 2, SLICE("/a"), "x"));
    two[0].gone = true;
    CHECK("taken away", annotation_set(a, 1, two, 1, NULL, &why) && is_annotated(a, 1, 2, SLICE("/a"), NULL) &&
                            annotation_changed(a, 1, 2, now, &arena, &list, &count, &now, &why) && count == 1);
    for (unsigned i = 0; i < r->limits.annotations - 3; i++) {
        struct slice name = arena_printf(&arena, "/n%u", i);
        CHECK("many", annotate(a, 1, 0, name, SLICE("v")));
    }
    CHECK("too many", !annotate(a, 1, 0, SLICE("/more"), SLICE("v")) && annotate(a, 1, 0, SLICE("/n1"), SLICE("w")));
    CHECK("a longer value is not one more", annotate(a, 1, 0, SLICE("/n1"), SLICE("longer")));
    CHECK("a mailbox that is none", !annotate(a, 4711, 0, SLICE("/x"), SLICE("v")));
    account_release(&a);
    room_close(r);
    room_open(r);
    a = room_account(r, 2);
    CHECK("kept", is_annotated(a, 1, 0, SLICE("/comment"), "ours") &&
                      annotation_changed(a, 1, 2, now, &arena, &list, &count, &now, &why) && count > 5);
    account_release(&a);
    arena_finish(&arena);
}

/* What was taken away does not pile up: not in one day, and not where nothing else is ever purged. */
static void annotations_go_for_good(struct room *r)
{
    struct account *a = room_account(r, 3);
    struct annotation *list;
    struct arena arena;
    uint64_t now;
    size_t count;
    struct fail why;

    arena_init(&arena, 1 << 20);
    for (unsigned i = 0; i < 5 * r->limits.annotations; i++) {
        struct annotation n = {.name = arena_printf(&arena, "/n%u", i), .value = SLICE("v")};
        bool ok = annotation_set(a, 1, &n, 1, NULL, &why);
        n.gone = true;
        CHECK("there and gone", ok && annotation_set(a, 1, &n, 1, NULL, &why));
    }
    CHECK("the last is told", annotation_changed(a, 1, 0, 0, &arena, &list, &count, &now, &why) && count > 0 &&
                                  count <= r->limits.annotations);
    CHECK("purge", release_purge(a, clock_now(), &why));
    CHECK("none", annotation_changed(a, 1, 0, 0, &arena, &list, &count, &now, &why) && count == 0);
    account_release(&a);
    arena_finish(&arena);
}

/* ---- \Seen ---- */

enum { USERS = 3, MESSAGES_MAX = 4000, START = 2500 }; /* users 0 (the owner), 1, 2; three chunks */

struct model {
    struct room *room;
    struct account *account;
    uint64_t box, seed;
    uint32_t next;                          /* UIDs below it were given out */
    bool there[MESSAGES_MAX];
    uint32_t flags[MESSAGES_MAX];           /* without \Seen */
    bool seen[USERS][MESSAGES_MAX];
    struct view *told[USERS];
};

static uint32_t pick(struct model *m, uint32_t below)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(m->seed >> 33) % below;
}

/* As account ids: the owner's is 3. */
static uint64_t id_of(unsigned user)
{
    return user == 0 ? 3 : 100 + user;
}

static void append_some(struct model *m, uint32_t count, unsigned user)
{
    struct appender *p = appender_create(m->account, m->box);
    struct body *body = room_body(m->room, SLICE("A: b\r\n\r\n"));
    uint32_t flags = pick(m, 2) ? STORE_SEEN | STORE_FLAGGED : STORE_DRAFT;
    struct append_item item = {.body = body, .flags = flags};
    struct appended out;
    struct fail why;

    appender_for(p, id_of(user));
    for (uint32_t i = 0; i < count; i++)
        CHECK("append", appender_add(p, &item, &why));
    CHECK("appended", appender_commit(p, &out, &why) && out.first_uid == m->next);
    appender_destroy(&p);
    body_destroy(&body);
    for (uint32_t i = 0; i < count; i++, m->next++) {
        m->there[m->next] = true;
        m->flags[m->next] = flags & ~(uint32_t)STORE_SEEN;
        m->seen[user][m->next] = (flags & STORE_SEEN) != 0;
    }
}

static void change_flags(struct model *m, unsigned user)
{
    static const uint32_t some[] = {STORE_SEEN, STORE_SEEN, STORE_SEEN | STORE_FLAGGED, STORE_ANSWERED, 0};
    struct flag_change change = {
        .op = (enum flag_op)pick(m, 3), .flags = some[pick(m, ARRAY_LEN(some))], .user = id_of(user)};
    uint32_t first = 1 + pick(m, m->next), last = first + pick(m, pick(m, 2) == 0 ? 1500 : 5);
    struct uid_range range = {first, last};
    struct uid_set refused = {.count = 0};
    struct view *v;
    struct fail why;
    uint64_t modseq;

    CHECK("view", view_open_for(m->account, m->box, id_of(user), &v, &why));
    change.conditional = pick(m, 3) == 0;
    change.unchanged_since = view_modseq(v) - (view_modseq(v) > 3 ? pick(m, 3) : 0);
    CHECK("change", message_flags(m->account, m->box, &range, 1, &change, &refused, &modseq, &why));
    for (uint32_t uid = first; uid <= last && uid < m->next; uid++) {
        bool found;
        uint32_t at = view_find(v, uid, &found);
        if (!m->there[uid])
            continue;
        bool refuse = change.conditional && view_at(v, at).modseq > change.unchanged_since;
        CHECK("refused by what he sees", uid_set_has(&refused, uid) == refuse);
        if (refuse)
            continue;
        uint32_t now = m->flags[uid] | (m->seen[user][uid] ? STORE_SEEN : 0);
        now = change.op == FLAGS_REPLACE ? change.flags
              : change.op == FLAGS_ADD   ? now | change.flags
                                         : now & ~change.flags;
        m->flags[uid] = now & ~(uint32_t)STORE_SEEN;
        m->seen[user][uid] = (now & STORE_SEEN) != 0;
    }
    uid_set_finish(&refused);
    view_release(&v);
}

static void expunge_some(struct model *m)
{
    uint32_t first = 1 + pick(m, m->next), last = first + pick(m, 20);
    struct uid_range range = {first, last};
    struct uid_set gone = {.count = 0};
    uint64_t modseq;
    struct fail why;

    CHECK("expunge", message_expunge(m->account, m->box, &range, 1, true, &gone, &modseq, &why));
    for (uint32_t uid = first; uid <= last && uid < m->next; uid++)
        m->there[uid] = false;
    uid_set_finish(&gone);
}

/* Every message is as the model says; whatever differs from what was told is in the difference. */
static void look(struct model *m, unsigned user)
{
    struct view *now, *then = m->told[user];
    struct view_diff diff;
    struct arena arena;
    struct fail why;
    uint32_t position = 0, changed = 0;

    arena_init(&arena, 64 << 20);
    CHECK("open", view_open_for(m->account, m->box, id_of(user), &now, &why));
    CHECK("difference", view_diff(then, now, &arena, &diff));
    for (uint32_t uid = 1; uid < m->next; uid++) {
        bool was;
        if (!m->there[uid])
            continue;
        struct view_entry e = view_at(now, position);
        uint32_t flags = m->flags[uid] | (m->seen[user][uid] ? STORE_SEEN : 0);
        CHECK("as the model says", e.uid == uid && e.flags == flags && e.modseq <= view_modseq(now));
        uint32_t before = view_find(then, uid, &was);
        bool told = changed < diff.changed_count && diff.changed[changed] == position;
        CHECK("every change is told", !was || told || view_at(then, before).flags == flags);
        CHECK("modseqs never go back", !was || view_at(then, before).modseq <= e.modseq);
        changed += told;
        position++;
    }
    CHECK("no more, no less", position == view_count(now));
    view_release(&m->told[user]);
    m->told[user] = now;
    arena_finish(&arena);
}

static void look_back(struct model *m, unsigned user)
{
    struct view_token token = view_token(m->told[user]);
    struct view *again = NULL;
    struct fail why;

    CHECK("restore", view_restore_for(m->account, m->box, id_of(user), token, &again, &why));
    if (again == NULL)
        return;
    bool same = view_count(again) == view_count(m->told[user]);
    for (uint32_t i = 0; same && i < view_count(again); i += 7)
        same = view_at(again, i).uid == view_at(m->told[user], i).uid;
    CHECK("the same messages", same);
    view_release(&again);
}

static void start_again(struct model *m)
{
    account_release(&m->account);
    room_close(m->room);
    room_open(m->room);
    m->account = room_account(m->room, 3);
}

static void everybody_has_seen_his_own(struct room *r, uint64_t seed)
{
    static struct model m; /* large */
    struct fail why;

    m = (struct model){.room = r, .account = room_account(r, 3), .seed = seed, .next = 1};
    char name[] = "Box0";
    name[3] = "0123456789"[seed % 10];
    CHECK("make", mailbox_create(m.account, slice_of(name), USE_NONE, &m.box, &why));
    for (unsigned u = 0; u < USERS; u++)
        CHECK("open", view_open_for(m.account, m.box, id_of(u), &m.told[u], &why));
    append_some(&m, START, 0);
    for (unsigned i = 0; i < 300; i++) {
        unsigned user = pick(&m, USERS);
        switch (pick(&m, 8)) {
        case 0: append_some(&m, 1 + pick(&m, 3), user); break;
        case 1: expunge_some(&m); break;
        case 2: look_back(&m, user); break;
        case 3: look(&m, user); break;
        default: change_flags(&m, user); break;
        }
        if (i % 40 == 39)
            start_again(&m);
    }
    for (unsigned u = 0; u < USERS; u++) {
        look(&m, u);
        view_release(&m.told[u]);
    }
    account_release(&m.account);
}

/* ---- many at once ---- */

struct crowd {
    struct account *account;
    uint64_t box;
    unsigned user; /* 0 takes messages out meanwhile */
    bool ok;
};

static void *be_busy(void *ctx)
{
    struct crowd *c = ctx;
    uint64_t user = id_of(c->user), before = 0;

    c->ok = true;
    for (uint32_t i = 0; i < 60 && c->ok; i++) {
        struct uid_range range = {1 + i * 7, 40 + i * 7};
        struct flag_change change = {
            .op = i % 3 == 0 ? FLAGS_REMOVE : FLAGS_ADD, .flags = STORE_SEEN, .user = user};
        struct uid_set gone = {.count = 0};
        struct view *v;
        uint64_t modseq;

        c->ok = message_flags(c->account, c->box, &range, 1, &change, NULL, &modseq, NULL);
        if (c->ok && c->user == 0 && i % 10 == 0) {
            range.last = range.first + 2;
            c->ok = message_expunge(c->account, c->box, &range, 1, true, &gone, &modseq, NULL);
            uid_set_finish(&gone);
        }
        if (!c->ok || !view_open_for(c->account, c->box, user, &v, NULL))
            return NULL;
        c->ok = view_modseq(v) >= modseq && view_modseq(v) >= before;
        before = view_modseq(v);
        view_release(&v);
    }
    return NULL;
}

static void all_at_once(struct room *r)
{
    static struct model m; /* large */
    struct crowd crowd[2 * USERS];
    pthread_t threads[2 * USERS];
    struct view *before[USERS], *after;
    struct fail why;

    m = (struct model){.room = r, .account = room_account(r, 3), .next = 1};
    CHECK("make", mailbox_create(m.account, SLICE("Crowd"), USE_NONE, &m.box, &why));
    append_some(&m, 600, 0);
    for (unsigned i = 0; i < ARRAY_LEN(crowd); i++) {
        crowd[i] = (struct crowd){.account = m.account, .box = m.box, .user = i % USERS};
        CHECK("thread", pthread_create(&threads[i], NULL, be_busy, &crowd[i]) == 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(crowd); i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK("nobody saw time go back", crowd[i].ok);
    }
    for (unsigned u = 0; u < USERS; u++)
        CHECK("open", view_open_for(m.account, m.box, id_of(u), &before[u], &why));
    start_again(&m);
    for (unsigned u = 0; u < USERS; u++) {
        CHECK("open", view_open_for(m.account, m.box, id_of(u), &after, &why) &&
                          view_count(after) == view_count(before[u]));
        for (uint32_t i = 0; i < view_count(after) && i < view_count(before[u]); i++) {
            struct view_entry a = view_at(after, i), b = view_at(before[u], i);
            CHECK("memory and file agree", a.uid == b.uid && a.flags == b.flags && a.modseq == b.modseq);
        }
        view_release(&after);
        view_release(&before[u]);
    }
    account_release(&m.account);
}

static void count_finding(void *ctx, const char *finding)
{
    fprintf(stderr, "%s\n", finding);
    ++*(unsigned *)ctx;
}

int main(void)
{
    struct room r;
    struct check_totals totals;
    unsigned findings = 0;
    struct fail why;

    room_init(&r);
    r.limits.annotations = 20;
    r.limits.annotation_bytes = 100;
    room_close(&r);
    room_open(&r);
    rights_from_entries();
    entries_live_with_mailboxes(&r);
    a_removed_account_shares_nothing(&r);
    annotations_are_kept(&r);
    annotations_go_for_good(&r);
    for (uint64_t seed = 1; seed <= 3; seed++)
        everybody_has_seen_his_own(&r, seed);
    all_at_once(&r);
    CHECK("check", store_check(r.store, count_finding, NULL, &findings, &totals, &why) && findings == 0);
    room_finish(&r);
    return check_done();
}
