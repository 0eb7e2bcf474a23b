/*
 * store: random appends, flags, copies, moves and expunges against a plain model,
 * with sessions that follow by view_diff and view_restore, and reopening between:
 * views come from their files then, or from the rows where a mailbox changed since.
 * The seed is printed; MODEL_SEED and MODEL_STEPS set it and the length.
 */
#include "tests/unit/store/room.h"

enum { BOXES = 3, SESSIONS = 3, MESSAGES_MAX = 5000 };

struct message {
    uint32_t uid, flags;
    bool keyword;
    uint64_t modseq;
};

/* A mailbox as it should be. */
struct model {
    uint64_t id;
    uint32_t uidnext;
    size_t count;
    struct message list[MESSAGES_MAX];
};

/* What a session has been told: the UIDs it knows, and how it can find its view again. */
struct session {
    size_t box;
    struct view *view;
    struct view_token token;
    size_t count;
    uint32_t uids[MESSAGES_MAX];
};

static uint64_t seed;

static uint32_t pick(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 11) % below);
}

static struct uid_range pick_range(const struct model *m)
{
    uint32_t first = 1 + pick(m->uidnext), last = first + pick(12);

    return pick(10) == 0 ? (struct uid_range){1, UINT32_MAX} : (struct uid_range){first, last};
}

static bool in_range(struct uid_range r, const struct message *e)
{
    return e->uid >= r.first && e->uid <= r.last;
}

static void add(struct model *m, struct message e)
{
    e.uid = m->uidnext++;
    m->list[m->count++] = e;
}

static void remove_where(struct model *m, struct uid_range r, bool any, uint64_t *gone)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->count; i++) {
        if (in_range(r, &m->list[i]) && (any || (m->list[i].flags & STORE_DELETED) != 0))
            (*gone)++;
        else
            m->list[kept++] = m->list[i];
    }
    m->count = kept;
}

static void do_append(struct room *r, struct account *a, struct model *m)
{
    struct message e = {.flags = pick(32)};
    struct view *v;
    struct fail why;

    if (m->count == MESSAGES_MAX)
        return;
    uint32_t uid = room_append(r, a, m->id, SLICE("Subject: x\r\n\r\nbody\r\n"), e.flags);
    CHECK("append", uid == m->uidnext);
    CHECK("view", view_open(a, m->id, &v, &why));
    e.modseq = view_modseq(v);
    view_release(&v);
    add(m, e);
}

static void do_flags(struct account *a, struct model *m)
{
    struct slice name[] = {SLICE("Word")};
    struct uid_range range = pick_range(m);
    struct flag_change change = {
        .op = (enum flag_op)pick(3),
        .flags = pick(32),
        .keywords = name,
        .keyword_count = pick(2),
        .conditional = pick(4) == 0,
    };
    struct uid_set refused;
    uint64_t modseq, refused_count = 0;
    struct fail why;

    if (m->count > 0)
        change.unchanged_since = m->list[pick((uint32_t)m->count)].modseq;
    CHECK("flags", message_flags(a, m->id, &range, 1, &change, &refused, &modseq, &why));
    for (size_t i = 0; i < m->count; i++) {
        struct message *e = &m->list[i];
        uint32_t flags = e->flags;
        bool keyword = e->keyword;
        if (!in_range(range, e))
            continue;
        if (change.conditional && e->modseq > change.unchanged_since) {
            refused_count++;
            CHECK("refused", uid_set_has(&refused, e->uid));
            continue;
        }
        switch (change.op) {
        case FLAGS_REPLACE:
            flags = change.flags;
            keyword = change.keyword_count > 0;
            break;
        case FLAGS_ADD:
            flags |= change.flags;
            keyword = keyword || change.keyword_count > 0;
            break;
        case FLAGS_REMOVE:
            flags &= ~change.flags;
            keyword = keyword && change.keyword_count == 0;
            break;
        }
        if (flags != e->flags || keyword != e->keyword)
            *e = (struct message){.uid = e->uid, .flags = flags, .keyword = keyword, .modseq = modseq};
    }
    CHECK("no more refused", uid_set_size(&refused) == refused_count);
    uid_set_finish(&refused);
}

