/*
 * tests/unit/transfer/test_imap_source.c - servers of many kinds, and what is told of them: scripted, on a port of their own.
 *
 * A script is a list of what the server answers to commands that begin so; "%" stands for the tag, "!" at the
 * end of an answer breaks the connection off behind it.  Each row serves once, the last of its kind for ever.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/transfer/recorder.h"
#include "transfer/imap_source.h"

struct row { const char *command, *answer; };
enum { ROWS = 30 };

struct server {
    const struct row *rows;
    size_t            used[ROWS];
    int               listener;
    bool              stop;
};

static void say(int fd, const char *text, const char *tag)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    for (const char *p = text; *p != '\0'; p++)
        if (*p == '%')
            buf_add(&out, slice_of(tag));
        else if (*p != '!')
            buf_add_char(&out, *p);
    (void)!write(fd, out.data, out.len);
    buf_finish(&out);
}

/* The row for a command: one that was not used, else the last. */
static const struct row *row_for(struct server *s, const char *command)
{
    const struct row *last = NULL;

    for (size_t i = 0; i < ROWS && s->rows[i].command != NULL; i++) {
        if (strncmp(command, s->rows[i].command, strlen(s->rows[i].command)) != 0)
            continue;
        last = &s->rows[i];
        if (s->used[i]++ == 0)
            return last;
    }
    return last;
}

static void serve_one(struct server *s, int fd)
{
    FILE *in = fdopen(dup(fd), "r");
    char  line[8192], tag[20];
    bool  open = true;

    say(fd, "* OK ready\r\n", "");
    while (open && fgets(line, sizeof line, in) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        char *command = strchr(line, ' ');
        if (command == NULL)
            break;
        *command++ = '\0';
        (void)snprintf(tag, sizeof tag, "%.15s", line);
        const struct row *row = row_for(s, command);
        if (row != NULL)
            say(fd, row->answer, tag);
        else if (strcmp(command, "LOGOUT") == 0)
            say(fd, "* BYE\r\n% OK\r\n", tag);
        else
            say(fd, "% OK done\r\n", tag);
        open = row == NULL || row->answer[strlen(row->answer) - 1] != '!';
    }
    (void)fclose(in);
}

static void *serve(void *arg)
{
    struct server *s = arg;

    for (;;) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        serve_one(s, fd);
        (void)close(fd);
    }
}

static const char *token; /* NULL: the password */

