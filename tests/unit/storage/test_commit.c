/*
 * tests/unit/storage/test_commit.c - many threads, one sync, and syncs that fail.
 */
#include <pthread.h>

#include "base/block.h"
#include "base/body.h"
#include "storage/volume.h"
#include "tests/unit/check.h"
#include "tests/unit/storage/fault.h"
#include "tests/unit/storage/folder.h"

enum { THREADS = 8, EACH = 150 };

static struct volume_limits limits;

static const struct record_target someone[] = {
    {.kind = RECORD_LOCAL, .account = 1, .recipient = {"ann@example.org", 15}},
};

static const struct record a_record = {.kind = RECORD_DELIVERY, .targets = someone, .target_count = 1};

static bool put(struct volumes *v, const struct folder *f, const char *bytes, size_t n, bool start_only,
                volume_ref *ref, struct fail *why)
{
    struct body_limits l = {.memory_max = 8000, .size_max = 1 << 24, .spool_dir = f->path};
    struct body *b = body_create(&l);
    bool ok = body_add(b, slice_make(bytes, n), why) &&
              (start_only ? volume_append_start : volume_append)(v, &a_record, b, ref, why);

    body_destroy(&b);
    return ok;
}

/* One that the syncer tells of. */
struct later {
    struct volume_pending pending;
    sem_t told;
    bool ok;
    struct fail why;
};

static void tell_later(struct volume_pending *p, bool ok, const struct fail *why)
{
    struct later *l = (struct later *)p;

    l->ok = ok;
    l->why = *why;
    (void)sem_post(&l->told);
}

static bool begin_later(struct volumes *v, const struct folder *f, const char *bytes, size_t n, struct later *l, struct fail *why)
{
    struct body_limits of_body = {.memory_max = 8000, .size_max = 1 << 24, .spool_dir = f->path};
    struct body *b = body_create(&of_body);

    *l = (struct later){.pending = {.done = tell_later}};
    (void)sem_init(&l->told, 0, 0);
    bool ok = body_add(b, slice_make(bytes, n), why) && volume_append_later(v, &a_record, b, &l->pending, why);
    body_destroy(&b);
    return ok;
}

static volume_ref put_later(struct volumes *v, const struct folder *f, const char *bytes, size_t n, struct fail *why)
{
    struct later l;

    if (!begin_later(v, f, bytes, n, &l, why))
        return 0;
    (void)sem_wait(&l.told);
    return l.ok ? l.pending.ref : 0;
}

struct writer {
    struct volumes *v;
    const struct folder *f;
    unsigned number;
    volume_ref refs[EACH];
    unsigned acknowledged;
};

static size_t text_of(unsigned writer, unsigned i, char *out, size_t room)
{
    size_t n = 1 + (writer * 7919 + i * 104729) % (room - 1);

    memset(out, 'a' + (int)((writer + i) % 26), n);
    return n;
}

static void *write_many(void *arg)
{
    struct writer *w = arg;
    char bytes[20000];
    struct fail why;

    for (unsigned i = 0; i < EACH; i++) {
        size_t n = text_of(w->number, i, bytes, i % 10 == 0 ? sizeof bytes : 3000);
        w->refs[i] = 0;
        if (i % 16 == 15 && w->acknowledged == i) { /* some in two steps */
            volume_ref first = 0;
            if (put(w->v, w->f, bytes, n, true, &first, &why) && volume_sync(w->v, first, first, &why))
                w->refs[i] = first;
        } else if (i % 3 == 1) {
            w->refs[i] = put_later(w->v, w->f, bytes, n, &why);
        } else if (!put(w->v, w->f, bytes, n, false, &w->refs[i], &why)) {
            w->refs[i] = 0;
        }
        w->acknowledged += w->refs[i] != 0;
    }
    return NULL;
}

/* What was acknowledged is there, each once, whatever else happened. */
static void check_acknowledged(struct volumes *v, const struct writer *writers)
{
    char bytes[20000], got[20000];
    struct fail why;

    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < EACH; i++) {
            if (writers[t].refs[i] == 0)
                continue;
            size_t n = text_of(t, i, bytes, i % 10 == 0 ? sizeof bytes : 3000);
            CHECK("as it was written",
                  volume_read(v, writers[t].refs[i], 0, got, n, &why) && memcmp(got, bytes, n) == 0);
        }
    }
}

static bool count_one(void *ctx, volume_ref ref, const struct record *rec)
{
    size_t *count = ctx;

    (void)ref;
    (void)rec;
    ++*count;
    return true;
}

