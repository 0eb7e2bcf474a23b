/*
 * fuzz/imap_session.c - a whole IMAP session over a real store (session.h).
 *
 * The first byte says in which pieces the rest arrives and how the connection is; the rest is what a client sends.
 * Whatever it is, what is answered is what the grammar lets a server say (imap_grammar.h); and in whichever pieces it
 * came, the same commands get the same tagged responses.  After a session that has changed its account, or the mailbox that
 * another one shares with it, these are made anew.
 */
#include "fuzz.h"
#include "imap/server.h"
#include "imap_grammar.h"
#include "room.h"
#include "session.h"
#include "store/acl.h"
#include "store/store.h"

/* Signed in and a mailbox selected: most of what there is to say. */
#define SIGNED_IN "a LOGIN u p\r\n"
#define SELECTED SIGNED_IN "b SELECT INBOX\r\n"

/* u0, whose session it is, and u1, who shares a mailbox. */
static struct { const char *address; uint64_t id, modseq; } accounts[] = {{"u0@example.test", 0, 0}, {"u1@example.test", 0, 0}};

static const char *const texts[] = {
    "Date: Sun, 22 Nov 2026 10:00:00 +0100\r\nFrom: \"A B\" <a@example.test>, c@d.example\r\nTo: u0@example.test\r\n"
    "Message-ID: <1@example.test>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\nhello\r\n",
    "From: x@y.example\r\nSubject: Re: a\r\nIn-Reply-To: <1@example.test>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nPGI+eDwvYj4=\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    "From: i@n.example\r\nSubject: inner\r\n\r\nin\r\n--b\r\nContent-Type: image/png; name*=utf-8''%C3%A4\r\n"
    "Content-Disposition: attachment; filename=\"a.png\"\r\nContent-Language: de, en\r\n\r\n\x89PNG\r\n--b--\r\n",
    "Subject: \xc3\xa4\"\\\n\nbare\nlines\n.\n",
    "\r\n",
};

/* The reader of answers knows right ones from wrong ones. */
static void check_the_checker(void)
{
    static const struct { const char *said; bool right; } cases[] = {
        {"a OK done\r\n", true}, {"a OK\r\n", false}, {"a OK done\n", false}, {"a+ OK done\r\n", false}, {" OK done\r\n", false},
        {"a OK [UIDNEXT 0] x\r\n", false}, {"a OK [UIDNEXT 1] x\r\n", true}, {"a OK [UIDNEXT 1]\r\n", false}, {"a NO [ODD] x\r\n", false},
        {"* 1 EXISTS\r\n* 1 FETCH (UID 2)\r\n", true}, {"* 1 EXISTS\r\n* 2 FETCH (UID 2)\r\n", false}, {"* 0 EXPUNGE\r\n", false},
        {"* 1 EXISTS\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n", false}, {"* 1 FETCH (UID 2 )\r\n", false}, {"* 1 FETCH ()\r\n", false},
        {"* 1 FETCH (BODY[] {3}\r\nabc)\r\n", true}, {"* 1 FETCH (BODY[] {4}\r\nabc)\r\n", false}, {"* 1 FETCH (BODY[MIME] NIL)\r\n", false},
        {"* 1 FETCH (BODY[1.MIME]<0> \"\")\r\n", true}, {"* 1 FETCH (BODY[] {1}\r\n\xff)\r\n", true},
        {"* 1 FETCH (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL))\r\n", true},
        {"* 1 FETCH (ENVELOPE (NIL NIL () NIL NIL NIL NIL NIL NIL NIL))\r\n", false},
        {"* 1 FETCH (BODY (\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0))\r\n", true},
        {"* 1 FETCH (BODY (\"text\" \"plain\" NIL NIL NIL \"7bit\" 0))\r\n* 1 FETCH (BODY (\"text\" \"plain\" () NIL NIL \"7bit\" 0 0))\r\n", false},
        {"* 1 FETCH (INTERNALDATE \" 1-Jan-2026 00:00:00 +0000\")\r\n", true}, {"* 1 FETCH (INTERNALDATE \"1-Jan-2026 00:00:00 +0000\")\r\n", false},
        {"* LIST (\\Noselect) \"/\" \"a\"\r\n", true}, {"* LIST () / a\r\n", false}, {"* LIST () \"/\" \"\xc3\xa4\"\r\n", false},
        {"* ENABLED UTF8=ACCEPT\r\n* LIST () \"/\" \"\xc3\xa4\"\r\n", true}, {"* SEARCH 1 2 (MODSEQ 3)\r\n", true}, {"* SEARCH 0\r\n", false},
        {"* ESEARCH (TAG \"a\") UID ALL 1:2,4\r\n", true}, {"* ESEARCH (TAG \"a\") ALL\r\n", false}, {"* THREAD (1 2 (3)(4))\r\n", true},
        {"* THREAD (1 2 (3))\r\n", false}, {"* FLAGS (\\Seen \\*)\r\n", false}, {"* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n", true},
        {"* VANISHED (EARLIER) 1:5\r\n", true}, {"* VANISHED 1:*\r\n", false}, {"+ \r\n", true}, {"+\r\n", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char said[400];
        struct imap_grammar g = {0};
        (void)snprintf(said, sizeof said, "* OK ready\r\n%s", cases[i].said);
        imap_grammar_check(&g, slice_of(said));
        if ((g.broken == NULL) != cases[i].right)
            fprintf(stderr, "%s: %s\n", cases[i].said, g.broken != NULL ? g.broken : "it was not noticed");
        FUZZ_CHECK((g.broken == NULL) == cases[i].right);
    }
}

static uint64_t modseq_of(struct account *a)
{
    struct account_usage usage;
    struct fail why;

    room_must(account_usage(a, &usage, &why), "usage", &why);
    return usage.highest_modseq;
}

static void fill(struct account *a, const char *name)
{
    struct mailbox_info box;
    struct arena arena;
    struct fail why;

    arena_init(&arena, 1 << 20);
    room_must(mailbox_find(a, slice_of(name), &arena, &box, &why), "mailbox", &why);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        session_append(a, box.id, slice_of(texts[i]));
    arena_finish(&arena);
}

static void share(struct account *a, const char *name)
{
    uint64_t id;
    struct fail why;

    room_must(mailbox_create(a, slice_of(name), USE_NONE, &id, &why), "create", &why);
    room_must(acl_set(a, id, slice_of(accounts[0].address), ACL_REPLACE, RIGHTS_ALL & ~(unsigned)RIGHT_ADMINISTER, 0, &why), "share", &why);
    fill(a, name);
}

/* Accounts as every session finds them: made anew if the last one has changed anything. */
static void prepare(struct store *st)
{
    for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
        struct account *a;
        struct fail why;
        if (accounts[i].id == 0)
            check_the_checker();
        if (accounts[i].id != 0) {
            room_must(store_account(st, accounts[i].id, &a, &why), "account", &why);
            bool same = modseq_of(a) == accounts[i].modseq;
            account_release(&a);
            if (same)
                continue;
        }
        accounts[i].id = session_new_account(slice_of(accounts[i].address));
        room_must(store_account(st, accounts[i].id, &a, &why), "account", &why);
        if (i == 0)
            fill(a, "INBOX");
        else
            share(a, "Team/a");
        accounts[i].modseq = modseq_of(a);
        account_release(&a);
    }
    session_sign_in(accounts[0].id);
}

