/*
 * tests/unit/transfer/test_writer.c - what is written to an mbox is read back the same; what a Maildir++ looks like.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/unit/transfer/recorder.h"
#include "transfer/mbox_source.h"
#include "transfer/writer.h"

static char top[] = "/tmp/posthorn-writer-XXXXXX";
static const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 20, .spool_dir = "/tmp"};

static const struct slice two[] = {{"work", 4}, {"$Important", 10}};

static const struct sample { const char *mailbox, *text; uint32_t uid, flags; size_t keywords; int64_t date; int zone; const char *uidl; } samples[] = {
    {"INBOX", "Return-Path: <ann@example.org>\r\nSubject: 1\r\n\r\nFrom x\r\n>From y\r\n>>From z\r\n", 3, STORE_SEEN | STORE_ANSWERED, 2, 3723, 60, "u-3"},
    {"INBOX", "Status: mine\r\nX-UID: 999\r\n too\r\nContent-Length: 5\r\nX-Posthorn-Kept-X: y\r\nSubject: 2\r\n\r\n\r\n\r\n", 4, STORE_FLAGGED | STORE_DRAFT | STORE_DELETED, 0, 1795344667, 0, NULL},
    {"INBOX", "From me to you\r\n>From x\r\nSubject: 3\r\n\r\ntext\r\n\r\nFrom a@b Thu Jan  1 00:00:01 1970\r\nSubject: none\r\n\r\n", 9, 0, 1, 5, -90, NULL},
    {"INBOX", "Subject: 4\r\n\r\n", 10, 0, 0, 5, 0, NULL},
    {"Empty", NULL, 0, 0, 0, 0, 0, NULL},
    {"A.B/Gr\xc3\xbc\xc3\x9f" "e & more", "\r\nno header\r\n", 1, 0, 0, 5, 0, NULL},
};

static uint32_t validity(const char *name)
{
    return (uint32_t)strlen(name) + 100;
}

/* Tells the samples to `into`. */
static void tell(const struct transfer_into *into)
{
    const char *last = "";
    struct fail why = {.text = ""};

    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        const struct sample *s = &samples[i];
        struct body         *body = body_create(&limits);
        if (strcmp(last, s->mailbox) != 0) {
            if (last[0] != '\0')
                CHECK("mailbox ends", into->mailbox_end(into->ctx, true, &why));
            struct transfer_mailbox m = {.name = slice_of(s->mailbox), .uidvalidity = validity(s->mailbox), .uidnext = 12, .subscribed = true};
            CHECK("mailbox", into->mailbox(into->ctx, &m, &why));
            last = s->mailbox;
        }
        if (s->text != NULL) {
            struct transfer_message m = {.uid = s->uid, .flags = s->flags, .keywords = two, .keyword_count = s->keywords, .internal_date = s->date,
                                         .internal_zone = s->zone, .uidl = slice_of(s->uidl), .body = body};
            CHECK("body", body_add(body, slice_of(s->text), &why));
            CHECK("message", into->message(into->ctx, &m, &why));
        }
        body_destroy(&body);
    }
    CHECK("mailbox ends", into->mailbox_end(into->ctx, true, &why));
}

static void no_left_out(void *ctx, struct slice what, const char *reason)
{
    fprintf(stderr, "left out " PRIslice ": %s\n", SLICE_ARG(what), reason);
    ++*(unsigned *)ctx;
}

static unsigned write_all(const char *folder, enum writer_format format, enum mbox_dialect dialect, bool resume, struct writer_summary *summary)
{
    unsigned              left_out = 0;
    struct writer_options options = {.format = format, .dialect = dialect, .resume = resume, .left_out = no_left_out, .ctx = &left_out};
    struct fail           why = {.text = ""};
    int                   fd;

    CHECK("folder", io_make_dirs(folder, 0700, &why));
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct writer       *w = writer_create(fd, &options);
    struct transfer_into into = writer_into(w);
    tell(&into);
    CHECK("script", into.script(into.ctx, SLICE("../a.b"), true, SLICE("keep;\r\n"), &why));
    CHECK("finished", writer_finish(w, &why));
    *summary = *writer_summary(w);
    writer_destroy(&w);
    (void)close(fd);
    return left_out;
}

static void check_file(const char *note, const char *folder, const char *name, struct slice want)
{
    char        path[400];
    struct buf  text;
    struct fail why = {.text = ""};

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(&text, 1 << 20);
    CHECK(path, io_read_file(path, &text, &why));
    CHECK_SLICE(note, buf_slice(&text), want);
    buf_finish(&text);
}

