/*
 * fuzz/imap_fetch.c - what FETCH asks for.
 *
 * A section's label, which is what the response says, asks for the same section
 * when it is read again.
 */
#include "fuzz.h"
#include "imap/fetch_args.h"

static const struct imap_limits limits = {.sets = 50, .nesting = 8};

static struct fetch_args read_args(struct arena *a, struct slice text, bool *ok)
{
    struct imap_reader r;

    imap_reader_init(&r, text, a, &limits);
    struct fetch_args args = fetch_args_read(&r);
    FUZZ_CHECK(r.at <= text.len);
    *ok = !r.failed;
    return args;
}

/* The label without "<origin>", as a command's argument. */
static void check_label(struct arena *a, const struct fetch_item *item)
{
    struct slice label = item->label;
    bool ok;

    if (slice_starts(label, SLICE("RFC822")))
        return; /* RFC822 and its kin */
    if (item->partial)
        label.len = slice_rfind_char(label, '<');
    struct fetch_args again = read_args(a, arena_printf(a, " 1 " PRIslice, SLICE_ARG(label)), &ok);
    FUZZ_CHECK(ok && again.items != NULL && again.items->next == NULL);
    FUZZ_CHECK(again.items->kind == item->kind && again.items->part == item->part);
    FUZZ_CHECK(again.items->depth == item->depth && again.items->field_count == item->field_count);
    FUZZ_CHECK(memcmp(again.items->path, item->path, item->depth * sizeof(*item->path)) == 0);
    for (size_t i = 0; i < item->field_count; i++)
        FUZZ_CHECK(slice_eq(again.items->fields[i], item->fields[i]));
    FUZZ_CHECK(slice_eq(again.items->label, label));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    bool ok;

    arena_init(&a, 64 << 20);
    struct fetch_args args = read_args(&a, slice_make(data, size), &ok);
    for (const struct fetch_item *item = args.items; ok && item != NULL; item = item->next)
        if (item->kind >= ITEM_SECTION)
            check_label(&a, item);
    arena_finish(&a);
    return 0;
}
