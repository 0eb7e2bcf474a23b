/*
 * test_srs.c - reverse-paths of forwards: there, back, forged, too old.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "deliver/srs.h"
#include "directory/directory.h"

static time_t ahead; /* seconds */

/* In front of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    const int failed = (int)syscall(SYS_clock_gettime, clock, out);

    if (clock == CLOCK_REALTIME)
        out->tv_sec += ahead;
    return failed;
}

static char dir[] = "/tmp/posthorn-srs-XXXXXX";
static struct directory *directory;
static struct arena arena;

static const char *in_dir(char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", dir, name);
    return out;
}

static struct srs *open_srs(void)
{
    char path[128];
    struct srs *s = NULL;
    struct fail why;

    CHECK("keys", srs_open(in_dir(path, "srs.keys"), "", &s, &why));
    return s;
}

static struct slice local_of(struct slice address)
{
    return slice_sub(address, 0, slice_rfind_char(address, '@'));
}

static void test_there_and_back(void)
{
    struct srs *s = open_srs();
    struct slice back, sender = SLICE("Ann=x@a.test");
    struct slice there = srs_forward(s, directory, sender, &arena);

    CHECK("form", slice_starts(there, SLICE("SRS0=")) && slice_ends(there, SLICE("=a.test=Ann=x@ours.test")));
    CHECK("back", srs_reverse(s, local_of(there), &arena, &back) == SRS_GOOD);
    CHECK_SLICE("the same", back, sender);
    CHECK_SLICE("a quoted local part inside would be no address", srs_forward(s, directory, SLICE("\"a b\"@a.test"), &arena), SLICE("\"a b\"@a.test"));

    char lower[256];
    struct slice local = local_of(there);
    for (size_t i = 0; i < local.len; i++)
        lower[i] = ascii_lower(local.ptr[i]);
    CHECK("in small letters", srs_reverse(s, slice_make(lower, local.len), &arena, &back) == SRS_GOOD);
    srs_close(&s);
    s = open_srs();
    CHECK("after a restart", srs_reverse(s, local, &arena, &back) == SRS_GOOD);
    srs_close(&s);
}

static void test_left_alone(void)
{
    struct srs *s = open_srs();

    CHECK_SLICE("null", srs_forward(s, directory, SLICE(""), &arena), SLICE(""));
    CHECK_SLICE("ours", srs_forward(s, directory, SLICE("bob@OURS.test"), &arena), SLICE("bob@OURS.test"));
    srs_close(&s);
}

static void test_twice(void)
{
    struct srs *s = open_srs();
    struct slice back, first = SLICE("SRS0=abcd=ef=a.test=ann@b.test"), second = SLICE("SRS1=zzzz=b.test==abcd=ef=a.test=ann@c.test");
    struct slice one = srs_forward(s, directory, first, &arena), two = srs_forward(s, directory, second, &arena);

    CHECK("form", slice_starts(one, SLICE("SRS1=")) &&
                      slice_ends(one, SLICE("=b.test==abcd=ef=a.test=ann@ours.test")));
    CHECK("back", srs_reverse(s, local_of(one), &arena, &back) == SRS_GOOD);
    CHECK_SLICE("to the first forwarder", back, first);
    CHECK("no longer for one more", slice_ends(two, SLICE("=b.test==abcd=ef=a.test=ann@ours.test")));
    CHECK("back from it", srs_reverse(s, local_of(two), &arena, &back) == SRS_GOOD);
    CHECK_SLICE("to the first forwarder too", back, first);
    srs_close(&s);
}

static void test_bad(void)
{
    struct srs *s = open_srs();
    struct slice back, there = local_of(srs_forward(s, directory, SLICE("ann@a.test"), &arena));
    char forged[256];

    CHECK("not one", srs_reverse(s, SLICE("ann"), &arena, &back) == SRS_NOT);
    CHECK("empty", srs_reverse(s, SLICE("SRS0="), &arena, &back) == SRS_NOT);
    CHECK("nothing in it", srs_reverse(s, SLICE("SRS0=="), &arena, &back) == SRS_BAD);
    CHECK("nor in this", srs_reverse(s, SLICE("SRS1======"), &arena, &back) == SRS_BAD);
    memcpy(forged, there.ptr, there.len);
    forged[there.len - 1] = 'm';
    CHECK("somebody else", srs_reverse(s, slice_make(forged, there.len), &arena, &back) == SRS_BAD);
    memcpy(forged, there.ptr, there.len);
    forged[14] = forged[14] == 'b' ? 'c' : 'b'; /* the day */
    CHECK("another day", srs_reverse(s, slice_make(forged, there.len), &arena, &back) == SRS_BAD);
    srs_close(&s);
}

static void test_time(void)
{
    struct srs *s = open_srs();
    struct slice back, there = local_of(srs_forward(s, directory, SLICE("ann@a.test"), &arena));

    ahead = 20 * 86400;
    CHECK("three weeks", srs_reverse(s, there, &arena, &back) == SRS_GOOD);
    ahead = 23 * 86400;
    CHECK("no longer", srs_reverse(s, there, &arena, &back) == SRS_BAD);
    there = local_of(srs_forward(s, directory, SLICE("ann@a.test"), &arena));
    ahead = 35 * 86400;
    (void)srs_forward(s, directory, SLICE("bob@a.test"), &arena); /* with a new key */
    CHECK("by the key before", srs_reverse(s, there, &arena, &back) == SRS_GOOD);
    srs_close(&s);
    s = open_srs();
    CHECK("which was kept", srs_reverse(s, there, &arena, &back) == SRS_GOOD);
    ahead = 0;
    srs_close(&s);
}

int main(void)
{
    struct directory_limits limits;
    char path[128], command[160];
    struct fail why;

    if (mkdtemp(dir) == NULL)
        abort();
    directory_limits_default(&limits);
    CHECK("directory", directory_open(in_dir(path, "directory.db"), &limits, &directory, &why));
    CHECK("domain", directory_domain_add(directory, SLICE("ours.test"), &why));
    arena_init(&arena, 1 << 20);
    test_there_and_back();
    test_left_alone();
    test_twice();
    test_bad();
    test_time();
    arena_finish(&arena);
    directory_close(&directory);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        perror(dir);
    return check_done();
}
