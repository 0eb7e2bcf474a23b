/*
 * imap/fetch_section.c - BODY[section]<partial> and BINARY[section]<partial> as FETCH answers them.
 *
 * Layer: imap.
 */
#include "imap/fetch.h"

#include "base/fail.h"

/* literal = "{" n "}" CRLF, or with NUL in it literal8 = "~{" n "}" CRLF */
static void write_announcement(struct buf *out, const struct section *found)
{
    buf_add(out, found->has_nul ? SLICE(" ~{") : SLICE(" {"));
    buf_add_u64(out, found->length);
    buf_add(out, SLICE("}\r\n"));
}

static void write_found(struct imap_session *s, const struct fetch_item *item, const struct section *found)
{
    struct buf *out = conn_out(s->conn);

    if (item->kind == ITEM_BINARY_SIZE) {
        buf_add_char(out, ' ');
        buf_add_u64(out, found->length);
        return;
    }
    write_announcement(out, found);
    if (found->source.read != NULL)
        conn_send_source(s->conn, found->source, found->offset, found->length);
    else
        buf_add(out, found->text);
}

void fetch_write_section(struct imap_session *s, struct fetch *f, const struct fetch_item *item,
                         struct fetch_message *m)
{
    struct section found;
    struct fail why;
    enum section_found result = section_open(s->service->store, &f->scratch, item, m, &found, &why);

    buf_add(conn_out(s->conn), item->label);
    switch (result) {
    case SECTION_FOUND:
        f->costly = f->costly || found.costly;
        write_found(s, item, &found);
        return;
    case SECTION_FAILED:
        log_event(LOG_ERROR, "imap.body", LOG_FAIL(&why));
        f->failed = why;
        break;
    case SECTION_NONE:
    case SECTION_UNKNOWN_CTE: break; /* the latter was looked for before (section_can_decode) */
    }
    buf_add(conn_out(s->conn), item->kind == ITEM_BINARY_SIZE ? SLICE(" 0") : SLICE(" NIL"));
}
