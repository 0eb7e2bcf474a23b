/* test_path.c - paths and parameters of MAIL and RCPT. */
#include "check.h"
#include "smtp/path.h"

static const struct {
    const char  *note;
    struct slice in;
    const char  *address; /* NULL: refused */
    const char  *local, *domain;
    const char  *rest;
} paths[] = {
    {"plain", SLICE("<ann@example.org>"), "ann@example.org", "ann", "example.org", ""},
    {"null path", SLICE("<> SIZE=1"), "", "", "", " SIZE=1"},
    {"local part alone", SLICE("<Postmaster>"), "Postmaster", "Postmaster", "", ""},
    {"parameters stay", SLICE("<a@b.c> BODY=7BIT"), "a@b.c", "a", "b.c", " BODY=7BIT"},
    {"needless quotes", SLICE("<\"ann\"@example.org>"), "ann@example.org", "ann", "example.org", ""},
    {"quotes that must stay", SLICE("<\"a b\"@example.org>"), "\"a b\"@example.org", "a b", "example.org", ""},
    {"at sign in quotes", SLICE("<\"a@b\"@example.org>"), "\"a@b\"@example.org", "a@b", "example.org", ""},
    {"bracket in quotes", SLICE("<\"a>b\"@example.org>"), "\"a>b\"@example.org", "a>b", "example.org", ""},
    {"quoted pair", SLICE("<\"a\\\"b\\\\\"@example.org>"), "\"a\\\"b\\\\\"@example.org", "a\"b\\", "example.org", ""},
    {"needless quoted pair", SLICE("<\"\\a\"@example.org>"), "a@example.org", "a", "example.org", ""},
    {"source route", SLICE("<@x.example,@y.example:ann@example.org>"), "ann@example.org", "ann", "example.org", ""},
    {"IPv4 literal", SLICE("<ann@[192.0.2.1]>"), "ann@[192.0.2.1]", "ann", "[192.0.2.1]", ""},
    {"IPv6 literal", SLICE("<ann@[IPv6:2001:db8::1]>"), "ann@[IPv6:2001:db8::1]", "ann", "[IPv6:2001:db8::1]", ""},
    {"plus", SLICE("<ann+lists@example.org>"), "ann+lists@example.org", "ann+lists", "example.org", ""},
    {"UTF-8", SLICE("<j\xc3\xb6rg@b\xc3\xbc" "cher.example>"), "j\xc3\xb6rg@b\xc3\xbc" "cher.example", "j\xc3\xb6rg",
     "b\xc3\xbc" "cher.example", ""},
    {"empty quoted local part", SLICE("<\"\"@example.org>"), "\"\"@example.org", "", "example.org", ""},
    {"underscore in a host name", SLICE("<a@x_y.example>"), "a@x_y.example", "a", "x_y.example", ""},

    {"no brackets", SLICE("ann@example.org"), NULL, NULL, NULL, NULL},
    {"not closed", SLICE("<ann@example.org"), NULL, NULL, NULL, NULL},
    {"two dots", SLICE("<a..b@example.org>"), NULL, NULL, NULL, NULL},
    {"leading dot", SLICE("<.a@example.org>"), NULL, NULL, NULL, NULL},
    {"trailing dot", SLICE("<a.@example.org>"), NULL, NULL, NULL, NULL},
    {"no local part", SLICE("<@example.org>"), NULL, NULL, NULL, NULL},
    {"no domain", SLICE("<ann@>"), NULL, NULL, NULL, NULL},
    {"domain ends in a dot", SLICE("<ann@example.org.>"), NULL, NULL, NULL, NULL},
    {"empty label", SLICE("<ann@example..org>"), NULL, NULL, NULL, NULL},
    {"label begins with a hyphen", SLICE("<ann@-x.example>"), NULL, NULL, NULL, NULL},
    {"space", SLICE("<a b@example.org>"), NULL, NULL, NULL, NULL},
    {"space in the domain", SLICE("<ann@exa mple.org>"), NULL, NULL, NULL, NULL},
    {"two at signs", SLICE("<a@b@example.org>"), NULL, NULL, NULL, NULL},
    {"quote not closed", SLICE("<\"ann@example.org>"), NULL, NULL, NULL, NULL},
    {"backslash at the end", SLICE("<\"ann\\"), NULL, NULL, NULL, NULL},
    {"control character", SLICE("<a\001@example.org>"), NULL, NULL, NULL, NULL},
    {"NUL", SLICE("<a\0b@example.org>"), NULL, NULL, NULL, NULL},
    {"control character in quotes", SLICE("<\"a\001\"@example.org>"), NULL, NULL, NULL, NULL},
    {"not UTF-8", SLICE("<a\xff@example.org>"), NULL, NULL, NULL, NULL},
    {"bad IPv4 literal", SLICE("<ann@[192.0.2]>"), NULL, NULL, NULL, NULL},
    {"IPv6 without its tag", SLICE("<ann@[2001:db8::1]>"), NULL, NULL, NULL, NULL},
    {"source route without colon", SLICE("<@x.example ann@example.org>"), NULL, NULL, NULL, NULL},
    {"empty", SLICE(""), NULL, NULL, NULL, NULL},
};

