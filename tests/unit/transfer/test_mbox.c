/*
 * tests/unit/transfer/test_mbox.c - the four dialects and what they are told apart by; fields that are the mailbox's.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/transfer/recorder.h"
#include "transfer/mbox_source.h"

#define F1 "From a@b Thu Jan  1 00:00:01 1970\n"
#define F2 "From c@d Thu Jan  1 00:00:02 1970\n"
#define M(date, text) "message uid=0 flags= date=" date "+0 keywords= \"" text "\"\n"

static char folder[] = "/tmp/posthorn-mbox-XXXXXX";

static void write_file(const char *name, struct slice text)
{
    char path[300];
    int  fd;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK("written", fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len);
    (void)close(fd);
}

/* What is told of the folder's file, or of all of it (name ""). */
static struct recorder tell(const char *name, enum mbox_dialect dialect, const char *known, bool keys)
{
    struct recorder      r;
    struct transfer_into into = recorder_into(&r);
    char                 path[300];
    struct fail          why = {.text = ""};
    struct mbox_source   source = {.path = path, .dialect = dialect, .inbox = SLICE("ann"),
                                   .bodies = {.memory_max = 1000, .size_max = 1 << 20, .spool_dir = "/tmp"}};

    r.known = known;
    r.show_keys = keys;
    (void)snprintf(path, sizeof path, "%s%s%s", folder, name[0] != '\0' ? "/" : "", name);
    if (!mbox_source_read(&source, &into, &why))
        buf_addf(&r.text, "failed: %s\n", why.text);
    return r;
}

