/*
 * fuzz/memo.c - what greylisting and rates keep in a file: what was read is written and read again the same.
 */
#include "policy/memo.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memo one, two;
    struct buf first, second;

    memo_init(&one, 50);
    memo_init(&two, 50);
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    (void)memo_read(&one, "greylist", slice_make(data, size));
    FUZZ_CHECK(one.used <= 50);
    memo_write(&one, "greylist", &first);
    FUZZ_CHECK(memo_read(&two, "greylist", buf_slice(&first)) && two.used == one.used);
    memo_write(&two, "greylist", &second);
    FUZZ_CHECK(slice_eq(buf_slice(&first), buf_slice(&second)));
    memo_finish(&one);
    memo_finish(&two);
    buf_finish(&first);
    buf_finish(&second);
    return 0;
}
