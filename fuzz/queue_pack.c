/*
 * What another process says of messages that leave: read or refused; what was read is within what was said.
 */
#include "fuzz.h"
#include "queue/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct queue_message *messages;
    struct arena a;
    uint64_t *sizes;

    if (size == 0)
        return 0;
    arena_init(&a, 64 << 20);
    if (pack_read(slice_make(data + 1, size - 1), data[0], &a, &messages, &sizes, NULL)) {
        for (size_t i = 0; i < data[0]; i++)
            FUZZ_CHECK(messages[i].recipient_count > 0 && messages[i].id != 0 && messages[i].recipients[0].address.len > 0);
    }
    arena_finish(&a);
    return 0;
}