static const struct { const char *note, *file; enum mbox_dialect dialect; const char *told; } cases[] = {
    {"empty file", "", MBOX_GUESS, ""},
    {"two messages", F1 "S: 1\n\nx\n\n" F2 "S: 2\n\ny\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nx\\r\\n") M("2", "S: 2\\r\\n\\r\\ny\\r\\n")},
    {"CRLF", "From a@b Thu Jan  1 00:00:01 1970\r\nS: 1\r\n\r\nx\r\n\r\n" F2 "S: 2\n\ny\n", MBOX_GUESS,
     M("1", "S: 1\\r\\n\\r\\nx\\r\\n") M("2", "S: 2\\r\\n\\r\\ny\\r\\n")},
    {"no empty line between", F1 "S: 1\n\nx\n" F2 "S: 2\n\ny\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nx\\r\\n") M("2", "S: 2\\r\\n\\r\\ny\\r\\n")},
    {"a From_ line in the text, no field behind", F1 "S: 1\n\nx\n" F2 "no field\n", MBOX_GUESS,
     M("1", "S: 1\\r\\n\\r\\nx\\r\\nFrom c@d Thu Jan  1 00:00:02 1970\\r\\nno field\\r\\n")},
    {"prose", F1 "S: 1\n\nx\n\nFrom now on\n\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nx\\r\\n\\r\\nFrom now on\\r\\n")},
    {"a From_ line that nobody can read", F1 "S: 1\n\nx\n\nFrom ann (gestern)\nReceived: y; Thu, 1 Jan 1970 00:00:05 +0000\n\nz\n", MBOX_GUESS,
     M("1", "S: 1\\r\\n\\r\\nx\\r\\n") M("5", "Received: y; Thu, 1 Jan 1970 00:00:05 +0000\\r\\n\\r\\nz\\r\\n")},
    {"empty lines of its own stay", F1 "S: 1\n\nx\n\n\n\n" F2 "S: 2\n\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nx\\r\\n\\r\\n\\r\\n") M("2", "S: 2\\r\\n\\r\\n")},
    {"no text, no line end", F1 "S: 1", MBOX_GUESS, M("1", "S: 1")},
    {"header only, then the next", F1 "S: 1\n" F2 "S: 2\n\ny\n", MBOX_GUESS, M("1", "S: 1\\r\\n") M("2", "S: 2\\r\\n\\r\\ny\\r\\n")},
    {"last line cut", F1 "S: 1\n\nab", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nab")},
    {"mboxo", F1 "S: 1\n\n>From x\n> From x\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nFrom x\\r\\n> From x\\r\\n")},
    {"mboxo, forced: two are left alone", F1 "S: 1\n\n>>From x\n", MBOX_O, M("1", "S: 1\\r\\n\\r\\n>>From x\\r\\n")},
    {"mboxrd by depth", F1 "S: 1\n\n>From x\n>>From y\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nFrom x\\r\\n>From y\\r\\n")},
    {"mboxcl2", F1 "Content-Length: 45\nS: 1\n\nx\n\n" F2 "S: 2\n\nz\n\n" F2 "S: 2\n\ny\n", MBOX_GUESS,
     M("1", "S: 1\\r\\n\\r\\nx\\r\\n\\r\\nFrom c@d Thu Jan  1 00:00:02 1970\\r\\nS: 2\\r\\n\\r\\nz\\r\\n") M("2", "S: 2\\r\\n\\r\\ny\\r\\n")},
    {"mboxcl by its quotes", F1 "Content-Length: 8\nS: 1\n\n>From x\n\n" F2 "Content-Length: 2\nS: 2\n\ny\n", MBOX_GUESS,
     M("1", "S: 1\\r\\n\\r\\nFrom x\\r\\n") M("2", "S: 2\\r\\n\\r\\ny\\r\\n")},
    {"mboxcl2, forced: quotes stay", F1 "Content-Length: 8\nS: 1\n\n>From x\n\n", MBOX_CL2, M("1", "S: 1\\r\\n\\r\\n>From x\\r\\n")},
    {"Content-Length without the last line end", F1 "Content-Length: 1\nS: 1\n\nx\n\n" F2 "Content-Length: 1\nS: 2\n\ny\n\n", MBOX_GUESS,
     M("1", "S: 1\\r\\n\\r\\nx") M("2", "S: 2\\r\\n\\r\\ny")},
    {"a Content-Length that is wrong is a field as others", F1 "Content-Length: 7\nS: 1\n\nxxxxxxxxxxxx\n\n" F2 "S: 2\n\ny\n", MBOX_GUESS,
     M("1", "Content-Length: 7\\r\\nS: 1\\r\\n\\r\\nxxxxxxxxxxxx\\r\\n") M("2", "S: 2\\r\\n\\r\\ny\\r\\n")},
    {"NUL", F1 "S: 1\n\na@b\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\na@b\\r\\n")},
    {"flags", F1 "Status: RO\nX-Status: AFTD\nX-Keywords: k1 k2  k1\nS: 1\n\nx\n", MBOX_GUESS,
     "message uid=0 flags=SAFDT date=1+0 keywords=k1,k2 \"S: 1\\r\\n\\r\\nx\\r\\n\"\n"},
    {"Thunderbird", "From - Thu Jan  1 00:00:01 1970\nX-Mozilla-Status: 1007\nX-Mozilla-Status2: 04000000\nX-Mozilla-Keys: work  \nS: 1\n\nx\n\n"
                    "From - Thu Jan  1 00:00:02 1970\nX-Mozilla-Status: 0009\nS: 2\n\ngone\n", MBOX_GUESS,
     "message uid=0 flags=SAF date=1+0 keywords=$Forwarded,$label2,work \"S: 1\\r\\n\\r\\nx\\r\\n\"\n"},
    {"a field of its own comes back", F1 "X-Posthorn-Kept-Status: mine\nS: 1\n\nx\n", MBOX_GUESS, M("1", "Status: mine\\r\\nS: 1\\r\\n\\r\\nx\\r\\n")},
    {"UUCP's way", F1 ">From x Thu Jan  1 00:00:01 1970 remote from y\nS: 1\n\nx\n", MBOX_GUESS, M("1", "S: 1\\r\\n\\r\\nx\\r\\n")},
};

static void dialects(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf text, want;

        buf_init(&text, 4096);
        buf_init(&want, 4096);
        buf_add(&text, slice_of(cases[i].file));
        if (strcmp(cases[i].note, "NUL") == 0)
            text.data[slice_find(buf_slice(&text), SLICE("a@b\n")) + 1] = '\0';
        write_file("case", buf_slice(&text));
        buf_addf(&want, "mailbox case uidvalidity=0 uidnext=0\n%send whole\n", cases[i].told);
        struct recorder r = tell("case", cases[i].dialect, NULL, false);
        CHECK_SLICE(cases[i].note, buf_slice(&r.text), buf_slice(&want));
        recorder_finish(&r);
        buf_finish(&text);
        buf_finish(&want);
    }
}

static void check_told(const char *note, struct recorder r, const char *want)
{
    CHECK_SLICE(note, buf_slice(&r.text), slice_of(want));
    recorder_finish(&r);
}

