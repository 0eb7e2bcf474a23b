/*
 * transfer/write_mbox.c - a mailbox as an mbox.
 *
 * Layer: transfer.  Behind the message's own header fields stand those of the mailbox; the first message, or the pseudo
 * message of an empty mailbox, says UIDVALIDITY and the last UID (as UW-IMAP and Dovecot do).  Fields of the
 * message that have such names get MBOX_KEPT in front, so they are neither lost nor believed.
 *
 * What an mbox cannot say: that a message does not end in a line end (it gets one, but in mboxcl and mboxcl2).
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "message/header.h"
#include "transfer/from_line.h"
#include "transfer/writer_internal.h"

enum { BASE_ROOM = 700, HEADER_LOOK = 64 * 1024 };

/* A message on its way; with `file` NULL it is only measured. */
struct writing {
    FILE                          *file;
    struct writer                 *w;
    const struct transfer_message *message;
    uint64_t                       text_bytes; /* behind the empty line, as they stand in the file */
    uint64_t                       length;     /* of the first reading, for Content-Length */
    bool                           clean, quotes, in_header, failed;
};

static void put(struct writing *x, struct slice s)
{
    if (!x->in_header)
        x->text_bytes += s.len;
    if (x->file != NULL && s.len > 0 && fwrite(s.ptr, 1, s.len, x->file) != s.len)
        x->failed = true;
}

static void put_line(struct writing *x, struct slice text)
{
    if (x->clean && slice_ends(text, SLICE("\r\n"))) {
        put(x, slice_sub(text, 0, text.len - 2));
        text = SLICE("\n");
    }
    put(x, text);
}

/* ---- the mailbox's fields ---- */

/* "X-IMAPbase: 7 0000000003 work": so many bytes that it can be written again when all UIDs and keywords are known. */
static void add_base(struct buf *out, const struct writer_box *b)
{
    struct slice names = b->keyword_names.len > 0 ? slice_from(buf_slice(&b->keyword_names), 1) : SLICE("");
    size_t       from = out->len;

    buf_addf(out, "X-IMAPbase: %u %010u", b->uidvalidity, b->uidnext - 1);
    while (names.len > 0) {
        struct slice name = slice_cut(&names, ' ');
        if (out->len - from + 1 + name.len > BASE_ROOM)
            break;
        buf_addf(out, " " PRIslice, SLICE_ARG(name));
    }
    buf_addf(out, "%*s\n", (int)(BASE_ROOM - (out->len - from)), "");
}

static void put_fields(struct writing *x)
{
    const struct transfer_message *m = x->message;
    struct writer_box             *b = &x->w->box;
    struct buf                     f;

    buf_init(&f, 1 << 20);
    if (x->file != NULL && b->base_at == 0) {
        b->base_at = (uint64_t)ftello(x->file);
        add_base(&f, b);
    }
    buf_addf(&f, "X-UID: %u\nStatus: %sO\n", m->uid, m->flags & STORE_SEEN ? "R" : "");
    if (m->flags & ~(uint32_t)STORE_SEEN)
        buf_addf(&f, "X-Status: %s%s%s%s\n", m->flags & STORE_ANSWERED ? "A" : "", m->flags & STORE_FLAGGED ? "F" : "",
                 m->flags & STORE_DRAFT ? "T" : "", m->flags & STORE_DELETED ? "D" : "");
    if (m->keyword_count > 0)
        buf_add(&f, SLICE("X-Keywords:"));
    for (size_t i = 0; i < m->keyword_count; i++) {
        (void)writer_keyword(b, m->keywords[i]);
        buf_addf(&f, " " PRIslice, SLICE_ARG(m->keywords[i]));
    }
    if (m->keyword_count > 0)
        buf_add_char(&f, '\n');
    if (m->uidl.len > 0)
        buf_addf(&f, "X-UIDL: " PRIslice "\n", SLICE_ARG(m->uidl));
    if (x->w->options.dialect == MBOX_CL || x->w->options.dialect == MBOX_CL2)
        buf_addf(&f, "Content-Length: %llu\n", (unsigned long long)x->length);
    x->failed = x->failed || f.failed;
    put(x, buf_slice(&f));
    buf_finish(&f);
}

