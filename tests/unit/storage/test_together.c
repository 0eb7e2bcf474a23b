/*
 * tests/unit/storage/test_together.c - writing, reading, scanning and reclaiming
 * at the same time: what is live is always there, whole.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "storage/volume.h"
#include "tests/unit/check.h"
#include "tests/unit/storage/folder.h"

enum { WRITERS = 2, READERS = 2, EACH = 400, ALL = WRITERS * EACH, BYTES = 3000 };

/* Two records of three are released as soon as they are there. */
struct stage {
    struct volumes *v;
    struct folder folder;
    _Atomic(volume_ref) refs[ALL]; /* 0: not there yet */
    atomic_uint written;
    atomic_uint wrong;
    uint64_t freed; /* the tidying thread's */
};

struct part {
    struct stage *s;
    unsigned number;
    pthread_t thread;
};

static bool is_released(unsigned i)
{
    return i % 3 != 0;
}

static void fill(unsigned i, char out[BYTES])
{
    for (unsigned at = 0; at < BYTES; at++)
        out[at] = (char)(i * 31 + at * 7 + at / 256);
}

static void *write_all(void *arg)
{
    static const struct record_target target = {.kind = RECORD_LOCAL, .account = 1};
    static const struct record rec = {.kind = RECORD_DELIVERY, .targets = &target, .target_count = 1};
    const struct part *p = arg;
    struct stage *s = p->s;
    struct body_limits l = {.memory_max = 2 * BYTES, .size_max = 1 << 20, .spool_dir = s->folder.path};
    char bytes[BYTES];
    struct fail why;

    for (unsigned i = p->number; i < ALL; i += WRITERS) {
        struct body *b = body_create(&l);
        volume_ref ref = 0;
        fill(i, bytes);
        bool ok = body_add(b, slice_make(bytes, BYTES), &why) && volume_append(s->v, &rec, b, &ref, &why);
        body_destroy(&b);
        atomic_store(&s->refs[i], ref);
        if (!ok)
            atomic_fetch_add(&s->wrong, 1);
        else if (is_released(i))
            volume_release(s->v, ref, BYTES + 200);
        atomic_fetch_add(&s->written, 1);
    }
    return NULL;
}

/* What is live is there; what was released is there whole or not at all. */
static void *read_all(void *arg)
{
    const struct part *p = arg;
    struct stage *s = p->s;
    char bytes[BYTES], got[BYTES];
    struct fail why;

    for (unsigned n = 0; n < ALL || atomic_load(&s->written) < ALL; n++) {
        unsigned i = (n * 7 + p->number * 13) % ALL;
        volume_ref ref = atomic_load(&s->refs[i]);
        if (ref == 0)
            continue;
        fill(i, bytes);
        if (volume_read(s->v, ref, 0, got, BYTES, &why) ? memcmp(got, bytes, BYTES) != 0
                                                        : !is_released(i) || why.reason != FAIL_NOT_FOUND)
            atomic_fetch_add(&s->wrong, 1);
    }
    return NULL;
}

static bool is_live(void *ctx, volume_ref ref)
{
    struct stage *s = ctx;

    for (unsigned i = 0; i < ALL; i++)
        if (atomic_load(&s->refs[i]) == ref)
            return !is_released(i);
    return true; /* just written: its writer has not noted it yet */
}

static bool count_one(void *ctx, volume_ref ref, const struct record *rec)
{
    unsigned *count = ctx;

    (void)ref;
    (void)rec;
    ++*count;
    return true;
}

static void *tidy_all(void *arg)
{
    const struct part *p = arg;
    struct stage *s = p->s;
    uint64_t freed, damaged;
    struct fail why;

    while (atomic_load(&s->written) < ALL) {
        unsigned before = atomic_load(&s->written), count = 0;
        unsigned live = before / 3 > 2 * WRITERS ? before / 3 - 2 * WRITERS : 0;
        if (!volume_reclaim(s->v, is_live, s, clock_now(), &freed, &why) ||
            !volume_scan(s->v, 0, count_one, &count, &damaged, &why) || damaged > 0 || count < live)
            atomic_fetch_add(&s->wrong, 1);
        s->freed += freed;
    }
    return NULL;
}

int main(void)
{
    struct stage *s = calloc(1, sizeof *s);
    struct part parts[WRITERS + READERS + 1];
    struct volume_limits limits;
    struct fail why;
    uint64_t freed = 0;

    volume_limits_default(&limits);
    limits.reserve_percent = 0;
    limits.reserve_bytes = 0;
    limits.volume_bytes = 100000;
    limits.prewrite_bytes = 30000;
    limits.free_after_seconds = 0;
    limits.open_files = 3;
    s->folder = folder_make();
    CHECK("opened", volumes_open(s->folder.path, &limits, &s->v, &why));
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        void *(*run)(void *) = i < WRITERS ? write_all : i < WRITERS + READERS ? read_all : tidy_all;
        parts[i] = (struct part){.s = s, .number = i};
        CHECK("thread", pthread_create(&parts[i].thread, NULL, run, &parts[i]) == 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
        (void)pthread_join(parts[i].thread, NULL);
    CHECK("all as it should be", atomic_load(&s->wrong) == 0);
    CHECK("volumes were compacted meanwhile", s->freed > 0);
    volumes_close(&s->v);
    CHECK("opened again", volumes_open(s->folder.path, &limits, &s->v, &why));
    for (unsigned i = 0; i < ALL; i++)
        CHECK("the live ones are there", is_released(i) || volume_verify(s->v, s->refs[i], &why));
    CHECK("reclaimed", volume_reclaim(s->v, is_live, s, clock_now(), &freed, &why));
    volumes_close(&s->v);
    folder_remove(&s->folder);
    free(s);
    return check_done();
}
