/*
 * tests/unit/storage/test_lease.c - while a backup reads, nothing is given back; what it is told to copy is whole.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "storage/files.h"
#include "storage/volume.h"
#include "tests/unit/check.h"
#include "tests/unit/storage/folder.h"

enum { SMALL = 5000, LARGE = 100000, LATER = 4000 };

static struct volume_limits limits;

static const struct record_target target = {.kind = RECORD_LOCAL, .account = 7, .recipient = {"ann@example.org", 15}};
static const struct record plain = {.kind = RECORD_DELIVERY, .targets = &target, .target_count = 1};

/* 0: *why. */
static volume_ref append(struct volumes *v, const char *dir, size_t n, struct fail *why)
{
    struct body_limits l = {.memory_max = 1 << 20, .size_max = 1 << 20, .spool_dir = dir};
    struct body *b = body_create(&l);
    char *bytes = calloc(1, n);
    volume_ref ref = 0;

    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 31 + n);
    bool ok = body_add(b, slice_make(bytes, n), why) && volume_append(v, &plain, b, &ref, why);
    body_destroy(&b);
    free(bytes);
    return ok ? ref : 0;
}

static volume_ref put(struct volumes *v, const char *dir, size_t n)
{
    struct fail why = {0};
    volume_ref ref = append(v, dir, n, &why);

    CHECK(why.text, ref != 0);
    return ref;
}

static bool is_the_one(void *ctx, volume_ref ref)
{
    return ref == *(const volume_ref *)ctx;
}

/* `live`: that is still needed. */
static uint64_t reclaimed(struct volumes *v, volume_ref live, int64_t after)
{
    uint64_t freed = 1;
    struct fail why;

    CHECK("reclaim", volume_reclaim(v, is_the_one, &live, clock_now() + after, &freed, &why));
    return freed;
}

/* Large records, whose blocks are punched, or small ones, whose volume is compacted. */
static void test_freeing_waits(size_t n, const char *note)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    volume_ref refs[40];
    struct fail why;

    CHECK(note, volumes_open(f.path, &limits, &v, &why));
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        refs[i] = put(v, f.path, n);
    volumes_close(&v); /* a volume that is being written is never reclaimed */
    CHECK(note, volumes_open(f.path, &limits, &v, &why));
    volume_lease_begin(v);
    volume_lease_begin(v);
    for (size_t i = 0; i < ARRAY_LEN(refs) - 1; i++)
        volume_release(v, refs[i], n + 600);
    CHECK(note, reclaimed(v, refs[ARRAY_LEN(refs) - 1], LATER) == 0);
    volume_lease_end(v);
    CHECK("another one lives", reclaimed(v, refs[ARRAY_LEN(refs) - 1], LATER) == 0);
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        CHECK("still there", volume_verify(v, refs[i], &why));
    volume_lease_end(v);
    CHECK("not before its time", reclaimed(v, refs[ARRAY_LEN(refs) - 1], 0) == 0);
    CHECK("goes on after it", reclaimed(v, refs[ARRAY_LEN(refs) - 1], LATER) > 0);
    CHECK("what is gone is gone", !volume_verify(v, refs[0], &why));
    CHECK("the rest is there", volume_verify(v, refs[ARRAY_LEN(refs) - 1], &why));
    volumes_close(&v);
    folder_remove(&f);
}

/* A copy of the extents' bytes, opened as a backup is. */
static struct volumes *open_copy(const struct folder *from, const struct folder *to, const struct volume_extent *list,
                                 size_t count)
{
    struct volumes *v = NULL;
    struct fail why;

    for (size_t i = 0; i < count; i++) {
        struct volume_name name = volume_name(list[i].id);
        char *bytes = malloc(list[i].bytes);
        int in = folder_open(from, name.text), out = folder_open(to, name.text);
        CHECK("it is that long", pread(in, bytes, list[i].bytes, 0) == (ssize_t)list[i].bytes);
        CHECK("copied", pwrite(out, bytes, list[i].bytes, 0) == (ssize_t)list[i].bytes);
        (void)close(in);
        (void)close(out);
        free(bytes);
    }
    CHECK("the copy opens", volumes_open_read_only(to->path, &limits, &v, &why));
    return v;
}

static bool same(const struct volume_extent *a, const struct volume_extent *b)
{
    return a->id == b->id && a->bytes == b->bytes && a->generation[0] != '\0' && strcmp(a->generation, b->generation) == 0;
}

