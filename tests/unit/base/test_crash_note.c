/* tests/unit/base/test_crash_note.c - messages in work at a crash; a crash is a note closed without leaving. */
#include <unistd.h>

#include "tests/unit/check.h"
#include "base/crash_note.h"

static struct crash_note *reopen(struct crash_note **n, const char *path)
{
    struct fail why = {0};

    crash_note_close(n);
    CHECK("opens", crash_note_open(path, n, &why));
    return *n;
}

int main(void)
{
    char               path[] = "/tmp/posthorn-note-XXXXXX";
    struct crash_note *n = NULL;
    int                fd = mkstemp(path);

    CHECK("temporary file", fd >= 0);
    (void)close(fd);

    CHECK("no note: all may be parsed", crash_note_enter(NULL, 1));
    crash_note_leave(NULL, 1);

    (void)reopen(&n, path);
    CHECK("new", crash_note_enter(n, 77));
    crash_note_leave(n, 77);
    CHECK("after leaving", crash_note_enter(n, 77));
    (void)reopen(&n, path); /* first crash */
    CHECK("after one crash", crash_note_enter(n, 77));
    CHECK("another one", crash_note_enter(n, 78));
    crash_note_leave(n, 78);
    (void)reopen(&n, path); /* second crash */
    CHECK("after two crashes", !crash_note_enter(n, 77));
    CHECK("the other one was not in work", crash_note_enter(n, 78));
    crash_note_leave(n, 77);
    crash_note_leave(n, 78);
    (void)reopen(&n, path);
    CHECK("it is remembered", !crash_note_enter(n, 77));
    crash_note_leave(n, 77);

    CHECK("a suspect", crash_note_enter(n, 90));
    (void)reopen(&n, path);
    CHECK("gets a second chance", crash_note_enter(n, 90));
    crash_note_leave(n, 90); /* parsed, no crash: cleared */
    CHECK("in work again", crash_note_enter(n, 90));
    (void)reopen(&n, path);
    CHECK("and begins anew", crash_note_enter(n, 90));
    crash_note_leave(n, 90);

    for (uint64_t i = 1000; i < 1400; i++) /* more than there are slots */
        CHECK("many", crash_note_enter(n, i));
    for (uint64_t i = 1000; i < 1400; i++)
        crash_note_leave(n, i);
    crash_note_close(&n);
    (void)unlink(path);
    return check_done();
}