static void do_copy(struct account *a, struct model *from, struct model *to)
{
    struct uid_range range = pick_range(from);
    bool move = pick(2) == 0;
    struct copy_result out;
    uint64_t gone = 0;
    size_t copied = 0, count = from->count;
    struct fail why;

    if (to->count + from->count > MESSAGES_MAX)
        return;
    CHECK("copy", message_copy(a, from->id, &range, 1, to->id, move, &out, &why));
    for (size_t i = 0; i < count; i++) {
        struct message e = from->list[i];
        if (!in_range(range, &e))
            continue;
        CHECK("named as source", uid_set_has(&out.source, e.uid));
        e.modseq = out.modseq;
        add(to, e);
        copied++;
    }
    CHECK("first UID", copied == 0 || out.first_uid + copied == to->uidnext);
    CHECK("no more copied", uid_set_size(&out.source) == copied);
    if (move && from == to) {
        struct uid_range old = {range.first, range.last < out.first_uid ? range.last : out.first_uid - 1};
        if (copied > 0)
            remove_where(from, old, true, &gone);
    } else if (move) {
        remove_where(from, range, true, &gone);
    }
    uid_set_finish(&out.source);
}

static void do_expunge(struct account *a, struct model *m)
{
    struct uid_range range = pick_range(m), all = {1, UINT32_MAX};
    bool any = pick(3) == 0, whole = pick(2) == 0;
    struct uid_set gone;
    uint64_t expected = 0;
    struct fail why;

    CHECK("expunge",
          message_expunge(a, m->id, whole ? NULL : &range, whole ? 0 : 1, any && !whole, &gone, NULL, &why));
    remove_where(m, whole ? all : range, any && !whole, &expected);
    CHECK("as many gone", uid_set_size(&gone) == expected);
    uid_set_finish(&gone);
}

static void compare(struct account *a, const struct model *m)
{
    uint32_t unseen = 0, deleted = 0;
    struct mailbox_info info;
    struct view_cursor at;
    struct view_entry e;
    struct arena arena;
    struct view *v;
    struct fail why;
    size_t i = 0;
    bool same = true;

    arena_init(&arena, 1 << 16);
    CHECK("view", view_open(a, m->id, &v, &why));
    CHECK("count", view_count(v) == m->count && view_uidnext(v) == m->uidnext);
    view_cursor_init(&at, v, 0);
    for (; same && i < m->count && view_next(&at, &e); i++) {
        const struct message *want = &m->list[i];
        same = e.uid == want->uid && e.flags == want->flags && e.modseq == want->modseq &&
               (account_keyword_set(a, e.keyword_set).count == 1) == want->keyword;
        unseen += (want->flags & STORE_SEEN) == 0;
        deleted += (want->flags & STORE_DELETED) != 0;
    }
    CHECK("entries", same && i == m->count);
    CHECK("counts", mailbox_get(a, m->id, &arena, &info, &why) && info.messages == m->count &&
                        info.unseen == unseen && info.deleted == deleted && info.bytes == m->count * 20 &&
                        info.deleted_bytes == deleted * 20);
    view_release(&v);
    arena_finish(&arena);
}

static void remember(struct session *s, struct view *v)
{
    s->view = v;
    s->token = view_token(v);
    s->count = view_count(v);
    for (uint32_t i = 0; i < s->count; i++)
        s->uids[i] = view_at(v, i).uid;
}

