/*
 * tests/unit/message/test_address.c - address lists, good and bad.
 */
#include "../check.h"
#include "message/address.h"

#include "base/buf.h"

/* name|route|mailbox|host; for each; "<" and ">" for a group's ends. */
static void show(struct buf *out, const struct address *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].is_group_end)
            buf_addf(out, ">");
        else if (list[i].is_group_start)
            buf_addf(out, PRIslice "<", SLICE_ARG(list[i].mailbox));
        else
            buf_addf(out, PRIslice "|" PRIslice "|" PRIslice "|" PRIslice ";", SLICE_ARG(list[i].name),
                     SLICE_ARG(list[i].route), SLICE_ARG(list[i].mailbox), SLICE_ARG(list[i].host));
    }
}

static const struct {
    const char *note, *body, *want;
} cases[] = {
    {"plain", " a@b.example", "||a|b.example;"},
    {"angle", "<a@b>", "||a|b;"},
    {"name", "Ann Other <a@b>", "Ann Other||a|b;"},
    {"quoted name", "\"Other, Ann\" <a@b>", "Other, Ann||a|b;"},
    {"escapes", "\"Giant; \\\"Big\\\" Box\" <a@b>", "Giant; \"Big\" Box||a|b;"},
    {"dots in a name", "Joe Q. Public <a@b>", "Joe Q. Public||a|b;"},
    {"old comment name", "a@b (Ann Other)", "Ann Other||a|b;"},
    {"nested comment", "a@b (Ann (really) Other)", "Ann (really) Other||a|b;"},
    {"name wins over comment", "Ann <a@b> (x)", "Ann||a|b;"},
    {"comments everywhere", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
     "Pete||pete|silly.test;"},
    {"list", "a@b, c@d", "||a|b;||c|d;"},
    {"empty members", ", ,a@b,,", "||a|b;"},
    {"group", "A Group:Ed <c@a.test>,joe@w.test;", "A Group<Ed||c|a.test;||joe|w.test;>"},
    {"empty group", "Undisclosed recipients:;", "Undisclosed recipients<>"},
    {"group without an end", "g: a@b", "g<||a|b;>"},
    {"after a group", "g: a@b; c@d", "g<||a|b;>||c|d;"},
    {"group in a group", "g: h: a@b; c@d", "g<||a|b;>||c|d;"},
    {"route", "<@x.test,@y.test:a@b>", "|@x.test,@y.test|a|b;"},
    {"quoted local part", "\"a b\"@c", "||a b|c;"},
    {"local part in words", "a . b @ c . d", "||a.b|c.d;"},
    {"domain literal", "a@[127.0.0.1]", "||a|[127.0.0.1];"},
    {"UTF-8", "Jörg <jörg@münchen.example>", "Jörg||jörg|münchen.example;"},
    {"encoded word", "=?utf-8?q?J=C3=B6rg?= <a@b>", "=?utf-8?q?J=C3=B6rg?=||a|b;"},
    {"folded", "Ann\r\n Other\r\n <a@b>", "Ann Other||a|b;"},
    {"folded inside quotes", "\"Ann\r\n Other\" <a@b>", "Ann Other||a|b;"},
    {"lone word", "root", "||root|;"},
    {"name alone", "Ann Other", "Ann Other|||;"},
    {"address as name", "a@b <c@d>", "a@b||c|d;"},
    {"two ats", "<a@b@c>", "||a@b|c;"},
    {"bracket not closed", "Ann <a@b, c@d", "Ann||a|b;||c|d;"},
    {"bracket twice", "<<a@b>>", "||a|b;"},
    {"nothing in brackets", "<>", ""},
    {"name and empty brackets", "MAILER-DAEMON <>", "MAILER-DAEMON|||;"},
    {"only a comment", "(nobody)", ""},
    {"quote not closed", "\"Ann <a@b>", "Ann <a@b>|||;"},
    {"comment not closed", "a@b (Ann", "Ann||a|b;"},
    {"junk behind", "a@b junk, c@d", "||a|b;||c|d;"},
    {"semicolons as commas", "a@b; c@d", "||a|b;||c|d;"},
    {"empty", "", ""},
};

int main(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        struct address *list;
        struct buf got;

        arena_init(&a, 1 << 20);
        buf_init(&got, 1000);
        size_t count = address_list_parse(&a, slice_of(cases[i].body), 100, &list);
        show(&got, list, count);
        CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].want));
        buf_finish(&got);
        arena_finish(&a);
    }

    struct arena a;
    struct address *list;
    struct buf got;
    arena_init(&a, 1 << 20);
    buf_init(&got, 1000);
    size_t count = address_list_parse(&a, SLICE("g: a@b, c@d, e@f; i@j"), 3, &list);
    show(&got, list, count);
    CHECK_SLICE("a list that is cut closes its group", buf_slice(&got), SLICE("g<||a|b;>"));
    buf_finish(&got);

    /* A megabyte of "a@a@a@..." and of "(((" is read in a moment, or this test never ends. */
    struct buf big;
    buf_init(&big, 2 << 20);
    for (int i = 0; i < 1 << 19; i++)
        buf_addf(&big, "a@");
    arena_reset(&a);
    a.limit = 64 << 20;
    CHECK("many ats", address_list_parse(&a, buf_slice(&big), 5000, &list) == 1);
    memset(big.data, '(', big.len);
    CHECK("many brackets", address_list_parse(&a, buf_slice(&big), 5000, &list) == 0);
    memset(big.data, '<', big.len);
    (void)address_list_parse(&a, buf_slice(&big), 5000, &list);
    buf_finish(&big);
    arena_finish(&a);
    return check_done();
}
