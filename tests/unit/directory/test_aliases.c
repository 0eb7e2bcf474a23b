/* directory: aliases in the form of /etc/aliases, as text and as a file in use. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "directory/aliases_text.h"
#include "directory/directory.h"
#include "tests/unit/check.h"

static char said[4096];

static void say(const char *text)
{
    (void)snprintf(said + strlen(said), sizeof said - strlen(said), "%s", text);
}

static void value(void *ctx, unsigned line, struct slice name, enum alias_value kind, struct slice v)
{
    static const char signs[] = {[ALIAS_ADDRESS] = '=', [ALIAS_INCLUDE] = '<', [ALIAS_REFUSED] = '!'};
    char one[300];

    (void)ctx;
    (void)snprintf(one, sizeof one, "%u:" PRIslice "%c" PRIslice "\n", line, SLICE_ARG(name), signs[kind], SLICE_ARG(v));
    say(one);
}

static void wrong(void *ctx, unsigned line, const char *text)
{
    char one[300];

    (void)ctx;
    (void)text;
    (void)snprintf(one, sizeof one, "%u?\n", line);
    say(one);
}

static const struct { const char *note, *text, *said; } cases[] = {
    {"nothing", "", ""},
    {"comments", "# all\n\n   \n#: x\n", ""},
    {"one", "root: ann\n", "1:root=ann\n"},
    {"no line end", "root: ann", "1:root=ann\n"},
    {"CRLF", "root: ann\r\nbob: carl\r\n", "1:root=ann\n2:bob=carl\n"},
    {"several", "root: ann, bob@far.test ,carl\n", "1:root=ann\n1:root=bob@far.test\n1:root=carl\n"},
    {"goes on", "root: ann,\n  bob\n\t,carl\nx: y\n", "1:root=ann\n1:root=bob\n1:root=carl\n4:x=y\n"},
    {"comment between", "root: ann,\n  # no: \"x\n  bob\n", "1:root=ann\n1:root=bob\n"},
    {"blanks before the colon", "root : ann\n", "1:root=ann\n"},
    {"quoted", "\"a b\": \"c, d\"@x.test, \"e\\\"f\"\n", "1:a b=c, d@x.test\n1:a b=e\"f\n"},
    {"command", "a: |/bin/prog x, b\n", "1:a!|/bin/prog x\n1:a=b\n"},
    {"quoted command", "a: \"|/bin/prog x, y\"\n", "1:a!|/bin/prog x, y\n"},
    {"file", "a: /var/mail/x\n", "1:a!/var/mail/x\n"},
    {"include", "a: :include:/etc/list, b\n", "1:a</etc/list\n1:a=b\n"},
    {"other colon", "a: :fail: no\n", "1:a!:fail: no\n"},
    {"backslash", "a: \\b\n", "1:a=b\n"},
    {"no colon", "what is this\nb: c\n", "1?\n2:b=c\n"},
    {"no name", ": c\n", "1?\n"},
    {"quote without end", "a: \"b\nc: d\n", "1?\n2:c=d\n"},
    {"empty values", "a: ,,\nb:\n", ""},
    {"a lone backslash", "a: \\\n", "1?\n"},
};

static void test_text(void)
{
    const struct aliases_reader r = {.value = value, .wrong = wrong};
    struct arena a;

    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        said[0] = '\0';
        aliases_read(slice_of(cases[i].text), &a, &r);
        CHECK_SLICE(cases[i].note, slice_of(said), slice_of(cases[i].said));
    }
    said[0] = '\0';
    aliases_read_list(SLICE("# who\nann\nbob@far.test, carl\n\n"), SLICE("l"), &a, &r);
    CHECK_SLICE("list", slice_of(said), SLICE("2:l=ann\n3:l=bob@far.test\n3:l=carl\n"));
    arena_finish(&a);
}

static char dir[] = "/tmp/aliases-XXXXXX";
static struct directory *d;
static struct arena arena;

static const char *in_dir(const char *name)
{
    return arena_printf(&arena, "%s/%s", dir, name).ptr;
}

static void write_file(const char *name, const char *text)
{
    struct fail why;

    CHECK(name, io_replace_file(in_dir(name), slice_of(text), 0600, &why));
}

static const struct route *route(const char *address)
{
    static struct route r;
    struct fail why;

    CHECK(address, directory_route(d, slice_of(address), &arena, &r, &why));
    return &r;
}

static void test_file(void)
{
    struct directory_limits limits;
    struct fail why;
    uint64_t ann;

    directory_limits_default(&limits);
    CHECK("directory", directory_open(in_dir("directory.db"), &limits, &d, &why));
    CHECK("domains", directory_domain_add(d, SLICE("x.test"), &why) && directory_domain_add(d, SLICE("y.test"), &why));
    CHECK("accounts", directory_account_add(d, SLICE("ann@x.test"), &ann, &why));
    CHECK("alias", directory_alias_add(d, SLICE("sales@x.test"), SLICE("ann@x.test"), &why));
    write_file("list", "ann\nBob@far.test\n");
    write_file("aliases", arena_printf(&arena, "root: ann\nsales: carl@far.test\nann: carl@far.test\nteam: :include:%s/list, root\n"
                                               "loop: loop\npipe: |cat\nmixed: |cat, ann\nowner-team: ann\n", dir).ptr);
    directory_use_aliases(d, in_dir("aliases"));
    CHECK("a name", route("root@x.test")->kind == ROUTE_LOCAL && route("root@x.test")->targets[0].account == ann);
    CHECK("first domain only", route("root@y.test")->kind == ROUTE_UNKNOWN);
    CHECK("with a detail", route("root+cron@x.test")->kind == ROUTE_LOCAL);
    CHECK("the database first", route("sales@x.test")->targets[0].local && route("ann@x.test")->targets[0].local);
    const struct route *team = route("team@x.test");
    CHECK("included", team->count == 2 && !team->targets[0].local);
    CHECK_SLICE("as given", team->targets[0].address, SLICE("Bob@far.test"));
    CHECK_SLICE("a list's owner", team->targets[0].owner, SLICE("owner-team@x.test"));
    CHECK("circle", route("loop@x.test")->kind == ROUTE_LOOP);
    CHECK("only a command: nobody", route("pipe@x.test")->kind == ROUTE_UNKNOWN);
    CHECK("what works of it, works", route("mixed@x.test")->kind == ROUTE_LOCAL);
    write_file("aliases", "boss: ann\n");
    directory_use_aliases(d, in_dir("aliases"));
    CHECK("read again", route("boss@x.test")->kind == ROUTE_LOCAL && route("root@x.test")->kind == ROUTE_UNKNOWN);
    directory_close(&d);
}

int main(void)
{
    char command[64];

    if (mkdtemp(dir) == NULL)
        return 1;
    log_set_level(LOG_ERROR);
    arena_init(&arena, 1 << 20);
    test_text();
    test_file();
    arena_finish(&arena);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        perror(dir);
    return check_done();
}
