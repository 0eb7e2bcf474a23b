/* relay/route: which row fits, what the queue's destinations are called, how hosts are written. */
#include "relay/route.h"

#include <netinet/in.h>

#include "base/fail.h"
#include "tests/unit/check.h"

static const char *const example_net[] = {"Example.NET", NULL}, *const below_org[] = {".example.org", NULL};
static const char *const one_address[] = {"ann@example.com", NULL}, *const bounces[] = {"<>", NULL}, *const any[] = {"*", NULL};
static const char *const u_label[] = {"b\xc3\xbc" "cher.example", NULL}, *const accounts[] = {"u0@example.test", NULL};
static const char *const hosts[] = {"relay.example.com:587", NULL};

static const struct route_row rows[] = {
    {.name = "net", .recipient_domains = example_net, .hosts = hosts},
    {.name = "org", .recipient_domains = below_org, .hosts = hosts},
    {.name = "one", .recipient_domains = one_address, .hosts = hosts},
    {.name = "umlaut", .recipient_domains = u_label, .hosts = hosts},
    {.name = "account", .accounts = accounts, .hosts = hosts},
    {.name = "bounces", .sender_domains = bounces, .helo = "bounces.example.test"},
    {.name = "closed", .sender_domains = below_org, .recipient_domains = any, .defer = "4.3.2 closed"},
};
static const struct route_table table = {rows, ARRAY_LEN(rows)};

static void test_find(void)
{
    static const struct { const char *note, *sender, *account, *recipient, *row; } cases[] = {
        {"domain, any case", "a@x.test", "", "bob@EXAMPLE.net", "net"},
        {"not below it", "a@x.test", "", "bob@sub.example.net", NULL},
        {"below", "a@x.test", "", "bob@sub.example.org", "org"},
        {"far below", "a@x.test", "", "bob@a.b.example.org", "org"},
        {"not the domain itself", "a@x.test", "", "bob@example.org", NULL},
        {"nor another that ends like it", "a@x.test", "", "bob@notexample.org", NULL},
        {"an address", "a@x.test", "", "Ann@example.com", "one"},
        {"not another of its domain", "a@x.test", "", "bob@example.com", NULL},
        {"A-labels", "a@x.test", "", "bob@xn--bcher-kva.example", "umlaut"},
        {"account", "a@x.test", "U0@example.test", "bob@example.com", "account"},
        {"another server says to be it", "u0@example.test", "", "bob@example.com", NULL},
        {"the first row counts", "a@x.test", "u0@example.test", "bob@example.net", "net"},
        {"null reverse-path", "", "", "bob@example.com", "bounces"},
        {"sender's domain", "a@sub.example.org", "", "bob@example.com", "closed"},
        {"no domain at all", "a@sub.example.org", "", "bob", "closed"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct route_row *r = route_find(&table, slice_of(cases[i].sender), slice_of(cases[i].account), slice_of(cases[i].recipient));
        CHECK_SLICE(cases[i].note, slice_of(r != NULL ? r->name : NULL), slice_of(cases[i].row));
    }
    CHECK("no table", route_find(NULL, SLICE("a@b"), SLICE(""), SLICE("c@d")) == NULL);
}

static void test_destinations(void)
{
    static const struct { const char *sender, *recipient, *name; } cases[] = {
        {"a@x.test", "bob@example.net", "route:net"},
        {"a@x.test", "bob@Other.Example", "other.example"},
        {"", "bob@other.example", "other.example"}, /* the row says how, not where */
        {"a@sub.example.org", "bob@other.example", "route:closed"},
        {"a@x.test", "bob@[192.0.2.1]", "[192.0.2.1]"},
        {"a@x.test", "bob", "invalid"},
    };
    struct queue_router router = route_router(&table);
    struct buf out;

    buf_init(&out, 300);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct queue_message m = {.sender = slice_of(cases[i].sender), .options = {.source = SLICE("u0@example.test")}};
        buf_reset(&out);
        router.destination(router.ctx, &m, slice_of(cases[i].recipient), &out);
        CHECK_SLICE(cases[i].recipient, buf_slice(&out), slice_of(cases[i].name));
    }
    struct queue_message mine = {.sender = SLICE("a@x.test"), .options = {.source = SLICE("u0@example.test"), .account = 7}};
    buf_reset(&out);
    router.destination(router.ctx, &mine, SLICE("bob@other.example"), &out);
    CHECK_SLICE("an account's own", buf_slice(&out), SLICE("route:account"));
    buf_finish(&out);
}

static void test_hosts(void)
{
    static const struct { const char *text; enum route_protocol protocol; bool wrapped, ok; const char *name; unsigned port; int kind; } cases[] = {
        {"relay.example.com", ROUTE_SMTP, false, true, "relay.example.com", 25, ROUTE_HOST_NAME},
        {"Relay.Example.com:587", ROUTE_SMTP, false, true, "relay.example.com", 587, ROUTE_HOST_NAME},
        {"relay.example.com", ROUTE_SMTP, true, true, "relay.example.com", 465, ROUTE_HOST_NAME},
        {"192.0.2.1", ROUTE_SMTP, false, true, "192.0.2.1", 25, ROUTE_HOST_ADDRESS},
        {"192.0.2.1:2525", ROUTE_SMTP, false, true, "192.0.2.1", 2525, ROUTE_HOST_ADDRESS},
        {"[192.0.2.1]:2525", ROUTE_SMTP, false, true, "192.0.2.1", 2525, ROUTE_HOST_ADDRESS},
        {"2001:db8::1", ROUTE_SMTP, false, true, "2001:db8::1", 25, ROUTE_HOST_ADDRESS},
        {"[IPv6:2001:db8::1]", ROUTE_SMTP, false, true, "IPv6:2001:db8::1", 25, ROUTE_HOST_ADDRESS},
        {"[2001:db8::1]:26", ROUTE_SMTP, false, true, "2001:db8::1", 26, ROUTE_HOST_ADDRESS},
        {"localhost", ROUTE_LMTP, false, true, "localhost", 24, ROUTE_HOST_NAME},
        {"/run/lmtp", ROUTE_LMTP, false, true, "/run/lmtp", 0, ROUTE_HOST_PATH},
        {"/run/lmtp", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"a b", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"host:", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"host:0", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"host:65536", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"[192.0.2.1", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"[192.0.2.1]x", ROUTE_SMTP, false, false, NULL, 0, 0},
        {"[192.0.2.1]:", ROUTE_SMTP, false, false, NULL, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_host h;
        struct fail why;
        bool ok = route_host_parse(cases[i].text, cases[i].protocol, cases[i].wrapped, &h, &why);
        CHECK(cases[i].text, ok == cases[i].ok);
        if (ok && cases[i].ok)
            CHECK(cases[i].text, strcmp(h.name, cases[i].name) == 0 && h.port == cases[i].port && (int)h.kind == cases[i].kind);
    }
}

int main(void)
{
    test_find();
    test_destinations();
    test_hosts();
    return check_done();
}
