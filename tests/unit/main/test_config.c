/* main/config: what is accepted, what is refused and on which line. */
#include "main/config.h"

#include <stdio.h>

#include "base/io.h"
#include "main/config_draft.h"
#include "main/config_limits.h"
#include "tests/unit/check.h"

static bool parse(const char *text, struct config **c, struct fail *why)
{
    *c = NULL;
    return config_parse("t.conf", slice_of(text), c, why);
}

static void test_refused(void)
{
    static const struct { const char *note, *text, *want; } cases[] = {
        {"no hostname", "data = \"/d\"\n", "t.conf: hostname is not set"},
        {"empty", "", "t.conf: hostname is not set"},
        {"unknown option", "hostname = a\n\nsize = 7\n", "t.conf:3: no such option 'size'"},
        {"unknown limit", "hostname = a\nsmtp {\n  sizes = 7\n}\n", "t.conf:3: no such option 'sizes'"},
        {"route: host", "hostname = a\nroute r {\n hosts = {\"a b\"}\n}\n", "t.conf:4: route \"r\": \"a b\" is no host"},
        {"route: pattern", "hostname = a\nroute r {\n recipient_domain = {\"a..b\"}\n}\n", "t.conf:4: route \"r\": recipient_domain: \"a..b\" is no domain"},
        {"route: protocol", "hostname = a\nroute r {\n protocol = uucp\n}\n", "t.conf:4: route \"r\": protocol is smtp or lmtp"},
        {"route: tls", "hostname = a\nroute r {\n tls = perhaps\n}\n", "t.conf:4: route \"r\": tls is policy, none, may, must, verify or dane"},
        {"route: a password in the clear", "hostname = a\nroute r {\n hosts = {\"h.example\"}\n tls = may\n user = u\n password_file = \"/p\"\n}\n",
         "t.conf:7: route \"r\" would send its password without TLS"},
        {"route: user alone", "hostname = a\nroute r {\n hosts = {\"h.example\"}\n user = u\n}\n", "t.conf:5: route \"r\" needs user and password_file together"},
        {"route: waits and fails", "hostname = a\nroute r {\n defer = x\n reject = y\n}\n", "t.conf:5: route \"r\" either waits"},
        {"route: LMTP to the MX", "hostname = a\nroute r {\n protocol = lmtp\n}\n", "t.conf:4: route \"r\" speaks LMTP and needs hosts"},
        {"route: source", "hostname = a\nroute r {\n source = {\"eth0\"}\n}\n", "t.conf:4: route \"r\": source: \"eth0\" is no IP address"},
        {"DNS server", "hostname = a\ndns_servers = {\"localhost\"}\n", "t.conf:2: dns_servers: \"localhost\" is no IP address"},
        {"odd hostname", "hostname = \"a b\"\n", "t.conf:1: hostname is a domain name"},
        {"relative path", "hostname = a\ndata = \"mail\"\n", "t.conf:2: data is a path from the root"},
        {"odd level", "hostname = a\nlog_level = loud\n", "t.conf:2: log_level is one of debug, info, warning, error"},
        {"limit too low", "hostname = a\nsmtp {\n  recipients = 99\n}\n", "t.conf:3: recipients is a number from 100"},
        {"limit too high", "hostname = a\nnet {\n  turn_ms = 60001\n}\n", "t.conf:3: turn_ms is a number from 1 to 60000"},
        {"limit no number", "hostname = a\nnet {\n  turn_ms = soon\n}\n", "t.conf:3: turn_ms is a number"},
        {"negative limit", "hostname = a\nnet {\n  turn_ms = -1\n}\n", "t.conf:3: turn_ms is a number"},
        {"unit on a count", "hostname = a\nnet {\n  turn_ms = 1KB\n}\n", "t.conf:3: turn_ms is a number"},
        {"overflow by unit", "hostname = a\nsmtp {\n  message_bytes = \"18014398509481985 KB\"\n}\n",
         "t.conf:3: message_bytes is a number"},
        {"two separators", "hostname = a\ndirectory {\n  separator = \"+-\"\n}\n", "t.conf:3: separator is one"},
        {"no such mechanism", "hostname = a\nlistener l { port = 7 protocol = imap }\nauth { mechanisms = \"PLAIN NTLM\" }\n", "t.conf: auth: mechanisms: there is no \"NTLM\""},
        {"at sign as separator", "hostname = a\ndirectory {\n  separator = \"@\"\n}\n", "t.conf:3: separator is one"},
        {"no helper", "hostname = a\nfetch_helpers = {\"http://127.0.0.1:11333\",\n \"rspamd\"}\n", "t.conf:3: fetch_helpers: \"rspamd\""},
        {"no contact", "hostname = a\ntls_report_contact = \"a b@c\"\n", "t.conf:2: tls_report_contact: \"a b@c\" is no address"},
        {"no URL of an issuer", "hostname = a\nauth { oauth_issuer = i oauth_audience = a oauth_jwks = \"https://a@b/\" }\n",
         "t.conf: auth: https://a@b/: "},
        {"odd block", "hostname = a\nmend_lf_for = {\"10.0.0.0/8\",\n \"10.0.0.0/33\"}\n", "t.conf:3: mend_lf_for: "},
        {"listener without port", "hostname = a\nlistener \"x\" {\n  protocol = imap\n}\n",
         "t.conf:4: listener \"x\" needs a port"},
        {"listener without protocol", "hostname = a\nlistener \"x\" {\n  port = 1\n}\n",
         "t.conf:4: listener \"x\" needs a protocol"},
        {"port too high", "hostname = a\nlistener \"x\" {\n  protocol = imap\n  port = 65536\n}\n",
         "t.conf:5: listener \"x\" needs a port"},
        {"name as address", "hostname = a\nlistener \"x\" {\n address = localhost port = 7 protocol = imap\n}\n",
         "t.conf:4: listener \"x\" has an address"},
        {"port on a Unix socket", "hostname = a\nlistener \"x\" {\n address = \"/s\" port = 7 protocol = lmtp\n}\n",
         "t.conf:4: listener \"x\" is a Unix socket"},
        {"TLS on a Unix socket",
         "hostname = a\nlistener \"x\" {\n address = \"/s\" protocol = lmtp tls = implicit\n}\n",
         "t.conf:4: listener \"x\" is a Unix socket"},
        {"odd protocol", "hostname = a\nlistener \"x\" {\n  protocol = pop5\n}\n", "t.conf:3: protocol is one of smtp"},
        {"odd tls", "hostname = a\nlistener \"x\" {\n  tls = maybe\n}\n", "t.conf:3: tls is one of none"},
        {"same name twice",
         "hostname = a\nlistener \"x\" { port = 1 protocol = imap }\nlistener \"x\" { port = 2 protocol = imap }\n",
         "t.conf:3: "},
        {"TLS without certificate", "hostname = a\nlistener \"x\" { port = 1 protocol = imap tls = implicit }\n",
         "t.conf: listener \"x\" speaks TLS"},
        {"PROXY from nobody", "hostname = a\nlistener \"x\" { port = 1 protocol = imap proxy = true }\n",
         "t.conf: listener \"x\" believes PROXY"},
        {"LMTP for the world", "hostname = a\nlistener \"x\" { port = 24 protocol = lmtp }\n",
         "t.conf:2: listener \"x\" lets"},
        {"certificate alone", "hostname = a\ncertificate = \"/c\"\n", "t.conf: certificate and key go together"},
        {"warning", "hostname = a\nquota_warnings = {80, 101}\n",
         "t.conf:2: quota_warnings: 101 is no percentage from 1 to 100"},
        {"warnings", "hostname = a\nquota_warnings = {1, 2, 3, 4, 5, 6, 7, 8, 9}\n",
         "t.conf:2: quota_warnings: at most 8 percentages"},
        {"administrator", "hostname = a\nadministrators = {\"a@b.test\",\n\"ann\"}\n",
         "t.conf:3: administrators: \"ann\" is not an account's address"},
        {"open brace", "hostname = a\nsmtp {\n  errors = 7\n", "t.conf:2: this brace is never closed"},
        {"open brace, inner", "hostname = a\nlistener \"x\" {\n port = 7\nsmtp {\n errors = 7\n}\n",
         "t.conf:2: this brace is never closed"},
        {"brace too many", "hostname = a\n}\n", "t.conf:2: this brace closes nothing"},
        {"open string", "hostname = \"a\n\n", "t.conf:1: this string never ends"},
        {"open comment", "hostname = a\n/* so\n", "t.conf:2: this comment never ends"},
        {"no value", "hostname =\n", "t.conf:2: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *c;
        struct fail    why = {0};
        bool           ok = parse(cases[i].text, &c, &why);

        CHECK(cases[i].note, !ok && why.kind == FAIL_PERM);
        CHECK_SLICE(cases[i].note, slice_sub(slice_of(why.text), 0, strlen(cases[i].want)), slice_of(cases[i].want));
        config_destroy(&c);
    }
    struct config *c = NULL;
    CHECK("NUL", !config_parse("t.conf", SLICE("hostname = a\n\0"), &c, NULL) && c == NULL);
}

static void test_accepted(void)
{
    struct config *c;
    struct fail    why = {0};

    CHECK("least", parse("hostname = mx.example.org\ncertificate = \"/c\" key = \"/k\"", &c, &why));
    if (c == NULL)
        return;
    CHECK_SLICE("data", slice_of(c->data), SLICE("/var/lib/posthorn"));
    CHECK("no plaintext", !c->allow_plaintext_login);
    CHECK("usual listeners", c->listener_count == 8 && c->listeners[0].port == 25);
    CHECK("rooms' defaults", c->directory.separator == '+' && c->smtp.message_bytes == 50 * 1024 * 1024);
    config_destroy(&c);
    CHECK("gone", c == NULL);

    CHECK("braces in text", parse("hostname = a # {\n// }\n/* { */ user = \"}\" auth_user = '{'\n"
                                  "listener l { port = 7 protocol = imap }", &c, &why));
    config_destroy(&c);
    CHECK("much", parse("hostname = a\nlog_level = debug\nallow_plaintext_login = true\n"
                        "proxy_from = {\"10.0.0.0/8\", \"::1\"}\nadministrators = {\"a@b.test\"}\nquota_warnings = {80, 95}\n"
                        "store { quota_bytes = \"2 GB\" }\n"
                        "smtp {\n  message_bytes = \"10 MB\"\n  recipients = 100\n}\n"
                        "directory {\n  separator = \"\"\n}\nvolume { reserve_bytes = 0 }\n"
                        "listener \"a\" {\n  address = \"127.0.0.1\"\n  port = 2143\n  protocol = imap\n  proxy = true\n}\n"
                        "listener \"b\" {\n  address = \"/run/lmtp\"\n  protocol = lmtp\n  idle_seconds = 7\n}\n",
                        &c, &why));
    if (c == NULL)
        return;
    CHECK("plaintext", c->allow_plaintext_login && c->log_level == LOG_DEBUG);
    CHECK("warnings", c->quota_warning_count == 2 && c->quota_warnings[0] == 80 && c->quota_warnings[1] == 95);
    CHECK("administrators", c->administrator_count == 1 && strcmp(c->administrators[0], "a@b.test") == 0);
    CHECK("quota", c->store.quota_bytes == (uint64_t)2 << 30);
    CHECK("blocks", c->proxy_from_count == 2 && c->proxy_from[0].prefix == 8 && c->proxy_from[1].prefix == 128);
    CHECK("limits", c->smtp.message_bytes == 10 * 1024 * 1024 && c->smtp.recipients == 100);
    CHECK("no separator, no reserve", c->directory.separator == '\0' && c->volume.reserve_bytes == 0);
    CHECK("listeners", c->listener_count == 2);
    CHECK("imap", c->listeners[0].protocol == PROTOCOL_IMAP && c->listeners[0].proxy &&
                      c->listeners[0].idle_seconds == 1800 && c->listeners[0].tls == NET_TLS_NONE);
    CHECK("lmtp", c->listeners[1].protocol == PROTOCOL_LMTP && c->listeners[1].port == 0 &&
                      c->listeners[1].idle_seconds == 7);
    config_destroy(&c);
}

/* What `init` writes is read back as it was meant. */
static void test_draft(void)
{
    struct config_draft d = {
        .hostname = "mx.example.org",
        .data = "/tmp/odd \"quoted\" $HOME \\ folder",
        .runtime = "/run/p",
        .user = "",
        .certificate = "/c",
        .key = "/k",
        .log_level = "warning",
        .address = "*",
        .lmtp_address = "",
        .cheap_hashes = true,
    };
    struct buf     text;
    struct config *c = NULL;
    struct fail    why = {0};

    buf_init(&text, 100000);
    config_draft_write(&d, &text);
    CHECK("reads", config_parse("t.conf", buf_slice(&text), &c, &why));
    CHECK_SLICE("no error", slice_of(why.text), SLICE(""));
    if (c != NULL) {
        CHECK_SLICE("odd path", slice_of(c->data), slice_of(d.data));
        CHECK("listeners", c->listener_count == 8);
        CHECK_SLICE("lmtp beside", slice_of(c->listeners[7].address), SLICE("/run/p/lmtp"));
    }
    config_destroy(&c);
    buf_finish(&text);
}

/* Every limit shows as it can be set again; docs/limits.md and posthorn.conf(5) name it with its default. */
static void test_limits(const char *docs, const char *manual)
{
    struct config *c = NULL;
    struct buf     page, man, shown;
    struct fail    why = {0};
    char           row[200];

    buf_init(&page, 1000000);
    buf_init(&shown, 1000);
    buf_init(&man, 1000000);
    CHECK("limits.md", io_read_file(docs, &page, &why));
    CHECK("posthorn.conf.5.scd", io_read_file(manual, &man, &why));
    CHECK("defaults", parse("hostname = a\nlistener l { port = 7 protocol = imap }", &c, &why));
    for (size_t i = 0; c != NULL && i < config_limit_count; i++) {
        const struct config_limit *l = &config_limits[i];

        buf_reset(&shown);
        config_limit_show(l, c, &shown);
        (void)snprintf(row, sizeof row, "| `%s.%s` | " PRIslice " |", l->room, l->name, SLICE_ARG(buf_slice(&shown)));
        if (strcmp(l->name, "placers") == 0) /* the one default that the machine decides */
            (void)snprintf(row, sizeof row, "| `deliver.placers` | by cores |");
        CHECK(row, slice_find(buf_slice(&page), slice_of(row)) < page.len);
        (void)snprintf(row, sizeof row, "\n*%s* (" PRIslice ")\n", l->name, SLICE_ARG(buf_slice(&shown)));
        if (strcmp(l->name, "placers") == 0)
            (void)snprintf(row, sizeof row, "\n*placers* (by cores)\n");
        CHECK(row, slice_find(buf_slice(&man), slice_of(row)) < man.len);
        CHECK(row, config_limit_set(l, buf_slice(&shown), c, &why));
        CHECK("unknown", config_limit_find(l->room, "nothing") == NULL);
        CHECK("known", config_limit_find(l->room, l->name) == l);
    }
    config_destroy(&c);
    buf_finish(&page);
    buf_finish(&man);
    buf_finish(&shown);
}

int main(int argc, char **argv)
{
    test_refused();
    test_accepted();
    test_draft();
    test_limits(argc > 2 ? argv[1] : "docs/limits.md", argc > 2 ? argv[2] : "docs/man/posthorn.conf.5.scd");
    return check_done();
}
