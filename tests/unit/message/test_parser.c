/*
 * tests/unit/message/test_parser.c - structure: tables, limits, splits, packing, part numbers.
 *
 * Every message of the table is parsed whole, cut once at every place, and byte
 * by byte, with LF and with CRLF.
 */
#include "../check.h"
#include "tree.h"

/* Written with LF; M is a multipart header with boundary "b". */
#define M "Content-Type: multipart/mixed; boundary=b\n\n"

static const struct {
    const char *note, *message, *want;
} cases[] = {
    {"empty", "", "text/plain[]0"},
    {"header only", "A: b\n", "text/plain[]0"},
    {"header without line end", "A: b", "text/plain[]0"},
    {"plain", "A: b\n\nhello\nworld\n", "text/plain[hello.world.]2"},
    {"body only", "\nhello", "text/plain[hello]0"},
    {"type", "Content-Type: Text/HTML; charset=x\n\nhi\n", "Text/HTML[hi.]1"},
    {"type unreadable", "Content-Type: garbage\n\nhi\n", "text/plain[hi.]1"},
    {"first type counts", "Content-Type: text/a\nContent-Type: text/b\n\n", "text/a[]0"},
    {"two parts", M "--b\n\none\n--b\n\ntwo\n--b--\n", "multipart/mixed(text/plain[one]0 text/plain[two]0)"},
    {"preamble and epilogue", M "pre\n--b\n\none\n\n--b--\nepi\n", "multipart/mixed(text/plain[one.]1)"},
    {"no final boundary", M "--b\n\none\n--b\n\ntwo\n",
     "multipart/mixed(text/plain[one]0 text/plain[two.]1)"},
    {"final boundary without line end", M "--b\n\none\n--b--", "multipart/mixed(text/plain[one]0)"},
    {"blanks behind a boundary", M "--b \t\n\none\n--b-- \n", "multipart/mixed(text/plain[one]0)"},
    {"longer is another", M "--b\n\none\n--bb\n-- b\n--b-\n--b--\n",
     "multipart/mixed(text/plain[one.--bb.-- b.--b-]3)"},
    {"nothing behind the close counts", M "--b\n\none\n--b--\n--b\n\ntwo\n",
     "multipart/mixed(text/plain[one]0)"},
    {"empty parts", M "--b\n--b\n\n--b\nA: b\n--b--\n",
     "multipart/mixed(text/plain[]0 text/plain[]0 text/plain[]0)"},
    {"no parts is text", M "hello\n", "multipart/mixed[hello.]1"},
    {"no boundary is text", "Content-Type: multipart/mixed\n\n--\nhi\n", "multipart/mixed[--.hi.]2"},
    {"quoted boundary", "Content-Type: multipart/mixed; boundary=\"a b?\"\n\n--a b?\n\none\n--a b?--\n",
     "multipart/mixed(text/plain[one]0)"},
    {"illegal boundary", "Content-Type: multipart/mixed; boundary=a=b/c\n\n--a=b/c\n\none\n--a=b/c--\n",
     "multipart/mixed(text/plain[one]0)"},
    {"nested",
     M "--b\nContent-Type: multipart/alternative; "
       "boundary=c\n\n--c\n\none\n--c\n\ntwo\n--c--\n\n--b\n\nthree\n--b--\n",
     "multipart/mixed(multipart/alternative(text/plain[one]0 text/plain[two]0) text/plain[three]0)"},
    {"nested, one boundary begins the other",
     M "--b\nContent-Type: multipart/x; boundary=bb\n\n--bb\n\none\n--bb--\n--b\n\ntwo\n--b--\n",
     "multipart/mixed(multipart/x(text/plain[one]0) text/plain[two]0)"},
    {"nested, the outer one is longer",
     "Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/x; "
     "boundary=b\n\n--b\n\none\n--bb\n\ntwo\n--bb--\n",
     "multipart/mixed(multipart/x(text/plain[one]0) text/plain[two]0)"},
    {"nested with the same boundary",
     M "--b\nContent-Type: multipart/x; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n--b--\n",
     "multipart/mixed(multipart/x(text/plain[one]0) text/plain[two]0)"},
    {"inner not closed", M "--b\nContent-Type: multipart/x; boundary=c\n\n--c\n\none\n--b\n\ntwo\n--b--\n",
     "multipart/mixed(multipart/x(text/plain[one]0) text/plain[two]0)"},
    {"message inside", M "--b\nContent-Type: message/rfc822\n\nSubject: x\n\ninner\n--b--\n",
     "multipart/mixed(message/rfc822(text/plain[inner]0))"},
    {"message inside ends in its header", M "--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n",
     "multipart/mixed(message/rfc822(text/plain[]0))"},
    {"message inside is empty", M "--b\nContent-Type: message/rfc822\n\n--b--\n",
     "multipart/mixed(message/rfc822(text/plain[]0))"},
    {"multipart in a message", "Content-Type: message/rfc822\n\n" M "--b\n\none\n--b--\n",
     "message/rfc822(multipart/mixed(text/plain[one]0))"},
    {"message/global", "Content-Type: message/global\n\nA: b\n\nx", "message/global(text/plain[x]0)"},
    {"encoded message is bytes", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQTo=\n",
     "message/rfc822[QTo=.]1"},
    {"digest",
     "Content-Type: multipart/digest; boundary=b\n\n--b\n\nA: b\n\none\n--b\nContent-Type: "
     "text/x\n\ntwo\n--b--\n",
     "multipart/digest(message/rfc822(text/plain[one]0) text/x[two]0)"},
    {"boundary in a header", M "--b\nA: b\n--b\n\ntwo\n--b--\n",
     "multipart/mixed(text/plain[]0 text/plain[two]0)"},
};

