/*
 * tests/unit/policy/test_pieces.c - what is remembered, helpers that fail, milters' packets, messages that are changed.
 */
#include "base/clock.h"
#include "check.h"
#include "policy/edit.h"
#include "policy/guard.h"
#include "policy/memo.h"
#include "policy/milter_wire.h"
#include "policy/rspamd_answer.h"

static void test_memo(void)
{
    struct memo m, again;
    struct buf text;

    memo_init(&m, 100);
    for (uint64_t key = 1; key <= 1000; key++) {
        struct memo_row *row = memo_put(&m, key);
        row->first = (int64_t)key;
        row->last = key == 1 ? 5000 : (int64_t)key; /* the first stays young */
        row->count = (uint32_t)key;
    }
    CHECK("bounded", m.used == 100);
    CHECK("the young one stays", memo_get(&m, 1) != NULL && memo_get(&m, 1)->count == 1);
    CHECK("the last one is there", memo_get(&m, 1000) != NULL && memo_get(&m, 1000)->first == 1000);
    CHECK("an old one is not", memo_get(&m, 2) == NULL);
    memo_remove(&m, 1000);
    CHECK("removed", memo_get(&m, 1000) == NULL && m.used == 99);
    for (size_t i = 0; i < m.used; i++)
        CHECK("each is found where it is", memo_get(&m, m.rows[i].key) == &m.rows[i]);
    buf_init(&text, 1 << 20);
    memo_write(&m, "greylist", &text);
    memo_init(&again, 100);
    CHECK("read again", memo_read(&again, "greylist", buf_slice(&text)) && again.used == 99);
    CHECK("the same", memo_get(&again, 1) != NULL && memo_get(&again, 1)->last == 5000);
    CHECK("another's file", !memo_read(&again, "rates", buf_slice(&text)));
    buf_add(&text, SLICE("0123 5\n"));
    CHECK("a damaged one", !memo_read(&again, "greylist", buf_slice(&text)));
    memo_finish(&m);
    memo_finish(&again);
    buf_finish(&text);
}

static void test_guard(void)
{
    struct guard g = {0};

    CHECK("open", guard_open(&g, 2, 30));
    CHECK("not the first", !guard_failed(&g, 2, 30));
    CHECK("still open", guard_open(&g, 2, 30));
    CHECK("the one that closes it", guard_failed(&g, 2, 30));
    CHECK("closed", !guard_open(&g, 2, 30));
    guard_answered(&g);
    CHECK("open again", guard_open(&g, 2, 30));
}

static void test_replies(void)
{
    static const struct { const char *note, *data; unsigned code; const char *status, *text; } cases[] = {
        {"all of it", "550 5.7.1 go away", 550, "5.7.1", "go away"},
        {"no status", "451 later", 451, "", "later"},
        {"only a code", "554", 554, "", ""},
        {"many lines", "550-5.7.1 one\r\n550 5.7.1 two", 550, "5.7.1", "one"},
        {"an acceptance", "250 2.0.0 ok", 0, "", ""},
        {"no number", "hello", 0, "", ""},
        {"too short", "55", 0, "", ""},
        {"too large", "999 x", 0, "", ""},
        {"no blank", "5501 x", 0, "", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct milter_reply r;
        bool ok = milter_read_reply(slice_of(cases[i].data), &r);
        CHECK(cases[i].note, ok == (cases[i].code != 0));
        if (!ok || cases[i].code == 0)
            continue;
        CHECK(cases[i].note, r.code == cases[i].code);
        CHECK_SLICE(cases[i].note, r.status, slice_of(cases[i].status));
        CHECK_SLICE(cases[i].note, r.text, slice_of(cases[i].text));
    }
}

static void test_packets(void)
{
    struct buf b;
    struct slice data;
    char command;
    size_t used;

    buf_init(&b, 1000);
    size_t began = milter_begin(&b, SMFIC_HELO);
    milter_add_text(&b, SLICE("a\0b"));
    milter_end(&b, began);
    CHECK("a packet", milter_take(buf_slice(&b), &command, &data, &used) == MILTER_PACKET && command == 'H' && used == b.len);
    CHECK_SLICE("a NUL ends a text", data, SLICE("a\0"));
    CHECK("half of it", milter_take(slice_sub(buf_slice(&b), 0, b.len - 1), &command, &data, &used) == MILTER_MORE);
    CHECK("of no length", milter_take(SLICE("\0\0\0\0x"), &command, &data, &used) == MILTER_BAD);
    CHECK("too long", milter_take(SLICE("\177\0\0\0x"), &command, &data, &used) == MILTER_BAD);
    buf_finish(&b);
}

/* ---- messages ---- */

static const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 20, .spool_dir = "/nonexistent"};