static void test_extents(void)
{
    struct folder f = folder_make(), g = folder_make();
    struct volume_extent *one, *two;
    struct volumes *v = NULL, *copy;
    size_t count, again;
    struct fail why;
    volume_ref ref, refs[30];

    CHECK("open", volumes_open(f.path, &limits, &v, &why));
    CHECK("nothing yet", volume_extents(v, &one, &count, &why) && count == 0);
    free(one);
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        refs[i] = put(v, f.path, LARGE);
    CHECK("volumes", volume_extents(v, &one, &count, &why) && count > 1);
    CHECK("again", volume_extents(v, &two, &again, &why) && again == count);
    CHECK("the one being written is the same", same(&one[count - 1], &two[count - 1]));
    CHECK("one that was just ended is not trusted", one[0].generation[0] == '\0');
    free(two);
    ref = put(v, f.path, SMALL);
    CHECK("it grew", volume_extents(v, &two, &again, &why) && two[again - 1].bytes > one[count - 1].bytes);
    free(two);
    copy = open_copy(&f, &g, one, count);
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        CHECK("all that was there before", volume_verify(copy, refs[i], &why));
    CHECK("not what came after", !volume_verify(copy, ref, &why));
    CHECK("nobody writes to it", !volume_has_space(copy, 1, &why));
    CHECK("nor changes it", reclaimed(copy, 0, LATER) == 0);
    free(one);
    volumes_close(&copy);
    volumes_close(&v);
    folder_remove(&f);
    folder_remove(&g);
}

/* ---- while others append ---- */

struct writer {
    struct volumes *v;
    const char *dir;
    _Atomic uint64_t last; /* acknowledged */
    _Atomic bool stop;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;

    while (!atomic_load(&w->stop)) {
        volume_ref ref = append(w->v, w->dir, SMALL, NULL);
        if (ref == 0)
            return w; /* what the other threads count is not for this one */
        atomic_store(&w->last, ref);
    }
    return NULL;
}

static bool count_one(void *ctx, volume_ref ref, const struct record *rec)
{
    (void)ref;
    (void)rec;
    (*(unsigned *)ctx)++;
    return true;
}

static void test_while_written(void)
{
    struct folder f = folder_make();
    struct writer writers[3];
    pthread_t threads[ARRAY_LEN(writers)];
    struct volumes *v = NULL;
    struct fail why;

    CHECK("open", volumes_open(f.path, &limits, &v, &why));
    for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
        writers[i] = (struct writer){.v = v, .dir = f.path};
        CHECK("thread", pthread_create(&threads[i], NULL, write_on, &writers[i]) == 0);
    }
    volume_lease_begin(v);
    for (unsigned round = 0; round < 5; round++) {
        struct folder g = folder_make();
        volume_ref acknowledged[ARRAY_LEN(writers)];
        struct volume_extent *list;
        uint64_t damaged = 1;
        unsigned count = 0;
        size_t n;

        for (size_t i = 0; i < ARRAY_LEN(writers); i++)
            while ((acknowledged[i] = atomic_load(&writers[i].last)) == 0)
                (void)sched_yield();
        CHECK("extents", volume_extents(v, &list, &n, &why));
        struct volumes *copy = open_copy(&f, &g, list, n);
        for (size_t i = 0; i < ARRAY_LEN(writers); i++)
            CHECK("what was acknowledged is there", volume_verify(copy, acknowledged[i], &why));
        CHECK("nothing is half there", volume_scan(copy, 0, count_one, &count, &damaged, &why) && damaged == 0 && count > 0);
        volumes_close(&copy);
        free(list);
        folder_remove(&g);
    }
    volume_lease_end(v);
    for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
        atomic_store(&writers[i].stop, true);
        void *failed = NULL;
        (void)pthread_join(threads[i], &failed);
        CHECK("appended all the time", failed == NULL);
    }
    volumes_close(&v);
    folder_remove(&f);
}

int main(void)
{
    volume_limits_default(&limits);
    limits.reserve_percent = 0;
    limits.reserve_bytes = 0;
    limits.volume_bytes = 1 << 20;
    limits.compression = 0;
    limits.prewrite_bytes = 256 << 10;
    test_freeing_waits(SMALL, "compacted");
    test_freeing_waits(LARGE, "punched");
    test_extents();
    test_while_written();
    return check_done();
}
