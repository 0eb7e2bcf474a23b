/* store/search: which messages match, over a real account. */
#include "store/search.h"

#include "base/buf.h"
#include "base/log.h"
#include "tests/unit/store/room.h"

static struct room room;
static struct fail why;
static struct account *account;
static struct view *view;
static uint64_t inbox;

/* ---- messages ---- */

#define DAY(n) ((int64_t)(n)*24 * 3600)

static const struct {
    const char *text;
    uint32_t flags;
    const char *keyword;
    int64_t date;
    int zone;
} messages[] = {
    /* 1: plain */
    {"From: Ann Lee <ann@example.org>\r\nTo: bob@example.org, \"Carol O'Hara\" <carol@Example.NET>\r\n"
     "Subject: Quarterly report\r\nDate: Mon, 02 Nov 2026 23:30:00 -0500\r\nMessage-ID: <one@example.org>\r\n"
     "X-Long: first half\r\n and second half\r\n\r\nThe numbers are GOOD this time.\r\n",
     STORE_SEEN, NULL, DAY(20000) + 3600, 0},
    /* 2: encoded words, Latin-1 in quoted-printable */
    {"From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.org>\r\nTo: ann@example.org\r\nCc: "
     "team@example.org\r\n"
     "Subject: =?iso-8859-1?q?Gr=FC=DFe?= aus\r\n =?utf-8?b?TcO8bmNoZW4=?=\r\nDate: Tue, 03 Nov 2026 "
     "08:00:00 +0000\r\n"
     "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: "
     "quoted-printable\r\n"
     "\r\nDie Stra=DFe ist ge=\r\nsperrt.\r\n",
     STORE_FLAGGED, "Work", DAY(20001), 0},
    /* 3: multipart with base64, an attachment that is no text, a message inside */
    {"From: carol@example.net\r\nTo: ann@example.org\r\nBcc: hidden@example.org\r\nSubject: "
     "pictures\r\nMIME-Version: 1.0\r\n"
     "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble words\r\n--b\r\nContent-Type: text/html; "
     "charset=utf-8\r\n"
     "Content-Transfer-Encoding: base64\r\n\r\nPGI+aGlkZGVuIMOcTUxBVVQ8L2I+\r\n--b\r\n"
     "Content-Type: application/octet-stream\r\n\r\nbinarywords\r\n--b\r\nContent-Type: "
     "message/rfc822\r\n\r\n"
     "Subject: nested subject\r\nX-Inner: innerfield\r\n\r\nnested body\r\n--b--\r\n",
     STORE_SEEN | STORE_ANSWERED, NULL, DAY(20001) + 7200, -180},
    /* 4: no subject, no date, no body; before 1970 */
    {"From: list@example.org\r\n\r\n", 0, "work", -3600, 0},
    /* 5: raw UTF-8 in the header, empty fields */
    {"From: \xc3\x84nne <aenne@example.org>\r\nSubject: caf\xc3\xa9\r\nX-Empty:\r\nDate: nonsense\r\n\r\n"
     "caf\xc3\xa9 CAFE\xcc\x81\r\n",
     STORE_DRAFT, "other", DAY(20003) + 23 * 3600, 120},
};

static bool add_messages(void)
{
    struct append_item items[ARRAY_LEN(messages)] = {0};
    struct slice keywords[ARRAY_LEN(messages)];
    struct body *bodies[ARRAY_LEN(messages)];
    uint32_t uidvalidity;
    uint64_t modseq;

    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        bodies[i] = room_body(&room, slice_of(messages[i].text));
        keywords[i] = slice_of(messages[i].keyword);
        items[i] = (struct append_item){.body = bodies[i],
                                        .flags = messages[i].flags,
                                        .keywords = &keywords[i],
                                        .keyword_count = messages[i].keyword != NULL,
                                        .internal_date = messages[i].date,
                                        .internal_zone = messages[i].zone};
    }
    bool ok = message_append(account, inbox, items, ARRAY_LEN(items), &uidvalidity, &modseq, &why);
    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        body_destroy(&bodies[i]);
    return ok;
}

/* A message over 64 KB: read piece by piece, the word across a border of pieces. */
static bool add_large(void)
{
    static char text[200 * 1024];
    const char head[] = "Subject: large\r\nX-Id: needle-in-header\r\n\r\n";

    memset(text, 'x', sizeof text);
    for (size_t i = 78; i + 1 < sizeof text; i += 80)
        memcpy(text + i, "\r\n", 2);
    memcpy(text, head, sizeof head - 1);
    memcpy(text + 64 * 1024 - 4, " BORDER ", 8);
    return room_append(&room, account, inbox, slice_make(text, sizeof text), 0) != 0;
}