/* What is told of a server that answers so. */
static void check(const char *note, const struct row *rows, const char *known, const char *want)
{
    struct server        s = {.rows = rows};
    struct sockaddr_in   at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t            len = sizeof at;
    struct recorder      r;
    struct transfer_into into = recorder_into(&r);
    struct fail          why = {.text = ""};
    char                 port[10];
    pthread_t            thread;
    struct imap_source   source = {.host = {.host = "127.0.0.1", .port = port, .tls = IMAP_CLEAR, .user = "ann", .password = "a\"b", .token = token, .seconds = 20},
                                   .bodies = {.memory_max = 100, .size_max = 100000, .spool_dir = "/tmp"}, .pause_ms = 1,
                                   .uidl_format = SLICE("%v.%u")};

    r.known = known;
    s.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(note, bind(s.listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(s.listener, 5) == 0 &&
                    getsockname(s.listener, (struct sockaddr *)&at, &len) == 0);
    (void)snprintf(port, sizeof port, "%u", ntohs(at.sin_port));
    CHECK(note, pthread_create(&thread, NULL, serve, &s) == 0);
    if (!imap_source_read(&source, &into, &why))
        buf_addf(&r.text, "failed: %s\n", why.text);
    (void)shutdown(s.listener, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(s.listener);
    CHECK_SLICE(note, buf_slice(&r.text), slice_of(want));
    recorder_finish(&r);
}

#define CAPABLE(words) {"CAPABILITY", "* CAPABILITY IMAP4rev1 " words "\r\n% OK\r\n"}, {"LOGIN \"ann\" \"a\\\"b\"", "% OK in\r\n"}
#define LIST_INBOX {"LIST", "* LIST () \"/\" INBOX\r\n% OK\r\n"}
#define EXAMINE(n) {"EXAMINE", "* " n " EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 20] n\r\n% OK [READ-ONLY]\r\n"}
#define FACT(n, uid, flags) "* " n " FETCH (UID " uid " FLAGS (" flags ") INTERNALDATE \"01-Jan-1970 00:00:0" n " +0000\" RFC822.SIZE 3)\r\n"
#define BODY(n, uid, text) "* " n " FETCH (UID " uid " BODY[] {3}\r\n" text ")\r\n"
#define INBOX_IS "mailbox INBOX uidvalidity=7 uidnext=20\n"
#define TOLD(n, uid, flags, text) "message uid=" uid " flags=" flags " date=" n "+0 keywords= uidl=7." uid " " text "\n"

int main(void)
{
    check("out of order, and one that is known",
          (const struct row[]){CAPABLE(""), LIST_INBOX, EXAMINE("3"), {"UID SEARCH", "* SEARCH 9 4 5\r\n% OK\r\n"},
                               {"UID FETCH 4:9 (UID FLAGS", FACT("2", "5", "\\Seen") FACT("1", "4", "") FACT("3", "9", "") "% OK\r\n"},
                               {"UID FETCH 4:4 (UID BODY", BODY("1", "4", "abc") "% OK\r\n"}, {"UID FETCH 9:9 (UID BODY", BODY("3", "9", "xyz") "% OK\r\n"}, {0}},
          " 5", INBOX_IS TOLD("1", "4", "", "\"abc\"") TOLD("2", "5", "S", "known") TOLD("3", "9", "", "\"xyz\"") "end whole\n");
    check("one that is refused, one that is gone, one that is listed but not given",
          (const struct row[]){CAPABLE(""), LIST_INBOX, EXAMINE("4"), {"UID SEARCH ALL", "* SEARCH 1 2 3 4\r\n% OK\r\n"},
                               {"UID FETCH 1:4 (UID FLAGS", FACT("1", "1", "") FACT("2", "2", "") FACT("3", "3", "") FACT("4", "4", "") "% OK\r\n"},
                               {"UID FETCH 1:4 (UID BODY", BODY("4", "4", "abc") "% NO some are ill\r\n"}, {"UID FETCH 1:1 (UID BODY", "% NO it is ill\r\n"},
                               {"UID FETCH 2:2", "% OK\r\n"}, {"UID FETCH 3:3", "% OK\r\n"}, {"UID SEARCH UID 2", "* SEARCH\r\n% OK\r\n"},
                               {"UID SEARCH UID 3", "* SEARCH 3\r\n% OK\r\n"}, {0}},
          NULL, INBOX_IS "left out INBOX, UID 1: FETCH: the server says NO: it is ill\n" TOLD("4", "4", "", "\"abc\"")
                "left out INBOX, UID 3: the server lists it but does not give it\nend\n");
    check("the connection breaks in a body; nothing is told twice",
          (const struct row[]){CAPABLE(""), LIST_INBOX, EXAMINE("2"), {"UID SEARCH ALL", "* SEARCH 1 2\r\n% OK\r\n"},
                               {"UID FETCH 1:2 (UID FLAGS", FACT("1", "1", "") FACT("2", "2", "") "% OK\r\n"},
                               {"UID FETCH 1:2 (UID BODY", BODY("1", "1", "abc") "* 2 FETCH (UID 2 BODY[] {3}\r\nx!"},
                               {"UID FETCH 2:2 (UID BODY", BODY("2", "2", "xyz") "% OK\r\n"}, {0}},
          NULL, INBOX_IS TOLD("1", "1", "", "\"abc\"") TOLD("2", "2", "", "\"xyz\"") "end whole\n");
    check("a message at which it always breaks off",
          (const struct row[]){CAPABLE(""), LIST_INBOX, EXAMINE("2"), {"UID SEARCH ALL", "* SEARCH 1 2\r\n% OK\r\n"},
                               {"UID FETCH 1:2 (UID FLAGS", FACT("1", "1", "") FACT("2", "2", "") "% OK\r\n"}, {"UID FETCH 1:2 (UID BODY", "!"},
                               {"UID FETCH 1:1", "!"}, {"UID FETCH 2:2 (UID BODY", BODY("2", "2", "xyz") "% OK\r\n"}, {0}},
          NULL, INBOX_IS "left out INBOX, UID 1: the server broke off the connection\n" TOLD("2", "2", "", "\"xyz\"") "end\n");
    check("names: a prefix, a delimiter, modified UTF-7, what is not ours, what is subscribed to",
          (const struct row[]){CAPABLE("NAMESPACE"), {"NAMESPACE", "* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"shared.\" \".\"))\r\n% OK\r\n"},
                               {"LIST", "* LIST () \".\" INBOX\r\n* LIST (\\Sent) \".\" INBOX.Sent\r\n* LIST (\\Noselect) \".\" INBOX.a\r\n"
                                        "* LIST () \".\" {14}\r\nINBOX.a.&AOQ-/\r\n* LIST () \".\" user.bob\r\n* LIST () \".\" shared.x\r\n% OK\r\n"},
                               EXAMINE("0"), {0}},
          NULL, INBOX_IS "end whole\nmailbox Sent uidvalidity=7 uidnext=20 sent\nend whole\nmailbox a uidvalidity=0 uidnext=0 noselect\nend whole\n"
                "mailbox a/\xc3\xa4_ uidvalidity=7 uidnext=20\nend whole\n");
    check("Gmail: All Mail only where nothing else has it",
          (const struct row[]){CAPABLE("X-GM-EXT-1"),
                               {"LIST", "* LIST () \"/\" INBOX\r\n* LIST (\\Noselect) \"/\" \"[Gmail]\"\r\n* LIST (\\All) \"/\" \"[Gmail]/All Mail\"\r\n"
                                        "* LIST (\\Flagged) \"/\" \"[Gmail]/Starred\"\r\n* LIST () \"/\" Work\r\n% OK\r\n"},
                               {"EXAMINE \"INBOX\"", "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 20] n\r\n% OK\r\n"},
                               {"EXAMINE \"Work\"", "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 20] n\r\n% OK\r\n"},
                               {"EXAMINE \"[Gmail]/All Mail\"", "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 20] n\r\n% OK\r\n"},
                               {"UID SEARCH ALL", "* SEARCH 1 2 3\r\n% OK\r\n"},
                               {"UID FETCH 1:3 (UID FLAGS INTERNALDATE RFC822.SIZE X-GM-LABELS)",
                                "* 1 FETCH (UID 1 FLAGS () X-GM-LABELS (\"\\\\Inbox\") INTERNALDATE \"01-Jan-1970 00:00:01 +0000\")\r\n"
                                "* 2 FETCH (UID 2 FLAGS () X-GM-LABELS (\"\\\\Important\") INTERNALDATE \"01-Jan-1970 00:00:02 +0000\")\r\n"
                                "* 3 FETCH (UID 3 FLAGS () X-GM-LABELS (Work) INTERNALDATE \"01-Jan-1970 00:00:03 +0000\")\r\n% OK\r\n"},
                               {"UID FETCH 2:2 (UID BODY", BODY("2", "2", "abc") "% OK\r\n"}, {0}},
          NULL, INBOX_IS "end whole\nmailbox Archive uidvalidity=7 uidnext=20 archive\nmessage uid=2 flags= date=2+0 keywords=$Important \"abc\"\nend whole\n"
                "mailbox Work uidvalidity=7 uidnext=20\nend whole\n");
    check("a mailbox that cannot be opened", (const struct row[]){CAPABLE(""), LIST_INBOX, {"EXAMINE", "% NO [UNAVAILABLE] not now\r\n"}, {0}}, NULL,
          "left out INBOX: EXAMINE: the server says NO: not now\n");
    check("a password that is wrong", (const struct row[]){{"CAPABILITY", "* CAPABILITY IMAP4rev1\r\n% OK\r\n"}, {"LOGIN", "% NO [AUTHENTICATIONFAILED] never heard of\r\n"}, {0}}, NULL,
          "failed: 127.0.0.1: signing in: the server says NO: never heard of\n");
    check("PLAIN, with its first message at once",
          (const struct row[]){{"CAPABILITY", "* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN SASL-IR\r\n% OK\r\n"},
                               {"AUTHENTICATE PLAIN AGFubgBhImI=", "% OK\r\n"}, {"AUTHENTICATE", "% NO\r\n"}, LIST_INBOX, EXAMINE("0"), {0}},
          NULL, INBOX_IS "end whole\n");
    token = "tok";
    check("a token",
          (const struct row[]){{"CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR\r\n% OK\r\n"},
                               {"AUTHENTICATE XOAUTH2 dXNlcj1hbm4BYXV0aD1CZWFyZXIgdG9rAQE=", "% OK\r\n"}, {"AUTHENTICATE", "% NO\r\n"}, LIST_INBOX, EXAMINE("0"), {0}},
          NULL, INBOX_IS "end whole\n");
    check("a token that nobody takes", (const struct row[]){CAPABLE("AUTH=PLAIN"), {0}}, NULL,
          "failed: 127.0.0.1: the server takes no tokens (neither OAUTHBEARER nor XOAUTH2)\n");
    token = NULL;
    check("nothing there", (const struct row[]){CAPABLE(""), {0}}, NULL, "failed: the server lists no mailbox\n");
    check("no server of IMAP", (const struct row[]){{"CAPABILITY", "220 mail ESMTP\r\n!"}, {0}}, NULL,
          "failed: 127.0.0.1: the server's answer is no IMAP: neither OK nor NO nor BAD\n");
    return check_done();
}
