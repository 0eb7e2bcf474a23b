/*
 * tests/unit/message/test_corpus.c - real messages: properties that hold for any bytes.
 *
 *     test_corpus FOLDER...
 *
 * For every file below the folders, as it is and with CRLF line ends: the tree
 * does not depend on how the message was cut; every part lies inside its parent
 * and behind its elder; packing keeps everything; the written envelope reads
 * back as the addresses of the header; BODYSTRUCTURE is balanced.  A folder that
 * is not there is said to be missing and passed over, but for the first one.
 */
#include <ftw.h>

#include "../check.h"
#include "base/fail.h"
#include "base/io.h"
#include "message/decode.h"
#include "message/envelope.h"
#include "message/header.h"
#include "tree.h"

static unsigned files;

/* Parentheses match outside quoted strings and literals, and quoted strings are ASCII. */
static bool is_balanced(struct slice s)
{
    size_t depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"') {
            for (i++; i < s.len && s.ptr[i] != '"'; i++) {
                if ((unsigned char)s.ptr[i] >= 0x80)
                    return false;
                i += s.ptr[i] == '\\';
            }
        } else if (s.ptr[i] == '{') {
            size_t end = i + slice_find_char(slice_from(s, i), '}');
            uint64_t len;

            if (!slice_to_u64(slice_sub(s, i + 1, end - i - 1), s.len, &len))
                return false;
            i = end + 2 + (size_t)len;
        } else if (s.ptr[i] == '(') {
            depth++;
        } else if (s.ptr[i] == ')' && depth-- == 0) {
            return false;
        }
    }
    return depth == 0;
}

static void check_inside(const char *note, const struct mime_part *part, uint64_t start, uint64_t end)
{
    CHECK(note, start <= part->header_offset && part->header_offset <= part->body_offset &&
                    part->body_offset <= part->end_offset && part->end_offset <= end);
    uint64_t at = part->body_offset;
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next) {
        CHECK(note, child->parent == part);
        check_inside(note, child, at, part->end_offset);
        at = child->end_offset;
    }
    CHECK(note, part->is_multipart + part->is_message == (part->first_child != NULL));
}

static void check_lines(const char *note, const struct mime_part *part, struct slice message)
{
    struct slice header = slice_sub(message, part->header_offset, part->body_offset - part->header_offset);
    struct slice body = slice_sub(message, part->body_offset, part->end_offset - part->body_offset);
    uint64_t header_lines = 0, body_lines = 0;

    for (size_t i = 0; i < header.len; i++)
        header_lines += header.ptr[i] == '\n';
    for (size_t i = 0; i < body.len; i++)
        body_lines += body.ptr[i] == '\n';
    CHECK(note, header_lines == part->header_lines && body_lines == part->body_lines);
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        check_lines(note, child, message);
}

static void check_addresses(const char *note, struct arena *a, struct slice header, struct slice envelope)
{
    struct header_field field;
    struct address *want, *got;

    if (!header_find(header, SLICE("from"), &field))
        return;
    size_t count = address_list_parse(a, field.body, 5000, &want);
    size_t at = 0, fields = 0;
    while (header_next(header, &at, &field))
        fields += slice_eq_nocase(field.name, SLICE("from"));
    if (fields > 1)
        return;
    CHECK(note, envelope_addresses(a, envelope, ENVELOPE_FROM, &got) == count);
    for (size_t i = 0; i < count; i++) {
        CHECK_SLICE(note, got[i].mailbox, want[i].mailbox);
        CHECK_SLICE(note, got[i].host, want[i].host);
        CHECK_SLICE(note, got[i].name, want[i].name);
    }
}

static void check_message(const char *note, struct slice message)
{
    struct message_limits limits;
    struct arena a;
    struct buf whole, other, text;

    message_limits_default(&limits);
    arena_init(&a, 64 << 20);
    buf_init(&whole, 16 << 20);
    buf_init(&other, 16 << 20);
    buf_init(&text, 16 << 20);
    struct mime_part *root = tree_parse(&a, &limits, message, SIZE_MAX, 1);
    tree_show_all(&whole, root);
    check_inside(note, root, 0, message.len);
    check_lines(note, root, message);
    CHECK(note, root->end_offset == message.len);

    size_t stride = message.len / 40 + 1;
    for (size_t i = 0; i < 42; i++) { /* 40 cuts spread over it, then by bytes, then by odd pieces */
        struct arena pieces;

        arena_init(&pieces, 64 << 20);
        buf_reset(&other);
        tree_show_all(&other, i < 40 ? tree_parse(&pieces, &limits, message, i * stride + i % 7, message.len)
                                     : tree_parse(&pieces, &limits, message, 0, i == 40 ? 1 : 1021));
        CHECK(note, slice_eq(buf_slice(&other), buf_slice(&whole)));
        arena_finish(&pieces);
    }

    mime_pack(&text, root);
    struct mime_part *back = mime_unpack(&a, buf_slice(&text));
    CHECK(note, back != NULL);
    buf_reset(&other);
    if (back != NULL)
        tree_show_all(&other, back);
    CHECK(note, slice_eq(buf_slice(&other), buf_slice(&whole)));

    buf_reset(&text);
    envelope_write(&text, root->header, &limits);
    CHECK(note, is_balanced(buf_slice(&text)));
    check_addresses(note, &a, root->header, buf_slice(&text));
    buf_reset(&text);
    bodystructure_write(&text, root, true);
    CHECK(note, is_balanced(buf_slice(&text)));
    buf_finish(&text);
    buf_finish(&other);
    buf_finish(&whole);
    arena_finish(&a);
}

static int check_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
    struct buf raw, crlf;
    struct fail why;
    (void)st;
    (void)where;

    if (type != FTW_F || slice_ends(slice_of(path), SLICE(".md")))
        return 0;
    buf_init(&raw, 16 << 20);
    buf_init(&crlf, 32 << 20);
    bool readable = io_read_file(path, &raw, &why);
    CHECK(path, readable);
    files++;
    check_message(path, buf_slice(&raw));
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] == '\n' && (i == 0 || raw.data[i - 1] != '\r'))
            buf_add_char(&crlf, '\r');
        buf_add_char(&crlf, raw.data[i]);
    }
    check_message(path, buf_slice(&crlf));
    buf_finish(&crlf);
    buf_finish(&raw);
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (nftw(argv[i], check_file, 8, FTW_PHYS) != 0) {
            printf("no folder %s\n", argv[i]);
            CHECK("the first folder is there", i > 1);
        }
    }
    printf("%u files\n", files);
    CHECK("at least one message", files > 0);
    return check_done();
}
