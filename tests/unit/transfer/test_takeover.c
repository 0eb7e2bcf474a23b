/* transfer/postfix, transfer/dovecot, transfer/foreign_sql: how other servers were set up, as common tutorials have it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "base/buf.h"
#include "transfer/dovecot.h"
#include "transfer/foreign_sql.h"

static struct arena arena;
static char root[64];
static struct buf seen, notes;

static void note(void *ctx, const char *what, const char *reason)
{
    (void)ctx;
    buf_addf(&notes, "%s: %s\n", what, reason);
}

static const struct box_notes noting = {.note = note};

static void put(const char *path, const char *text)
{
    char whole[256];

    (void)snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *p = whole + strlen(root) + 1; *p != '\0'; p++)
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(whole, 0700);
            *p = '/';
        }
    FILE *file = fopen(whole, "w");
    if (file == NULL || fputs(text, file) == EOF || fclose(file) != 0)
        bug("%s", whole);
}

static bool said(const struct buf *b, const char *text)
{
    return slice_find(buf_slice(b), slice_of(text)) < b->len;
}

static const struct {
    const char *note, *text, *name, *value;
} settings[] = {
    {"plain", "myhostname = mail.example.org\n", "myhostname", "mail.example.org"},
    {"the last counts", "a = 1\na = 2\n", "a", "2"},
    {"goes on", "a = 1,\n  2,\n# no\n\n\t3\n", "a", "1, 2, 3"},
    {"a name", "b = x\na = $b$b ${b} $(b)\n", "a", "xx x x"},
    {"a name that comes later", "a = $b\nb = x\n", "a", "x"},
    {"if it is set", "b = x\na = ${b?yes}${c?no}\n", "a", "yes"},
    {"if it is not set", "b = x\na = ${b:no}${c:{$b}}\n", "a", "x"},
    {"two dollars", "a = $$b\n", "a", "$b"},
    {"in a circle", "a = $b\nb = $a\n", "a", ""},
    {"a default", "", "message_size_limit", "10240000"},
    {"a default of another", "myhostname = mail.example.org\n", "mydomain", "example.org"},
    {"a default of three", "myhostname = m.x.org\n", "mydestination", "m.x.org, localhost.x.org, localhost"},
    {"what would never end", "a = $b$b$b$b$b$b$b$b$b$b\nb = $a$a$a$a$a$a$a$a$a$a\n", "a", ""},
    {"no such", "", "nonsense", ""},
    {"without end", "a = ${b\n", "a", ""},
    {"a dollar", "a = $\n", "a", ""},
};

static void test_settings(void)
{
    struct postfix *p;
    struct fail why;

    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        CHECK(settings[i].note, postfix_parse(root, slice_of(settings[i].text), &arena, &noting, &p, &why));
        CHECK(settings[i].note, slice_eq(postfix_get(p, settings[i].name), slice_of(settings[i].value)));
    }
}

static void see(void *ctx, struct slice key, struct slice value)
{
    (void)ctx;
    buf_addf(&seen, PRIslice "=" PRIslice "\n", SLICE_ARG(key), SLICE_ARG(value));
}

static void test_maps(void)
{
    struct postfix *p;
    struct fail why;

    put("etc/postfix/virtual", "# people\nann@x.org  ann,\n   bob\n@x.org ann\n");
    put("etc/aliases", "root: ann\nlist: a, b\n");
    CHECK("maps", postfix_parse(root, SLICE("m = hash:/etc/postfix/virtual, inline:{ {k = v}, k2=v2 } proxy:unionmap:{texthash:/etc/postfix/virtual}"
                                            " word, pcre:/x, hash:/gone\nalias_maps = hash:/etc/aliases\n"),
                                &arena, &noting, &p, &why));
    postfix_each(p, "m", see, NULL);
    CHECK("of a text file", said(&seen, "ann@x.org=ann, bob\n@x.org=ann\n"));
    CHECK("inline", said(&seen, "k=v\n") && said(&seen, "k2=v2\n"));
    CHECK("a word", said(&seen, "word=\n"));
    CHECK("what cannot be listed is said", said(&notes, "pcre:/x: such a table cannot be listed"));
    CHECK("so is what is gone", said(&notes, "hash:/gone: its text file is not there"));
    postfix_each(p, "alias_maps", see, NULL);
    CHECK("aliases", said(&seen, "root=ann\nlist=a, b\n"));
}

static void test_unused(void)
{
    struct postfix *p;
    struct fail why;
    const struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    char path[256];

    buf_reset(&notes);
    CHECK("parsed", postfix_parse(root, SLICE("header_checks = pcre:/x\nbiff = no\nrelayhost = $mine\nmine = x\nminer = y\nempty =\n"
                                            "m = hash:/etc/stale\nheader_checks = pcre:/y\n"), &arena, &noting, &p, &why));
    postfix_note_unused(p);
    CHECK("what changes mail is named", said(&notes, "main.cf: header_checks = pcre:/y: is set there"));
    CHECK("so is what nobody knows", said(&notes, "main.cf: miner = y: "));
    CHECK("what is harmless, used, named by another or empty is not",
          !said(&notes, "biff") && !said(&notes, "relayhost") && !said(&notes, "mine =") && !said(&notes, "empty"));
    put("etc/stale", "k v\n");
    put("etc/stale.lmdb", "");
    postfix_each(p, "m", see, NULL);
    CHECK("of one age", !said(&notes, "newer than the text"));
    (void)snprintf(path, sizeof path, "%s/etc/stale", root);
    CHECK("an old text", utimensat(AT_FDCWD, path, old, 0) == 0);
    postfix_each(p, "m", see, NULL);
    CHECK("a database newer than its text", said(&notes, "hash:/etc/stale: the database is newer than the text"));
}

/* What Debian sets up is passed over, what somebody added is named. */
static void test_services(void)
{
    static const char *const quiet[] = {
        "local_transport = local:$myhostname\nvirtual_transport = lmtp:unix:private/dovecot-lmtp\nmailbox_size_limit = 0\ninet_interfaces = all\n",
        "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination\nsmtpd_tls_security_level = may\n",
    };
    static const char *const loud[] = {"virtual_transport = spamfilter:", "mailbox_transport = lmtp:inet:10.0.0.9:24", "mailbox_size_limit = 51200000",
                                       "inet_interfaces = loopback-only", "smtpd_recipient_restrictions = reject_rbl_client zen.example",
                                       "smtpd_client_restrictions = permit_mynetworks reject", "smtpd_tls_security_level = encrypt",
                                       "mailbox_command = /usr/bin/procmail"};
    static const char *const services[] = {"master.cf: 2525 inet smtpd: is not listened on", "master.cf: spamfilter unix pipe: mail is piped",
                                           "master.cf: smtp inet postscreen: its tests", "master.cf: policyd-spf unix spawn: a service",
                                           "master.cf: smtp: -o content_filter=spamfilter:dummy", "master.cf: submission: -o smtpd_sender_restrictions=reject_x"};
    struct postfix *p;
    struct fail why;

    for (size_t i = 0; i < ARRAY_LEN(quiet); i++) {
        buf_reset(&notes);
        CHECK("parsed", postfix_parse(root, slice_of(quiet[i]), &arena, &noting, &p, &why));
        postfix_note_unused(p);
        CHECK_SLICE(quiet[i], buf_slice(&notes), SLICE(""));
    }
    for (size_t i = 0; i < ARRAY_LEN(loud); i++) {
        buf_reset(&notes);
        CHECK("parsed", postfix_parse(root, arena_printf(&arena, "%s\n", loud[i]), &arena, &noting, &p, &why));
        postfix_note_unused(p);
        CHECK(loud[i], said(&notes, loud[i]));
    }
    put("etc/postfix/master.cf",
        "# service type\nsmtp      inet  n - y - - smtpd\n  -o content_filter=spamfilter:dummy\nsmtp inet n - y - 1 postscreen\n"
        "submission inet n       -       y       -       -       smtpd\n  -o syslog_name=postfix/submission\n  -o smtpd_tls_security_level=encrypt\n"
        "  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n  -o { smtpd_sender_restrictions = reject_x }\n"
        "smtps inet n - y - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_client_restrictions=$mua_client_restrictions\n"
        "2525 inet n - y - - smtpd\nspamfilter unix - n n - - pipe flags=R user=x argv=/x\npolicyd-spf unix - n n - 0 spawn user=x argv=/x\n"
        "maildrop  unix  -       n       n       -       -       pipe\n  flags=DRXhu user=vmail argv=/usr/bin/maildrop\ncut line\n");
    buf_reset(&notes);
    postfix_note_services(p);
    size_t lines = 0;
    for (size_t i = 0; i < notes.len; i++)
        lines += notes.data[i] == '\n';
    for (size_t i = 0; i < ARRAY_LEN(services); i++)
        CHECK(services[i], said(&notes, services[i]));
    CHECK("and nothing else", lines == ARRAY_LEN(services));
}

