/* base/fail: the story grows in front, is one line and never too long. */
#include "base/fail.h"

#include <errno.h>

#include "tests/unit/check.h"

static void test_story(void)
{
    struct fail why;

    CHECK("set says false", !fail_set(&why, FAIL_PERM, FAIL_NOT_FOUND, "no mailbox %s", "x"));
    CHECK_SLICE("text", slice_of(why.text), SLICE("no mailbox x"));
    CHECK("kind", why.kind == FAIL_PERM && why.reason == FAIL_NOT_FOUND);
    CHECK_SLICE("no code", slice_of(why.code), SLICE(""));
    CHECK("at says false", !fail_at(&why, "account %d", 7));
    CHECK_SLICE("place in front", slice_of(why.text), SLICE("account 7: no mailbox x"));
    CHECK("kind stays", why.kind == FAIL_PERM && why.reason == FAIL_NOT_FOUND);
    fail_code(&why, FAIL_TEMP, FAIL_OTHER, "4.3.0", "odd");
    CHECK_SLICE("code", slice_of(why.code), SLICE("4.3.0"));
    fail_set(&why, FAIL_TEMP, FAIL_OTHER, "again: %s", why.text);
    CHECK_SLICE("may quote itself", slice_of(why.text), SLICE("again: odd"));
    fail_set(&why, FAIL_TEMP, FAIL_OTHER, "a\r\nb\tc\x7f\x01");
    CHECK_SLICE("one line", slice_of(why.text), SLICE("a??b?c??"));
    CHECK("NULL is fine", !fail_set(NULL, FAIL_TEMP, FAIL_OTHER, "x") && !fail_at(NULL, "x") &&
                              !fail_errno(NULL, 1, "x") && !fail_code(NULL, FAIL_TEMP, FAIL_OTHER, "", "x"));
    CHECK_SLICE("names", slice_of(fail_kind_name(FAIL_TEMP)), SLICE("temporary"));
}

static void test_errno(void)
{
    struct fail why;

    fail_errno(&why, EIO, "write %s", "f");
    CHECK_SLICE("errno", slice_of(why.text), SLICE("write f: Input/output error"));
    CHECK("temporary", why.kind == FAIL_TEMP && why.reason == FAIL_OTHER);
    fail_errno(&why, ENOSPC, "write");
    CHECK("full disk", why.reason == FAIL_NO_SPACE && strcmp(why.code, "4.3.1") == 0);
    fail_errno(&why, EDQUOT, "write");
    CHECK("over quota of the file system", why.reason == FAIL_NO_SPACE);
}

static void test_length(void)
{
    struct fail why;
    char        long_text[500];

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    fail_set(&why, FAIL_TEMP, FAIL_OTHER, "%s", long_text);
    CHECK("cut", strlen(why.text) == sizeof why.text - 1);
    fail_at(&why, "%s", "here");
    CHECK("cut at the end, not the start", strlen(why.text) == sizeof why.text - 1);
    CHECK("place kept", slice_starts(slice_of(why.text), SLICE("here: xxx")));
    fail_at(&why, "%s", long_text);
    CHECK("long place", strlen(why.text) == sizeof why.text - 1);
    fail_errno(&why, EIO, "%s", long_text);
    CHECK("no room for errno", strlen(why.text) == sizeof why.text - 1);
}

/* Paths and SQL are for the log, not for who asked. */
static void test_said(void)
{
    struct fail why;

    fail_set(&why, FAIL_PERM, FAIL_INVALID, "no such name");
    CHECK("what was meant for him is told", strcmp(fail_said(&why), "no such name") == 0);
    fail_errno(&why, EIO, "/var/lib/x");
    fail_at(&why, "mailbox");
    CHECK("an errno is internal", why.internal && strchr(fail_said(&why), '/') == NULL && strstr(why.text, "/var/lib/x") != NULL);
    fail_errno(&why, ENOSPC, "/var/lib/x");
    CHECK("a full disk is said", strcmp(fail_said(&why), "the disk is full") == 0);
    fail_internal(&why, FAIL_PERM, FAIL_DAMAGED, "", "volume 7");
    CHECK("damage is said, not where", strstr(fail_said(&why), "damaged") != NULL && strstr(fail_said(&why), "volume") == NULL);
    fail_set(&why, FAIL_TEMP, FAIL_OTHER, "again");
    CHECK("a new story is not internal", !why.internal);
}

int main(void)
{
    test_story();
    test_errno();
    test_length();
    test_said();
    return check_done();
}