static void test_many(const char *note, int failing_syncs, unsigned least)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct writer *writers = calloc(THREADS, sizeof *writers);
    pthread_t threads[THREADS];
    struct fail why;
    struct volume_stats stats;
    unsigned sum = 0;

    limits.volume_bytes = 300000; /* several volumes */
    limits.prewrite_bytes = 100000;
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.v = v, .f = &f, .number = i};
        CHECK("thread", pthread_create(&threads[i], NULL, write_many, &writers[i]) == 0);
    }
    for (int i = 0; i < failing_syncs; i++) {
        (void)usleep(2000); /* somewhere in the midst of it: no matter where */
        atomic_fetch_add(&fault_syncs, 1);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        sum += writers[i].acknowledged;
    }
    atomic_store(&fault_syncs, 0);
    volume_stats(v, &stats);
    CHECK(note, sum >= least && sum <= THREADS * EACH);
    CHECK(note, failing_syncs > 0 || (stats.sealed == 0 && stats.volumes > 3));
    check_acknowledged(v, writers);
    volumes_close(&v);

    size_t found = 0;
    uint64_t damaged;
    CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    check_acknowledged(v, writers);
    CHECK("scanned", volume_scan(v, 0, count_one, &found, &damaged, &why));
    CHECK(note, found >= sum && damaged == 0);
    CHECK(note, failing_syncs > 0 || found == sum);
    volumes_close(&v);
    free(writers);
    folder_remove(&f);
}

/* A sync that fails: no for everybody, a new volume, nothing of the old one seen again. */
static void test_failed_sync(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    volume_ref before = 0, lost = 77, first = 0, second = 0, after = 0;
    struct volume_stats stats;
    uint64_t damaged;
    size_t found = 0;

    limits.prewrite_bytes = 0; /* its syncs are none of this test's */
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    CHECK("before", put(v, &f, "before", 6, false, &before, &why));
    CHECK("begun", put(v, &f, "begun", 5, true, &first, &why));
    atomic_store(&fault_syncs, 1);
    CHECK("lost", !put(v, &f, "lost", 4, false, &lost, &why));
    CHECK("for now", why.kind == FAIL_TEMP && lost == 77);
    unsigned syncs = atomic_load(&fault_sync_count);
    CHECK("never tried again",
          !volume_sync(v, first, first, &why) && atomic_load(&fault_sync_count) == syncs);
    CHECK("begun again", put(v, &f, "begun", 5, true, &second, &why) && second >> 32 > first >> 32);
    CHECK("one of the two is lost", !volume_sync(v, first, second, &why));
    CHECK("the other is not", volume_sync(v, second, second, &why));
    CHECK("what was promised before is kept", volume_sync(v, before, before, &why));
    CHECK("goes on", put(v, &f, "after", 5, false, &after, &why));
    volume_stats(v, &stats);
    CHECK("sealed", stats.sealed == 1);
    volumes_close(&v);
    CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    CHECK("scanned", volume_scan(v, 0, count_one, &found, &damaged, &why) && damaged == 0);
    CHECK("the lost one does not come back", found == 4);
    volumes_close(&v);
    folder_remove(&f);
}

/* Parked ones hear of it all, whether it went well or not; a close tells them first. */
static void test_later(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct later kept, lost[3], last;
    struct fail why;
    uint64_t damaged;
    size_t found = 0;

    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    CHECK("begun", begin_later(v, &f, "kept", 4, &kept, &why));
    (void)sem_wait(&kept.told);
    CHECK("kept", kept.ok && kept.pending.ref != 0);
    atomic_store(&fault_syncs, 1);
    CHECK("begun", begin_later(v, &f, "lost", 4, &lost[0], &why));
    (void)sem_wait(&lost[0].told);
    CHECK("lost, and why", !lost[0].ok && lost[0].why.kind == FAIL_TEMP && lost[0].why.text[0] != '\0');
    atomic_store(&fault_errno, EIO);
    atomic_store(&fault_writes, 1);
    CHECK("not begun: nobody is told", !begin_later(v, &f, "lost", 4, &lost[1], &why) && why.kind == FAIL_TEMP);
    CHECK("goes on", begin_later(v, &f, "last", 4, &last, &why));
    volumes_close(&v);
    CHECK("told before the end", sem_trywait(&last.told) == 0 && last.ok);
    CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    CHECK("scanned", volume_scan(v, 0, count_one, &found, &damaged, &why) && damaged == 0 && found == 2);
    volumes_close(&v);
    folder_remove(&f);
}

