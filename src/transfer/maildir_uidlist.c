/*
 * transfer/maildir_uidlist.c - Dovecot's list of the UIDs of a Maildir.
 *
 * Layer: transfer.
 */
#include "transfer/maildir_uidlist.h"

#include "transfer/maildir_names.h"

static bool number(struct slice digits, uint32_t *out)
{
    uint64_t n;

    if (!slice_to_u64(digits, UINT32_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

static struct slice cut_line(struct slice *rest)
{
    struct slice line = slice_cut(rest, '\n');

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

bool uidlist_head(struct slice *rest, struct uidlist_head *out)
{
    struct slice line = cut_line(rest), version = slice_cut(&line, ' ');

    *out = (struct uidlist_head){.version = 0};
    if (slice_eq(version, SLICE("1"))) {
        out->version = 1;
        struct slice uidvalidity = slice_cut(&line, ' ');
        return number(uidvalidity, &out->uidvalidity) && number(slice_cut(&line, ' '), &out->uidnext) &&
               out->uidvalidity != 0;
    }
    if (!slice_eq(version, SLICE("3")))
        return false;
    out->version = 3;
    while (line.len > 0) {
        struct slice word = slice_cut(&line, ' ');
        struct slice value = slice_from(word, 1);
        if (word.len == 0)
            continue;
        if ((word.ptr[0] == 'V' && !number(value, &out->uidvalidity)) ||
            (word.ptr[0] == 'N' && !number(value, &out->uidnext)))
            return false;
        if (word.ptr[0] == 'G')
            out->guid = value;
    }
    return out->uidvalidity != 0;
}

static bool read_line(struct slice line, unsigned version, struct uidlist_line *out)
{
    struct slice uid = slice_cut(&line, ' ');

    *out = (struct uidlist_line){.uid = 0};
    if (!number(uid, &out->uid) || out->uid == 0)
        return false;
    while (version == 3 && line.len > 0 && line.ptr[0] != ':') {
        struct slice field = slice_cut(&line, ' ');
        if (field.len > 1 && field.ptr[0] == 'P')
            out->uidl = slice_from(field, 1);
    }
    if (version == 3)
        line = slice_from(line, 1);
    out->name = maildir_base(line);
    return out->name.len > 0 && slice_find_char(out->name, '/') == out->name.len;
}

bool uidlist_next(struct slice *rest, unsigned version, struct uidlist_line *out, unsigned *bad)
{
    while (rest->len > 0) {
        struct slice line = cut_line(rest);
        if (read_line(line, version, out))
            return true;
        *bad += line.len > 0;
    }
    return false;
}