static const struct {
    const char *note, *lookup, *list; /* NULL: of another shape */
} queries[] = {
    {"ISPmail", "SELECT 1 FROM virtual_domains WHERE name='%s'", "SELECT (name) AS posthorn_key, 1 FROM virtual_domains WHERE 1=1"},
    {"postfixadmin", "SELECT goto FROM alias WHERE address = '%s' AND active = '1'",
     "SELECT (address) AS posthorn_key, goto FROM alias WHERE 1=1 AND active = '1'"},
    {"two columns", "select x from t where u='%u' and d='%d';", "SELECT (u||'@'||d) AS posthorn_key, x from t where 1=1 and 1=1"},
    {"a join of postfixadmin's", "SELECT goto FROM alias,alias_domain WHERE alias.address = CONCAT('%u', '@', alias_domain.target_domain)", NULL},
    {"iRedMail's", "SELECT a.goto FROM a WHERE a.address='%s' AND a.domain='%d'", NULL},
    {"no SELECT", "DELETE FROM x WHERE y='%s'", NULL},
    {"no key", "SELECT 1", NULL},
};

static void test_queries(void)
{
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct slice list;
        bool ok = foreign_sql_list_of(&arena, slice_of(queries[i].lookup), false, &list);
        CHECK(queries[i].note, ok == (queries[i].list != NULL));
        if (ok && queries[i].list != NULL)
            CHECK(queries[i].note, slice_eq(list, slice_of(queries[i].list)));
    }
}

