/*
 * tests/unit/storage/test_volume.c - records go in and come out, also after a
 * restart, a crash, damage and compaction.
 */
#include <sys/stat.h>

#include "base/clock.h"
#include "base/encode.h"
#include "storage/files.h"
#include "storage/volume.h"
#include "tests/unit/check.h"
#include "tests/unit/storage/folder.h"

static struct volume_limits limits;

/* `n` bytes that pack well or not at all, different for each seed. */
static void fill(char *out, size_t n, unsigned seed, bool packable)
{
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = packable ? (char)('a' + (i / 16 + seed) % 8) : (char)x;
    }
    for (size_t i = 0; packable && i + 8 < n; i += 997)
        memcpy(out + i, &x, 8);
}

static struct body *body_of(const char *dir, const char *bytes, size_t n, size_t memory_max)
{
    struct body_limits l = {.memory_max = memory_max, .size_max = 1 << 30, .spool_dir = dir};
    struct body *b = body_create(&l);
    struct fail why;

    CHECK("a body", body_add(b, slice_make(bytes, n), &why));
    return b;
}

static const struct record_target two_targets[] = {
    {.kind = RECORD_LOCAL,
     .account = 7,
     .mailbox = 3,
     .flags = 5,
     .keywords = {"$Junk", 5},
     .recipient = {"ann@example.org", 15},
     .prefix = {"Return-Path: <>\r\n", 17}},
    {.kind = RECORD_OUTBOUND,
     .recipient = {"bob@example.net", 15},
     .options = {"notify=1", 8},
     .sender = {"owner@example.org", 17}},
};

static const struct record plain_record = {
    .kind = RECORD_DELIVERY,
    .sender = {"carl@example.com", 16},
    .internal_date = 1700000000,
    .internal_zone = -90,
    .trace = {"k3f9", 4},
    .targets = two_targets,
    .target_count = 2,
};

static volume_ref put(struct volumes *v, const char *dir, const char *bytes, size_t n, size_t memory_max)
{
    struct body *b = body_of(dir, bytes, n, memory_max);
    volume_ref ref = 0;
    struct fail why;
    bool ok = volume_append(v, &plain_record, b, &ref, &why);

    CHECK(ok ? "append" : why.text, ok && ref != 0);
    body_destroy(&b);
    return ref;
}

static bool comes_back(struct volumes *v, volume_ref ref, const char *bytes, size_t n)
{
    char *got = malloc(n + 1);
    struct fail why;
    bool ok = volume_read(v, ref, 0, got, n, &why) && (n == 0 || memcmp(got, bytes, n) == 0);

    free(got);
    return ok;
}

static void test_round_trip(void)
{
    static const struct {
        const char *note;
        size_t n;
        bool packable;
        size_t memory_max;
    } cases[] = {
        {"empty", 0, false, 1 << 20},
        {"one byte", 1, false, 1 << 20},
        {"small", 4000, true, 1 << 20},
        {"one frame but a byte", FRAME_BYTES - 1, true, 1 << 20},
        {"one frame", FRAME_BYTES, true, 1 << 20},
        {"one frame and a byte", FRAME_BYTES + 1, false, 1 << 20},
        {"packs in memory", 200000, true, 1 << 20},
        {"does not pack", 200000, false, 1 << 20},
        {"spooled, packs", 700001, true, 4096},
        {"spooled, does not pack", 700001, false, 4096},
        {"larger than a volume", 3 << 20, false, 4096},
    };
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    volume_ref refs[ARRAY_LEN(cases)];
    char *bytes = malloc(4 << 20);

    limits.volume_bytes = 1 << 20;
    limits.compression = 1;
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fill(bytes, cases[i].n, (unsigned)i, cases[i].packable);
        refs[i] = put(v, f.path, bytes, cases[i].n, cases[i].memory_max);
        CHECK(cases[i].note, i == 0 || refs[i] > refs[i - 1]);
        CHECK(cases[i].note, volume_end(v) > refs[i]);
    }
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            fill(bytes, cases[i].n, (unsigned)i, cases[i].packable);
            CHECK(cases[i].note, comes_back(v, refs[i], bytes, cases[i].n));
            CHECK(cases[i].note, volume_verify(v, refs[i], &why));
            if (cases[i].n > 100) {
                char part[50];
                size_t at = cases[i].n / 2 - 20;
                CHECK(cases[i].note,
                      volume_read(v, refs[i], at, part, 50, &why) && memcmp(part, bytes + at, 50) == 0);
            }
            char beyond;
            CHECK(cases[i].note, !volume_read(v, refs[i], cases[i].n, &beyond, 1, &why));
        }
        volumes_close(&v);
        CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    }
    volumes_close(&v);
    free(bytes);
    folder_remove(&f);
}

