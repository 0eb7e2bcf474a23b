/*
 * store: no room for open files and views.  Everything is closed and dropped
 * behind the users' backs all the time; nobody may notice but by the clock.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "store/internal.h"
#include "tests/unit/store/room.h"

enum { ACCOUNTS = 6, WORKERS = 4, ROUNDS = 120 };

struct worker {
    struct room *room;
    uint64_t seed;
    unsigned appended[ACCOUNTS], failures;
};

static uint32_t pick(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % below;
}

static bool flag_one(struct account *a, uint32_t uid)
{
    struct slice name[] = {SLICE("seen-by-worker")};
    struct flag_change change = {.op = FLAGS_ADD, .flags = STORE_SEEN, .keywords = name, .keyword_count = 1};
    struct uid_range one = {uid, uid};
    uint64_t modseq;
    struct fail why;

    return message_flags(a, 1, &one, 1, &change, NULL, &modseq, &why);
}

/* A view lives on, whatever becomes of the account's file. */
static bool look(struct account *a)
{
    struct view *v, *restored;
    struct fail why;

    if (!view_open(a, 1, &v, &why))
        return false;
    struct view_token token = view_token(v);
    bool ok = view_restore(a, 1, token, &restored, &why) && view_count(restored) == view_count(v);
    for (uint32_t i = 0; ok && i < view_count(v); i++) {
        struct view_entry e = view_at(v, i);
        ok = (e.keyword_set == 0) == (account_keyword_set(a, e.keyword_set).count == 0);
    }
    if (ok)
        view_release(&restored);
    view_release(&v);
    return ok;
}

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct account *a;
    struct fail why;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t n = pick(&w->seed, ACCOUNTS);
        bool ok = store_account(w->room->store, n + 1, &a, &why);
        if (ok) {
            switch (pick(&w->seed, 3)) {
            case 0:
                ok = room_append(w->room, a, 1, SLICE("A: b\r\n\r\n"), 0) > 0;
                w->appended[n] += ok;
                break;
            case 1: ok = flag_one(a, 1 + pick(&w->seed, 20)); break;
            default: ok = look(a); break;
            }
            account_release(&a);
        }
        w->failures += !ok;
    }
    return NULL;
}

int main(void)
{
    struct room r;
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    unsigned expected[ACCOUNTS] = {0}, failures = 0;
    struct check_totals totals;
    struct fail why;

    room_init(&r);
    for (uint64_t id = 1; id <= ACCOUNTS; id++) {
        struct account *a = room_account(&r, id);
        account_release(&a);
    }
    room_close(&r);
    r.limits.handle_bytes = 2 * HANDLE_BYTES;
    r.limits.handle_idle_seconds = 0;
    r.limits.view_bytes = 500;
    r.limits.view_file_messages = 1; /* written, read and removed meanwhile */
    room_open(&r);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.room = &r, .seed = (uint64_t)getpid() + i};
        (void)pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        (void)pthread_join(threads[i], NULL);
        failures += workers[i].failures;
        for (size_t k = 0; k < ACCOUNTS; k++)
            expected[k] += workers[i].appended[k];
    }
    CHECK("nothing failed", failures == 0);
    for (size_t k = 0; k < ACCOUNTS; k++) {
        struct account *a = room_account(&r, k + 1);
        struct account_usage usage;
        CHECK("all there", account_usage(a, &usage, &why) && usage.messages == expected[k]);
        account_release(&a);
    }
    CHECK("check", store_check(r.store, NULL, NULL, NULL, &totals, &why) && totals.problems == 0);
    room_finish(&r);
    return check_done();
}