static void uids(void)
{
    write_file("ann", SLICE("From MAILER-DAEMON Thu Jan  1 00:00:01 1970\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
                            "X-IMAP: 77 0000000009 k\nStatus: RO\n\nThis text is part of the internal format\n\n" F1
                            "S: 1\nX-UID: 3\nX-UIDL: abc\n\nx\n\n" F2 "S: 2\nX-UID: 9\n\ny\n\n" F2 "S: 3\nX-UID: 5\n\nz\n"));
    check_told("UW-IMAP: the pseudo message goes; a UID that does not ascend is none", tell("ann", MBOX_GUESS, NULL, false),
               "mailbox INBOX uidvalidity=77 uidnext=10\n"
               "message uid=3 flags= date=1+0 keywords= uidl=abc \"S: 1\\r\\n\\r\\nx\\r\\n\"\n"
               "message uid=9 flags= date=2+0 keywords= \"S: 2\\r\\n\\r\\ny\\r\\n\"\n"
               "message uid=0 flags= date=2+0 keywords= \"S: 3\\r\\n\\r\\nz\\r\\n\"\nend whole\n");
    check_told("known ones are not read again", tell("ann", MBOX_GUESS, " 3 9", false),
               "mailbox INBOX uidvalidity=77 uidnext=10\nmessage uid=3 flags= date=1+0 keywords= uidl=abc known\n"
               "message uid=9 flags= date=2+0 keywords= known\n"
               "message uid=0 flags= date=2+0 keywords= \"S: 3\\r\\n\\r\\nz\\r\\n\"\nend whole\n");
    write_file("ann", SLICE(F1 "S: 1\n\nx\n\n" F1 "Status: RO\nS: 1\n\nx\n\n"));
    check_told("copies have keys of their own, flags do not count", tell("ann", MBOX_GUESS, NULL, true),
               "mailbox INBOX uidvalidity=0 uidnext=0\n"
               "message uid=0 flags= date=1+0 keywords= key=967419f3a523690b2c7622a25e6ea0c5-1 \"S: 1\\r\\n\\r\\nx\\r\\n\"\n"
               "message uid=0 flags=S date=1+0 keywords= key=967419f3a523690b2c7622a25e6ea0c5-2 \"S: 1\\r\\n\\r\\nx\\r\\n\"\nend whole\n");
}

static void takeout(void)
{
    write_file("All mail.mbox",
               SLICE("From 1@xxx Thu Jan 01 00:00:01 +0000 1970\nX-GM-THRID: 1\nX-Gmail-Labels: Inbox,Important,Opened,Category Personal,Work\nS: 1\n\nx\n\n"
                     "From 2@xxx Thu Jan 01 00:00:02 +0000 1970\nX-Gmail-Labels: Archived,Unread,Starred\nS: 2\n\nx\n\n"
                     "From 3@xxx Thu Jan 01 00:00:03 +0000 1970\nX-Gmail-Labels: Work/=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=,Sent\nS: 3\n\nx\n\n"
                     "From 4@xxx Thu Jan 01 00:00:04 +0000 1970\nX-Gmail-Labels: Work,Trash,\"a, b\"\nS: 4\n\nx\n\n"
                     "From 5@xxx Thu Jan 01 00:00:05 +0000 1970\nX-Gmail-Labels: Inbox\nS: 5\n\nx\n\n"));
    check_told("labels become mailboxes, keywords and flags", tell("All mail.mbox", MBOX_GUESS, NULL, false),
               "mailbox INBOX uidvalidity=0 uidnext=0\n"
               "message uid=0 flags=S date=1+0 keywords=$Important,Work \"S: 1\\r\\n\\r\\nx\\r\\n\"\n"
               "message uid=0 flags=S date=5+0 keywords= \"S: 5\\r\\n\\r\\nx\\r\\n\"\nend whole\n"
               "mailbox Archive uidvalidity=0 uidnext=0 archive\n"
               "message uid=0 flags=F date=2+0 keywords= \"S: 2\\r\\n\\r\\nx\\r\\n\"\nend whole\n"
               "mailbox Work/Grüße uidvalidity=0 uidnext=0\n"
               "message uid=0 flags=S date=3+0 keywords= \"S: 3\\r\\n\\r\\nx\\r\\n\"\nend whole\n"
               "mailbox Trash uidvalidity=0 uidnext=0 trash\n"
               "message uid=0 flags=S date=4+0 keywords=Work,a,_b \"S: 4\\r\\n\\r\\nx\\r\\n\"\nend whole\n");
}