static struct body *make(const char *text)
{
    struct body *b = body_create(&limits);

    (void)body_add(b, slice_of(text), NULL);
    return b;
}

/* The message after the changes, compared. */
static void expect(const char *note, struct edit *e, const char *want)
{
    struct body *out = NULL;
    struct slice text = SLICE("");
    struct fail why = {0};

    CHECK(note, edit_write(e, &limits, &out, &why));
    if (out != NULL)
        (void)body_in_memory(out, &text);
    CHECK_SLICE(note, text, slice_of(want));
    body_destroy(&out);
    edit_close(e);
}

static bool begin(struct edit *e, const char *text)
{
    struct body *b = make(text);
    struct fail why = {0};
    bool ok = edit_open(e, b, 1, &why);

    body_destroy(&b);
    return ok;
}

#define MESSAGE "Received: ours\r\nReceived: theirs\r\nSubject: a\r\n b\r\ngarbage\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"

static void test_edit(void)
{
    struct edit e;

    CHECK("read", begin(&e, MESSAGE));
    CHECK("nothing changed: the old one stays", e.count == 6 && !e.changed);
    edit_close(&e);
    (void)begin(&e, MESSAGE);
    (void)edit_insert(&e, 1, SLICE("Top"), SLICE("a\nb\r\n c"));
    (void)edit_insert(&e, 100, SLICE("End"), SLICE("z\0\r"));
    CHECK("no name", !edit_insert(&e, 0, SLICE("a b"), SLICE("x")) && !edit_insert(&e, 0, SLICE("a:"), SLICE("x")));
    (void)edit_change(&e, 2, SLICE("X"), SLICE("two"));
    (void)edit_change(&e, 1, SLICE("received"), SLICE(""));
    expect("inserted, changed, removed; ours stays", &e,
           "Received: ours\r\nTop: a\r\n\tb\r\n c\r\nSubject: a\r\n b\r\ngarbage\r\nX: 1\r\nX: two\r\nEnd: z\r\n\r\nbody\r\n");
    (void)begin(&e, MESSAGE);
    edit_remove(&e, SLICE("x"), -1);
    (void)edit_change(&e, 1, SLICE("New"), SLICE("n"));
    expect("the last of a name; one that is not there", &e,
           "Received: ours\r\nReceived: theirs\r\nSubject: a\r\n b\r\ngarbage\r\nX: 1\r\nNew: n\r\n\r\nbody\r\n");
    (void)begin(&e, MESSAGE);
    edit_remove(&e, SLICE("X"), 0);
    edit_remove(&e, SLICE("Subject"), 1);
    (void)edit_add_body(&e, &limits, SLICE("one\ntwo\r"), NULL);
    (void)edit_add_body(&e, &limits, SLICE("\nthree\r\n"), NULL);
    expect("another body", &e, "Received: ours\r\nReceived: theirs\r\ngarbage\r\n\r\none\r\ntwo\r\nthree\r\n");
    CHECK("a header alone", begin(&e, "Received: x\r\nA: b\r\n"));
    (void)edit_insert(&e, 9, SLICE("C"), SLICE("d"));
    expect("a header alone", &e, "Received: x\r\nA: b\r\nC: d\r\n\r\n");
    CHECK("nothing at all", begin(&e, ""));
    (void)edit_insert(&e, 0, SLICE("C"), SLICE("d"));
    expect("nothing at all", &e, "C: d\r\n\r\n");
}

static void test_rspamd(void)
{
    struct rspamd_answer *r = calloc(1, sizeof *r);
    struct arena a;
    struct fail why;

    arena_init(&a, 1 << 20);
    CHECK("an answer", rspamd_read_answer(SLICE("{\"action\":\"add header\",\"score\":5.5,\"required_score\":15,\"milter\":{\"add_headers\":"
                                                "{\"A\":\"b\",\"C\":{\"value\":\"d\",\"order\":0}},\"remove_headers\":{\"E\":-1}}}"),
                                          &a, r, &why));
    CHECK("its parts", r->action == RSPAMD_ADD_HEADER && r->score > 5.4 && r->add_count == 2 && r->remove_count == 1 && r->remove[0].order == -1);
    CHECK("no action", !rspamd_read_answer(SLICE("{}"), &a, r, &why) && why.kind == FAIL_TEMP);
    CHECK("no JSON", !rspamd_read_answer(SLICE("no"), &a, r, &why));
    arena_finish(&a);
    free(r);
}

int main(void)
{
    test_memo();
    test_guard();
    test_replies();
    test_packets();
    test_edit();
    test_rspamd();
    return check_done();
}