static void see_row(void *ctx, const struct foreign_row *row)
{
    (void)ctx;
    (void)row;
    CHECK("no row", false);
}

/* Nothing is run for these. */
static void test_harmful(void)
{
    static const char *const harmful[] = {"\\! touch /tmp/x", "SELECT 1 \\! touch /tmp/x", "SELECT 1; DROP TABLE x", ".shell id",
                                          "SELECT 1\nsystem id", "DELETE FROM x"};
    const struct foreign_sql db = {.kind = SQL_SQLITE, .database = "/nonexistent"};
    struct fail why;

    const struct foreign_sql option = {.kind = SQL_MYSQL, .database = "--tee=/tmp/x"};
    CHECK("an option for a name", !foreign_sql_ask(&option, SLICE("SELECT 1"), see_row, NULL, &why) && why.reason == FAIL_INVALID);
    for (size_t i = 0; i < ARRAY_LEN(harmful); i++)
        CHECK(harmful[i], !foreign_sql_ask(&db, slice_of(harmful[i]), see_row, NULL, &why) && why.reason == FAIL_INVALID);
}

static void show_row(void *ctx, const struct foreign_row *row)
{
    (void)ctx;
    for (size_t i = 0; i < row->count; i++)
        buf_addf(&seen, PRIslice "|", SLICE_ARG(row->values[i]));
}