/* ---- the message ---- */

static bool must_be_kept(struct slice line)
{
    struct slice rest = line, name = slice_trim(slice_cut(&rest, ':'));

    return mbox_header_is_ours(name) || slice_eq_nocase(name, SLICE("Content-Length")) || slice_starts_nocase(line, SLICE(MBOX_KEPT)) ||
           slice_starts(line, SLICE("From ")) || slice_starts(line, SLICE(">From "));
}

static bool is_from_quoted(struct slice text)
{
    size_t depth = 0;

    while (depth < text.len && text.ptr[depth] == '>')
        depth++;
    return slice_starts(slice_from(text, depth), SLICE("From "));
}

static void put_header_line(struct writing *x, const struct body_line *line)
{
    if (line->begins && (slice_eq(line->text, SLICE("\n")) || slice_eq(line->text, SLICE("\r\n")))) {
        put_fields(x);
        put(x, SLICE("\n"));
        x->in_header = false;
        return;
    }
    if (line->begins && line->text.ptr[0] != ' ' && line->text.ptr[0] != '\t' && must_be_kept(line->text))
        put(x, SLICE(MBOX_KEPT));
    put_line(x, line->text);
}

static void put_text_line(struct writing *x, const struct body_line *line)
{
    enum mbox_dialect d = x->w->options.dialect;

    if (line->begins && (d == MBOX_O ? slice_starts(line->text, SLICE("From ")) : d != MBOX_CL2 && is_from_quoted(line->text)))
        put(x, SLICE(">"));
    put_line(x, line->text);
}

static bool put_message(struct writing *x, struct fail *why)
{
    struct body_lines lines;
    struct body_line  line;
    char              last = '\n';

    x->in_header = true;
    x->text_bytes = 0;
    for (body_lines_init(&lines, x->message->body);;) {
        if (!body_lines_next(&lines, &line, why))
            return false;
        if (line.text.len == 0)
            break;
        last = line.text.ptr[line.text.len - 1];
        if (x->in_header)
            put_header_line(x, &line);
        else
            put_text_line(x, &line);
    }
    uint64_t length = x->text_bytes;
    if (last != '\n')
        put(x, SLICE("\n"));
    if (x->in_header)
        put_fields(x);
    put(x, SLICE("\n"));
    x->text_bytes = length;
    return !x->failed || fail_errno(why, errno, "writing");
}

/* Who sent it, by the Return-Path that the receiving server put in front. */
static bool put_from_line(struct writing *x, struct fail *why)
{
    const struct transfer_message *m = x->message;
    char                           head[HEADER_LOOK];
    size_t                         got;
    struct header_field            field = {.body = {0}};
    struct slice                   sender = {0};
    struct buf                     line;

    if (!body_read(m->body, 0, head, sizeof head, &got, why))
        return false;
    if (header_find(slice_make(head, got), SLICE("Return-Path"), &field))
        sender = slice_trim(field.body);
    if (sender.len > 2 && sender.ptr[0] == '<' && sender.ptr[sender.len - 1] == '>')
        sender = slice_sub(sender, 1, sender.len - 2);
    buf_init(&line, FROM_LINE_MAX + 100);
    from_line_write(&line, slice_eq(sender, SLICE("<>")) ? SLICE("") : sender, m->internal_date, m->internal_zone);
    put(x, buf_slice(&line));
    buf_finish(&line);
    return true;
}

bool mbox_message(struct writer *w, const struct transfer_message *m, struct fail *why)
{
    struct writing   x = {.w = w, .message = m, .in_header = true};
    struct body_look look;

    if (!body_look(m->body, &look, why))
        return false;
    x.clean = look.clean;
    if (w->options.dialect == MBOX_CL || w->options.dialect == MBOX_CL2) {
        if (!put_message(&x, why))
            return false;
        x.length = x.text_bytes;
    }
    x.file = w->box.file;
    return put_from_line(&x, why) && put_message(&x, why);
}

