/*
 * tests/unit/transfer/test_backup.c - a backup's folder: nothing in it changes, nothing strange is believed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/unit/check.h"
#include "transfer/backup_folder.h"
#include "transfer/backup_view.h"

static char top[] = "/tmp/posthorn-test-XXXXXX";

static const char *path_in(const char *name)
{
    static char text[4][400];
    static unsigned at;

    at = (at + 1) % 4;
    (void)snprintf(text[at], sizeof text[at], "%s/%s", top, name);
    return text[at];
}

static struct backup_folder *open_folder(const char *name, bool write)
{
    struct backup_folder *f = NULL;
    struct fail           why = {0};

    CHECK(why.text, backup_folder_open(path_in(name), write, &f, &why));
    return f;
}

static void add(struct backup_writer *w, const char *name, struct slice content, const char *stamp, uint64_t bytes)
{
    const struct backup_file file = {.name = name, .stamp = stamp, .bytes = bytes, .mode = 0640};
    struct fail              why = {0};

    CHECK("a source", io_replace_file(path_in("source"), content, 0600, &why));
    int fd = open(path_in("source"), O_RDONLY | O_CLOEXEC);
    bool ok = backup_writer_add(w, &file, fd, &why);
    CHECK(ok ? name : why.text, ok);
    (void)close(fd);
}

static struct backup_writer *begin(struct backup_folder *f)
{
    struct fail           why = {0};
    struct backup_writer *w = backup_writer_create(f, "mail.example", "1", NULL, &why);

    CHECK(why.text, w != NULL);
    return w;
}

static bool there(const char *name)
{
    return access(path_in(name), F_OK) == 0;
}

static size_t lists(const struct backup_folder *f)
{
    uint64_t   *numbers = NULL;
    size_t      count = 0;
    struct fail why;

    CHECK("numbers", backup_folder_numbers(f, &numbers, &count, &why));
    free(numbers);
    return count;
}

static void test_generations(void)
{
    struct backup_folder *f = open_folder("g", true);
    struct backup_writer *w = begin(f);
    struct backup_list   *l = NULL;
    struct fail           why = {0};

    CHECK("nothing is kept of nothing", !backup_writer_keep(w, "mail/a", "s1", UINT64_MAX));
    add(w, "mail/a", SLICE("one"), "s1", UINT64_MAX);
    add(w, "mail/volumes/1", SLICE("0123456789"), "g1", 5);
    CHECK("no backup before its list", lists(f) == 0);
    CHECK("finished", backup_writer_finish(w, 2, &why));
    backup_writer_destroy(&w);
    CHECK("a list", lists(f) == 1 && there("g/mail/a.1") && there("g/mail/volumes/1.1"));

    w = begin(f);
    CHECK("another state", !backup_writer_keep(w, "mail/a", "s2", UINT64_MAX));
    CHECK("an empty stamp says nothing", !backup_writer_keep(w, "mail/a", "", UINT64_MAX));
    CHECK("longer", !backup_writer_keep(w, "mail/volumes/1", "g1", 6));
    CHECK("the same", backup_writer_keep(w, "mail/volumes/1", "g1", 5));
    add(w, "mail/a", SLICE("one"), "s2", UINT64_MAX);
    CHECK("the same bytes lie there once", !there("g/mail/a.2") && backup_writer_figures(w)->copied_files == 0);
    add(w, "mail/b", SLICE("two"), "", UINT64_MAX);
    backup_writer_destroy(&w); /* interrupted */
    CHECK("left over", there("g/mail/b.2") && lists(f) == 1);

    for (unsigned i = 2; i <= 4; i++) {
        w = begin(f);
        CHECK("what was left over is gone", !there("g/mail/b.2") || i > 2);
        CHECK("numbers ascend", backup_writer_number(w) == i);
        CHECK("kept", backup_writer_keep(w, "mail/volumes/1", "g1", 5));
        add(w, "mail/b", i == 2 ? SLICE("b2") : i == 3 ? SLICE("b3") : SLICE("b4"), "", UINT64_MAX);
        CHECK("finished", backup_writer_finish(w, 2, &why));
        backup_writer_destroy(&w);
    }
    CHECK("two stay, with what they need", lists(f) == 2 && there("g/mail/b.3") && there("g/mail/b.4") && there("g/mail/volumes/1.1"));
    CHECK("the others' files are gone", !there("g/mail/b.2") && !there("g/mail/a.1"));
    CHECK("the newest", backup_list_load(f, 0, &l, &why) && l->number == 4 && l->count == 2);
    const struct backup_file *v = backup_list_find(l, "mail/volumes/1");
    CHECK("only its first bytes", v != NULL && v->bytes == 5 && v->mode == 0640);
    CHECK("no such file", backup_list_find(l, "mail/a") == NULL);
    CHECK("copied back", backup_file_copy(f, v, path_in("back"), 0600, NULL, &why));
    backup_list_free(&l);
    CHECK("no such backup", !backup_list_load(f, 2, &l, &why) && why.reason == FAIL_NOT_FOUND);
    backup_folder_close(&f);
}

