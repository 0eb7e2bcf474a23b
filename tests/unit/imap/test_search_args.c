/*
 * tests/unit/imap/test_search_args.c - what SEARCH looks for.
 */
#include "imap/search_args.h"

#include "base/buf.h"
#include "tests/unit/check.h"

static const struct imap_limits limits = {.sets = 100, .nesting = 6};
static struct uid_range recent[] = {{90, 95}, {98, 99}};
static struct uid_range saved[] = {{7, 9}, {20, 20}};
static const struct search_scope scope = {
    .messages = 10, .last_uid = 99, .recent = recent, .recent_count = 2, .now = 1000,
    .saved = {.ranges = saved, .count = 2}};

static const char *const names[] = {
    [SEARCH_ALL] = "all",         [SEARCH_AND] = "and",
    [SEARCH_OR] = "or",           [SEARCH_NOT] = "not",
    [SEARCH_POSITIONS] = "n",     [SEARCH_UIDS] = "uid",
    [SEARCH_FLAGS] = "flags",     [SEARCH_KEYWORD] = "keyword",
    [SEARCH_RECENT] = "recent",   [SEARCH_MODSEQ] = "modseq",
    [SEARCH_LARGER] = "larger",   [SEARCH_SMALLER] = "smaller",
    [SEARCH_BEFORE] = "before",   [SEARCH_ON] = "on",
    [SEARCH_SINCE] = "since",     [SEARCH_SENT_BEFORE] = "sentbefore",
    [SEARCH_OLDER] = "older",     [SEARCH_YOUNGER] = "younger",
    [SEARCH_SAVED_ON] = "savedon", [SEARCH_SAVED_BEFORE] = "savedbefore",
    [SEARCH_SAVED_SINCE] = "savedsince", [SEARCH_EMAILID] = "emailid", [SEARCH_THREADID] = "threadid",
    [SEARCH_SENT_ON] = "senton",  [SEARCH_SENT_SINCE] = "sentsince",
    [SEARCH_FROM] = "from",       [SEARCH_TO] = "to",
    [SEARCH_CC] = "cc",           [SEARCH_BCC] = "bcc",
    [SEARCH_SUBJECT] = "subject", [SEARCH_HEADER] = "header",
    [SEARCH_BODY] = "body",       [SEARCH_TEXT] = "text",
    [SEARCH_NOTHING] = "nothing",
};

static void write_key(struct buf *b, const struct search *k)
{
    buf_add(b, slice_of(names[k->op]));
    if (k->flags != 0)
        buf_addf(b, ":%u", k->flags);
    if (k->number != 0)
        buf_addf(b, ":%llu", (unsigned long long)k->number);
    if (k->field.len > 0)
        buf_addf(b, ":" PRIslice, SLICE_ARG(k->field));
    if (k->text.len > 0)
        buf_addf(b, ":" PRIslice, SLICE_ARG(k->text));
    for (size_t i = 0; i < k->range_count; i++)
        buf_addf(b, ":%u-%u", k->ranges[i].first, k->ranges[i].last);
    if (k->children == NULL)
        return;
    buf_add_char(b, '(');
    for (const struct search *c = k->children; c != NULL; c = c->next) {
        write_key(b, c);
        if (c->next != NULL)
            buf_add_char(b, ' ');
    }
    buf_add_char(b, ')');
}