/* One that was delivered, with a prefix longer than its text. */
static bool add_delivered(void)
{
    struct body *body =
        room_body(&room, SLICE("From: ZED <ZED@EXAMPLE.ORG>\r\nSubject: placed\r\nMessage-ID: <i@7>\r\n"
                             "Message-ID: <ii@7>\r\nIn-Reply-To:\r\n\r\nlast words"));
    struct record_target target = {.kind = RECORD_LOCAL,
                                   .account = 1,
                                   .recipient = SLICE("u@example.org"),
                                   .prefix =
                                       SLICE("Return-Path: <sender-of-placed@example.org>\r\n"
                                             "Delivered-To: somebody-with-a-long-name@example.org\r\n")};
    struct record record = {.kind = RECORD_DELIVERY, .targets = &target, .target_count = 1};
    volume_ref ref;
    bool ok = volume_append(room.volumes, &record, body, &ref, &why) &&
              message_place(account,
                            &(struct place_item){.ref = ref, .target = &target, .internal_date = DAY(20000)},
                            1, &why);

    body_destroy(&body);
    return ok;
}

/* ---- a tree from text: KEY [argument], NOT key, AND key key, OR key key; arguments in quotes ---- */

static struct arena tree_arena;

static const struct {
    const char *name;
    enum search_op op;
    enum { NONE, TEXT, NUMBER, RANGES, FLAGS, FIELD, ONE, TWO } takes;
} words[] = {
    {"ALL", SEARCH_ALL, NONE},
    {"AND", SEARCH_AND, TWO},
    {"OR", SEARCH_OR, TWO},
    {"NOT", SEARCH_NOT, ONE},
    {"POSITIONS", SEARCH_POSITIONS, RANGES},
    {"UIDS", SEARCH_UIDS, RANGES},
    {"FLAGS", SEARCH_FLAGS, FLAGS},
    {"KEYWORD", SEARCH_KEYWORD, TEXT},
    {"RECENT", SEARCH_RECENT, NUMBER},
    {"MODSEQ", SEARCH_MODSEQ, NUMBER},
    {"LARGER", SEARCH_LARGER, NUMBER},
    {"SMALLER", SEARCH_SMALLER, NUMBER},
    {"BEFORE", SEARCH_BEFORE, NUMBER},
    {"ON", SEARCH_ON, NUMBER},
    {"SINCE", SEARCH_SINCE, NUMBER},
    {"SENTBEFORE", SEARCH_SENT_BEFORE, NUMBER},
    {"SENTON", SEARCH_SENT_ON, NUMBER},
    {"SENTSINCE", SEARCH_SENT_SINCE, NUMBER},
    {"FROM", SEARCH_FROM, TEXT},
    {"TO", SEARCH_TO, TEXT},
    {"CC", SEARCH_CC, TEXT},
    {"BCC", SEARCH_BCC, TEXT},
    {"SUBJECT", SEARCH_SUBJECT, TEXT},
    {"HEADER", SEARCH_HEADER, FIELD},
    {"BODY", SEARCH_BODY, TEXT},
    {"TEXT", SEARCH_TEXT, TEXT},
    {"NOTHING", SEARCH_NOTHING, NONE},
};

static struct slice next_word(struct slice *rest)
{
    *rest = slice_trim(*rest);
    if (rest->len == 0 || rest->ptr[0] != '"')
        return slice_cut(rest, ' ');
    *rest = slice_from(*rest, 1);
    return slice_cut(rest, '"');
}

static uint64_t next_number(struct slice *rest)
{
    uint64_t n = 0;

    if (!slice_to_u64(next_word(rest), UINT64_MAX, &n))
        bug("a number is missing");
    return n;
}

static struct search *read_tree(struct slice *rest)
{
    struct search *s = arena_new(&tree_arena, struct search);
    struct slice word = next_word(rest);
    size_t i = 0;

    while (i < ARRAY_LEN(words) && !slice_eq(word, slice_of(words[i].name)))
        i++;
    if (i == ARRAY_LEN(words))
        bug("no such key: " PRIslice, SLICE_ARG(word));
    s->op = words[i].op;
    switch (words[i].takes) {
    case NONE: break;
    case FIELD:
        s->field = next_word(rest);
        s->text = next_word(rest);
        break;
    case TEXT: s->text = next_word(rest); break;
    case NUMBER: s->number = next_number(rest); break;
    case FLAGS: s->flags = (uint32_t)next_number(rest); break;
    case RANGES: /* two of them, in whatever order */
        s->range_count = 2;
        s->ranges = arena_new_array(&tree_arena, struct uid_range, 2);
        for (size_t k = 0; k < 2; k++) {
            s->ranges[k].first = (uint32_t)next_number(rest);
            s->ranges[k].last = (uint32_t)next_number(rest);
        }
        break;
    case ONE: s->children = read_tree(rest); break;
    case TWO:
        s->children = read_tree(rest);
        s->children->next = read_tree(rest);
        break;
    }
    return s;
}

