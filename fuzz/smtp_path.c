/*
 * fuzz/smtp_path.c - paths and parameters of MAIL and RCPT.
 *
 * The address that comes out is one that goes in again and stays the same.
 */
#include "fuzz.h"
#include "smtp/path.h"

static void check_same(struct arena *a, const struct smtp_path *p)
{
    struct smtp_path again;
    struct slice     text = arena_printf(a, "<" PRIslice ">", SLICE_ARG(p->address));

    FUZZ_CHECK(smtp_read_path(&text, a, &again) && text.len == 0);
    FUZZ_CHECK(slice_eq(again.address, p->address) && slice_eq(again.local, p->local));
    FUZZ_CHECK(slice_eq(again.domain, p->domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice          in = slice_make(data, size);
    struct smtp_path      path;
    struct smtp_parameter p;
    struct arena          a;

    arena_init(&a, 16 << 20);
    if (smtp_read_path(&in, &a, &path)) {
        if (path.address.len > 0)
            check_same(&a, &path);
        while (smtp_read_parameter(&in, &p) == PARAMETER_OK)
            (void)smtp_is_xtext(p.value);
    }
    (void)smtp_is_client_name(slice_make(data, size));
    arena_finish(&a);
    return 0;
}
