/*
 * store: many threads on one account at once.  Each change must be whole, each
 * session's story consistent, and what memory says the same as what the file says.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/store/room.h"

enum { WRITERS = 4, FOLLOWERS = 2, ROUNDS = 60, UIDS = 20000 };

struct shared {
    struct room *room;
    struct account *account;
    uint64_t inbox, trash;
    _Atomic bool done;
    _Atomic unsigned failures, appended, woken;
    _Atomic unsigned char recent[UIDS]; /* how often a UID was */
};

struct writer {
    struct shared *shared;
    uint64_t seed;
};

static uint32_t pick(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % below;
}

static void expect(struct shared *s, bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "not so: %s\n", what);
    s->failures++;
}

/* Fails after its first message was added: the others in the same transaction must not notice. */
static bool half_an_append(struct shared *s, uint64_t box)
{
    struct slice good[] = {SLICE("good")}, bad[] = {SLICE("not good")};
    struct body *b = room_body(s->room, SLICE("A: b\r\n\r\n"));
    struct append_item items[] = {
        {.body = b, .keywords = good, .keyword_count = 1},
        {.body = b, .keywords = bad, .keyword_count = 1},
    };
    uint32_t uidvalidity;
    uint64_t modseq;
    struct fail why;
    bool ok = message_append(s->account, box, items, 2, &uidvalidity, &modseq, &why);

    body_destroy(&b);
    return ok;
}

static void *write_some(void *ctx)
{
    struct writer *w = ctx;
    struct shared *s = w->shared;
    uint64_t modseq;
    struct fail why;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t box = pick(&w->seed, 2) == 0 ? s->inbox : s->trash,
                 other = box == s->inbox ? s->trash : s->inbox;
        uint32_t first = 1 + pick(&w->seed, 100);
        struct uid_range range = {first, first + pick(&w->seed, 10)};
        struct slice good[] = {SLICE("good")};
        struct flag_change change = {
            .op = (enum flag_op)pick(&w->seed, 3),
            .flags = pick(&w->seed, 32),
            .keywords = good,
            .keyword_count = pick(&w->seed, 2),
        };
        struct copy_result copied;
        bool ok = true;
        switch (pick(&w->seed, 9)) {
        case 0:
        case 1:
        case 2:
            ok = room_append(s->room, s->account, box, SLICE("A: b\r\n\r\n"), 0) > 0;
            s->appended++;
            break;
        case 3:
        case 4: ok = message_flags(s->account, box, &range, 1, &change, NULL, &modseq, &why); break;
        case 5:
        case 6:
            ok = message_copy(s->account, box, &range, 1, other, pick(&w->seed, 2) == 0, &copied, &why);
            if (ok)
                uid_set_finish(&copied.source);
            break;
        case 7: ok = !half_an_append(s, box); break;
        default: ok = message_expunge(s->account, box, &range, 1, false, NULL, &modseq, &why);
        }
        expect(s, ok, "a change");
    }
    return NULL;
}

static bool see(void *ctx, const struct message_info *m)
{
    *(uint64_t *)ctx += m->size;
    return true;
}

static void look(struct shared *s, struct view **view, struct view_token *token, uint32_t *recent)
{
    struct view *now = NULL, *restored = NULL;
    const struct mailbox_list *list = NULL;
    struct uid_range all = {1, UINT32_MAX};
    struct view_diff d;
    struct arena arena;
    struct fail why;
    uint64_t bytes = 0;
    uint32_t first_recent = 0;

    arena_init(&arena, 1 << 20);
    expect(s, view_open_recent(s->account, s->inbox, true, &now, &first_recent, &why), "open");
    expect(s, first_recent >= *recent, "\\Recent never comes back");
    *recent = first_recent;
    for (uint32_t uid = first_recent; uid < view_uidnext(now) && uid < UIDS; uid++)
        expect(s, s->recent[uid]++ == 0, "\\Recent for one session only");
    expect(s, view_modseq(now) >= view_modseq(*view), "modseqs ascend");
    expect(s,
           view_diff(*view, now, &arena, &d) && view_count(*view) - d.gone_count + d.added == view_count(now),
           "diff");
    expect(s,
           view_restore(s->account, s->inbox, *token, &restored, &why) &&
               view_count(restored) == token->count,
           "restore");
    expect(s, mailbox_list(s->account, &list, &why) && list->count == 6, "list");
    expect(s, message_fetch(s->account, s->inbox, &all, 1, FETCH_ENVELOPE, see, &bytes, &why), "fetch");
    mailbox_list_release(&list);
    view_release(&restored);
    view_release(view);
    *token = view_token(now);
    *view = now;
    arena_finish(&arena);
}