/* A client's output as it is on a line: escapes and NULL are MariaDB's own. */
static void test_clients(void)
{
    static const char *const want[] = {"-P 3307", "-p 5433"};
    char bin[256], path[512];
    struct fail why;

    put("bin/mysql", "#!/bin/sh\nread q\nprintf 'a\\tb\\tc\\n%s\\tNULL\\tx%sty%s%sz\\n' \"$*\" '\\' '\\' '\\'\n");
    put("bin/psql", "#!/bin/sh\nread q\nprintf 'a\\tb\\tc\\n%s\\t\\tx%sty\\n' \"$(echo $*)\" '\\'\n");
    (void)snprintf(bin, sizeof bin, "%s/bin", root);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", bin, i == 0 ? "mysql" : "psql");
        CHECK("a program", chmod(path, 0700) == 0);
    }
    (void)snprintf(path, sizeof path, "%s:%s", bin, getenv("PATH")); /* NOLINT(concurrency-mt-unsafe) */
    (void)setenv("PATH", path, 1); /* NOLINT(concurrency-mt-unsafe) */
    for (size_t i = 0; i < 2; i++) {
        const struct foreign_sql db = {.kind = i == 0 ? SQL_MYSQL : SQL_PGSQL, .host = "10.0.0.1", .port = i == 0 ? "3307" : "5433", .database = "d"};
        buf_reset(&seen);
        CHECK("asked", foreign_sql_ask(&db, SLICE("SELECT 1"), show_row, NULL, &why));
        CHECK("the port", said(&seen, want[i]));
        CHECK("values", said(&seen, i == 0 ? "||x\ty\\z|" : "||x\\ty|"));
    }
}

static void see_user(void *ctx, const struct dovecot_user *u)
{
    (void)ctx;
    buf_addf(&seen, PRIslice "|" PRIslice "|" PRIslice "|" PRIslice "|%llu\n", SLICE_ARG(u->name), SLICE_ARG(u->hash), SLICE_ARG(u->home),
             SLICE_ARG(u->location), (unsigned long long)u->quota);
}

static void users_of(const char *conf)
{
    struct dovecot *d;
    struct fail why;

    buf_reset(&seen);
    buf_reset(&notes);
    CHECK("dovecot.conf", dovecot_parse(root, slice_of(conf), &arena, &noting, &d, &why));
    dovecot_each_user(d, SLICE("extra@x.org"), see_user, NULL);
}