static struct slice with_line_ends(struct buf *out, const char *text, bool crlf)
{
    buf_reset(out);
    for (; *text != '\0'; text++) {
        if (*text == '\n' && crlf)
            buf_add_char(out, '\r');
        buf_add_char(out, *text);
    }
    return buf_slice(out);
}

static void check_tree(const char *note, struct slice message, size_t first, size_t step, const char *want)
{
    struct message_limits limits;
    struct arena a;
    struct buf got;

    message_limits_default(&limits);
    arena_init(&a, 1 << 20);
    buf_init(&got, 10000);
    tree_show(&got, tree_parse(&a, &limits, message, first, step), message);
    size_t len = 0;
    for (size_t i = 0; i < got.len; i++) /* line ends are shown as dots */
        if (got.data[i] != '\r')
            got.data[len++] = got.data[i] == '\n' ? '.' : got.data[i];
    CHECK_SLICE(note, slice_make(got.data, len), slice_of(want));
    buf_finish(&got);
    arena_finish(&a);
}

static void test_tables(void)
{
    struct buf text;

    buf_init(&text, 10000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int crlf = 0; crlf < 2; crlf++) {
            struct slice message = with_line_ends(&text, cases[i].message, crlf != 0);

            for (size_t cut = 0; cut <= message.len; cut++)
                check_tree(cases[i].note, message, cut, message.len, cases[i].want);
            check_tree(cases[i].note, message, 0, 1, cases[i].want);
        }
    }
    buf_finish(&text);
}

static void test_fields(void)
{
    static const struct {
        const char *note, *header, *want; /* as tree_show_all, from the texts on */
    } rows[] = {
        {"all of them",
         "Content-Type: image/png; name=\"a b\" (c); x=y\nContent-ID: <i@j>\nContent-Description: some\n "
         "thing\n"
         "Content-Transfer-Encoding: BASE64\nContent-MD5: Q2hlY2s=\nContent-Location: http://x/\n y\n"
         "Content-Disposition: attachment; filename=z.png\nContent-Language: de, en\n",
         "[image][png][<i@j>][some thing][BASE64][Q2hlY2s=][http://x/y][attachment][];name=a "
         "b;x=y;filename=z.png,de,en"},
        {"defaults", "", "[text][plain][][][7bit][][][][]"},
        {"encoding with a semicolon", "Content-Transfer-Encoding: 8bit; x\n",
         "[text][plain][][][8bit][][][][]"},
        {"unquoted blanks", "Content-Type: a/b; name=my file.txt; q=1\n",
         "[a][b][][][7bit][][][][];name=my file.txt;q=1"},
        {"continuations (RFC 2231)", "Content-Type: a/b; URL*1=\"b.example\"; url*0=\"ftp://\"; z=1\n",
         "[a][b][][][7bit][][][][];url=ftp://b.example;z=1"},
        {"charset", "Content-Type: a/b; title*=iso-8859-1'de'Gr%FC%DFe\n",
         "[a][b][][][7bit][][][][];title*=Grüße"},
        {"both", "Content-Type: a/b; t*0*=utf-8''a%20; t*1=b%20; t*2*=%C3%A4\n",
         "[a][b][][][7bit][][][][];t*=a b%20ä"},
        {"no semicolons", "Content-Type: a/b c=\"d\" e=f\n", "[a][b][][][7bit][][][][];c=d;e=f"},
        {"words between", "Content-Type: a/b x y (z=1) \"q=2\" ; c=d\n", "[a][b][][][7bit][][][][];c=d"},
        {"a gap ends it", "Content-Type: a/b; t*0=a; t*2=c\n", "[a][b][][][7bit][][][][];t=a"},
        {"no charset marks", "Content-Type: a/b; t*=a%20b\n", "[a][b][][][7bit][][][][];t*=a b"},
        {"odd parameters", "Content-Type: a/b;;; =x; y; z=; \"q\"=1; w=\"\\\"\n",
         "[a][b][][][7bit][][][][];z=;w=\""},
    };
    struct message_limits limits;

    message_limits_default(&limits);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a;
        struct buf got;

        arena_init(&a, 1 << 20);
        buf_init(&got, 10000);
        tree_show_all(&got, tree_parse(&a, &limits, slice_of(rows[i].header), SIZE_MAX, 1));
        size_t at = slice_find_char(buf_slice(&got), '[');
        CHECK_SLICE(rows[i].note, slice_sub(buf_slice(&got), at, got.len - at - 1), slice_of(rows[i].want));
        buf_finish(&got);
        arena_finish(&a);
    }
}

