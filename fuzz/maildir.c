/*
 * fuzz/maildir.c - what the names in a Maildir say, and Dovecot's list of UIDs.
 *
 * A mailbox's name has no empty level that its folder has not; what is unpacked in pieces is what is unpacked at once.
 */
#include "fuzz.h"
#include "transfer/maildir_names.h"
#include "transfer/maildir_uidlist.h"
#include "transfer/unpack.h"

static bool add(void *ctx, struct slice out, struct fail *why)
{
    struct buf *b = ctx;

    buf_add(b, slice_sub(out, 0, b->max - b->len));
    return b->len < b->max || fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "too big");
}

static bool unpack(enum unpack_kind kind, struct slice in, size_t step, struct buf *out)
{
    struct fail    why;
    struct unpack *u = unpack_create(kind, &why);
    bool           ok = u != NULL;

    for (size_t at = 0; ok && at < in.len; at += step)
        ok = unpack_add(u, slice_sub(in, at, step), add, out, &why);
    ok = ok && unpack_is_whole(u);
    unpack_destroy(&u);
    return ok;
}

static void check_unpack(struct slice in)
{
    const char      *name;
    enum unpack_kind kind = unpack_kind_of(in, &name);
    struct buf       once, pieces;

    if (kind == UNPACK_NONE || kind == UNPACK_UNKNOWN)
        return;
    buf_init(&once, 1 << 20);
    buf_init(&pieces, 1 << 20);
    bool ok = unpack(kind, in, in.len + 1, &once), again = unpack(kind, in, 3, &pieces);
    FUZZ_CHECK(ok == again && (!ok || slice_eq(buf_slice(&once), buf_slice(&pieces))));
    buf_finish(&once);
    buf_finish(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice        in = slice_make(data, size), rest = in;
    struct uidlist_head head;
    struct uidlist_line line;
    struct arena        a;
    struct buf          uidl;
    unsigned            bad = 0;
    bool                passed;
    uint32_t            keywords;

    arena_init(&a, 64 << 20);
    buf_init(&uidl, 1000);
    if (uidlist_head(&rest, &head))
        while (uidlist_next(&rest, head.version, &line, &bad))
            FUZZ_CHECK(line.uid != 0 && line.name.len > 0 && slice_find_char(line.name, '/') == line.name.len);
    FUZZ_CHECK((maildir_flags(in, &passed, &keywords) & ~31u) == 0);
    FUZZ_CHECK(maildir_base(in).len <= in.len);
    (void)maildir_mailbox_name(&a, in, '.');
    (void)maildir_mailbox_name(&a, in, '/');
    (void)maildir_uidl(&uidl, in, 7, 8, SLICE("base"));
    check_unpack(in);
    buf_finish(&uidl);
    arena_finish(&a);
    return 0;
}