/* ---- searches ---- */

static const struct {
    const char *search, *found;
} cases[] = {
    /* what the view knows */
    {"ALL", "1 2 3 4 5 6 7"},
    {"NOTHING", ""},
    {"POSITIONS 5 9 1 2", "1 2 5 6 7"},
    {"UIDS 2 3 3 3", "2 3"},
    {"FLAGS 1", "1 3"},
    {"FLAGS 3", "3"},
    {"NOT FLAGS 1", "2 4 5 6 7"},
    {"KEYWORD WORK", "2 4"},
    {"NOT KEYWORD work", "1 3 5 6 7"},
    {"KEYWORD nosuch", ""},
    {"RECENT 5", "5 6 7"},
    {"MODSEQ 1", "1 2 3 4 5 6 7"},
    {"MODSEQ 99999", ""},
    {"AND FLAGS 1 NOT FLAGS 2", "1"},
    {"OR FLAGS 16 KEYWORD work", "2 4 5"},
    /* what its row knows */
    {"LARGER 100000", "6"},
    {"SMALLER 30", "4"},
    {"LARGER 26", "1 2 3 5 6 7"},
    {"SMALLER 26", ""},
    {"ON 20000", "1 3 7"},
    {"ON 20001", "2"},
    {"BEFORE 20001", "1 3 4 6 7"},
    {"BEFORE 0", "4"},
    {"SINCE 20003", "5"},
    {"ON 20004", "5"},
    {"SENTON 20759", "1"},
    {"SENTSINCE 20760", "2"},
    {"SENTBEFORE 20760", "1"},
    {"NOT SENTBEFORE 20760", "2 3 4 5 6 7"},
    /* the envelope */
    {"FROM ann", "1"},
    {"FROM \"ANN LEE\"", "1"},
    {"FROM ann@example.org", "1"},
    {"FROM \"lee <ann@\"", "1"},
    {"FROM example.org", "1 2 4 5 7"},
    {"FROM zed", "7"},
    {"FROM J\xc3\xbcrgen", "2"},
    {"FROM M\xc3\x9cLLER", "2"},
    {"FROM \xc3\xa4nne", "5"},
    {"FROM q?j", ""},
    {"FROM zzz", ""},
    {"TO carol@example.net", "1"},
    {"TO o'hara", "1"},
    {"TO \"bob@example.org> <carol\"", ""},
    {"CC team", "2"},
    {"BCC hidden", "3"},
    {"SUBJECT REPORT", "1"},
    {"SUBJECT gr\xc3\xbcsse", "2"},
    {"SUBJECT gr\xc3\xbc\xc3\x9f"
     "e",
     "2"},
    {"SUBJECT \"aus m\xc3\xbcnchen\"", "2"},
    {"SUBJECT cafe\xcc\x81", "5"},
    {"SUBJECT nested", ""},
    {"SUBJECT \"\"", "1 2 3 4 5 6 7"},
    /* the header */
    {"HEADER X-Long \"FIRST HALF AND second\"", "1"},
    {"HEADER x-long \"\"", "1"},
    {"HEADER X-Empty \"\"", "5"},
    {"HEADER X-Empty a", ""},
    {"HEADER X-None \"\"", ""},
    {"HEADER Message-ID <one@example.org>", "1"},
    {"HEADER Subject M\xc3\xbcnchen", "2"},
    {"HEADER X-Inner innerfield", ""},
    {"HEADER X-Id needle", "6"},
    {"HEADER Return-Path placed", "7"},
    {"HEADER Subject placed", "7"},
    {"HEADER Subject REPORT", "1"},
    {"HEADER MESSAGE-ID <i@7>", "7"},
    {"HEADER Message-ID <ii@7>", "7"},
    {"HEADER Message-ID \" <one@\"", "1"},
    {"HEADER In-Reply-To \"\"", "7"},
    {"AND HEADER Message-ID one@ BODY good", "1"},
    {"NOT HEADER Message-ID @", "2 3 4 5 6"},
    /* the text */
    {"BODY good", "1"},
    {"BODY \"good  this\"", ""},
    {"BODY report", ""},
    {"BODY stra\xc3\x9f"
     "e",
     "2"},
    {"BODY STRASSE", "2"},
    {"BODY gesperrt", "2"},
    {"BODY \xc3\xbcmlaut", "3"},
    {"BODY \"nested subject\"", "3"},
    {"BODY innerfield", "3"},
    {"BODY \"nested body\"", "3"},
    {"BODY binarywords", ""},
    {"BODY caf\xc3\xa9", "5"},
    {"BODY border", "6"},
    {"BODY needle-in-header", ""},
    {"BODY \"last words\"", "7"},
    {"BODY placed", ""},
    {"TEXT sender-of-placed", "7"},
    {"BODY \"\"", "1 2 3 4 5 6 7"},
    {"TEXT quarterly", "1"},
    {"TEXT \"half and second\"", "1"},
    {"TEXT \"x-long: first\"", "1"},
    {"TEXT m\xc3\xbcnchen", "2"},
    {"TEXT hidden", "3"},
    {"TEXT caf\xc3\xa9", "5"},
    {"TEXT border", "6"},
    {"TEXT needle-in-header", "6"},
    {"TEXT nowhere", ""},
    /* together */
    {"AND BODY good SUBJECT report", "1"},
    {"AND TEXT ann FLAGS 2", "3"},
    {"AND TEXT ann NOT FLAGS 2", "1 2"},
    {"OR TEXT nowhere FLAGS 16", "5"},
    {"OR BODY good FLAGS 16", "1 5"},
    {"OR FLAGS 4 OR SUBJECT report BODY border", "1 2 6"},
    {"NOT OR FROM ann BODY border", "2 3 4 5 7"},
    {"NOT AND FROM example TEXT e", "6"},
    {"AND NOT TEXT ann SMALLER 50", "4"},
    {"NOT NOT SUBJECT report", "1"},
};