static void show(struct slice said, const struct imap_grammar *g)
{
    size_t at = (size_t)(g->at - said.ptr);
    size_t from = at > 2000 ? at - 2000 : 0;

    (void)fwrite(said.ptr + from, 1, at - from, stderr);
    fprintf(stderr, "\n<<< here: %s >>>\n", g->broken);
    (void)fwrite(said.ptr + at, 1, said.len - at < 500 ? said.len - at : 500, stderr);
    fprintf(stderr, "\n");
}

static struct session_end play(const struct imap_service *service, struct slice in, const struct session_way *way,
                               struct imap_grammar *g)
{
    struct buf said;

    prepare(service->store);
    buf_init(&said, 1 << 28);
    struct session_end end = session_play(&imap_protocol, (void *)(uintptr_t)service, in, way, &said);
    if (end.whole && said.len > 0 && said.data[said.len - 1] == '\n')
        imap_grammar_check(g, buf_slice(&said));
    if (g->broken != NULL)
        show(buf_slice(&said), g);
    FUZZ_CHECK(g->broken == NULL);
    buf_finish(&said);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct session_way fresh = {.step = SIZE_MAX};
    const struct session_store *s = session_store();
    const struct login_service logins = {.allow_plaintext = true, .directory = s->directory};
    struct imap_service service = {.hostname = "fuzz", .spool_dir = s->folder, .login = &logins, .store = s->store};
    struct slice in = slice_make(data, size);
    const unsigned how = fuzz_take(&in);
    struct session_way way = {.step = 1 + (how >> 4), .tls = (how & 1) != 0, .local = (how & 2) != 0};
    struct imap_grammar one = {0}, two = {0};
    struct buf input;

    imap_limits_default(&service.limits);
    service.limits.urlauth = 1;
    service.limits.jmap_url = "https://jmap.example/";
    buf_init(&input, 1 << 28);
    if ((how & 4) == 0)
        buf_add(&input, SLICE(SELECTED));
    buf_add(&input, in);
    struct session_end end = play(&service, buf_slice(&input), &fresh, &one);
    if ((how & 8) != 0 && !end.started_tls && end.whole) {
        struct session_end cut = play(&service, buf_slice(&input), &way, &two);
        FUZZ_CHECK(cut.started_tls || !cut.whole || (one.tagged == two.tagged && one.digest == two.digest));
    }
    buf_finish(&input);
    return 0;
}
