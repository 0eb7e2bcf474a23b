/*
 * fuzz/takeover.c - main.cf, dovecot.conf and the queries in them.
 *
 * Whatever is in them: reading ends, and a value that comes out has no blanks around it.
 */
#include "fuzz.h"
#include "transfer/dovecot.h"
#include "transfer/foreign_sql.h"

static void note(void *ctx, const char *what, const char *reason)
{
    (void)ctx;
    FUZZ_CHECK(what[0] != '\0' && reason[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "mydestination", "virtual_alias_maps", "mydomain"};
    const struct box_notes notes = {.note = note};
    struct slice text = slice_make(data, size), list;
    struct postfix *p;
    struct dovecot *d;
    struct arena a;
    struct fail why;

    arena_init(&a, 256 << 20);
    if (postfix_parse("/nonexistent", text, &a, &notes, &p, &why))
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            struct slice value = postfix_get(p, names[i]);
            FUZZ_CHECK(slice_trim(value).len == value.len);
        }
    if (dovecot_parse("/nonexistent", text, &a, &notes, &d, &why))
        (void)dovecot_place(dovecot_get(d, "mail_location"));
    if (foreign_sql_list_of(&a, text, false, &list))
        FUZZ_CHECK(slice_find(list, SLICE("posthorn_key")) < list.len);
    arena_finish(&a);
    return 0;
}