static void test_users(void)
{
    put("etc/dovecot/users", "# people\nann@x.org:{SSHA}abc=::::::userdb_quota_rule=*:storage=2G\nbob@x.org:$6$s$h:::::/home/bob:\ncat@x.org:{SSHA}c::::/home/cat::\n");
    put("etc/dovecot/conf.d/10-mail.conf", "mail_location = maildir:/var/vmail/%d/%n # here\n");
    put("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
    put("etc/shadow", "root:$6$r:1::::::\nann:$6$a$b:1::::::\n");
    users_of("!include conf.d/*.conf\npassdb {\n  driver = passwd-file\n  args = scheme=SHA512-CRYPT username_format=%u /etc/dovecot/users\n}\n"
             "userdb {\n  driver = static\n  args = uid=5000 gid=5000 home=/var/vmail/%d/%n\n}\nplugin {\n  quota_rule = *:bytes=500\n}\n");
    CHECK("a passwd-file with a quota", said(&seen, "ann@x.org|{SSHA}abc=|/var/vmail/x.org/ann|maildir:/var/vmail/x.org/ann|2147483648\n"));
    CHECK("a default scheme", said(&seen, "bob@x.org|{SHA512-CRYPT}$6$s$h|/var/vmail/x.org/bob|maildir:/var/vmail/x.org/bob|500\n"));
    CHECK("one that no table lists", said(&seen, "extra@x.org||/var/vmail/x.org/extra|"));
    users_of("mail_location = mbox:~/mail:INBOX=/var/mail/%u\npassdb {\n driver = pam\n}\nuserdb {\n driver = passwd\n}\n");
    CHECK("users of the system", said(&seen, "ann|{CRYPT}$6$a$b|/home/ann|mbox:/home/ann/mail:INBOX=/var/mail/ann|0\n"));
    CHECK("but not root", !said(&seen, "root"));
    users_of("passdb {\n driver = ldap\n args = /x\n}\npassdb {\n driver = passwd-file\n master = yes\n args = /y\n}\n");
    CHECK("what cannot be listed is said", said(&notes, "passdb { driver = ldap }: its users cannot be listed"));
    CHECK("so are master users", said(&notes, "master users: are not taken over"));
    users_of("mail_location = mbox:~/mail:INBOX=~/in\npassdb {\n driver = passwd-file\n args = /etc/dovecot/users\n}\n");
    CHECK("without a home nobody knows where", said(&seen, "ann@x.org|{SSHA}abc=|||2147483648\n"));
    CHECK("with one, every ~ is it", said(&seen, "cat@x.org|{SSHA}c|/home/cat|mbox:/home/cat/mail:INBOX=/home/cat/in|0\n"));
    users_of("passdb {\n driver = passwd-file\n deny = yes\n args = /etc/dovecot/users\n}\nnamespace old {\n location = maildir:/old/%u\n}\n"
             "plugin {\n sieve = /var/sieve/%u\n sieve_before = /var/b\n}\n");
    CHECK("who is denied gets no account", !said(&seen, "bob@x.org") && said(&notes, "/etc/dovecot/users: who may not sign in there"));
    CHECK("other namespaces are named", said(&notes, "namespace old/location = maildir:/old/%u: the mail of this namespace"));
    CHECK("scripts elsewhere too", said(&notes, "plugin/sieve: scripts are looked for") && said(&notes, "plugin/sieve_before: scripts for all"));
    users_of("}\n}\n{\n= x\npassdb {\npassdb {\n");
}

static void test_place(void)
{
    struct dovecot_place p = dovecot_place(SLICE("maildir:/m/ann:INDEX=/i:CONTROL=/c:LAYOUT=fs"));

    CHECK("a place", slice_eq(p.kind, SLICE("maildir")) && slice_eq(p.path, SLICE("/m/ann")) && slice_eq(p.control, SLICE("/c")));
    p = dovecot_place(SLICE("mbox:~/mail:INBOX=/var/mail/ann"));
    CHECK("an mbox", slice_eq(p.kind, SLICE("mbox")) && slice_eq(p.inbox, SLICE("/var/mail/ann")));
}

static void link_at(const char *target, const char *path)
{
    char whole[256];

    (void)snprintf(whole, sizeof whole, "%s/%s", root, path);
    if (symlink(target, whole) != 0)
        bug("%s", whole);
}

/* Nothing leads out of the root. */
static void test_inside(void)
{
    static const struct {
        const char *path;
        bool there;
    } rows[] = {
        {"/in/list", true}, {"in/../in/list", true}, {"/../../in/list", true}, {"/in/whole", true}, {"/in/up", true}, {"/over/list", true},
        {"/../secret", false}, {"/in/../../secret", false}, {"/in/away", false}, {"/in/circle", false}, {"/in/none", false}, {"/in", false},
        {"/etc/hostname", false},
    };
    char inside[80];
    struct slice text;
    bool there;

    put("secret", "outside");
    put("box/in/list", "inside");
    (void)snprintf(inside, sizeof inside, "%s/box", root);
    link_at("/in/list", "box/in/whole");
    link_at("../../../../in/list", "box/in/up");
    link_at("/../secret", "box/in/away");
    link_at("circle", "box/in/circle");
    link_at("in", "box/over");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fail why = {0};
        (void)box_file(inside, slice_of(rows[i].path), &arena, &text, &there, &why);
        CHECK(rows[i].path, there == rows[i].there);
        CHECK_SLICE(rows[i].path, text, rows[i].there ? SLICE("inside") : SLICE(""));
    }
}

int main(void)
{
    (void)snprintf(root, sizeof root, "/tmp/takeover-XXXXXX");
    if (mkdtemp(root) == NULL)
        bug("no folder");
    arena_init(&arena, 64 << 20);
    buf_init(&seen, 1 << 20);
    buf_init(&notes, 1 << 20);
    test_settings();
    test_maps();
    test_unused();
    test_services();
    test_queries();
    test_harmful();
    test_clients();
    test_users();
    test_place();
    test_inside();
    buf_finish(&seen);
    buf_finish(&notes);
    arena_finish(&arena);
    char command[96];
    (void)snprintf(command, sizeof command, "rm -r %s", root);
    CHECK("cleaned up", system(command) == 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
    return check_done();
}
