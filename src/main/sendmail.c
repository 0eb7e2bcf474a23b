/*
 * main/sendmail.c - from what a program writes to a file in the maildrop.
 *
 * Layer: main.  Programs write lines that end in LF, sometimes CRLF, sometimes without a header, or with an
 * mbox's "From " line on top.  In the maildrop all lines end in CRLF and nowhere else is a CR, LF or NUL.
 */
#include "main/sendmail.h"

#include <errno.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/scoped.h"
#include "message/address.h"
#include "message/header.h"

enum { HEADER_MAX = 4 << 20, PIECE = 64 << 10, ADDRESSES_MAX = 10000, ADDRESS_BYTES = 1000 };

/* ---- recipients ---- */

/* A dot-string as it is, else in quotes (RFC 5321 section 4.1.2). */
static void add_local_part(struct buf *out, struct slice local)
{
    bool plain = local.len > 0;

    for (size_t i = 0; i < local.len; i++) {
        char c = local.ptr[i];
        plain = plain && (ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c > 0x7f ||
                          strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL) && c != '\0';
    }
    if (plain) {
        buf_add(out, local);
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, local.ptr[i]);
    }
    buf_add_char(out, '"');
}

static bool grow(struct sendmail_message *m)
{
    size_t                     room = m->recipient_room == 0 ? 16 : 2 * m->recipient_room;
    struct maildrop_recipient *more;

    if (m->drop.recipient_count < m->recipient_room)
        return true;
    if (m->drop.recipient_count >= MAILDROP_RECIPIENTS_MAX)
        return false;
    more = arena_new_array(m->arena, struct maildrop_recipient, room);
    if (more == NULL)
        return false;
    if (m->drop.recipient_count > 0)
        memcpy(more, m->drop.recipients, m->drop.recipient_count * sizeof *more);
    m->drop.recipients = more;
    m->recipient_room = room;
    return true;
}

void sendmail_add_recipients(struct sendmail_message *m, struct slice list, const struct recipient_options *o)
{
    struct address *addresses;
    size_t          count = address_list_parse(m->arena, list, ADDRESSES_MAX, &addresses);

    for (size_t i = 0; i < count && grow(m); i++) {
        const struct address *a = &addresses[i];
        struct buf            text;
        if (a->is_group_start || a->is_group_end || a->mailbox.len == 0)
            continue;
        buf_init(&text, ADDRESS_BYTES);
        add_local_part(&text, a->mailbox);
        if (a->host.len > 0) {
            buf_add_char(&text, '@');
            buf_add(&text, a->host);
        }
        if (!text.failed)
            m->drop.recipients[m->drop.recipient_count++] =
                (struct maildrop_recipient){.address = arena_keep(m->arena, buf_slice(&text)), .options = *o};
        buf_finish(&text);
    }
}

/* -t: those of To, Cc and Bcc; of a message that is sent again, of the Resent fields (RFC 5322 section 3.6.6). */
static void add_from_header(struct sendmail_message *m, struct slice header)
{
    static const char *const names[] = {"Resent-To", "Resent-Cc", "Resent-Bcc", "To", "Cc", "Bcc"};
    struct header_field field;
    bool                resent = false;

    for (size_t at = 0; header_next(header, &at, &field);)
        resent = resent || slice_starts_nocase(field.name, SLICE("Resent-"));
    for (size_t at = 0; header_next(header, &at, &field);) {
        for (size_t i = resent ? 0 : 3; i < (resent ? 3 : ARRAY_LEN(names)); i++) {
            if (slice_eq_nocase(field.name, slice_of(names[i])))
                sendmail_add_recipients(m, header_unfold(m->arena, field.body), m->header_options);
        }
    }
}

/* ---- lines ---- */

struct reader {
    struct sendmail_source *in;
    char                   *line; /* getline's */
    size_t                  room;
};

/* The next line without its end; false at the end of the message. */
static bool next_line(struct reader *r, struct slice *out, struct fail *why, bool *broken)
{
    ssize_t n = r->in->ended ? 0 : getline(&r->line, &r->room, r->in->stream);

    if (n <= 0) {
        *broken = !r->in->ended && ferror(r->in->stream) != 0;
        if (*broken)
            (void)fail_errno(why, errno, "standard input");
        return false;
    }
    *out = slice_make(r->line, (size_t)n);
    if (out->ptr[out->len - 1] == '\n')
        out->len--;
    while (out->len > 0 && out->ptr[out->len - 1] == '\r')
        out->len--;
    r->in->ended = r->in->dots && out->len == 1 && out->ptr[0] == '.';
    if (r->in->stuffed && !r->in->ended && out->len > 0 && out->ptr[0] == '.')
        *out = slice_from(*out, 1);
    return !r->in->ended;
}

