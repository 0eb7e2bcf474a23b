/*
 * fuzz/message.c - the MIME parser.
 *
 * However a message is cut, its tree is the same; every part lies inside its
 * parent; what was packed unpacks to the same; unpacking garbage is refused or
 * harmless; part numbers find what is there.
 */
#include "../tests/unit/message/tree.h"
#include "fuzz.h"
#include "message/envelope.h"

static void check_inside(const struct mime_part *part, uint64_t start, uint64_t end)
{
    uint64_t at = part->body_offset;

    FUZZ_CHECK(start <= part->header_offset && part->header_offset <= part->body_offset &&
               part->body_offset <= part->end_offset && part->end_offset <= end);
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next) {
        check_inside(child, at, part->end_offset);
        at = child->end_offset;
    }
}

/* A quoted string or literal at s.ptr[at]; gives its end. */
static size_t check_string(struct slice s, size_t at)
{
    if (s.ptr[at] == '{') {
        size_t brace = at + slice_find_char(slice_from(s, at), '}');
        uint64_t n;
        FUZZ_CHECK(slice_to_u64(slice_sub(s, at + 1, brace - at - 1), s.len, &n));
        FUZZ_CHECK(slice_starts(slice_from(s, brace), SLICE("}\r\n")) && n <= s.len - brace - 3);
        return brace + 3 + (size_t)n;
    }
    for (at++; at < s.len && s.ptr[at] != '"'; at++) {
        FUZZ_CHECK(s.ptr[at] != '\0' && s.ptr[at] != '\r' && s.ptr[at] != '\n');
        at += s.ptr[at] == '\\';
    }
    FUZZ_CHECK(at < s.len);
    return at + 1;
}

/* One list in parentheses, as a client reads it, and nothing behind. */
static void check_list(struct slice s)
{
    size_t depth = 0, at = 0;

    do {
        FUZZ_CHECK(at < s.len);
        if (s.ptr[at] == '"' || s.ptr[at] == '{') {
            at = check_string(s, at);
            continue;
        }
        depth += s.ptr[at] == '(';
        depth -= s.ptr[at] == ')';
        at++;
    } while (depth > 0);
    FUZZ_CHECK(at == s.len);
}

static void check_packing(struct arena *a, const struct mime_part *root, struct slice shown)
{
    struct buf packed, again;

    buf_init(&packed, SIZE_MAX / 2);
    buf_init(&again, SIZE_MAX / 2);
    mime_pack(&packed, root);
    struct mime_part *back = mime_unpack(a, buf_slice(&packed));
    FUZZ_CHECK(back != NULL);
    tree_show_all(&again, back);
    FUZZ_CHECK(slice_eq(buf_slice(&again), shown));
    buf_reset(&again);
    bodystructure_write(&again, back, true);
    check_list(buf_slice(&again));
    buf_reset(&again);
    bodystructure_write(&again, back, BODY_EXTENDED | BODY_UTF8);
    check_list(buf_slice(&again));
    buf_reset(&again);
    bodystructure_write(&again, back, false);
    FUZZ_CHECK(memchr(again.data, '\0', again.len) == NULL);
    buf_finish(&packed);
    buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice message = slice_make(data, size);
    unsigned variant = fuzz_take(&message);
    struct message_limits limits;
    struct arena a;
    struct buf whole, pieces;

    message_limits_default(&limits);
    if ((variant & 1) != 0) {
        limits.depth = 3;
        limits.parts = 5;
        limits.header_bytes = 100;
        limits.parameters = 3;
    }
    arena_init(&a, SIZE_MAX / 2);
    buf_init(&whole, SIZE_MAX / 2);
    buf_init(&pieces, SIZE_MAX / 2);
    struct mime_part *root = tree_parse(&a, &limits, message, SIZE_MAX, 1);
    check_inside(root, 0, message.len);
    FUZZ_CHECK(root->end_offset == message.len);
    tree_show_all(&whole, root);
    tree_show_all(&pieces, tree_parse(&a, &limits, message, variant, variant / 2 + 1));
    FUZZ_CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    check_packing(&a, root, buf_slice(&whole));
    for (uint32_t n = 0; n < 4; n++)
        (void)mime_part_find(root, (const uint32_t[]){n, 1, variant % 3, 1}, 4);
    (void)mime_unpack(&a, slice_make(data, size));

    /* An arena that ends somewhere: no crash, and a root. */
    struct arena small;
    arena_init(&small, 10000 + variant * 64);
    FUZZ_CHECK(tree_parse(&small, &limits, message, SIZE_MAX, 1)->end_offset == message.len);
    arena_finish(&small);
    buf_finish(&whole);
    buf_finish(&pieces);
    arena_finish(&a);
    return 0;
}