static void test_holes(void)
{
    struct backup_folder *f = open_folder("h", true);
    struct backup_writer *w = begin(f);
    char                 *bytes = calloc(1, 1 << 20);
    struct stat           st;
    struct fail           why = {0};

    bytes[0] = 'a';
    bytes[(1 << 20) - 1] = 'z';
    add(w, "mail/sparse", slice_make(bytes, 1 << 20), "", UINT64_MAX);
    CHECK("as long as it was", stat(path_in("h/mail/sparse.1"), &st) == 0 && st.st_size == 1 << 20);
    CHECK("and takes little", st.st_blocks * 512 < 1 << 19);
    CHECK("finished", backup_writer_finish(w, 1, &why));
    backup_writer_destroy(&w);
    backup_folder_close(&f);
    free(bytes);
}

static bool verifies(const char *name, struct fail *why)
{
    struct backup_folder *f = open_folder(name, false);
    struct backup_list   *l = NULL;
    bool                  ok = backup_list_load(f, 0, &l, why);

    for (size_t i = 0; ok && i < l->count; i++)
        ok = backup_file_verify(f, &l->files[i], NULL, why);
    backup_list_free(&l);
    backup_folder_close(&f);
    return ok;
}

static void test_damage(void)
{
    struct fail why = {0};
    struct buf  text;

    CHECK("whole", verifies("g", &why));
    CHECK("another byte", io_replace_file(path_in("g/mail/b.4"), SLICE("b5"), 0600, &why));
    CHECK("is found", !verifies("g", &why) && slice_find(slice_of(why.text), SLICE("mail/b.4 is damaged")) < strlen(why.text));
    CHECK("a byte more", io_replace_file(path_in("g/mail/b.4"), SLICE("b4x"), 0600, &why));
    CHECK("is found", !verifies("g", &why));
    (void)unlink(path_in("g/mail/b.4"));
    CHECK("missing", !verifies("g", &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("a link", symlink("/etc/passwd", path_in("g/mail/b.4")) == 0 && !verifies("g", &why));
    (void)unlink(path_in("g/mail/b.4"));
    CHECK("as it was", io_replace_file(path_in("g/mail/b.4"), SLICE("b4"), 0600, &why) && verifies("g", &why));

    buf_init(&text, 1 << 20);
    CHECK("the list", io_read_file(path_in("g/backup-0000000004.json"), &text, &why));
    for (size_t i = 0; i < text.len; i += 7) {
        char was = text.data[i];
        text.data[i] = (char)(was ^ 1);
        CHECK("put", io_replace_file(path_in("g/backup-0000000004.json"), buf_slice(&text), 0600, &why));
        /* A changed blank between words is the only change that means nothing. */
        CHECK("every change of the list is found, and none crashes", was == ' ' || was == '\n' || !verifies("g", &why));
        text.data[i] = was;
    }
    CHECK("as it was", io_replace_file(path_in("g/backup-0000000004.json"), buf_slice(&text), 0600, &why) && verifies("g", &why));
    buf_finish(&text);
}

static void test_refused(void)
{
    struct backup_folder *f = NULL, *again = NULL;
    struct fail           why = {0};

    CHECK("a folder of somebody's", mkdir(path_in("s"), 0700) == 0 && io_replace_file(path_in("s/letter"), SLICE("x"), 0600, &why));
    CHECK("is not written to", !backup_folder_open(path_in("s"), true, &f, &why) && why.reason == FAIL_EXISTS);
    CHECK("nor read", !backup_folder_open(path_in("s"), false, &f, &why));
    CHECK("nor one that is not there", !backup_folder_open(path_in("none"), false, &f, &why));
    f = open_folder("g", true);
    CHECK("one backup at a time", !backup_folder_open(path_in("g"), true, &again, &why));
    CHECK("nobody reads meanwhile", !backup_folder_open(path_in("g"), false, &again, &why));
    backup_folder_close(&f);
}

static void test_names(void)
{
    uint64_t id = 0;

    CHECK("an account's file", backup_account_id("mail/accounts/0f/01/000000000000010f/mail.db", &id) && id == 0x10f);
    CHECK("and back", strcmp(backup_account_name(0x10f).text, "mail/accounts/0f/01/000000000000010f/mail.db") == 0);
    CHECK("another folder", !backup_account_id("mail/accounts/0e/01/000000000000010f/mail.db", &id));
    CHECK("another file", !backup_account_id("mail/accounts/0f/01/000000000000010f/index.db", &id));
    CHECK("short", !backup_account_id("mail/accounts/0f", &id));
    CHECK("node.db", !backup_account_id("mail/node.db", &id));
}

int main(void)
{
    CHECK("a folder", mkdtemp(top) != NULL);
    test_generations();
    test_holes();
    test_damage();
    test_refused();
    test_names();
    backup_remove_tree(top);
    return check_done();
}