static void test_describe(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    struct arena a;
    struct record got;

    arena_init(&a, 1 << 20);
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    volume_ref ref = put(v, f.path, "hello", 5, 100);
    CHECK("described", volume_describe(v, ref, &a, &got, &why));
    CHECK("kind", got.kind == RECORD_DELIVERY);
    CHECK("size", got.size == 5);
    CHECK("date", got.internal_date == 1700000000 && got.internal_zone == -90);
    CHECK_SLICE("sender", got.sender, SLICE("carl@example.com"));
    CHECK_SLICE("trace", got.trace, SLICE("k3f9"));
    CHECK("targets", got.target_count == 2);
    CHECK("local", got.targets[0].kind == RECORD_LOCAL && got.targets[0].account == 7 &&
                       got.targets[0].mailbox == 3 && got.targets[0].flags == 5);
    CHECK_SLICE("keywords", got.targets[0].keywords, SLICE("$Junk"));
    CHECK_SLICE("prefix", got.targets[0].prefix, SLICE("Return-Path: <>\r\n"));
    CHECK("outbound", got.targets[1].kind == RECORD_OUTBOUND);
    CHECK_SLICE("recipient", got.targets[1].recipient, SLICE("bob@example.net"));
    CHECK_SLICE("options", got.targets[1].options, SLICE("notify=1"));
    CHECK_SLICE("its sender", got.targets[1].sender, SLICE("owner@example.org"));
    CHECK("no such record",
          !volume_describe(v, volume_end(v) + 4096, &a, &got, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("no such volume",
          !volume_describe(v, ref + (UINT64_C(9) << 32), &a, &got, &why) && why.reason == FAIL_NOT_FOUND);
    arena_finish(&a);
    volumes_close(&v);
    folder_remove(&f);
}

struct seen {
    volume_ref refs[64];
    size_t count;
    uint64_t sizes;
};

static bool see(void *ctx, volume_ref ref, const struct record *rec)
{
    struct seen *s = ctx;

    s->refs[s->count++ % ARRAY_LEN(s->refs)] = ref;
    s->sizes += rec->size;
    return true;
}

static struct seen scan(struct volumes *v, volume_ref from, uint64_t *damaged)
{
    struct seen s = {0};
    struct fail why;

    CHECK("scanned", volume_scan(v, from, see, &s, damaged, &why));
    return s;
}

/* limit: a frame of a stored message, unpacked by zstd */
/* Any flipped bit in a record, its padding and its end included, is noticed. */
static void test_bit_flips(void)
{
    static const struct {
        const char *note;
        size_t n;
        bool packable;
    } cases[] = {
        {"raw", 300, false},
        {"packed", 70000, true},
    };

    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct folder f = folder_make();
        struct volumes *v = NULL;
        struct fail why;
        char *bytes = malloc(cases[c].n);
        unsigned missed = 0;
        uint64_t damaged;

        limits.compress_from = 1024;
        fill(bytes, cases[c].n, 1, cases[c].packable);
        CHECK("opened", volumes_open(f.path, &limits, &v, &why));
        volume_ref ref = put(v, f.path, bytes, cases[c].n, 1 << 20);
        volume_ref next = put(v, f.path, "after", 5, 100);
        int fd = folder_open(&f, volume_name(ref_volume(ref)).text);
        size_t step = cases[c].n > 1000 ? 7 : 1; /* bytes; every bit of each */
        for (off_t at = (off_t)ref_offset(ref); at < (off_t)ref_offset(next); at += (off_t)step) {
            for (int bit = 0; bit<8; bit += step> 1 ? 3 : 1) {
                folder_flip(fd, at, bit);
                missed += volume_verify(v, ref, &why);
                folder_flip(fd, at, bit);
            }
        }
        CHECK(cases[c].note, missed == 0);
        CHECK(cases[c].note, volume_verify(v, ref, &why));
        folder_flip(fd, (off_t)ref_offset(ref) + 200, 3);
        CHECK("reading says where", !volume_read(v, ref, 0, bytes, 100, &why) && why.kind == FAIL_PERM &&
                                        strstr(why.text, "damaged") != NULL);
        struct seen s = scan(v, 0, &damaged);
        CHECK("the scan goes on behind it", s.count == 1 && s.refs[0] == next && damaged == 1);
        (void)close(fd);
        volumes_close(&v);
        free(bytes);
        folder_remove(&f);
    }
}

/* Ten records; whatever is broken in the middle, the others are found. */
static void test_scan(void)
{
    static const struct {
        const char *note;
        off_t at;
        size_t n;
        int fill;
        size_t lost;
    } cases[] = {
        {"nothing", 0, 0, 0, 0},
        {"a header's first byte", 0, 1, 'x', 1},
        {"a header's length", 28, 4, 0xff, 1},
        {"a header and a body zeroed", 0, 4096, 0, 1},
        {"noise over three", 16, 9000, 0xa5, 3},
        {"a body", 500, 10, 0, 1},
    };

    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct folder f = folder_make();
        struct volumes *v = NULL;
        struct fail why;
        volume_ref refs[10];
        char bytes[4096], noise[9000];
        uint64_t damaged = 99;

        CHECK("opened", volumes_open(f.path, &limits, &v, &why));
        for (unsigned i = 0; i < 10; i++) {
            fill(bytes, sizeof bytes, i, false);
            refs[i] = put(v, f.path, bytes, sizeof bytes, 1 << 20);
        }
        int fd = folder_open(&f, volume_name(ref_volume(refs[0])).text);
        memset(noise, cases[c].fill, sizeof noise);
        CHECK("broken",
              pwrite(fd, noise, cases[c].n, (off_t)ref_offset(refs[4]) + cases[c].at) == (ssize_t)cases[c].n);
        (void)close(fd);
        for (int again = 0; again < 2; again++) {
            struct seen s = scan(v, 0, &damaged);
            CHECK(cases[c].note, s.count == 10 - cases[c].lost);
            CHECK(cases[c].note, s.refs[3] == refs[3] && s.refs[s.count - 1] == refs[9]);
            CHECK(cases[c].note, damaged == (cases[c].lost > 0 ? 1 : 0) || cases[c].lost == 3);
            CHECK(cases[c].note, (damaged > 0) == (cases[c].lost > 0));
            s = scan(v, refs[8], &damaged);
            CHECK("from there on", s.count == 2 && s.refs[0] == refs[8]);
            s = scan(v, volume_end(v), &damaged);
            CHECK("nothing beyond the end", s.count == 0);
            volumes_close(&v);
            CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
        }
        volumes_close(&v);
        folder_remove(&f);
    }
}

