/*
 * main/maildrop.c - how programs on this machine hand mail over: the files.
 *
 * Layer: main.
 */
#include "main/maildrop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/io.h"

#define FIRST_LINE "posthorn-drop 1\n"

static void write_line(struct buf *out, const char *name, struct slice value)
{
    buf_addf(out, "%s ", name);
    xtext_encode(out, value);
    buf_add_char(out, '\n');
}

void maildrop_write(struct buf *out, const struct maildrop *d)
{
    buf_add(out, SLICE(FIRST_LINE));
    if (d->has_sender)
        write_line(out, "sender", d->sender);
    if (d->name.len > 0)
        write_line(out, "name", d->name);
    buf_add(out, SLICE("options "));
    envelope_options_write(out, &d->options);
    buf_add_char(out, '\n');
    for (size_t i = 0; i < d->recipient_count; i++) {
        buf_add(out, SLICE("to "));
        xtext_encode(out, d->recipients[i].address);
        buf_add_char(out, ' ');
        recipient_options_write(out, &d->recipients[i].options);
        buf_add_char(out, '\n');
    }
    buf_add_char(out, '\n');
}

static size_t count_recipients(struct slice head)
{
    size_t count = 0;

    while (head.len > 0)
        count += slice_starts(slice_cut(&head, '\n'), SLICE("to "));
    return count;
}

static bool read_line(struct arena *a, struct slice line, struct maildrop *d)
{
    struct slice value = line, name = slice_cut(&value, ' ');

    if (slice_eq(name, SLICE("to"))) {
        struct maildrop_recipient *r = &d->recipients[d->recipient_count++];
        struct slice               address = slice_cut(&value, ' ');
        return address.len > 0 && xtext_decode(a, address, &r->address) && recipient_options_read(a, value, &r->options);
    }
    if (slice_eq(name, SLICE("sender"))) {
        d->has_sender = true;
        return xtext_decode(a, value, &d->sender);
    }
    if (slice_eq(name, SLICE("name")))
        return xtext_decode(a, value, &d->name);
    return slice_eq(name, SLICE("options")) && envelope_options_read(a, value, &d->options);
}

bool maildrop_read(struct arena *a, struct slice head, struct maildrop *out)
{
    struct maildrop d = {0};
    size_t          count = count_recipients(head);

    if (!slice_starts(head, SLICE(FIRST_LINE)) || count == 0 || count > MAILDROP_RECIPIENTS_MAX)
        return false;
    d.recipients = arena_new_array(a, struct maildrop_recipient, count);
    if (d.recipients == NULL)
        return false;
    head = slice_from(head, strlen(FIRST_LINE));
    while (head.len > 0) {
        struct slice line = slice_cut(&head, '\n');
        if (line.len == 0)
            break;
        if (!read_line(a, line, &d))
            return false;
    }
    *out = d;
    return !a->failed;
}

/* ---- files ---- */

bool maildrop_create(const char *folder, struct maildrop_file *out, struct fail *why)
{
    unsigned char random[16];
    struct buf    name;

    random_bytes(random, sizeof random);
    buf_init(&name, 2 * sizeof random);
    hex_encode(&name, slice_make(random, sizeof random));
    int n = snprintf(out->path, sizeof out->path, "%s/" PRIslice, folder, SLICE_ARG(buf_slice(&name)));
    buf_finish(&name);
    if (n < 0 || (size_t)n >= sizeof out->path)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: the path is too long", folder);
    out->fd = open(out->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return out->fd >= 0 || fail_errno(why, errno, "%s", folder);
}

bool maildrop_commit(struct maildrop_file *f, struct fail *why)
{
    /* The mark and the bytes reach the disk with one sync; the name did when the file was made, or with it. */
    bool ok = fchmod(f->fd, 0740) == 0 && io_fsync(f->fd) == 0;
    int  errnum = errno;

    if (ok) {
        (void)close(f->fd);
        return true;
    }
    maildrop_abandon(f);
    return fail_errno(why, errnum, "%s", f->path);
}

void maildrop_abandon(struct maildrop_file *f)
{
    (void)close(f->fd);
    (void)unlink(f->path);
}
