/*
 * fuzz/downconvert.c - any bytes at all, made fit for servers that take less.
 *
 * For 7 bits all of it is ASCII, unless a header is not, which is reported; where nothing is to be changed, nothing is.
 */
#include "fuzz.h"
#include "message/downconvert.h"

static bool read_slice(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    const struct slice *in = ctx;

    (void)why;
    FUZZ_CHECK(offset <= in->len && n <= in->len - offset);
    if (n > 0)
        memcpy(out, in->ptr + offset, n);
    return true;
}

static bool keep(void *ctx, struct slice piece, struct fail *why)
{
    (void)why;
    buf_add(ctx, piece);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size), once;
    enum downconvert_to to = fuzz_take(&in) & 1 ? DOWNCONVERT_7BIT : DOWNCONVERT_8BIT;
    struct downconvert_source source = {read_slice, &in, in.len};
    struct downconvert *d = NULL;
    struct buf out;
    struct fail why = {0};

    if (!downconvert_plan(&source, to, &d, &why)) {
        FUZZ_CHECK(why.kind == FAIL_PERM);
        return 0;
    }
    buf_init(&out, 1 << 24);
    if (downconvert_write(d, keep, &out, &why)) {
        once = buf_slice(&out);
        if (to == DOWNCONVERT_7BIT && !downconvert_header_is_8bit(d))
            for (size_t i = 0; i < once.len; i++)
                FUZZ_CHECK((unsigned char)once.ptr[i] < 0x80);
        if (!downconvert_is_needed(d))
            FUZZ_CHECK(slice_eq(once, in));
    }
    downconvert_destroy(&d);
    buf_finish(&out);
    return 0;
}