static struct slice run(const char *text, unsigned budget_ms, unsigned *pauses, struct buf *out)
{
    struct arena arena;
    const uint32_t *found = NULL;
    size_t count = 0;
    struct slice rest = slice_of(text);
    struct search_run *r;
    int status;

    arena_init(&arena, 1 << 20);
    arena_reset(&tree_arena);
    buf_reset(out);
    *pauses = 0;
    r = search_start(account, inbox, view, read_tree(&rest), &arena);
    while ((status = search_continue(r, budget_ms, &found, &count, &why)) == 0)
        ++*pauses;
    if (status < 0)
        buf_addf(out, "failed: %s", why.text);
    for (size_t i = 0; status > 0 && i < count; i++)
        buf_addf(out, i == 0 ? "%u" : " %u", found[i] + 1);
    search_end(&r);
    search_end(&r);
    arena_finish(&arena);
    return buf_slice(out);
}

static void test_searches(void)
{
    struct buf out;
    unsigned pauses;

    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK_SLICE(cases[i].search, run(cases[i].search, 1000, &pauses, &out), slice_of(cases[i].found));
        CHECK(cases[i].search, pauses == 0);
        CHECK_SLICE("in pieces", run(cases[i].search, 0, &pauses, &out), slice_of(cases[i].found));
    }
    CHECK_SLICE("paused", run("BODY good", 0, &pauses, &out), SLICE("1"));
    CHECK("after each message, and after each piece of the large one", pauses > ARRAY_LEN(messages) + 3);
    CHECK_SLICE("two keys", run("OR BODY nosuch BODY good", 0, &pauses, &out), SLICE("1"));
    CHECK("after each key of each message", pauses > ARRAY_LEN(messages) + 5);
    buf_finish(&out);
}

/* What was expunged since the view was made is still there for who has not been told. */
static void test_expunged(void)
{
    struct uid_range three = {3, 3};
    struct uid_set gone = {0};
    uint64_t modseq;
    struct buf out;
    unsigned pauses;

    buf_init(&out, 4096);
    CHECK("expunged", message_expunge(account, inbox, &three, 1, true, &gone, &modseq, &why));
    uid_set_finish(&gone);
    CHECK_SLICE("seen by the old view", run("TEXT hidden", 1000, &pauses, &out), SLICE("3"));
    view_release(&view);
    CHECK("a new view", view_open(account, inbox, &view, &why));
    CHECK_SLICE("not by the new one", run("TEXT hidden", 1000, &pauses, &out), SLICE(""));
    CHECK_SLICE("positions have moved", run("TEXT border", 1000, &pauses, &out), SLICE("5"));
    buf_finish(&out);
}

static void test_arena_full(void)
{
    struct arena arena;
    struct search all = {.op = SEARCH_ALL};
    const uint32_t *found;
    size_t count;

    arena_init(&arena, 16);
    struct search_run *r = search_start(account, inbox, view, &all, &arena);
    CHECK("no room for the search",
          search_continue(r, 10, &found, &count, &why) == -1 && why.reason == FAIL_LIMIT);
    search_end(&r);
    arena_finish(&arena);
}

int main(void)
{
    arena_init(&tree_arena, 1 << 16);
    log_set_level(LOG_ERROR);
    room_init(&room);
    account = room_account(&room, 1);
    inbox = room_mailbox(account, SLICE("INBOX"));
    if (!add_messages() || !add_large() || !add_delivered() || !view_open(account, inbox, &view, &why))
        room_die("messages", &why);
    test_searches();
    test_expunged();
    test_arena_full();
    view_release(&view);
    account_release(&account);
    room_finish(&room);
    arena_finish(&tree_arena);
    return check_done();
}
