/*
 * fuzz/policy_milter.c - what a milter answers, and what its changes do to a message: no field that it makes is two.
 */
#include "fuzz.h"
#include "policy/edit.h"
#include "policy/milter_wire.h"

static const struct body_limits limits = {.memory_max = 4 << 20, .size_max = 4 << 20, .spool_dir = "/nonexistent"};

static void change(struct edit *e, char command, struct slice data)
{
    struct milter_options options;
    struct milter_reply reply;
    struct slice name, value = SLICE("");
    uint32_t index = 0;

    (void)milter_read_options(data, &options);
    if (milter_read_reply(data, &reply))
        FUZZ_CHECK(reply.code >= 400 && reply.code < 600);
    if (command == SMFIR_REPLBODY) {
        (void)edit_add_body(e, &limits, data, NULL);
        return;
    }
    if (!milter_read_u32(&data, &index) || !milter_read_text(&data, &name))
        return;
    (void)milter_read_text(&data, &value);
    if (command == SMFIR_CHGHEADER)
        (void)edit_change(e, index, name, value);
    else if (command == SMFIR_QUARANTINE)
        edit_remove(e, name, (int64_t)index - 2);
    else
        (void)edit_insert(e, index, name, value);
}

static void check_whole(const struct edit *e)
{
    struct body *out = NULL;
    struct edit again;

    FUZZ_CHECK(edit_write(e, &limits, &out, NULL));
    if (out == NULL)
        return;
    FUZZ_CHECK(edit_open(&again, out, 0, NULL));
    FUZZ_CHECK(again.count == e->count);
    edit_close(&again);
    body_destroy(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct body *message = body_create(&limits);
    struct slice in = slice_make(data, size), packet;
    struct edit e;
    size_t used;
    char command;

    (void)body_add(message, SLICE("Received: x\r\nSubject: a\r\n\tb\r\nX: y\r\n\r\nbody\r\n"), NULL);
    FUZZ_CHECK(edit_open(&e, message, 1, NULL));
    while (milter_take(in, &command, &packet, &used) == MILTER_PACKET) {
        change(&e, command, packet);
        in = slice_from(in, used);
    }
    check_whole(&e);
    edit_close(&e);
    body_destroy(&message);
    return 0;
}