/* A header that a boundary cuts short keeps its lines and nothing of the boundary. */
static void test_cut_header(void)
{
    struct message_limits limits;
    struct arena a;

    message_limits_default(&limits);
    arena_init(&a, 1 << 20);
    const struct mime_part *root =
        tree_parse(&a, &limits, SLICE(M "--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n"), 0, 3);
    CHECK_SLICE("cut header", root->first_child->first_child->header, SLICE("Subject: x\n"));
    arena_finish(&a);
}

static size_t count_parts(const struct mime_part *part)
{
    size_t n = 1;

    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        n += count_parts(child);
    return n;
}

static void test_limits(void)
{
    struct message_limits limits;
    struct arena a;
    struct buf text;

    message_limits_default(&limits);
    arena_init(&a, 64 << 20);
    buf_init(&text, 8 << 20);

    buf_addf(&text, M);
    for (int i = 0; i < 5000; i++)
        buf_addf(&text, "--b\n\n%d\n", i);
    /* limit: parts, depth, parameters, MIME parts in parts, MIME parts of a message, parameters of a MIME field */
    CHECK("parts", count_parts(tree_parse(&a, &limits, buf_slice(&text), 0, 100000)) == limits.parts);

    buf_reset(&text);
    for (int i = 0; i < 300; i++)
        buf_addf(&text, "--b%d\nContent-Type: multipart/x; boundary=b%d\n\n", i - 1, i);
    struct slice nested = slice_from(buf_slice(&text), 6);
    CHECK("depth", count_parts(tree_parse(&a, &limits, nested, 0, 100000)) == limits.depth + 1);
    limits.depth = 100000;
    CHECK("depth is never more than this",
          count_parts(tree_parse(&a, &limits, nested, 0, 100000)) == MIME_DEPTH_MAX + 1);

    buf_reset(&text);
    for (int i = 0; i < 300; i++)
        buf_addf(&text, "Content-Type: message/rfc822\n\n");
    message_limits_default(&limits);
    CHECK("depth of messages",
          count_parts(tree_parse(&a, &limits, buf_slice(&text), 0, 100000)) == limits.depth + 1);

    buf_reset(&text);
    buf_addf(&text, "Subject: %*s\nX: y\n\nbody", 300000, "x");
    const struct mime_part *root = tree_parse(&a, &limits, buf_slice(&text), 0, 1000);
    /* limit: header block, header of a message that is looked at */
    CHECK("header cut", root->header.len == limits.header_bytes);
    CHECK("offsets stay exact", root->body_offset == text.len - 4 && root->header_lines == 3);

    buf_reset(&text);
    buf_addf(&text, "Content-Type: a/b");
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "; p%d=%d", i, i);
    CHECK("parameters",
          tree_parse(&a, &limits, buf_slice(&text), 0, 1000)->parameter_count == limits.parameters);

    /* An arena that is too small: a root all the same. */
    for (size_t limit = 10000; limit < 60000; limit += 997) {
        struct arena small;

        arena_init(&small, limit);
        buf_reset(&text);
        buf_addf(&text, M);
        for (int i = 0; i < 100; i++)
            buf_addf(&text, "--b\nContent-Type: a/b; c=\"\\d\"\n\n%d\n", i);
        CHECK("small arena", tree_parse(&small, &limits, buf_slice(&text), 0, 1000)->end_offset == text.len);
        arena_finish(&small);
    }
    buf_finish(&text);
    arena_finish(&a);
}

