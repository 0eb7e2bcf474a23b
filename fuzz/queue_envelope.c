/*
 * fuzz/queue_envelope.c - the text form of what a sender asked for.
 *
 * A text that is read is the one text of what it says; any octets survive xtext.
 */
#include "fuzz.h"
#include "queue/envelope.h"

static void check_xtext(struct arena *a, struct slice in)
{
    struct slice out;
    struct buf   text;

    buf_init(&text, 3 * in.len + 1);
    xtext_encode(&text, in);
    FUZZ_CHECK(!text.failed && xtext_decode(a, buf_slice(&text), &out) && slice_eq(in, out));
    buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice             in = slice_make(data, size);
    struct envelope_options  message;
    struct recipient_options recipient;
    struct arena             a;
    struct buf               again;

    arena_init(&a, 16 << 20);
    buf_init(&again, size + 1);
    if (envelope_options_read(&a, in, &message)) {
        FUZZ_CHECK(message.priority >= -9 && message.priority <= 9 && message.hold_until >= 0);
        envelope_options_write(&again, &message);
        FUZZ_CHECK(slice_eq(buf_slice(&again), in));
    }
    buf_reset(&again);
    if (recipient_options_read(&a, in, &recipient)) {
        recipient_options_write(&again, &recipient);
        FUZZ_CHECK(slice_eq(buf_slice(&again), in));
    }
    check_xtext(&a, in);
    buf_finish(&again);
    arena_finish(&a);
    return 0;
}
