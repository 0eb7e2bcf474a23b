/*
 * store: a process that is killed in the middle of its work.  Everything that it
 * was told to be done is there afterwards; no UID and no modseq is given out twice.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/store/room.h"

enum { LIVES = 8 };

struct done {
    uint32_t uid, flags;
    uint64_t modseq;
};

/* Appends and flags until it is killed; tells of each that was answered. */
static void live(struct room *r, int tell)
{
    struct account *a;
    struct fail why;

    room_open(r);
    a = room_account(r, 1);
    for (unsigned i = 0;; i++) {
        struct done d = {.uid = room_append(r, a, 1, SLICE("Subject: x\r\n\r\nbody\r\n"), 0)};
        struct uid_range one = {d.uid, d.uid};
        struct flag_change change = {.op = FLAGS_ADD, .flags = STORE_SEEN};
        if (d.uid == 0 || (i % 2 == 0 && !message_flags(a, 1, &one, 1, &change, NULL, &d.modseq, &why)))
            _exit(1);
        d.flags = i % 2 == 0 ? STORE_SEEN : 0;
        if (write(tell, &d, sizeof d) != sizeof d)
            _exit(1);
    }
}

/* Kills it after some answers; what they were. */
static size_t watch_it_die(struct room *r, struct done *list, size_t max)
{
    int ends[2];
    size_t count = 0;

    if (pipe(ends) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        live(r, ends[1]);
    }
    (void)close(ends[1]);
    while (count < max && read(ends[0], &list[count], sizeof *list) == sizeof *list)
        count++;
    (void)kill(child, SIGKILL);
    while (count < max + 8 && read(ends[0], &list[count], sizeof *list) == sizeof *list)
        count++;
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    return count;
}

static void check_kept(struct room *r, const struct done *list, size_t count, uint64_t *highest)
{
    struct account *a;
    struct check_totals totals;
    struct view *v;
    struct fail why;
    bool found;

    room_open(r);
    a = room_account(r, 1);
    if (!view_open(a, 1, &v, &why))
        room_die("view", &why);
    for (size_t i = 0; i < count; i++) {
        uint32_t position = view_find(v, list[i].uid, &found);
        CHECK("kept", found && view_at(v, position).flags == list[i].flags);
        CHECK("a new modseq each time", list[i].modseq == 0 || list[i].modseq > *highest);
        if (list[i].modseq > *highest)
            *highest = list[i].modseq;
        CHECK("a new UID each time", i == 0 || list[i].uid > list[i - 1].uid);
    }
    view_release(&v);
    account_release(&a);
    CHECK("check", store_check(r->store, NULL, NULL, NULL, &totals, &why) && totals.problems == 0);
    room_close(r);
}

int main(void)
{
    static struct done list[100];
    struct room r;
    uint64_t highest = 0;
    uint32_t last = 0;

    room_init(&r);
    struct account *a = room_account(&r, 1);
    account_release(&a);
    room_close(&r);
    for (unsigned i = 0; i < LIVES; i++) {
        size_t count = watch_it_die(&r, list, 5 + 7 * i);
        CHECK("it lived", count >= 5 + 7 * i && list[0].uid > last);
        last = list[count - 1].uid;
        check_kept(&r, list, count, &highest);
    }
    room_open(&r);
    room_finish(&r);
    return check_done();
}