static void wake(void *ctx)
{
    (*(_Atomic unsigned *)ctx)++;
}

static void *follow(void *ctx)
{
    struct shared *s = ctx;
    struct watch watch;
    struct view *view;
    struct fail why;
    uint32_t recent = 0;

    if (!view_open(s->account, s->inbox, &view, &why))
        room_die("view", &why);
    struct view_token token = view_token(view);
    watch_begin(&watch, s->account, s->inbox, (struct waker){wake, &s->woken});
    while (!s->done) {
        look(s, &view, &token, &recent);
        (void)watch_take(&watch);
    }
    watch_end(&watch);
    view_release(&view);
    return NULL;
}

/* Everything that memory says of a mailbox, as text. */
static struct buf describe(struct account *a, uint64_t box)
{
    struct mailbox_info info;
    struct arena arena;
    struct view *v;
    struct fail why;
    struct buf out;

    buf_init(&out, 1 << 24);
    arena_init(&arena, 1 << 16);
    if (!mailbox_get(a, box, &arena, &info, &why) || !view_open(a, box, &v, &why))
        room_die("describe", &why);
    buf_addf(&out, "%u %u %u %u %llu %llu %llu\n", info.uidnext, info.messages, info.unseen, info.deleted,
             (unsigned long long)info.bytes, (unsigned long long)info.deleted_bytes,
             (unsigned long long)info.highest_modseq);
    for (uint32_t i = 0; i < view_count(v); i++) {
        struct view_entry e = view_at(v, i);
        buf_addf(&out, "%u %x %u %llu\n", e.uid, e.flags, e.keyword_set, (unsigned long long)e.modseq);
    }
    view_release(&v);
    arena_finish(&arena);
    return out;
}

int main(void)
{
    struct room r;
    struct shared s = {.room = &r};
    struct writer writers[WRITERS];
    struct check_totals totals;
    struct fail why;
    pthread_t threads[WRITERS + FOLLOWERS];

    room_init(&r);
    s.account = room_account(&r, 3);
    s.inbox = room_mailbox(s.account, SLICE("INBOX"));
    s.trash = room_mailbox(s.account, SLICE("Trash"));
    for (size_t i = 0; i < FOLLOWERS; i++)
        (void)pthread_create(&threads[WRITERS + i], NULL, follow, &s);
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.shared = &s, .seed = (uint64_t)getpid() + i};
        (void)pthread_create(&threads[i], NULL, write_some, &writers[i]);
    }
    for (size_t i = 0; i < WRITERS; i++)
        (void)pthread_join(threads[i], NULL);
    s.done = true;
    for (size_t i = 0; i < FOLLOWERS; i++)
        (void)pthread_join(threads[WRITERS + i], NULL);
    CHECK("nothing went wrong", s.failures == 0);
    CHECK("the hub told", s.woken > 0);

    struct buf before = describe(s.account, s.inbox), before_trash = describe(s.account, s.trash);
    account_release(&s.account);
    room_close(&r);
    room_open(&r);
    s.account = room_account(&r, 3);
    struct buf after = describe(s.account, s.inbox), after_trash = describe(s.account, s.trash);
    CHECK_SLICE("memory and file agree on INBOX", buf_slice(&after), buf_slice(&before));
    CHECK_SLICE("memory and file agree on Trash", buf_slice(&after_trash), buf_slice(&before_trash));
    buf_finish(&before);
    buf_finish(&after);
    buf_finish(&before_trash);
    buf_finish(&after_trash);
    account_release(&s.account);
    CHECK("check", store_check(r.store, NULL, NULL, NULL, &totals, &why) && totals.problems == 0);
    room_finish(&r);
    return check_done();
}
