/*
 * tests/unit/policy/test_access.c - patterns, actions, lines of an access file.
 */
#include <arpa/inet.h>
#include <unistd.h>

#include "check.h"
#include "policy/access.h"

static const char table_text[] = "# a comment\n"
                                 "192.0.2.0/24      reject no networks like this\n"
                                 "192.0.2.7         OK\n"
                                 "2001:db8::/32     450 4.7.9 later\n"
                                 "example.org       reject\n"
                                 ".example.org      defer\n"
                                 "ann@example.org   allow\n"
                                 "postmaster@       DUNNO\n"
                                 "gone@example.net  discard\n"
                                 "old@example.net   redirect new@example.com\n"
                                 "<>                550 5.7.1 no bounces\n"
                                 "plain.example\n"
                                 "long.example      reject a text that\n"
                                 "    goes on\n";

static const struct { const char *note, *address, *name, *path, *action, *text, *status; unsigned code; } lookups[] = {
    {"network", "192.0.2.1", "", NULL, "reject", "no networks like this", "", 0},
    {"the narrower one", "192.0.2.7", "", NULL, "allow", "", "", 0},
    {"outside", "192.0.3.1", "", NULL, NULL, "", "", 0},
    {"IPv6, with a code", "2001:db8:1::1", "", NULL, "defer", "later", "4.7.9", 450},
    {"a name", NULL, "Example.ORG", NULL, "reject", "", "", 0},
    {"with its last dot", NULL, "example.org.", NULL, "reject", "", "", 0},
    {"below", NULL, "a.b.example.org", NULL, "defer", "", "", 0},
    {"only its end is the same", NULL, "notexample.org", NULL, NULL, "", "", 0},
    {"an address", NULL, "", "Ann@EXAMPLE.org", "allow", "", "", 0},
    {"with a detail", NULL, "", "ann+x@example.org", "allow", "", "", 0},
    {"its domain", NULL, "", "bob@example.org", "reject", "", "", 0},
    {"a domain below", NULL, "", "bob@x.example.org", "defer", "", "", 0},
    {"a local part: this table says nothing", NULL, "", "postmaster@example.org", NULL, "", "", 0},
    {"discard", NULL, "", "gone@example.net", "discard", "", "", 0},
    {"redirect", NULL, "", "old@example.net", "redirect", "", "", 0},
    {"null reverse-path", NULL, "", "", "reject", "no bounces", "5.7.1", 550},
    {"without an action: the table's", NULL, "plain.example", NULL, "reject", "the default", "5.7.7", 0},
    {"a line that goes on", NULL, "long.example", NULL, "reject", "a text that goes on", "", 0},
    {"nobody", NULL, "", "x@elsewhere.example", NULL, "", "", 0},
};

static const struct policy_access config = {
    .name = "test", .stage = ACCESS_SENDER, .action = ACCESS_REJECT, .text = "5.7.7 the default", .file = "", .to = ""};

static bool make_address(const char *text, struct in6_addr *out)
{
    *out = (struct in6_addr){0};
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    return inet_pton(AF_INET, text, &out->s6_addr[12]) == 1 || inet_pton(AF_INET6, text, out) == 1;
}

static void test_lookups(void)
{
    struct access_table *t = NULL;
    struct fail why = {0};
    struct arena a;

    CHECK("the table", access_table_of_text(&config, slice_of(table_text), 100, &t, &why));
    arena_init(&a, 1 << 20);
    for (size_t i = 0; t != NULL && i < ARRAY_LEN(lookups); i++) {
        struct in6_addr address;
        struct access_answer got = {0};
        const bool has = lookups[i].address != NULL && make_address(lookups[i].address, &address);
        const struct access_subject s = {.address = has ? &address : NULL, .name = slice_of(lookups[i].name),
                                         .is_path = lookups[i].path != NULL, .path = slice_of(lookups[i].path)};
        bool found = access_table_ask(t, &s, &a, &got);
        CHECK(lookups[i].note, found == (lookups[i].action != NULL));
        if (!found || lookups[i].action == NULL)
            continue;
        CHECK_SLICE(lookups[i].note, slice_of(access_action_name(got.action)), slice_of(lookups[i].action));
        CHECK_SLICE(lookups[i].note, got.text, slice_of(lookups[i].text));
        CHECK_SLICE(lookups[i].note, got.status, slice_of(lookups[i].status));
        CHECK(lookups[i].note, got.code == lookups[i].code);
    }
    arena_finish(&a);
    access_table_close(&t);
}

static void test_refusals(void)
{
    static const struct { const char *note, *text, *where; } cases[] = {
        {"no action", "example.org dance\n", "text:1: "},
        {"no such network", "\n\n192.0.2.0/99 ok\n", "text:3: "},
        {"a star within", "*.example.org reject\n", "text:1: "},
        {"redirect to nobody", "a@example.org redirect\n", "text:1: "},
        {"a control character", "a@example.org reject \001\n", "text:1: "},
        {"too many", "a.example\nb.example\nc.example\nd.example\n", "text:4: "},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct access_table *t = NULL;
        struct fail why = {0};
        bool ok = access_table_of_text(&config, slice_of(cases[i].text), 3, &t, &why);
        CHECK(cases[i].note, !ok);
        CHECK(cases[i].note, slice_starts(slice_of(why.text), slice_of(cases[i].where)));
        access_table_close(&t);
    }
}

int main(void)
{
    test_lookups();
    test_refusals();
    return check_done();
}
