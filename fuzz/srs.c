/*
 * fuzz/srs.c - reverse-paths of forwards: what goes there comes back as it was, and nothing else is taken for ours.
 */
#include "deliver/srs.h"

#include <stdlib.h>
#include <unistd.h>

#include "directory/directory.h"
#include "fuzz.h"

static struct srs *srs;
static struct directory *directory;

static void begin(void)
{
    static char dir[] = "/tmp/fuzz-srs-XXXXXX", path[64];
    struct directory_limits limits;
    struct fail why;

    directory_limits_default(&limits);
    FUZZ_CHECK(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/db", dir);
    FUZZ_CHECK(directory_open(path, &limits, &directory, &why));
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/keys", dir);
    FUZZ_CHECK(srs_open(path, "here.example", &srs, &why));
    (void)unlink(path);
    (void)rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size < 500 ? size : 500), back, there;
    struct arena a;

    for (size_t i = 0; i < in.len; i++)
        if ((unsigned char)in.ptr[i] < ' ')
            return 0; /* SMTP lets none of these in */
    if (srs == NULL)
        begin();
    arena_init(&a, 1 << 20);
    FUZZ_CHECK(srs_reverse(srs, in, &a, &back) != SRS_GOOD); /* it would have to know the key */
    size_t at = slice_rfind_char(in, '@');
    there = srs_forward(srs, directory, in, &a);
    if (there.ptr != in.ptr) {
        struct slice local = slice_sub(there, 0, slice_rfind_char(there, '@'));
        enum srs_found found = srs_reverse(srs, local, &a, &back);
        FUZZ_CHECK(srs_is(local) && in.ptr[0] != '"');
        if (!srs_is(slice_sub(in, 0, at)) && slice_find_char(slice_from(in, at + 1), '=') == in.len - at - 1)
            FUZZ_CHECK(found == SRS_GOOD && slice_eq(back, in));
        if (local.len > 20) { /* one letter changed: not ours */
            char *other = arena_alloc(&a, local.len);
            memcpy(other, local.ptr, local.len);
            other[5] = other[5] == 'a' ? 'b' : 'a';
            FUZZ_CHECK(srs_reverse(srs, slice_make(other, local.len), &a, &back) != SRS_GOOD);
        }
    }
    arena_finish(&a);
    return 0;
}
