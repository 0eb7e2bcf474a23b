/*
 * tests/unit/imap/test_url.c - IMAP URLs (RFC 5092).
 */
#include "imap/url.h"

#include "tests/unit/check.h"

static const struct imap_limits limits = {.sets = 50, .nesting = 8};

static const struct {
    const char *note, *text;
    const char *host, *user, *mailbox; /* mailbox NULL: refused */
    uint32_t uidvalidity, uid;
    enum fetch_part part;
    size_t depth;
    bool partial;
    uint64_t offset, length;
} cases[] = {
    {"a message", "/INBOX/;UID=20", "", "", "INBOX", 0, 20, PART_ALL, 0, false, 0, 0},
    {"any case", "/inbox/;uid=20", "", "", "INBOX", 0, 20, PART_ALL, 0, false, 0, 0},
    {"all of it", "/a/b;UIDVALIDITY=7/;UID=20/;SECTION=1.2/;PARTIAL=3.4", "", "", "a/b", 7, 20, PART_ALL, 2, true, 3, 4},
    {"to the end", "/a/;UID=1/;PARTIAL=3", "", "", "a", 0, 1, PART_ALL, 0, true, 3, UINT64_MAX},
    {"a header", "/a/;UID=1/;SECTION=2.HEADER", "", "", "a", 0, 1, PART_HEADER, 1, false, 0, 0},
    {"fields", "/a/;UID=1/;SECTION=HEADER.FIELDS%20(To%20From)", "", "", "a", 0, 1, PART_FIELDS, 0, false, 0, 0},
    {"the selected one", ";UID=5", "", "", "", 0, 5, PART_ALL, 0, false, 0, 0},
    {"encoded", "/caf%C3%A9%20%3bx/;UID=1", "", "", "café ;x", 0, 1, PART_ALL, 0, false, 0, 0},
    {"a server", "imap://joe%40x.test@h.test:143/a/;UID=1", "h.test", "joe@x.test", "a", 0, 1, PART_ALL, 0, false, 0, 0},
    {"with AUTH", "imap://joe;AUTH=*@h.test/a/;UID=1", "h.test", "joe", "a", 0, 1, PART_ALL, 0, false, 0, 0},
    {"no UID", "/a", .mailbox = NULL},
    {"a list", "/a?SUBJECT%20x", .mailbox = NULL},
    {"relative without a slash", "a/;UID=1", .mailbox = NULL},
    {"UID 0", "/a/;UID=0", .mailbox = NULL},
    {"UID too large", "/a/;UID=4294967296", .mailbox = NULL},
    {"UIDVALIDITY 0", "/a;UIDVALIDITY=0/;UID=1", .mailbox = NULL},
    {"no section", "/a/;UID=1/;SECTION=", .mailbox = NULL},
    {"not a section", "/a/;UID=1/;SECTION=FOO", .mailbox = NULL},
    {"the section's end", "/a/;UID=1/;SECTION=1%5D%5B", .mailbox = NULL},
    {"length 0", "/a/;UID=1/;PARTIAL=1.0", .mailbox = NULL},
    {"more", "/a/;UID=1/;PARTIAL=1.2x", .mailbox = NULL},
    {"half an escape", "/a%2/;UID=1", .mailbox = NULL},
    {"NUL", "/a%00/;UID=1", .mailbox = NULL},
    {"not UTF-8", "/a%ff/;UID=1", .mailbox = NULL},
    {"a blank", "/a b/;UID=1", .mailbox = NULL},
    {"EXPIRE alone", "/a/;UID=1;EXPIRE=2026-01-01T00:00:00Z", .mailbox = NULL},
    {"another scheme", "http://h.test/a/;UID=1", .mailbox = NULL},
    {"no host", "imap:///a/;UID=1", .mailbox = NULL},
    {"nothing", "", .mailbox = NULL},
};

static void check_case(struct arena *a, size_t i)
{
    struct imap_url url;
    bool ok = imap_url_read(a, &limits, slice_of(cases[i].text), &url);

    CHECK(cases[i].note, ok == (cases[i].mailbox != NULL));
    if (!ok || cases[i].mailbox == NULL)
        return;
    CHECK_SLICE(cases[i].note, url.host, slice_of(cases[i].host));
    CHECK_SLICE(cases[i].note, url.user, slice_of(cases[i].user));
    CHECK_SLICE(cases[i].note, url.mailbox, slice_of(cases[i].mailbox));
    CHECK(cases[i].note, url.uidvalidity == cases[i].uidvalidity && url.uid == cases[i].uid);
    CHECK(cases[i].note, url.section.part == cases[i].part && url.section.depth == cases[i].depth);
    CHECK(cases[i].note, url.section.partial == cases[i].partial && url.section.offset == cases[i].offset);
    CHECK(cases[i].note, url.section.length == cases[i].length);
}

#define RUMP "imap://joe@h.test/INBOX/;UID=20/;SECTION=1.2"
#define TOKEN "91354a473744909de610943775f92038"

static void check_auth(struct arena *a)
{
    static const struct {
        const char *note, *text;
        int64_t expires; /* 0: refused */
        const char *access, *mechanism;
    } auths[] = {
        {"a rump", RUMP ";URLAUTH=submit+fred", INT64_MAX, "submit+fred", ""},
        {"full", RUMP ";urlauth=user+fred%40x.test:internal:" TOKEN, INT64_MAX, "user+fred@x.test", "internal"},
        {"expires", RUMP ";EXPIRE=1970-01-02T00:00:01Z;URLAUTH=anonymous", 86401, "anonymous", ""},
        {"a fraction and a zone", RUMP ";EXPIRE=2000-02-29T12:00:00.5+01:30;URLAUTH=authuser", 951820200, "authuser", ""},
        {"a token too short", RUMP ";URLAUTH=anonymous:internal:91354a", 0, "", ""},
        {"a token that is none", RUMP ";URLAUTH=anonymous:internal:91354a473744909de610943775f9203x", 0, "", ""},
        {"no mechanism", RUMP ";URLAUTH=anonymous::" TOKEN, 0, "", ""},
        {"month 13", RUMP ";EXPIRE=2000-13-01T00:00:00Z;URLAUTH=anonymous", 0, "", ""},
        {"no zone", RUMP ";EXPIRE=2000-12-01T00:00:00;URLAUTH=anonymous", 0, "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(auths); i++) {
        struct imap_url url;
        bool ok = imap_url_read(a, &limits, slice_of(auths[i].text), &url);
        CHECK(auths[i].note, ok == (auths[i].expires != 0));
        if (!ok || auths[i].expires == 0)
            continue;
        CHECK(auths[i].note, url.has_auth && url.expires == auths[i].expires);
        CHECK_SLICE(auths[i].note, url.access, slice_of(auths[i].access));
        CHECK_SLICE(auths[i].note, url.mechanism, slice_of(auths[i].mechanism));
        CHECK(auths[i].note, slice_starts(slice_of(auths[i].text), url.rump));
        CHECK(auths[i].note, url.mechanism.len == 0 || slice_eq(url.token, SLICE(TOKEN)));
    }
}

int main(void)
{
    struct arena a;

    arena_init(&a, 16 << 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_case(&a, i);
    check_auth(&a);
    arena_finish(&a);
    return check_done();
}