struct waiting {
    struct volumes *v;
    const struct folder *f;
    sem_t sleeps, awake, go_on;
};

static void sleeps(void *ctx)
{
    (void)sem_post(&((struct waiting *)ctx)->sleeps);
}

static void is_awake(void *ctx)
{
    (void)sem_post(&((struct waiting *)ctx)->awake);
    (void)sem_wait(&((struct waiting *)ctx)->go_on);
}

/* Returns whether its record was kept. */
static void *put_one(void *arg)
{
    struct waiting *w = arg;
    volume_ref ref;
    struct fail why;

    return put(w->v, w->f, "one", 3, false, &ref, &why) ? w : NULL;
}

static void *put_one_told(void *arg)
{
    struct block_hook hook = {.begin = sleeps, .end = is_awake, .ctx = arg};

    block_set_hook(&hook);
    void *kept = put_one(arg);
    block_set_hook(NULL);
    return kept;
}

/* The volume is sealed after one of those that wait was woken to sync, and before it has begun. */
static void test_sealed_between(void)
{
    struct folder f = folder_make();
    struct waiting w = {.f = &f};
    struct fault_gate gate;
    pthread_t first, others[3];
    volume_ref ref = 0;
    struct fail why;
    void *kept;

    (void)sem_init(&gate.begun, 0, 0);
    (void)sem_init(&gate.go_on, 0, 0);
    (void)sem_init(&w.sleeps, 0, 0);
    (void)sem_init(&w.awake, 0, 0);
    (void)sem_init(&w.go_on, 0, 0);
    CHECK("opened", volumes_open(f.path, &limits, &w.v, &why));
    CHECK("before", put(w.v, &f, "before", 6, false, &ref, &why));
    atomic_store(&fault_gate, &gate);
    CHECK("syncs", pthread_create(&first, NULL, put_one, &w) == 0);
    (void)sem_wait(&gate.begun);
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        CHECK("waits", pthread_create(&others[i], NULL, put_one_told, &w) == 0);
        (void)sem_wait(&w.sleeps);
    }
    (void)sem_post(&gate.go_on);
    (void)pthread_join(first, &kept);
    CHECK("the first is kept", kept != NULL);
    (void)sem_wait(&w.awake); /* the one that should sync next */
    atomic_store(&fault_errno, EIO);
    atomic_store(&fault_writes, 1);
    CHECK("broken", !put(w.v, &f, "lost", 4, false, &ref, &why));
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        (void)sem_post(&w.go_on);
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        (void)pthread_join(others[i], &kept);
        CHECK("nobody else is, and nobody sleeps for ever", kept == NULL);
    }
    volumes_close(&w.v);
    folder_remove(&f);
}

static void test_failed_write(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    volume_ref ref = 0;

    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    CHECK("before", put(v, &f, "before", 6, false, &ref, &why));
    atomic_store(&fault_errno, ENOSPC);
    atomic_store(&fault_writes, 1);
    CHECK("full",
          !put(v, &f, "lost", 4, false, &ref, &why) && why.reason == FAIL_NO_SPACE && why.kind == FAIL_TEMP);
    atomic_store(&fault_errno, EIO);
    atomic_store(&fault_writes, 1);
    CHECK("broken", !put(v, &f, "lost", 4, false, &ref, &why) && why.kind == FAIL_TEMP);
    CHECK("goes on", put(v, &f, "after", 5, false, &ref, &why));
    volumes_close(&v);
    folder_remove(&f);
}

static void test_reserve(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct volume_limits much = limits;
    struct fail why;
    volume_ref ref;

    much.reserve_bytes = UINT64_C(1) << 60;
    CHECK("opened", volumes_open(f.path, &much, &v, &why));
    CHECK("no room",
          !volume_has_space(v, 1, &why) && why.reason == FAIL_NO_SPACE && strcmp(why.code, "4.3.1") == 0);
    CHECK("no mail", !put(v, &f, "x", 1, false, &ref, &why) && why.reason == FAIL_NO_SPACE);
    volumes_close(&v);
    CHECK("and no file", folder_count(&f) == 0);
    folder_remove(&f);
}

int main(void)
{
    volume_limits_default(&limits);
    limits.reserve_percent = 0;
    limits.reserve_bytes = 0;
    test_many("all well", 0, THREADS * EACH);
    test_many("failing now and then", 5, 1);
    test_failed_sync();
    test_later();
    test_sealed_between();
    test_failed_write();
    test_reserve();
    return check_done();
}
