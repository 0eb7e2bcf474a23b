/*
 * transfer/maildir_sieve.c - Sieve scripts where Dovecot's Pigeonhole keeps them.
 *
 * Layer: transfer.  ~/.dovecot.sieve is the active script, or a link to it in ~/sieve/NAME.sieve.
 * The link is read, not followed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/unicode.h"
#include "transfer/files.h"
#include "transfer/maildir_internal.h"

enum { SCRIPT_MOST = 1 << 20, LINK_MOST = 4096 };

static const char active_name[] = ".dovecot.sieve";

static void tell_one(int at, const char *file, struct slice name, bool active, const struct transfer_into *into,
                     bool *ok, struct fail *why)
{
    struct buf  text;
    struct stat st;
    struct fail local = {0};
    bool        there = false;

    if (fstatat(at, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
        into->left_out(into->ctx, name, "a Sieve script behind a symbolic link, which is not followed");
        return;
    }

    buf_init(&text, SCRIPT_MOST);
    if (!files_read(at, file, &text, &there, &local))
        into->left_out(into->ctx, name, local.text);
    else if (there)
        *ok = into->script(into->ctx, name, active, buf_slice(&text), why);
    buf_finish(&text);
}

static struct slice script_name(struct slice file)
{
    return slice_ends(file, SLICE(".sieve")) ? slice_sub(file, 0, file.len - 6) : file;
}

static bool tell_folder(int home, struct slice active, bool *told, const struct transfer_into *into, struct fail *why)
{
    struct fail          none;
    int                  fd = files_folder(home, "sieve", &none);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    bool                 ok = true;

    if (dir == NULL)
        return true;
    while (ok && (entry = readdir(dir)) != NULL) {
        struct slice file = slice_of(entry->d_name);
        if (file.ptr[0] == '.' || !slice_ends(file, SLICE(".sieve")))
            continue;
        *told = *told || slice_eq(file, active);
        tell_one(fd, entry->d_name, script_name(file), slice_eq(file, active), into, &ok, why);
    }
    (void)closedir(dir);
    return ok;
}

static bool tell_home(int home, const struct transfer_into *into, struct fail *why)
{
    char         target[LINK_MOST];
    ssize_t      n = readlinkat(home, active_name, target, sizeof target);
    struct slice active = n > 0 ? slice_make(target, (size_t)n) : SLICE("");
    bool         ok = true;
    bool         told = false;
    size_t       slash = slice_rfind_char(active, '/');

    if (slash < active.len)
        active = slice_from(active, slash + 1);
    if (n < 0)
        tell_one(home, active_name, SLICE("dovecot"), true, into, &ok, why);
    ok = ok && tell_folder(home, active, &told, into, why);
    if (ok && n > 0 && !told)
        into->left_out(into->ctx, SLICE(".dovecot.sieve"), "the active Sieve script lies neither there nor in sieve/");
    return ok;
}

bool maildir_tell_scripts(struct maildir *m, const struct transfer_into *into, struct fail *why)
{
    struct slice path = slice_of(m->real_path);
    size_t       slash = slice_rfind_char(path, '/');
    struct slice last = slash < path.len ? slice_from(path, slash + 1) : path;

    if (into->script == NULL)
        return true;
    if (m->options.sieve_home != NULL) {
        SCOPED(scoped_close) int home = files_start(m->options.root, m->options.sieve_home, NULL);
        return home < 0 || tell_home(home, into, why);
    }
    if (!tell_home(m->root, into, why))
        return false;
    if (!slice_eq_nocase(last, SLICE("Maildir")) && !slice_eq_nocase(last, SLICE("mail")))
        return true;
    SCOPED(scoped_close) int home = openat(m->root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return home < 0 || tell_home(home, into, why);
}
