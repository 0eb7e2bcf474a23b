/*
 * store/mailbox_name.c - names of mailboxes: what is one, and their order.
 *
 * Layer: store.
 */
#include "base/unicode.h"
#include "store/internal.h"

bool mailbox_name_is_inbox(struct slice name)
{
    return slice_eq_nocase(name, SLICE("INBOX"));
}

/* A level's end sorts before every other byte, so that a tree stands together. */
static int rank(struct slice s, size_t at)
{
    if (at >= s.len)
        return 0;
    return s.ptr[at] == '/' ? 1 : (unsigned char)s.ptr[at] + 2;
}

static bool in_inbox(struct slice s)
{
    return slice_starts(s, SLICE("INBOX")) && (s.len == 5 || s.ptr[5] == '/');
}

int mailbox_name_cmp(struct slice a, struct slice b)
{
    bool a_inbox = in_inbox(a), b_inbox = in_inbox(b);
    size_t i = 0;

    if (a_inbox != b_inbox)
        return a_inbox ? -1 : 1;
    while (i < a.len && i < b.len && a.ptr[i] == b.ptr[i])
        i++;
    return rank(a, i) - rank(b, i);
}

static bool refuse(struct fail *why, const char *text)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "a mailbox name must not %s", text);
}

static bool check_level(struct slice level, struct fail *why)
{
    size_t at = 0;

    if (level.len == 0)
        return refuse(why, "begin or end with '/' or have an empty level");
    if (slice_eq(level, SLICE(".")) || slice_eq(level, SLICE("..")))
        return refuse(why, "have a level that is \".\" or \"..\"");
    while (at < level.len) {
        uint32_t c = utf8_next(level, &at);
        /* C0, DEL, C1, and the line separators that some clients break lines at (RFC 5198 section 2) */
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029)
            return refuse(why, "have control characters");
    }
    return true;
}

bool mailbox_name_check(struct arena *arena, struct slice name, const struct store_limits *limits,
                        struct slice *out, struct fail *why)
{
    struct slice nfc, rest, first;
    unsigned levels = 0;

    if (name.len == 0)
        return refuse(why, "be empty");
    if (name.len > limits->name_bytes)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "a mailbox name has more than %u bytes",
                        limits->name_bytes);
    if (!unicode_nfc(arena, name, &nfc))
        return refuse(why, "be anything but UTF-8");
    if (nfc.len > limits->name_bytes)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "a mailbox name has more than %u bytes",
                        limits->name_bytes);
    if (slice_ends(nfc, SLICE("/")))
        return refuse(why, "end with '/'");
    rest = nfc;
    while (rest.len > 0) {
        if (!check_level(slice_cut(&rest, '/'), why))
            return false;
        if (++levels > limits->name_levels)
            return fail_set(why, FAIL_PERM, FAIL_LIMIT, "a mailbox name has more than %u levels",
                            limits->name_levels);
    }
    rest = nfc;
    first = slice_cut(&rest, '/');
    if (mailbox_name_is_inbox(first))
        nfc = arena_printf(arena, "INBOX" PRIslice, SLICE_ARG(slice_from(nfc, first.len)));
    *out = nfc;
    return true;
}
