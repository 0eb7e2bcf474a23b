/*
 * fuzz/ipc.c - messages between roles: any bytes, read as any fields.  The first
 * half chooses what is asked for, the second is what came.
 */
#include "base/fail.h"
#include "fuzz.h"
#include "net/ipc_wire.h"

static bool inside(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.len <= whole.len &&
                             (size_t)(part.ptr - whole.ptr) <= whole.len - part.len);
}

static void read_fields(struct slice wishes, struct slice came)
{
    struct ipc_reader r = {.type = 1, .rest = came};

    for (size_t i = 0; i < wishes.len; i++) {
        switch ((unsigned char)wishes.ptr[i] % 4) {
        case 0: (void)ipc_get_u64(&r); break;
        case 1: (void)ipc_get_i64(&r); break;
        case 2: (void)ipc_get_bool(&r); break;
        case 3: FUZZ_CHECK(inside(ipc_get_bytes(&r), came)); break;
        }
        FUZZ_CHECK(inside(r.rest, came));
    }
    (void)ipc_end(&r);
}

static void read_failure(struct slice came)
{
    struct ipc_reader r = {.type = 1, .rest = came};
    struct fail       why;

    ipc_get_fail(&r, &why);
    FUZZ_CHECK(memchr(why.text, '\0', sizeof(why.text)) != NULL && memchr(why.code, '\0', sizeof(why.code)) != NULL);
    for (const char *c = why.text; *c != '\0'; c++)
        FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    read_fields(slice_sub(in, 0, size / 2), slice_from(in, size / 2));
    read_failure(in);
    return 0;
}
