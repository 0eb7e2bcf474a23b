/*
 * tests/fault/cuts/cuts.c - power cuts, simulated.
 *
 *     cuts [--points N] [--seed S] [--only CASE] [--all-moods] [--keep]
 *     cuts --first-kill N [--lives L] [--upto N]      the first life ends at that entry; cuts only up to that entry
 *     cuts --without .vol
 *     cuts --see-it-fail
 *     cuts --only CASE --trace FILE --cut M --mood NAME [--seed S]
 *
 * For each case: a process works on an empty folder until it is killed (record.c), another goes on where it was, and
 * so on; all that they asked of the disk and all that they promised is one trace.  Then the power is cut at N places
 * of it (0: at every one): what a disk may hold then (disk.c) is put into a folder, opened and compared with what was
 * promised up to there.  A failure names the seed and the cut and leaves trace and folder behind, to be repeated by
 * the last form: threads make another trace with the same seed.
 * --without leaves syncs out (record_leave_out): then the cuts must fail; --see-it-fail tries some and says whether they do.
 */
#include "cuts.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "disk.h"

enum { WORKERS = 2, CHECK_SECONDS = 120, LIFE_SECONDS = 300, SUBJECTS = 16, SHOWN_FAILURES = 3,
    AGAIN = 4 /* one cut in so many is followed by another, while what the first left is being opened */ };

struct options {
    uint64_t points, seed, cut;
    uint64_t first_kill, lives, upto;
    const char *only, *trace, *mood, *without;
    bool all_moods, keep, must_fail;
};

struct tally { /* shared by the workers */
    _Atomic uint64_t checked, failed;
};

static const struct cuts_case *const cases[] = {&cuts_store, &cuts_queue};

void cuts_die(const char *what, const struct fail *why)
{
    printf("%s: %s\n", what, why != NULL ? why->text : "failed");
    (void)fflush(stdout);
    _exit(1);
}

void cuts_message(uint64_t number, struct buf *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
    uint64_t rng = number * 77, kind = rng_below(&rng, 8);
    size_t size = kind == 0 ? 70000 + rng_below(&rng, 60000) : kind < 3 ? 9000 : 100 + rng_below(&rng, 1500), line = 0;

    buf_addf(out, "Message-ID: <%llu@x.test>\r\nSubject: message %llu\r\n\r\n", (unsigned long long)number, (unsigned long long)number);
    for (size_t i = 0; i < size; i++) {
        buf_add_char(out, number % 3 == 0 ? letters[line % 64] : letters[rng_next(&rng) % 64]);
        if (i % 70 == 69) {
            buf_add(out, SLICE("\r\n"));
            line++;
        }
    }
    buf_add(out, SLICE("\r\n"));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st, (void)type;
    if (f->level == 0)
        return 0;
    return type == FTW_DP ? rmdir(path) : unlink(path);
}

