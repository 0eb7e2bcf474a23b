/* transfer/maildir_names.h, maildir_uidlist.h, unpack.h: what Maildir's names and Dovecot's files say. */
#include "store/store.h"
#include "tests/unit/check.h"
#include "transfer/maildir_names.h"
#include "transfer/maildir_uidlist.h"
#include "transfer/unpack.h"

static void names(void)
{
    static const struct {
        const char *name, *base;
        uint32_t    flags, keywords;
        bool        passed;
    } rows[] = {
        {"1.M2.h,S=9,W=10:2,RS", "1.M2.h,S=9,W=10", STORE_SEEN | STORE_ANSWERED, 0, false},
        {"1.h:2,DFPTac", "1.h", STORE_DRAFT | STORE_FLAGGED | STORE_DELETED, 5, true},
        {"1.h:2,S,S=90", "1.h", STORE_SEEN, 0, false},
        {"1.h:1,S", "1.h", 0, 0, false},
        {"1.h", "1.h", 0, 0, false},
        {"1.h:2,", "1.h", 0, 0, false},
        {":2,S", "", STORE_SEEN, 0, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool     passed;
        uint32_t keywords;
        CHECK_SLICE(rows[i].name, maildir_base(slice_of(rows[i].name)), slice_of(rows[i].base));
        CHECK(rows[i].name, maildir_flags(slice_of(rows[i].name), &passed, &keywords) == rows[i].flags);
        CHECK(rows[i].name, passed == rows[i].passed && keywords == rows[i].keywords);
    }
}

static void folders(void)
{
    static const struct {
        const char *folder, *name;
        char        separator;
    } rows[] = {
        {"Work.2024", "Work/2024", '.'},
        {"Entw&APw-rfe", "Entw\xc3\xbcrfe", '.'},
        {"Entw\xc3\xbcrfe", "Entw\xc3\xbcrfe", '.'},
        {"AT&T", "AT&T", '.'},           /* no modified UTF-7: as it is */
        {"a\\2eb.c", "a.b/c", '.'},      /* LISTESCAPE */
        {"a\\2fb", "a_b", '.'},          /* a separator of ours in a name */
        {"a\\zz", "a\\zz", '.'},
        {"A/B.C", "A/B.C", '/'},
        {"", "", '.'},
    };
    struct arena a;

    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_SLICE(rows[i].folder, maildir_mailbox_name(&a, slice_of(rows[i].folder), rows[i].separator), slice_of(rows[i].name));
    arena_finish(&a);
}

static void uidls(void)
{
    static const struct {
        const char *format, *uidl; /* NULL: not understood */
    } rows[] = {
        {"%08Xu%08Xv", "0000000a4c03afb0"}, {"%v-%u", "1275310000-10"}, {"%f", "1.h"}, {"%g", "1.h"},
        {"%{uid | hex(8)}%{uidvalidity | hex(8)}", "0000000a4c03afb0"}, {"%{uidvalidity}.%{uid}", "1275310000.10"},
        {"UID%u", "UID10"}, {"%m", NULL}, {"%{md5}", NULL}, {"%08", NULL}, {"%", "%"}, {"%{uid", NULL}, {"%99999u", NULL},
    };
    struct buf out;

    buf_init(&out, 200);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_reset(&out);
        bool ok = maildir_uidl(&out, slice_of(rows[i].format), 10, 1275310000, SLICE("1.h"));
        CHECK(rows[i].format, ok == (rows[i].uidl != NULL));
        if (ok && rows[i].uidl != NULL)
            CHECK_SLICE(rows[i].format, buf_slice(&out), slice_of(rows[i].uidl));
    }
    buf_finish(&out);
}

static void version_3(void)
{
    struct slice text = SLICE("3 V1275660208 N25022 G3085f01b Xunknown\n"
                              "25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,\n"
                              "25017 W2481 P0000000a.uidl Gguid :1276533073.M242911P3632.kurkku:2,F\n"
                              "not a line\n0 :zero\n25018 :\n25019 :a/b\n\n25020 :last");
    struct uidlist_head head;
    struct uidlist_line line;
    unsigned            bad = 0;

    CHECK("head", uidlist_head(&text, &head) && head.version == 3 && head.uidvalidity == 1275660208 && head.uidnext == 25022);
    CHECK_SLICE("guid", head.guid, SLICE("3085f01b"));
    CHECK("first", uidlist_next(&text, 3, &line, &bad) && line.uid == 25006 && line.uidl.len == 0);
    CHECK_SLICE("its name", line.name, SLICE("1276528487.M364837P9451.kurkku,S=1355,W=1394"));
    CHECK("second", uidlist_next(&text, 3, &line, &bad) && line.uid == 25017);
    CHECK_SLICE("its uidl", line.uidl, SLICE("0000000a.uidl"));
    CHECK("last", uidlist_next(&text, 3, &line, &bad) && line.uid == 25020 && !uidlist_next(&text, 3, &line, &bad));
    CHECK("what makes no sense is counted", bad == 4);
}

static void version_1(void)
{
    struct slice        text = SLICE("1 1275660208 25\n3 1276528487.h:2,S\n4 x y\n"), none = SLICE("2 1 2\n"), zero = SLICE("3 N4\n");
    struct uidlist_head head;
    struct uidlist_line line;
    unsigned            bad = 0;

    CHECK("head", uidlist_head(&text, &head) && head.version == 1 && head.uidvalidity == 1275660208 && head.uidnext == 25);
    CHECK("line", uidlist_next(&text, 1, &line, &bad) && line.uid == 3);
    CHECK_SLICE("its name", line.name, SLICE("1276528487.h"));
    CHECK("another version", !uidlist_head(&none, &head));
    CHECK("no UIDVALIDITY", !uidlist_head(&zero, &head));
}

static void packings(void)
{
    const char *name;

    CHECK("gzip", unpack_kind_of(SLICE("\x1f\x8b\x08"), &name) == UNPACK_GZIP);
    CHECK("zstd", unpack_kind_of(SLICE("\x28\xb5\x2f\xfd\x24"), &name) == UNPACK_ZSTD);
    CHECK("bzip2", unpack_kind_of(SLICE("BZh9"), &name) == UNPACK_BZIP2);
    CHECK("encrypted", unpack_kind_of(SLICE("CRYPTED\x03\x07"), &name) == UNPACK_UNKNOWN);
    CHECK("mail", unpack_kind_of(SLICE("From: "), &name) == UNPACK_NONE && unpack_kind_of(SLICE(""), &name) == UNPACK_NONE);
}

int main(void)
{
    names();
    folders();
    uidls();
    version_3();
    version_1();
    packings();
    return check_done();
}