static const struct {
    const char *note, *input, *tree; /* NULL: refused */
} cases[] = {
    {"ALL", " ALL", "and(all)"},
    {"flags", " SEEN UNSEEN", "and(flags:1 not(flags:1))"},
    {"all of them", " ANSWERED FLAGGED DELETED DRAFT", "and(flags:2 flags:4 flags:8 flags:16)"},
    {"NEW", " NEW", "and(and(uid:90-95:98-99 not(flags:1)))"},
    {"OLD", " OLD", "and(not(uid:90-95:98-99))"},
    {"NOT swallows one key only", " NOT SEEN FLAGGED", "and(not(flags:1) flags:4)"},
    {"OR swallows two", " OR SEEN FLAGGED DRAFT", "and(or(flags:1 flags:4) flags:16)"},
    {"OR of groups", " OR (SEEN DRAFT) NOT FLAGGED", "and(or(and(flags:1 flags:16) not(flags:4)))"},
    {"text", " FROM ann SUBJECT \"a b\"", "and(from:ann subject:a b)"},
    {"header", " HEADER X-Foo bar", "and(header:X-Foo:bar)"},
    {"header that is there", " HEADER X-Foo \"\"", "and(header:X-Foo)"},
    {"dates", " SINCE 2-Jan-1970 SENTBEFORE \"3-Jan-1970\"", "and(since:1 sentbefore:2)"},
    {"sizes", " LARGER 100 SMALLER 200", "and(larger:100 smaller:200)"},
    {"keyword", " KEYWORD $Junk UNKEYWORD x", "and(keyword:$Junk not(keyword:x))"},
    {"numbers", " 1,3:5", "and(n:1-1:3-5)"},
    {"star", " 9:*", "and(n:9-10)"},
    {"a number that is not there", " 11", NULL},
    {"uids need not be there", " UID 5:1000", "and(uid:5-1000)"},
    {"last uid", " UID *", "and(uid:99-99)"},
    {"modseq", " MODSEQ 7", "and(modseq:7)"},
    {"modseq of a flag", " MODSEQ \"/flags/\\\\draft\" all 7", "and(modseq:7)"},
    {"charset", " CHARSET UTF-8 TEXT x", "and(text:x)"},
    {"returns", " RETURN (MIN COUNT) ALL", "and(all)"},
    {"what was saved", " $", "and(uid:7-9:20-20)"},
    {"what was saved, as UIDs", " UID $ SEEN", "and(uid:7-9:20-20 flags:1)"},
    {"a keyword that begins with $", " KEYWORD $x", "and(keyword:$x)"},
    {"$ is no part of a set", " 1,$", NULL},
    {"$ with a letter", " $x", NULL},
    {"older and younger", " OLDER 1 YOUNGER 100", "and(older:999 younger:900)"},
    {"no interval", " OLDER 0", NULL},
    {"save dates", " SAVEDBEFORE 2-Jan-1970 SAVEDON 3-Jan-1970 SAVEDSINCE 4-Jan-1970 SAVEDATESUPPORTED",
     "and(savedbefore:1 savedon:2 savedsince:3 all)"},
    {"a message's id", " EMAILID M17 THREADID T3", "and(emailid:17 threadid:3)"},
    {"an id of another kind", " EMAILID T17", "and(nothing)"},
    {"an id that is not ours", " EMAILID 1234_a-b", "and(nothing)"},
    {"no id", " EMAILID a.b", NULL},
    {"modseq of something else", " MODSEQ \"/foo\" all 7", NULL},
    {"two partials", " RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", NULL},
    {"partial and all", " RETURN (PARTIAL 1:2 ALL) ALL", NULL},
    {"a partial of both ends", " RETURN (PARTIAL -1:2) ALL", NULL},
    {"a partial with a star", " RETURN (PARTIAL 1:*) ALL", NULL},
    {"partial", " RETURN (PARTIAL -1:-100 MIN) ALL", "and(all)"},
    {"relevancy of nothing fuzzy", " RETURN (RELEVANCY) ALL", NULL},
    {"return options twice", " RETURN (MIN MIN) ALL", "and(all)"},
    {"six levels", " NOT NOT NOT NOT NOT SEEN", "and(not(not(not(not(not(flags:1))))))"},
    {"seven", " NOT NOT NOT NOT NOT NOT SEEN", NULL},
    {"unknown key", " FOO", NULL},
    {"no key", " ", NULL},
    {"nothing at all", "", NULL},
    {"empty group", " ()", NULL},
    {"not closed", " (SEEN", NULL},
    {"argument missing", " FROM", NULL},
    {"bad date", " SINCE 31-Feb-2000", NULL},
    {"unknown return option", " RETURN (FOO) ALL", NULL},
    {"space at the end", " SEEN ", NULL},
};

/* `count` keys of one command: are they too many? */
static void test_many_keys(struct arena *a, const char *key, unsigned count, bool too_many)
{
    struct imap_reader r;
    struct buf text;

    buf_init(&text, 1 << 16);
    for (unsigned i = 0; i < count; i++)
        buf_addf(&text, " %s", key);
    arena_reset(a);
    imap_reader_init(&r, buf_slice(&text), a, &limits);
    (void)search_args_read(&r, &scope);
    CHECK(key, r.failed == too_many);
    buf_finish(&text);
}

int main(void)
{
    struct arena a;
    struct buf tree;

    arena_init(&a, 1 << 20);
    buf_init(&tree, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_reader r;
        arena_reset(&a);
        imap_reader_init(&r, slice_of(cases[i].input), &a, &limits);
        struct search_args args = search_args_read(&r, &scope);
        CHECK(cases[i].note, r.failed == (cases[i].tree == NULL));
        if (r.failed)
            continue;
        buf_reset(&tree);
        write_key(&tree, args.tree);
        CHECK_SLICE(cases[i].note, buf_slice(&tree), slice_of(cases[i].tree));
    }
    buf_finish(&tree);
    test_many_keys(&a, "SEEN", 499, false); /* and the one that joins them */
    test_many_keys(&a, "SEEN", 500, true);
    test_many_keys(&a, "BODY x", 50, false);
    test_many_keys(&a, "TEXT x", 51, true);
    test_many_keys(&a, "SUBJECT x", 51, false);
    arena_finish(&a);
    return check_done();
}