static void empty_folder(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the trace ---- */

static int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void live_once(const struct cuts_case *c, struct trace *t, const char *dir, uint64_t seed, unsigned life)
{
    (void)alarm(LIFE_SECONDS);
    record_begin(t, dir);
    c->live(dir, seed, life);
    record_end();
    (void)fflush(stdout);
    _exit(0);
}

/* Most lives end early. */
static bool make_trace(const struct cuts_case *c, struct trace *t, const char *dir, const struct options *o)
{
    uint64_t seed = o->seed, rng = seed;

    unsigned lives = o->lives > 0 ? (unsigned)o->lives : c->lives;

    for (unsigned life = 0; life < lives; life++) {
        bool last = life + 1 == lives;
        t->kill_at = last || life == 1 ? 0 : t->count + 20 + rng_below(&rng, life == 0 ? 150 : 1500);
        if (life == 0 && o->first_kill > 0)
            t->kill_at = o->first_kill;
        (void)fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            live_once(c, t, dir, seed, life);
        int status = pid > 0 ? wait_for(pid) : -1;
        if (status != 0 && status != RECORD_KILLED) {
            printf("%s: life %u ended with status %d (seed %llu)\n", c->name, life, status, (unsigned long long)seed);
            return false;
        }
    }
    return true;
}

/* What the notes before entry `cut` promise. */
static void promises_at(const struct trace *t, uint64_t cut, struct promise p[SUBJECTS])
{
    const struct entry *e;
    uint64_t at = 0;

    memset(p, 0, SUBJECTS * sizeof *p);
    for (uint64_t index = 0; (e = trace_next(t, &at)) != NULL; index++) {
        struct promise *q = &p[e->a % SUBJECTS];
        if (e->kind < TRACE_BEGIN)
            continue;
        if (index >= cut) {
            if (e->kind == TRACE_STATE && q->after == NULL)
                q->after = e;
        } else if (e->kind == TRACE_STATE) {
            *q = (struct promise){.before = e};
        } else if (e->kind == TRACE_BEGIN) {
            q->begun = e;
            q->loose = q->loose || (e->b & NOTE_LOOSE) != 0;
        } else if (e->kind == TRACE_DONE) {
            q->done = true;
        } else if (q->have_count < ARRAY_LEN(q->have)) {
            q->have[q->have_count++] = e->b;
        }
    }
}

/* ---- cuts ---- */

struct work {
    const struct cuts_case *c;
    const struct options *o;
    const struct trace *t;
    const char *base; /* folder for the workers' own */
    unsigned char *wanted; /* one byte for each cut: bits of moods */
    struct tally *tally;
};

static void report(const struct work *w, uint64_t cut, enum mood mood, const char *dir, const char *log)
{
    char line[400], path[128];

    if (atomic_fetch_add(&w->tally->failed, 1) >= SHOWN_FAILURES || w->o->must_fail)
        return;
    FILE *f = fopen(log, "re");
    (void)snprintf(path, sizeof path, "%s.trace", w->base);
    if (w->o->trace == NULL)
        (void)trace_save(w->t, path);
    printf("%s: cut %llu, mood %s, seed %llu; left behind: %s; again: --only %s --trace %s --cut %llu --mood %s --seed %llu\n", w->c->name,
           (unsigned long long)cut, mood_name(mood), (unsigned long long)w->o->seed, dir, w->c->name,
           w->o->trace != NULL ? w->o->trace : path, (unsigned long long)cut, mood_name(mood), (unsigned long long)w->o->seed);
    for (unsigned lines = 0; f != NULL && lines < 60 && fgets(line, sizeof line, f) != NULL; lines++)
        printf("    %s", line);
    if (f != NULL)
        (void)fclose(f);
    (void)fflush(stdout);
}

/* `first`: the promises are those that it wrote down when it was recorded, up to `upto`, and the trace's; or NULL. */
struct again {
    struct trace *first;
    uint64_t upto;
};

static void promise_again(const struct again *a, struct promise p[SUBJECTS])
{
    const struct entry *e;
    uint64_t at = 0;

    for (uint64_t index = 0; index < a->upto && (e = trace_next(a->first, &at)) != NULL; index++)
        if (e->kind == TRACE_STATE)
            p[e->a % SUBJECTS] = (struct promise){.before = e};
}

static void check_once(const struct work *w, uint64_t cut, const char *dir, const char *log, const struct again *again, bool record)
{
    struct promise p[SUBJECTS];
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(3);
    (void)alarm(CHECK_SECONDS);
    promises_at(w->t, cut, p);
    if (again != NULL && !record)
        promise_again(again, p);
    if (record)
        record_begin(again->first, dir);
    bool ok = w->c->check(dir, p, w->t, cut, !record);
    record_end();
    (void)fflush(stdout);
    _exit(ok ? 0 : 1);
}

static int check_in_child(const struct work *w, uint64_t cut, const char *dir, const char *log, const struct again *again, bool record)
{
    pid_t pid = fork();

    if (pid == 0)
        check_once(w, cut, dir, log, again, record);
    return pid > 0 ? wait_for(pid) : -1;
}

/* What was left is opened, and the power cut a second time while it is being mended, or after it was shown. */
static int cut_again(const struct work *w, uint64_t cut, const char *dir, const char *log, uint64_t *rng)
{
    struct again again = {.first = trace_create((uint64_t)64 << 20)};
    struct disk *d = disk_load(dir);
    const struct entry *e;
    uint64_t at = 0;
    int status = check_in_child(w, cut, dir, log, &again, true);

    again.upto = again.first->count > 0 ? 1 + rng_below(rng, again.first->count) : 0;
    for (uint64_t index = 0; index < again.upto && (e = trace_next(again.first, &at)) != NULL; index++)
        disk_add(d, e, index);
    if (status == 0) {
        empty_folder(dir);
        disk_cut(d, (enum mood)rng_below(rng, MOODS), rng_next(rng), dir);
        status = check_in_child(w, cut, dir, log, &again, false);
    }
    disk_destroy(&d);
    (void)munmap(again.first, sizeof *again.first + again.first->room);
    return status;
}

/* Into `dir`, which is emptied; another one is taken when that is evidence. */
static void cut_here(const struct work *w, const struct disk *d, uint64_t cut, enum mood mood, unsigned worker, unsigned *evidence)
{
    char dir[128], log[140];

    (void)snprintf(dir, sizeof dir, "%s/cut-%u-%u", w->base, worker, *evidence);
    (void)snprintf(log, sizeof log, "%s.log", dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        cuts_die(dir, NULL);
    empty_folder(dir);
    disk_cut(d, mood, w->o->seed * 1000003 + cut * MOODS + mood, dir);
    uint64_t rng = w->o->seed + cut;
    int status = rng_below(&rng, AGAIN) == 0 ? cut_again(w, cut, dir, log, &rng) : check_in_child(w, cut, dir, log, NULL, false);
    atomic_fetch_add(&w->tally->checked, 1);
    if (status == 0)
        return;
    empty_folder(dir); /* as it was before it was opened */
    disk_cut(d, mood, w->o->seed * 1000003 + cut * MOODS + mood, dir);
    if (status > 1 && !w->o->must_fail)
        printf("the check ended with status %d\n", status);
    report(w, cut, mood, dir, log);
    *evidence += *evidence < SHOWN_FAILURES;
}

/* Every WORKERS-th of the cuts that are wanted. */
static void run_worker(const struct work *w, unsigned worker, uint64_t root)
{
    struct disk *d = disk_create(root);
    const struct entry *e;
    uint64_t at = 0, nth = 0;
    unsigned evidence = 0;

    for (uint64_t index = 0; (e = trace_next(w->t, &at)) != NULL && !(w->o->must_fail && w->tally->failed > 0); index++) {
        disk_add(d, e, index);
        for (unsigned mood = 0; mood < MOODS; mood++)
            if ((w->wanted[index + 1] >> mood & 1) != 0 && nth++ % WORKERS == worker)
                cut_here(w, d, index + 1, (enum mood)mood, worker, &evidence);
    }
    disk_destroy(&d);
    (void)fflush(stdout);
    _exit(0);
}

static void choose(const struct options *o, const struct trace *t, unsigned char *wanted)
{
    uint64_t rng = o->seed ^ 0x5eed;

    for (unsigned m = 0; o->mood != NULL && m < MOODS; m++)
        if (strcmp(mood_name((enum mood)m), o->mood) == 0 && o->cut <= t->count)
            wanted[o->cut] = (unsigned char)(1u << m);
    if (o->mood != NULL)
        return;
    if (o->points == 0)
        for (uint64_t i = 1; i <= t->count; i++)
            wanted[i] = (unsigned char)(o->all_moods ? (1u << MOODS) - 1 : 1u << rng_below(&rng, MOODS));
    uint64_t upto = o->upto > 0 && o->upto < t->count ? o->upto : t->count;
    for (uint64_t left = o->points; left > 0; left--)
        wanted[1 + rng_below(&rng, upto)] |= (unsigned char)(1u << rng_below(&rng, MOODS));
}

static void run_cuts(const struct cuts_case *c, const struct options *o, const struct trace *t, const char *base, uint64_t root,
                     struct tally *tally)
{
    struct work w = {.c = c, .o = o, .t = t, .base = base, .tally = tally};
    pid_t pids[WORKERS];

    w.wanted = xcalloc(t->count + 1, 1);
    choose(o, t, w.wanted);
    (void)fflush(stdout);
    for (unsigned i = 0; i < WORKERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            run_worker(&w, i, root);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        if (wait_for(pids[i]) != 0)
            atomic_fetch_add(&tally->failed, 1);
    free(w.wanted);
}

/* A folder in memory, if there is one. */
static void make_base(char base[64])
{
    (void)snprintf(base, 64, "%s/posthorn-cuts-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(base) == NULL)
        cuts_die("a folder", NULL);
}

static void run_case(const struct cuts_case *c, const struct options *o, struct tally *tally)
{
    char base[64], dir[80];
    struct stat st;
    uint64_t failed = tally->failed, checked = tally->checked;
    int64_t began = time(NULL);

    make_base(base);
    (void)snprintf(dir, sizeof dir, "%s/live", base);
    if (mkdir(dir, 0700) != 0 || stat(dir, &st) != 0)
        cuts_die(dir, NULL);
    struct trace *t = o->trace != NULL ? trace_load(o->trace) : trace_create((uint64_t)1 << 30);
    if (t == NULL)
        cuts_die("reading the trace", NULL);
    if (o->trace == NULL && !make_trace(c, t, dir, o)) {
        atomic_fetch_add(&tally->failed, 1);
        printf("left behind: %s\n", base);
        return;
    }
    uint64_t root = st.st_ino, at = 0;
    const struct entry *first = trace_next(t, &at);
    if (o->trace != NULL && first != NULL)
        root = first->a; /* the folder in which the first name was made */
    if (o->keep && o->trace == NULL) {
        char path[80];
        (void)snprintf(path, sizeof path, "%s.trace", base);
        (void)trace_save(t, path);
        printf("left behind: %s, %s\n", base, path);
    }
    run_cuts(c, o, t, base, root, tally);
    printf("%s: seed %llu, %llu entries, %llu cuts, %llu failed, %lld s\n", c->name, (unsigned long long)o->seed,
           (unsigned long long)t->count, (unsigned long long)(tally->checked - checked), (unsigned long long)(tally->failed - failed),
           (long long)(time(NULL) - began));
    (void)munmap(t, sizeof *t + t->room);
    if ((tally->failed == failed || o->must_fail) && !o->keep) {
        empty_folder(base);
        (void)rmdir(base);
    }
}

/* Without each of these syncs the cuts must fail. */
static void see_it_fail(const struct options *given, struct tally *tally)
{
    static const struct {
        const struct cuts_case *c;
        const char *without;
    } breaks[] = {
        {&cuts_store, ".vol"}, {&cuts_store, "mail.db-wal"}, {&cuts_store, "mail.db"}, {&cuts_store, "node.db"},  {&cuts_store, "/"},
        {&cuts_queue, ".vol"}, {&cuts_queue, "queue.db-wal"}, {&cuts_queue, "queue.db"}, {&cuts_queue, "/"},
    };
    struct options o = *given;
    uint64_t unseen = 0;

    o.must_fail = true;
    for (size_t i = 0; i < ARRAY_LEN(breaks); i++) {
        printf("without syncs of %s: ", breaks[i].without);
        record_leave_out(breaks[i].without);
        tally->failed = tally->checked = 0;
        run_case(breaks[i].c, &o, tally);
        unseen += tally->failed == 0;
    }
    tally->checked = ARRAY_LEN(breaks);
    tally->failed = unseen;
}

static uint64_t number(const char *text)
{
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

int main(int argc, char **argv)
{
    struct options o = {.points = 100, .seed = (uint64_t)time(NULL)};
    struct tally *tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    bool blind = false;

    if (tally == MAP_FAILED)
        return 3;
    for (int i = 1; i < argc; i++) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--all-moods") == 0)
            o.all_moods = true;
        else if (strcmp(argv[i], "--keep") == 0)
            o.keep = true;
        else if (strcmp(argv[i], "--see-it-fail") == 0)
            blind = true;
        else if (strcmp(argv[i], "--points") == 0)
            o.points = number(value), i++;
        else if (strcmp(argv[i], "--seed") == 0)
            o.seed = number(value), i++;
        else if (strcmp(argv[i], "--first-kill") == 0)
            o.first_kill = number(value), i++;
        else if (strcmp(argv[i], "--lives") == 0)
            o.lives = number(value), i++;
        else if (strcmp(argv[i], "--upto") == 0)
            o.upto = number(value), i++;
        else if (strcmp(argv[i], "--cut") == 0)
            o.cut = number(value), i++;
        else if (strcmp(argv[i], "--only") == 0)
            o.only = value, i++;
        else if (strcmp(argv[i], "--trace") == 0)
            o.trace = value, i++;
        else if (strcmp(argv[i], "--without") == 0)
            o.without = value, i++;
        else if (strcmp(argv[i], "--mood") == 0)
            o.mood = value, i++;
        else
            return 2;
    }
    log_set_level(LOG_ERROR);
    record_leave_out(o.without);
    printf("seed %llu\n", (unsigned long long)o.seed);
    if (blind)
        see_it_fail(&o, tally);
    for (size_t i = 0; i < ARRAY_LEN(cases) && !blind; i++)
        if (o.only == NULL || strcmp(o.only, cases[i]->name) == 0)
            run_case(cases[i], &o, tally);
    printf("%llu passed, %llu failed\n", (unsigned long long)(tally->checked - tally->failed), (unsigned long long)tally->failed);
    return tally->failed > 0 || tally->checked == 0;
}