/* With CRLF behind it and for each CR inside; NULs are dropped. */
static void add_line(struct buf *out, struct slice line)
{
    while (line.len > 0) {
        size_t n = 0;
        while (n < line.len && line.ptr[n] != '\r' && line.ptr[n] != '\0')
            n++;
        buf_add(out, slice_sub(line, 0, n));
        if (n < line.len && line.ptr[n] == '\r')
            buf_add(out, SLICE("\r\n"));
        line = slice_from(line, n + 1);
    }
    buf_add(out, SLICE("\r\n"));
}

/* field-name = 1*ftext, then ":"                              RFC 5322 section 3.6.8 */
static bool is_field(struct slice line)
{
    size_t n = 0;

    while (n < line.len && line.ptr[n] > ' ' && line.ptr[n] < 0x7f && line.ptr[n] != ':')
        n++;
    size_t colon = n;
    while (colon < line.len && (line.ptr[colon] == ' ' || line.ptr[colon] == '\t'))
        colon++;
    return n > 0 && colon < line.len && line.ptr[colon] == ':';
}

/* The header into `header`, and the first line behind it into `body` where no empty line stood between. */
static bool read_header(struct reader *r, struct buf *header, struct buf *body, struct fail *why)
{
    struct slice line;
    bool         broken = false;

    while (next_line(r, &line, why, &broken)) {
        bool first = header->len == 0;
        if (first && slice_starts(line, SLICE("From ")))
            continue;
        if (line.len == 0)
            break;
        if (!is_field(line) && (first || (line.ptr[0] != ' ' && line.ptr[0] != '\t'))) {
            add_line(body, line);
            break;
        }
        add_line(header, line);
    }
    return !broken && (!header->failed || fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "the header is larger than %d bytes", HEADER_MAX));
}

static bool write_all(struct sendmail_message *m, struct reader *r, struct slice header, struct buf *piece, int fd,
                      struct fail *why)
{
    struct buf   head;
    struct slice line, first = buf_slice(piece);
    uint64_t     size = header.len + first.len;
    bool         broken = false;

    buf_init(&head, MAILDROP_HEAD_MAX);
    maildrop_write(&head, &m->drop);
    bool ok = !head.failed || fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "too many recipients");
    header_add_without_bcc(&head, header);
    buf_add(&head, SLICE("\r\n"));
    ok = ok && io_write_all(fd, buf_slice(&head), why);
    buf_finish(&head);
    while (ok && next_line(r, &line, why, &broken)) {
        size += line.len + 2;
        add_line(piece, line);
        if (size > m->message_bytes)
            ok = fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "the message is larger than %llu bytes",
                          (unsigned long long)m->message_bytes);
        if (ok && piece->len >= PIECE) {
            ok = io_write_all(fd, buf_slice(piece), why);
            buf_reset(piece);
        }
    }
    return ok && !broken && io_write_all(fd, buf_slice(piece), why);
}

bool sendmail_drop(struct sendmail_message *m, struct sendmail_source *in, const char *folder, struct fail *why)
{
    struct maildrop_file file = {.fd = -1};
    struct reader        r = {.in = in};
    struct buf           header, piece;

    buf_init(&header, HEADER_MAX);
    buf_init(&piece, SIZE_MAX);
    bool ok = read_header(&r, &header, &piece, why);
    if (ok && m->header_options != NULL)
        add_from_header(m, buf_slice(&header));
    if (ok && m->drop.recipient_count == 0)
        ok = fail_set(why, FAIL_PERM, FAIL_INVALID, "no recipients were found");
    if (ok && m->drop.recipient_count >= MAILDROP_RECIPIENTS_MAX)
        ok = fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "too many recipients");
    if (ok)
        ok = maildrop_create(folder, &file, why);
    if (ok && !write_all(m, &r, buf_slice(&header), &piece, file.fd, why)) {
        maildrop_abandon(&file);
        ok = false;
    } else if (ok) {
        ok = maildrop_commit(&file, why);
    }
    free(r.line);
    buf_finish(&header);
    buf_finish(&piece);
    return ok;
}
