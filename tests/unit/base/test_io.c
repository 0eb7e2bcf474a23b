/* base/io: whole reads and writes, replaced files, folders. */
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "tests/unit/check.h"

static unsigned files_in(const char *dir)
{
    unsigned       n = 0;
    DIR           *d = opendir(dir);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    if (d != NULL)
        (void)closedir(d);
    return n;
}

static void test_replace(void)
{
    struct fail why = {0};
    struct buf  b;
    struct stat st;

    buf_init(&b, 10);
    CHECK("new", io_replace_file("file", SLICE("one"), 0600, &why));
    CHECK("again", io_replace_file("file", SLICE("0123456789"), 0666, &why));
    CHECK("mode", stat("file", &st) == 0 && (st.st_mode & 0777) == 0666);
    CHECK("nothing left beside", files_in(".") == 1);
    CHECK("read, exactly full", io_read_file("file", &b, &why));
    CHECK_SLICE("content", buf_slice(&b), SLICE("0123456789"));
    CHECK("too big when not empty", !io_read_file("file", &b, &why) && why.reason == FAIL_TOO_BIG);
    buf_finish(&b);
    buf_init(&b, 9);
    CHECK("too big", !io_read_file("file", &b, &why) && why.kind == FAIL_PERM);
    buf_finish(&b);
    CHECK("absent", !io_read_file("nofile", &b, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("no folder", !io_replace_file("no/file", SLICE("x"), 0600, &why));
    CHECK("over a folder", mkdir("dir", 0700) == 0 && !io_replace_file("dir", SLICE("x"), 0600, &why));
    CHECK("nothing left beside after failure", files_in(".") == 2);
}

static void test_dirs(void)
{
    struct fail why = {0};
    struct stat st;

    CHECK("deep", io_make_dirs("a/b//c", 0700, &why));
    CHECK("there", stat("a/b/c", &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
    CHECK("again", io_make_dirs("a/b/c/", 0700, &why));
    CHECK("root", io_make_dirs("/", 0700, &why));
    CHECK("through a file", !io_make_dirs("file/x", 0700, &why));
    CHECK("over a file", !io_make_dirs("file", 0700, &why));
}

static void test_offsets(void)
{
    struct fail why = {0};
    char        out[8] = {0};
    int         fd = open("offsets", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    CHECK("write", io_write_all(fd, SLICE("abcdef"), &why));
    CHECK("write there", io_pwrite_all(fd, SLICE("XY"), 2, &why));
    CHECK("read there", io_pread_all(fd, out, 4, 1, &why));
    CHECK_SLICE("got", slice_make(out, 4), SLICE("bXYe"));
    CHECK("ends early", !io_pread_all(fd, out, 4, 3, &why) && why.kind == FAIL_TEMP);
    CHECK("offset out of range", !io_pread_all(fd, out, 1, UINT64_MAX, &why));
    CHECK("write out of range", !io_pwrite_all(fd, SLICE("x"), INT64_MAX, &why));
    CHECK("bad descriptor", !io_write_all(-1, SLICE("x"), &why));
    (void)close(fd);
}

int main(void)
{
    char     dir[] = "/tmp/posthorn-test-io-XXXXXX";
    uint64_t free_bytes = 0, total = 0;

    if (mkdtemp(dir) == NULL || chdir(dir) != 0)
        return 1;
    test_replace();
    test_dirs();
    test_offsets();
    CHECK("free space", io_free_space(".", &free_bytes, &total, NULL) && total >= free_bytes && total > 0);
    CHECK("free space of nothing", !io_free_space("nowhere", &free_bytes, &total, NULL));

    static const char *const made[] = {"file", "offsets"}, *const made_dirs[] = {"dir", "a/b/c", "a/b", "a"};
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        (void)unlink(made[i]);
    for (size_t i = 0; i < ARRAY_LEN(made_dirs); i++)
        (void)rmdir(made_dirs[i]);
    CHECK("cleaned up", rmdir(dir) == 0);
    return check_done();
}
