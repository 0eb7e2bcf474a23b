/*
 * fuzz/smtp_reply.c - what another server may answer, cut anywhere.
 *
 * However it is cut, the reply is the same; its text is printable and within its bound.
 */
#include "fuzz.h"
#include "smtp/client_reply.h"

enum { KEPT = 200, LINES = 50 };

struct result { struct smtp_reply_text reply; size_t taken; bool done, too_long; };

static struct result read_reply(struct slice in, size_t step, struct arena *a)
{
    struct reply_reader r;
    struct result result = {0};

    reply_reader_init(&r, KEPT, LINES);
    reply_reader_start(&r);
    while (result.taken < in.len && !r.done && !r.too_long)
        result.taken += reply_reader_feed(&r, slice_sub(in, result.taken, step));
    result.reply = reply_reader_take(&r, a);
    result.done = r.done;
    result.too_long = r.too_long;
    reply_reader_finish(&r);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    size_t step = 1 + fuzz_take(&in);
    struct arena a;

    arena_init(&a, 1 << 20);
    struct result whole = read_reply(in, in.len + 1, &a), cut = read_reply(in, step, &a);
    FUZZ_CHECK(whole.taken == cut.taken && whole.done == cut.done && whole.too_long == cut.too_long);
    FUZZ_CHECK(whole.reply.code == cut.reply.code && slice_eq(whole.reply.text, cut.reply.text));
    FUZZ_CHECK(slice_eq(whole.reply.status, cut.reply.status) && whole.reply.text.len <= KEPT);
    FUZZ_CHECK(!whole.done || (whole.reply.code >= 200 && whole.reply.code <= 599));
    for (size_t i = 0; i < whole.reply.text.len; i++)
        FUZZ_CHECK(whole.reply.text.ptr[i] == '\n' || (whole.reply.text.ptr[i] >= ' ' && whole.reply.text.ptr[i] <= '~'));
    arena_finish(&a);
    return 0;
}
