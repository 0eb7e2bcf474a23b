/*
 * imap/list_line.c - one LIST response that no LIST command asked for.
 *
 * Layer: imap.
 */
#include "imap/session.h"
#include "imap/special_use.h"

static void write_attributes(struct buf *out, const struct imap_list_line *l)
{
    const char *use = l->info != NULL ? imap_special_use_name(l->info->use) : NULL;

    if (l->more != NULL)
        buf_add(out, slice_of(l->more));
    if (l->info == NULL) {
        buf_add(out, SLICE("\\NonExistent"));
        return;
    }
    if (l->info->no_select)
        buf_add(out, SLICE("\\Noselect "));
    if (use != NULL) {
        buf_add(out, slice_of(use));
        buf_add_char(out, ' ');
    }
    buf_add(out, l->info->has_children ? SLICE("\\HasChildren") : SLICE("\\HasNoChildren"));
}

/*
 * mailbox-list          = "(" [mbx-list-flags] ")" SP DQUOTE "/" DQUOTE SP mailbox [SP mbox-list-extended]
 * oldname-extended-item = "OLDNAME" SP "(" mailbox ")"      RFC 9051 section 9
 */
void imap_write_list_line(const struct imap_session *s, struct buf *out, const struct imap_list_line *l)
{
    buf_add(out, SLICE("* LIST ("));
    write_attributes(out, l);
    buf_add(out, SLICE(") \"/\" "));
    imap_write_mailbox(s, out, l->name);
    if (l->old.len > 0) {
        buf_add(out, SLICE(" (\"OLDNAME\" ("));
        imap_write_mailbox(s, out, l->old);
        buf_add(out, SLICE("))"));
    }
    buf_add(out, SLICE("\r\n"));
}