static void test_pack(void)
{
    struct message_limits limits;
    struct buf packed, before, after;

    message_limits_default(&limits);
    buf_init(&packed, 100000);
    buf_init(&before, 100000);
    buf_init(&after, 100000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a, scratch;

        arena_init(&a, 1 << 20);
        arena_init(&scratch, 1 << 20);
        buf_reset(&packed);
        buf_reset(&before);
        buf_reset(&after);
        struct mime_part *root = tree_parse(&a, &limits, slice_of(cases[i].message), 0, 1000);
        mime_pack(&packed, root);
        tree_show_all(&before, root);
        struct mime_part *back = mime_unpack(&a, buf_slice(&packed));
        CHECK(cases[i].note, back != NULL);
        if (back != NULL)
            tree_show_all(&after, back);
        CHECK_SLICE(cases[i].note, buf_slice(&after), buf_slice(&before));
        for (size_t at = 0; at < packed.len; at++) {
            packed.data[at] = (char)(packed.data[at] ^ 0x10);
            CHECK("a flipped bit is noticed", mime_unpack(&scratch, buf_slice(&packed)) == NULL);
            packed.data[at] = (char)(packed.data[at] ^ 0x10);
            CHECK("so is a missing end", mime_unpack(&scratch, slice_sub(buf_slice(&packed), 0, at)) == NULL);
            arena_reset(&scratch);
        }
        arena_finish(&scratch);
        arena_finish(&a);
    }
    buf_finish(&packed);
    buf_finish(&before);
    buf_finish(&after);
}

/* RFC 9051 section 6.4.5.1, the example of a complex message. */
static void test_numbers(void)
{
    static const char message[] =
        M "--b\n\n1\n--b\nContent-Type: application/octet-stream\n\n2\n"
          "--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n"
          "--c\n\n3.1\n--c\nContent-Type: a/b\n\n3.2\n--c--\n"
          "--b\nContent-Type: multipart/mixed; boundary=d\n\n--d\nContent-Type: image/gif\n\n4.1\n"
          "--d\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=e\n\n--e\n\n4.2.1\n"
          "--e\nContent-Type: multipart/alternative; boundary=f\n\n--f\n\n4.2.2.1\n--f\nContent-Type: "
          "text/richtext\n\n4.2.2.2\n"
          "--f--\n--e--\n--d--\n--b\nContent-Type: message/rfc822\n\nA: b\n\n5.1\n--b--\n";
    static const struct {
        const char *want; /* the body, or a type for what is no leaf, or NULL */
        uint32_t path[5];
        size_t depth;
    } rows[] = {
        {"1", {1}, 1},
        {"2", {2}, 1},
        {"message/rfc822", {3}, 1},
        {"3.1", {3, 1}, 2},
        {"3.2", {3, 2}, 2},
        {NULL, {3, 3}, 2},
        {"multipart/mixed", {4}, 1},
        {"4.1", {4, 1}, 2},
        {"message/rfc822", {4, 2}, 2},
        {"4.2.1", {4, 2, 1}, 3},
        {"multipart/alternative", {4, 2, 2}, 3},
        {"4.2.2.1", {4, 2, 2, 1}, 4},
        {"4.2.2.2", {4, 2, 2, 2}, 4},
        {NULL, {4, 2, 2, 2, 1}, 5},
        {"message/rfc822", {5}, 1},
        {"5.1", {5, 1}, 2},
        {NULL, {5, 2}, 2},
        {NULL, {5, 1, 1}, 3},
        {NULL, {1, 1}, 2},
        {NULL, {6}, 1},
        {NULL, {0}, 1},
        {"multipart/mixed", {0}, 0},
    };
    struct message_limits limits;
    struct arena a;

    message_limits_default(&limits);
    arena_init(&a, 1 << 20);
    struct slice text = slice_of(message);
    const struct mime_part *root = tree_parse(&a, &limits, text, 0, 7);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct mime_part *part = mime_part_find(root, rows[i].path, rows[i].depth);

        CHECK(rows[i].want != NULL ? rows[i].want : "none", (part != NULL) == (rows[i].want != NULL));
        if (part == NULL || rows[i].want == NULL)
            continue;
        struct slice got =
            part->first_child != NULL
                ? arena_printf(&a, PRIslice "/" PRIslice, SLICE_ARG(part->type), SLICE_ARG(part->subtype))
                : slice_sub(text, part->body_offset, part->end_offset - part->body_offset);
        CHECK_SLICE("part", got, slice_of(rows[i].want));
    }
    root = tree_parse(&a, &limits, SLICE("A: b\n\nx"), 0, 7);
    CHECK("a plain message is its own part 1", mime_part_find(root, (const uint32_t[]){1}, 1) == root);
    CHECK("and has no other", mime_part_find(root, (const uint32_t[]){2}, 1) == NULL);
    root = tree_parse(&a, &limits, SLICE("Content-Type: message/rfc822\n\nA: b\n\nx"), 0, 7);
    CHECK("message/rfc822 at the top", mime_part_find(root, (const uint32_t[]){1}, 1) == root);
    CHECK("what is in it", mime_part_find(root, (const uint32_t[]){1, 1}, 2) == root->first_child);
    arena_finish(&a);
}

int main(void)
{
    test_tables();
    test_fields();
    test_cut_header();
    test_limits();
    test_pack();
    test_numbers();
    return check_done();
}