/* ---- the mailbox ---- */

/* NAME.sbd in NAME.sbd ...; the last level's file name stays in `file`.  -1 and *why. */
static int open_levels(struct writer *w, struct slice name, struct buf *file, struct fail *why)
{
    int folder = dup(w->root);

    for (struct slice rest = name; folder >= 0 && rest.len > 0;) {
        buf_reset(file);
        writer_add_level(file, slice_cut(&rest, '/'), false);
        buf_add(file, rest.len > 0 ? SLICE(".sbd") : SLICE(".mbox"));
        buf_add_char(file, '\0');
        if (rest.len > 0) {
            int inner = writer_folder(folder, file->data, why);
            (void)close(folder);
            folder = inner;
        }
    }
    return folder;
}

static bool is_too_long(struct slice name)
{
    struct buf level;
    bool       too_long = false;

    buf_init(&level, WRITER_NAME_MAX);
    for (struct slice rest = name; rest.len > 0 && !too_long;) {
        buf_reset(&level);
        writer_add_level(&level, slice_cut(&rest, '/'), false);
        too_long = level.failed || level.len + 5 > 255;
    }
    buf_finish(&level);
    return too_long;
}

bool mbox_begin(struct writer *w, const struct transfer_mailbox *m, struct fail *why)
{
    struct writer_box *b = &w->box;
    struct buf         file;

    if (is_too_long(m->name)) {
        writer_leave_out(w, m->name, "the mailbox and all in it: its name is too long for a file's");
        b->skip = true;
        return true;
    }
    buf_init(&file, WRITER_NAME_MAX);
    int folder = open_levels(w, m->name, &file, why), fd = folder >= 0 ? writer_file(folder, file.data) : -1, error = errno;
    if (folder >= 0)
        (void)close(folder);
    bool ok = folder >= 0;
    if (fd < 0 && ok && error == EEXIST) {
        writer_leave_out(w, m->name, "the mailbox and all in it: there is a file of this name");
        b->skip = true;
    } else if (fd < 0 && ok) {
        ok = fail_errno(why, error, "%s", file.data);
    }
    b->base_at = 0;
    b->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (ok && fd >= 0 && b->file == NULL) {
        ok = fail_errno(why, errno, "mbox");
        (void)close(fd);
    }
    buf_finish(&file);
    return ok;
}

/* UIDVALIDITY and UIDNEXT of a mailbox without messages. */
static void add_pseudo_message(struct buf *out, const struct writer_box *b)
{
    from_line_write(out, SLICE("MAILER-DAEMON"), clock_now(), 0);
    buf_addf(out,
             "Date: %s\nFrom: Mail System Internal Data <MAILER-DAEMON@localhost>\n"
             "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: %u %010u\nStatus: RO\n\n"
             "This text is part of the internal format of this mail folder, and is not\na real message.\n\n",
             clock_rfc5322(clock_now()).text, b->uidvalidity, b->uidnext - 1);
}

bool mbox_end(struct writer *w, struct fail *why)
{
    struct writer_box *b = &w->box;
    struct buf         text;
    bool               ok = true;

    buf_init(&text, 64 * 1024);
    if (b->base_at == 0)
        add_pseudo_message(&text, b);
    else
        add_base(&text, b);
    if ((b->base_at != 0 && fseeko(b->file, (off_t)b->base_at, SEEK_SET) != 0) || fwrite(text.data, 1, text.len, b->file) != text.len ||
        fflush(b->file) != 0 || io_fsync(fileno(b->file)) != 0)
        ok = fail_errno(why, errno, "writing");
    buf_finish(&text);
    return ok;
}

void mbox_close_file(struct writer_box *b)
{
    if (b->file != NULL)
        (void)fclose(b->file);
    b->file = NULL;
}