static void tree(void)
{
    char path[300], want[1000];

    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/t%s", folder, (const char *const[]){"", "/Inbox.sbd", "/Old.mbox"}[i]);
        CHECK("folder", mkdir(path, 0700) == 0);
    }
    write_file("t/Inbox", SLICE(F1 "S: 1\n\nx\n"));
    write_file("t/Inbox.msf", SLICE("index"));
    write_file("t/.Drafts", SLICE(F1 "S: 4\n\nx\n")); /* hidden, and mail all the same */
    write_file("t/Inbox.sbd/Gr&APwA3w-e", SLICE(F1 "S: 2\n\nx\n"));
    write_file("t/Inbox.sbd/R&D", SLICE(""));
    write_file("t/Old.mbox/mbox", SLICE(F1 "S: 3\n\nx\n"));
    write_file("t/notes.txt", SLICE("no mail\n"));
    (void)snprintf(path, sizeof path, "%s/t/link", folder);
    CHECK("link", symlink("/etc/passwd", path) == 0);
    (void)snprintf(want, sizeof want,
                   "mailbox .Drafts uidvalidity=0 uidnext=0\n" M("1", "S: 4\\r\\n\\r\\nx\\r\\n") "end whole\n"
                   "mailbox INBOX uidvalidity=0 uidnext=0\n" M("1", "S: 1\\r\\n\\r\\nx\\r\\n") "end whole\n"
                   "mailbox INBOX/Grüße uidvalidity=0 uidnext=0\n" M("1", "S: 2\\r\\n\\r\\nx\\r\\n") "end whole\n"
                   "mailbox INBOX/R&D uidvalidity=0 uidnext=0\nend whole\n"
                   "mailbox Old uidvalidity=0 uidnext=0\n" M("1", "S: 3\\r\\n\\r\\nx\\r\\n") "end whole\n"
                   "left out %s/t/link: a symbolic link, which is not followed\n"
                   "left out %s/t/notes.txt: no mbox: it does not begin with \"From \"\n", folder, folder);
    check_told("a tree", tell("t", MBOX_GUESS, NULL, false), want);
    (void)snprintf(want, sizeof want, "failed: %s/none: No such file or directory\n", folder);
    check_told("nothing there", tell("none", MBOX_GUESS, NULL, false), want);
}

/* Lines and files longer than the window; a Content-Length that goes past the end. */
static void sizes(void)
{
    struct buf text;

    buf_init(&text, 4 << 20);
    buf_add(&text, SLICE(F1 "S: 1\n\n"));
    for (int i = 0; i < 100000; i++)
        buf_add(&text, SLICE("0123456789"));
    buf_add(&text, SLICE("\r\n\n" F2 "S: 2\n\ny\n"));
    write_file("long", buf_slice(&text));
    struct recorder r = tell("long", MBOX_GUESS, NULL, false);
    CHECK("a line of a million bytes", r.messages == 2 && r.text.len > 1000000 && r.text.len < 1000300);
    recorder_finish(&r);
    buf_reset(&text);
    buf_add(&text, SLICE(F1 "S: 1\n\n"));
    for (int i = 0; i < 120000; i++)
        buf_add(&text, SLICE("0123456789"));
    write_file("long", buf_slice(&text));
    r = tell("long", MBOX_GUESS, NULL, false);
    CHECK("too large is told, not kept", r.messages == 0 && slice_find(buf_slice(&r.text), SLICE("left out")) < r.text.len);
    CHECK("and the mailbox is not whole", slice_ends(buf_slice(&r.text), SLICE("end\n")));
    recorder_finish(&r);
    write_file("cut", SLICE(F1 "Content-Length: 2\nS: 1\n\nx\n\n" F2 "Content-Length: 999\nS: 2\n\ny\n"));
    r = tell("cut", MBOX_CL, NULL, false);
    CHECK("cut short: taken, and told", r.messages == 2 && slice_find(buf_slice(&r.text), SLICE("ends in the middle")) < r.text.len);
    recorder_finish(&r);
    buf_finish(&text);
}

int main(void)
{
    CHECK("folder", mkdtemp(folder) != NULL);
    dialects();
    uids();
    takeout();
    tree();
    sizes();
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK("removed", system(command) == 0);
    return check_done();
}