/* A volume header that is damaged costs nothing but a line in `check`. */
static void test_volume_header(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    uint64_t damaged;

    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    volume_ref ref = put(v, f.path, "hello", 5, 100);
    volumes_close(&v);
    int fd = folder_open(&f, volume_name(ref_volume(ref)).text);
    folder_flip(fd, 30, 2);
    (void)close(fd);
    CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    CHECK("still read", comes_back(v, ref, "hello", 5));
    struct seen s = scan(v, 0, &damaged);
    CHECK("found and told", s.count == 1 && damaged == 1);
    volumes_close(&v);
    folder_remove(&f);
}

/* What a kill leaves: zeros behind the end, a torn record; nothing of it is damage, no number is used twice.
 */
static void test_after_a_kill(void)
{
    struct folder f = folder_make(), copy = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    uint64_t damaged;
    char bytes[5000];

    fill(bytes, sizeof bytes, 3, false);
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    volume_ref first = put(v, f.path, bytes, sizeof bytes, 1 << 20);
    volume_ref second = put(v, f.path, bytes, sizeof bytes, 1 << 20);
    folder_copy(&f, &copy); /* as it stands while it is being written */
    volume_ref end = volume_end(v);
    volumes_close(&v);
    int fd = folder_open(&copy, volume_name(ref_volume(second)).text);
    CHECK("torn", pwrite(fd, bytes, 3000, (off_t)ref_offset(end)) == 3000);
    CHECK("zeros", ftruncate(fd, 3 << 20) == 0);
    CHECK("opened as after a kill", volumes_open(copy.path, &limits, &v, &why));
    struct stat st;
    CHECK("trimmed", fstat(fd, &st) == 0 && st.st_size <= (off_t)ref_offset(end) + 3008);
    (void)close(fd);
    struct seen s = scan(v, 0, &damaged);
    CHECK("both are there, and no damage",
          s.count == 2 && s.refs[0] == first && s.refs[1] == second && damaged == 0);
    CHECK("a new volume", ref_volume(volume_end(v)) > ref_volume(end));
    volume_ref third = put(v, copy.path, bytes, sizeof bytes, 1 << 20);
    CHECK("above all others", third >= end && ref_volume(third) > ref_volume(second));
    volumes_close(&v);
    folder_remove(&f);
    folder_remove(&copy);
}