/* The session's UIDs, told by view_diff, must become those of the mailbox. */
static void follow(struct account *a, struct session *s, const struct model *m, bool parked)
{
    struct view *then = s->view, *now, *kept;
    struct view_diff d;
    struct arena arena;
    struct fail why;
    uint64_t since = s->token.modseq;
    size_t changed = 0, left = 0;
    bool same = true;

    arena_init(&arena, 1 << 22);
    if (parked) {
        view_release(&then);
        if (!view_restore(a, m->id, s->token, &then, &why))
            room_die("restore", &why);
        CHECK("as many", view_count(then) == s->count);
        for (uint32_t i = 0; same && i < s->count; i++)
            same = view_at(then, i).uid == s->uids[i];
        CHECK("restored", same);
    }
    CHECK("view", view_open(a, m->id, &now, &why));
    kept = view_keep_gone(then, now);
    CHECK("diff with the kept", view_diff(then, kept, &arena, &d) && d.gone_count == 0);
    CHECK("count with the kept", view_count(kept) == s->count + d.added);
    for (uint32_t i = 0; same && i < s->count; i++)
        same = view_at(kept, i).uid == s->uids[i];
    CHECK("kept in place", same);
    CHECK("kept to now", view_diff(kept, now, &arena, &d) && d.added == 0 &&
                             view_count(kept) - d.gone_count == view_count(now));
    for (size_t i = 0; i < d.gone_count; i++)
        CHECK("marked", (view_at(kept, d.gone[i]).flags & VIEW_GONE) != 0);
    CHECK("diff", view_diff(then, now, &arena, &d));
    for (size_t i = 0, g = 0; i < s->count; i++) {
        if (g < d.gone_count && d.gone[g] == i)
            g++;
        else
            s->uids[left++] = s->uids[i];
    }
    CHECK("count", left + d.added == m->count);
    for (size_t i = 0; same && i < left; i++)
        same = s->uids[i] == m->list[i].uid;
    CHECK("what is left", same);
    for (size_t i = 0; i < left; i++)
        changed += m->list[i].modseq > since;
    CHECK("changed", d.changed_count == changed);
    for (size_t i = 0; same && i < d.changed_count; i++)
        same = view_at(now, d.changed[i]).modseq > since;
    CHECK("changed ones", same);
    view_release(&kept);
    view_release(&then);
    remember(s, now);
    arena_finish(&arena);
}

int main(void)
{
    static struct model models[BOXES];
    static struct session sessions[SESSIONS];
    static const char *const names[BOXES] = {"INBOX", "Trash", "Archive"};
    const char *given = getenv("MODEL_SEED"), *length = getenv("MODEL_STEPS");
    unsigned steps = length != NULL ? (unsigned)strtoul(length, NULL, 10) : 1500;
    struct check_totals totals;
    struct room r;
    struct fail why;

    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 2654435761u + 1;
    printf("seed %llu\n", (unsigned long long)seed);
    room_init(&r);
    room_close(&r);
    r.limits.view_file_messages = 1;
    room_open(&r);
    struct account *a = room_account(&r, 77);
    for (size_t i = 0; i < BOXES; i++)
        models[i] = (struct model){.id = room_mailbox(a, slice_of(names[i])), .uidnext = 1};
    for (size_t i = 0; i < SESSIONS; i++) {
        sessions[i].box = i % BOXES;
        if (!view_open(a, models[i % BOXES].id, &sessions[i].view, &why))
            room_die("view", &why);
        remember(&sessions[i], sessions[i].view);
    }
    for (unsigned step = 0; step < steps && check_failed == 0; step++) {
        struct model *m = &models[pick(BOXES)], *other = &models[pick(BOXES)];
        struct session *s = &sessions[pick(SESSIONS)];
        switch (pick(12)) {
        case 0:
        case 1:
        case 2:
        case 3: do_append(&r, a, m); break;
        case 4:
        case 5:
        case 6: do_flags(a, m); break;
        case 7:
        case 8: do_copy(a, m, other); break;
        case 9: do_expunge(a, m); break;
        case 10: follow(a, s, &models[s->box], pick(2) == 0); break;
        default:
            compare(a, m);
            if (pick(4) == 0) {
                account_release(&a);
                room_close(&r);
                room_open(&r);
                a = room_account(&r, 77);
            }
        }
        if (check_failed > 0)
            fprintf(stderr, "at step %u\n", step);
    }
    for (size_t i = 0; i < BOXES; i++)
        compare(a, &models[i]);
    for (size_t i = 0; i < SESSIONS; i++)
        view_release(&sessions[i].view);
    account_release(&a);
    CHECK("check", store_check(r.store, NULL, NULL, NULL, &totals, &why) && totals.problems == 0);
    room_finish(&r);
    return check_done();
}
