/*
 * fuzz/passwd.c - Dovecot's passwd-file.
 *
 * Every user has a name, once; a hash has a scheme in front.
 */
#include "fuzz.h"
#include "transfer/dovecot.h"

static void note(void *ctx, const char *what, const char *reason)
{
    (void)ctx, (void)what, (void)reason;
}

struct seen {
    struct slice last;
    size_t       count;
};

static void see(void *ctx, const struct dovecot_user *u)
{
    struct seen *s = ctx;

    FUZZ_CHECK(u->name.len > 0 && (s->count == 0 || !slice_eq_nocase(u->name, s->last)));
    FUZZ_CHECK(u->hash.len == 0 || u->hash.ptr[0] == '{');
    s->last = u->name;
    s->count++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct box_notes notes = {.note = note};
    struct seen seen = {.count = 0};
    struct dovecot *d;
    struct arena a;
    struct fail why;

    arena_init(&a, 256 << 20);
    if (dovecot_parse("/nonexistent", SLICE("mail_location = maildir:~/Maildir:INBOX=~/x\n"), &a, &notes, &d, &why))
        dovecot_each_in_passwd(d, slice_make(data, size), see, &seen);
    arena_finish(&a);
    return 0;
}