/* Volumes are ended in no certain order: one without an END may lie below one that has it. */
static void test_below_an_ended_one(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    volume_ref ref = 0;
    struct stat before, after;

    for (int i = 0; i < 2; i++) {
        CHECK("opened", volumes_open(f.path, &limits, &v, &why));
        volume_ref last = put(v, f.path, "x", 1, 100);
        ref = ref == 0 ? last : ref;
        volumes_close(&v);
    }
    int fd = folder_open(&f, volume_name(ref_volume(ref)).text);
    CHECK("as a kill leaves it", fstat(fd, &before) == 0 && ftruncate(fd, 3 << 20) == 0);
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    CHECK("synced and trimmed", fstat(fd, &after) == 0 && after.st_size == before.st_size);
    (void)close(fd);
    volumes_close(&v);
    folder_remove(&f);
}

static void test_starts_leave_nothing(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;

    for (int i = 0; i < 5; i++) {
        CHECK("opened", volumes_open(f.path, &limits, &v, &why));
        volumes_close(&v);
    }
    CHECK("no files", folder_count(&f) == 0);
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    volume_ref ref = put(v, f.path, "x", 1, 100);
    volumes_close(&v);
    for (int i = 0; i < 5; i++) {
        CHECK("opened", volumes_open(f.path, &limits, &v, &why));
        volumes_close(&v);
    }
    CHECK("one file", folder_count(&f) == 1 && ref_volume(ref) == 1);
    folder_remove(&f);
}

static bool is_even(void *ctx, volume_ref ref)
{
    const struct seen *all = ctx;

    for (size_t i = 0; i < all->count; i += 2)
        if (all->refs[i] == ref)
            return true;
    return false;
}

static bool is_dead(void *ctx, volume_ref ref)
{
    (void)ctx;
    (void)ref;
    return false;
}

