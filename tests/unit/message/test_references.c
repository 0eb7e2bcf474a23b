/*
 * tests/unit/message/test_references.c - what a message says of the messages it belongs to.
 */
#include "message/references.h"

#include "../check.h"

static uint64_t id(const char *text)
{
    return header_id_hash(slice_of(text));
}

static void test_hash(void)
{
    CHECK("quotes that are not needed", id("<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>") == id("<01KF8JCEOCBS0045PS@xxx.yyy.com>"));
    CHECK("escapes", id("<\"a\\b\"@x>") == id("<ab@x>"));
    CHECK("case matters", id("<a@x>") != id("<A@x>"));
    CHECK("blanks do not", id("<a @\r\n x>") == id("<a@x>"));
    CHECK("never 0", id("") != 0);
    CHECK("the same for ever", id("<a@x>") == UINT64_C(0xa19ade34a57e5a39));
}

/* The ids of a header as "own: ancestor ...", by the names in `names`. */
static void check_ids(const char *note, const char *header, const char *const *want, size_t count)
{
    struct message_references refs;
    struct arena a;

    arena_init(&a, 1 << 20);
    message_references_read(&a, slice_of(header), &refs);
    CHECK(note, references_count(refs.ids) == count);
    for (size_t i = 0; i < count && i < references_count(refs.ids); i++)
        CHECK(note, references_at(refs.ids, i) == (want[i] == NULL ? 0 : id(want[i])));
    arena_finish(&a);
}
#define IDS(...) ((const char *const[]){__VA_ARGS__}), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void test_ids(void)
{
    check_ids("nothing", "Subject: x\r\n\r\n", IDS(NULL));
    check_ids("only its own", "Message-ID: <a@x>\r\n\r\n", IDS("<a@x>"));
    check_ids("references", "References: <1@x> <2@x>\r\nMessage-Id: <a@x>\r\n\r\n", IDS("<a@x>", "<1@x>", "<2@x>"));
    check_ids("references, not in-reply-to", "In-Reply-To: <3@x>\r\nReferences: <1@x>\r\n\r\n", IDS(NULL, "<1@x>"));
    check_ids("of in-reply-to the first", "In-Reply-To: Your mail <3@x> <4@x>\r\n\r\n", IDS(NULL, "<3@x>"));
    check_ids("references without an id", "References: none\r\nIn-Reply-To: <3@x>\r\n\r\n", IDS(NULL, "<3@x>"));
}

static bool share_a_key(const char *one, const char *other)
{
    struct message_references x, y;
    struct arena a;
    bool shared = false;

    arena_init(&a, 1 << 20);
    message_references_read(&a, slice_of(one), &x);
    message_references_read(&a, slice_of(other), &y);
    for (size_t i = 0; i < x.key_count; i++)
        for (size_t k = 0; k < y.key_count; k++)
            shared = shared || x.keys[i] == y.keys[k];
    arena_finish(&a);
    return shared;
}

/* RFC 8621 section 3: an id in common, and the base subject. */
static void test_keys(void)
{
    static const char first[] = "Message-ID: <1@x>\r\nSubject: Big news\r\n\r\n";

    CHECK("a reply", share_a_key(first, "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nSubject: Re: big  news\r\n\r\n"));
    CHECK("white space in the subject", share_a_key(first, "References: <1@x>\r\nSubject: Re: bignews\r\n\r\n"));
    CHECK("another subject", !share_a_key(first, "References: <1@x>\r\nSubject: other\r\n\r\n"));
    CHECK("no id in common", !share_a_key(first, "Message-ID: <2@x>\r\nSubject: Big news\r\n\r\n"));
    CHECK("two replies to what is not there", share_a_key("References: <9@x>\r\n\r\n", "In-Reply-To: <9@x>\r\n\r\n"));
    CHECK("no ids, no key", !share_a_key("Subject: a\r\n\r\n", "Subject: a\r\n\r\n"));
}

/* Thousands of ids: the first, the last, and no more than a limit. */
static void test_many(void)
{
    struct message_references refs;
    struct arena a;
    struct buf header;

    arena_init(&a, 1 << 24);
    buf_init(&header, 1 << 20);
    buf_add(&header, SLICE("References:"));
    for (unsigned i = 0; i < 5000; i++)
        buf_addf(&header, " <%u@x>\r\n", i);
    buf_add(&header, SLICE("Message-ID: <own@x>\r\n\r\n"));
    message_references_read(&a, buf_slice(&header), &refs);
    CHECK("limited", references_count(refs.ids) == REFERENCES_MAX + 1 && refs.key_count == THREAD_KEYS_MAX);
    CHECK("the first", references_at(refs.ids, 1) == id("<0@x>"));
    CHECK("the last", references_at(refs.ids, REFERENCES_MAX) == id("<4999@x>"));
    buf_finish(&header);
    arena_finish(&a);
}

int main(void)
{
    test_hash();
    test_ids();
    test_keys();
    test_many();
    return check_done();
}