static void test_paths(void)
{
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct arena     a;
        struct smtp_path got = {0};
        struct slice     in = paths[i].in;

        arena_init(&a, 1 << 16);
        bool ok = smtp_read_path(&in, &a, &got);
        CHECK(paths[i].note, ok == (paths[i].address != NULL));
        if (ok && paths[i].address != NULL) {
            CHECK_SLICE(paths[i].note, got.address, slice_of(paths[i].address));
            CHECK_SLICE(paths[i].note, got.local, slice_of(paths[i].local));
            CHECK_SLICE(paths[i].note, got.domain, slice_of(paths[i].domain));
            CHECK_SLICE(paths[i].note, in, slice_of(paths[i].rest));
            CHECK(paths[i].note, got.ascii == (strchr(paths[i].address, '\xc3') == NULL));
        } else {
            CHECK(paths[i].note, in.ptr == paths[i].in.ptr && in.len == paths[i].in.len);
        }
        arena_finish(&a);
    }
}

static void test_lengths(void)
{
    char         text[700];
    struct arena a;

    for (size_t n = 250; n <= 262; n++) {
        struct smtp_path got;
        text[0] = '<';
        memset(text + 1, 'x', n);
        memcpy(text + 1 + n, "@example.org>", 13);
        struct slice in = slice_make(text, n + 14);
        arena_init(&a, 1 << 16);
        CHECK("local part of at most 256", smtp_read_path(&in, &a, &got) == (n <= 256));
        arena_finish(&a);
    }
    for (size_t n = 60; n <= 66; n++) {
        memset(text, 'x', n);
        CHECK("label of at most 63", smtp_is_client_name(slice_make(text, n)) == (n <= 63));
    }
    for (size_t n = 250; n <= 260; n++) {
        for (size_t i = 0; i < n; i++)
            text[i] = i % 2 == 0 ? 'x' : '.';
        text[n - 1] = 'y';
        if (text[n - 2] == 'x')
            text[n - 2] = 'z';
        CHECK("domain of at most 255", smtp_is_client_name(slice_make(text, n)) == (n <= 255));
    }
}

static const struct {
    const char *note;
    struct slice in;
    enum smtp_parameter_found found;
    const char *keyword, *value;
} parameters[] = {
    {"none", SLICE(""), PARAMETER_END, NULL, NULL},
    {"blanks only", SLICE("  "), PARAMETER_END, NULL, NULL},
    {"with a value", SLICE(" SIZE=100 X"), PARAMETER_OK, "SIZE", "100"},
    {"without", SLICE(" SMTPUTF8"), PARAMETER_OK, "SMTPUTF8", NULL},
    {"hyphen", SLICE(" X-a=b"), PARAMETER_OK, "X-a", "b"},
    {"no space before", SLICE("SIZE=1"), PARAMETER_BAD, NULL, NULL},
    {"empty value", SLICE(" SIZE="), PARAMETER_BAD, NULL, NULL},
    {"no keyword", SLICE(" =1"), PARAMETER_BAD, NULL, NULL},
    {"two equal signs", SLICE(" A=b=c"), PARAMETER_BAD, NULL, NULL},
    {"hyphen first", SLICE(" -A=b"), PARAMETER_BAD, NULL, NULL},
    {"control character", SLICE(" A=b\001"), PARAMETER_BAD, NULL, NULL},
    {"odd keyword", SLICE(" A_B=c"), PARAMETER_BAD, NULL, NULL},
};

static void test_parameters(void)
{
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
        struct smtp_parameter got = {0};
        struct slice          in = parameters[i].in;

        CHECK(parameters[i].note, smtp_read_parameter(&in, &got) == parameters[i].found);
        if (parameters[i].found == PARAMETER_OK) {
            CHECK_SLICE(parameters[i].note, got.keyword, slice_of(parameters[i].keyword));
            CHECK_SLICE(parameters[i].note, got.value, slice_of(parameters[i].value));
            CHECK(parameters[i].note, (got.value.ptr != NULL) == (parameters[i].value != NULL));
        }
    }
    CHECK("xtext", smtp_is_xtext(SLICE("ann+40example.org")));
    CHECK("xtext: bad escape", !smtp_is_xtext(SLICE("ann+4")));
    CHECK("xtext: lower case escape", !smtp_is_xtext(SLICE("ann+4a")));
    CHECK("xtext: equal sign", !smtp_is_xtext(SLICE("a=b")));
}

static void test_client_names(void)
{
    CHECK("host", smtp_is_client_name(SLICE("mail.example.org")));
    CHECK("one label", smtp_is_client_name(SLICE("localhost")));
    CHECK("literal", smtp_is_client_name(SLICE("[127.0.0.1]")));
    CHECK("nothing", !smtp_is_client_name(SLICE("")));
    CHECK("two words", !smtp_is_client_name(SLICE("a b")));
    CHECK("comment", !smtp_is_client_name(SLICE("a(b)")));
    CHECK("line end", !smtp_is_client_name(SLICE("a\r\nX: y")));
}

int main(void)
{
    test_paths();
    test_lengths();
    test_parameters();
    test_client_names();
    return check_done();
}