/* Odd records are released; small volumes are compacted, large records punched. */
static void test_reclaim(size_t n, const char *note)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct fail why;
    struct seen all = {0};
    char *bytes = malloc(n);
    uint64_t freed = 0, damaged, before, after;

    limits.volume_bytes = 1 << 20;
    limits.compression = 0;
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    for (unsigned i = 0; i < 40; i++) {
        fill(bytes, n, i, false);
        all.refs[all.count++] = put(v, f.path, bytes, n, 1 << 20);
    }
    volumes_close(&v);
    CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    before = folder_bytes(&f);
    for (size_t i = 1; i < all.count; i += 2)
        volume_release(v, all.refs[i], n + 600);
    CHECK("too early", volume_reclaim(v, is_even, &all, clock_now() + 3000, &freed, &why) && freed == 0);
    CHECK("in time", volume_reclaim(v, is_even, &all, clock_now() + 4000, &freed, &why));
    after = folder_bytes(&f);
    CHECK(note, freed > n * 15 && after + n * 15 < before);
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < all.count; i++) {
            fill(bytes, n, (unsigned)i, false);
            CHECK(note, comes_back(v, all.refs[i], bytes, n) == (i % 2 == 0));
            CHECK(note, volume_verify(v, all.refs[i], &why) == (i % 2 == 0) || why.reason == FAIL_NOT_FOUND);
        }
        struct seen s = scan(v, 0, &damaged);
        CHECK(note, s.count == 20 && s.refs[0] == all.refs[0] && s.refs[19] == all.refs[38] && damaged == 0);
        s = scan(v, all.refs[37], &damaged);
        CHECK(note, s.count == 1 && s.refs[0] == all.refs[38] && damaged == 0);
        volumes_close(&v);
        CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    }
    for (size_t i = 0; i < all.count; i += 2)
        volume_release(v, all.refs[i], n + 600);
    volume_ref end = volume_end(v);
    CHECK("all of it", volume_reclaim(v, is_dead, NULL, clock_now() + 4000, &freed, &why));
    volumes_close(&v);
    CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    CHECK("no number is used twice", ref_volume(volume_end(v)) == ref_volume(end));
    struct seen s = scan(v, 0, &damaged);
    CHECK("nothing left", s.count == 0 && damaged == 0 && folder_bytes(&f) < before / 4);
    volumes_close(&v);
    free(bytes);
    folder_remove(&f);
}

/* More small ones than are remembered one by one. */
enum { CROWD = 3000 };
static volume_ref crowd[CROWD];

static bool is_third(void *ctx, volume_ref ref)
{
    (void)ctx;
    for (size_t i = 0; i < CROWD; i += 3)
        if (crowd[i] == ref)
            return true;
    return false;
}

static void test_reclaim_crowd(void)
{
    struct folder f = folder_make();
    struct volumes *v = NULL;
    struct record rec = {.kind = RECORD_DELIVERY, .sender = SLICE("s@example.test"), .trace = SLICE("t")};
    struct body_limits bodies = {.memory_max = 1 << 16, .size_max = 1 << 20, .spool_dir = f.path};
    struct fail why;
    char bytes[400];
    uint64_t freed = 0, before;
    bool ok = true;

    limits.volume_bytes = 4 << 20;
    limits.compression = 0;
    CHECK("opened", volumes_open(f.path, &limits, &v, &why));
    for (unsigned i = 0; i < CROWD; i++) {
        struct body *b = body_create(&bodies);
        fill(bytes, sizeof bytes, i, false);
        ok = ok && body_add(b, slice_make(bytes, sizeof bytes), &why) && volume_append_start(v, &rec, b, &crowd[i], &why);
        body_destroy(&b);
    }
    CHECK("written", ok && volume_sync(v, crowd[0], crowd[CROWD - 1], &why));
    volumes_close(&v);
    CHECK("opened again", volumes_open(f.path, &limits, &v, &why));
    before = folder_bytes(&f);
    for (size_t i = 0; i < CROWD; i++)
        if (i % 3 != 0)
            volume_release(v, crowd[i], sizeof bytes + 100);
    CHECK("too early", volume_reclaim(v, is_third, NULL, clock_now() + 3000, &freed, &why) && freed == 0);
    CHECK("in time", volume_reclaim(v, is_third, NULL, clock_now() + 4000, &freed, &why));
    CHECK("most of it", freed > before / 3 && folder_bytes(&f) < before);
    ok = true;
    for (size_t i = 0; i < CROWD; i++) {
        fill(bytes, sizeof bytes, (unsigned)i, false);
        ok = ok && comes_back(v, crowd[i], bytes, sizeof bytes) == (i % 3 == 0);
    }
    CHECK("the third ones are there and no others", ok);
    volumes_close(&v);
    folder_remove(&f);
}

int main(void)
{
    volume_limits_default(&limits);
    limits.reserve_percent = 0;
    limits.reserve_bytes = 0;
    test_describe();
    test_bit_flips();
    test_scan();
    test_volume_header();
    test_after_a_kill();
    test_below_an_ended_one();
    test_starts_leave_nothing();
    test_round_trip();
    test_reclaim(5000, "compacted");
    test_reclaim(100000, "punched");
    test_reclaim_crowd();
    return check_done();
}