static void mboxes(void)
{
    static const enum mbox_dialect dialects[] = {MBOX_RD, MBOX_CL, MBOX_CL2};
    struct writer_summary          summary;
    char                           folder[300];
    struct fail                    why = {.text = ""};

    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        struct recorder      want, got;
        struct transfer_into into = recorder_into(&want);
        (void)snprintf(folder, sizeof folder, "%s/%s", top, mbox_dialect_name(dialects[i]));
        CHECK("nothing left out", write_all(folder, WRITER_MBOX, dialects[i], false, &summary) == 0);
        CHECK("counted", summary.mailboxes == 3 && summary.messages == 5 && summary.scripts == 1);
        tell(&into);
        into = recorder_into(&got);
        char                order[320];
        struct mbox_source  source = {.path = order, .dialect = dialects[i], .bodies = limits};
        for (size_t k = 0; k < 3; k++) { /* in the order in which they were told */
            (void)snprintf(order, sizeof order, "%s/%s", folder, (const char *const[]){"INBOX.mbox", "Empty.mbox", "A.B.sbd"}[k]);
            CHECK("read", mbox_source_read(&source, &into, &why));
        }
        /* The last is told as from the top: its name lacks the level above. */
        size_t at = slice_find(buf_slice(&want.text), SLICE("A.B/"));
        CHECK("level", at < want.text.len);
        memmove(want.text.data + at, want.text.data + at + 4, want.text.len - at - 4);
        want.text.len -= 4;
        CHECK_SLICE(mbox_dialect_name(dialects[i]), buf_slice(&got.text), buf_slice(&want.text));
        recorder_finish(&want);
        recorder_finish(&got);
        check_file("subscriptions", folder, ".subscriptions", SLICE("INBOX\nEmpty\nA.B/Gr&APwA3w-e &- more\n"));
    }
    (void)snprintf(folder, sizeof folder, "%s/mboxrd", top);
    CHECK("a second time all is there already", write_all(folder, WRITER_MBOX, MBOX_RD, true, &summary) == 3 && summary.messages == 0);
}

static void maildir(void)
{
    struct writer_summary summary;
    struct stat           st;
    char                  folder[300], path[600];

    (void)snprintf(folder, sizeof folder, "%s/maildir", top);
    CHECK("nothing left out", write_all(folder, WRITER_MAILDIR, MBOX_GUESS, false, &summary) == 0 && summary.known == 0);
    (void)snprintf(path, sizeof path, "%s/cur/1795344667.V105U4F%s.posthorn,S=82,W=91:2,DFT", folder, "5d6acae4");
    CHECK(path, stat(path, &st) == 0 && st.st_mtime == 1795344667 && (st.st_mode & 0777) == 0600 && st.st_size == 82);
    check_file("keywords", folder, "dovecot-keywords", SLICE("0 work\n1 $Important\n"));
    check_file("a message", folder, "cur/3723.V105U3F5d6acae4.posthorn,S=67,W=73:2,RSab",
               SLICE("Return-Path: <ann@example.org>\nSubject: 1\n\nFrom x\n>From y\n>>From z\n"));
    check_file("the root is no folder below", folder, ".Empty/maildirfolder", SLICE(""));
    check_file("a dot in a name", folder, ".A\\2eB.Gr&APwA3w-e &- more/maildirfolder", SLICE(""));
    check_file("subscriptions", folder, "subscriptions", SLICE("INBOX\nEmpty\nA\\2eB.Gr&APwA3w-e &- more\n"));
    check_file("the active script", folder, ".dovecot.sieve", SLICE("keep;\r\n"));
    struct buf  list;
    struct fail why;
    buf_init(&list, 65536);
    (void)snprintf(path, sizeof path, "%s/dovecot-uidlist", folder);
    CHECK("list", io_read_file(path, &list, &why));
    CHECK("its head", slice_starts(buf_slice(&list), SLICE("3 V105 N12 G")));
    CHECK_SLICE("its lines", slice_from(buf_slice(&list), slice_find_char(buf_slice(&list), '\n') + 1),
                SLICE("3 Pu-3 :3723.V105U3F5d6acae4.posthorn,S=67,W=73\n4 :1795344667.V105U4F5d6acae4.posthorn,S=82,W=91\n"
                      "9 :5.V105U9F5d6acae4.posthorn,S=90,W=99\n10 :5.V105U10F5d6acae4.posthorn,S=12,W=14\n"));
    buf_finish(&list);
    (void)snprintf(path, sizeof path, "%s/cur/5.V105U2F5d6acae4.posthorn,S=1,W=1:2,S", folder);
    CHECK("one that is gone by now", close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
    (void)snprintf(path, sizeof path, "%s/cur/foreign:2,S", folder);
    CHECK("one that is not ours", close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
    CHECK("a second time", write_all(folder, WRITER_MAILDIR, MBOX_GUESS, true, &summary) == 0 && summary.known == 5);
    CHECK("what is not ours stays", stat(path, &st) == 0);
    (void)snprintf(path, sizeof path, "%s/cur/5.V105U2F5d6acae4.posthorn,S=1,W=1:2,S", folder);
    CHECK("what is gone is removed", stat(path, &st) != 0);
}

int main(void)
{
    CHECK("folder", mkdtemp(top) != NULL);
    mboxes();
    maildir();
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf %s", top);
    CHECK("removed", getenv("KEEP") != NULL || system(command) == 0);
    return check_done();
}
