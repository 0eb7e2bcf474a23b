/*
 * store/row.c - a message becomes rows.
 *
 * Layer: store.
 */
#include "base/clock.h"
#include "store/internal.h"

bool row_take_uids(struct change_box *box, uint64_t count, uint32_t *first, struct fail *why)
{
    if (count > UINT32_MAX - box->row.uidnext)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "\"" PRIslice "\" has no UIDs left",
                        SLICE_ARG(box->row.name));
    *first = box->row.uidnext;
    box->row.uidnext += (uint32_t)count;
    return true;
}

void row_count(struct change *c, struct change_box *box, uint32_t flags, uint64_t size)
{
    box->row.messages++;
    box->row.bytes += size;
    box->row.unseen += (flags & STORE_SEEN) == 0;
    if ((flags & STORE_DELETED) != 0) {
        box->row.deleted++;
        box->row.deleted_bytes += size;
    }
    c->row.messages++;
    c->row.bytes += size;
}

bool row_add_message(struct change *c, const struct new_message *m, uint64_t *message_id, struct fail *why)
{
    int64_t id = (int64_t)c->row.next_message;
    struct slice uidl;
    uint64_t thread;

    if (!uidl_to_keep(c->db, m->uidl, &uidl, why) ||
        !thread_find(c->db, (uint64_t)id, &m->facts->references, &thread, why) ||
        !db_run(c->db, SQL_MESSAGE_NEW, why, "iiiiibiit", id, (int64_t)m->ref,
                (int64_t)(m->facts->size + m->prefix.len), m->internal_date, (int64_t)m->internal_zone,
                m->prefix, (int64_t)thread, m->facts->line_extra, uidl) ||
        !db_run(c->db, SQL_CACHED_NEW, why, "ibbbbi", id, m->facts->envelope, m->facts->structure,
                m->facts->preview, m->facts->references.ids, (int64_t)m->facts->repeats))
        return false;
    c->row.next_message++;
    *message_id = (uint64_t)id;
    return true;
}

bool row_put_entry(struct change *c, struct change_box *box, uint64_t message_id, const struct new_message *m,
                   uint64_t size, uint32_t *uid, struct fail *why)
{
    struct view_entry e = {.flags = m->flags & STORE_FLAGS, .keyword_set = m->keyword_set};

    e.modseq = change_modseq(c);
    if (!row_take_uids(box, 1, &e.uid, why) ||
        !db_run(c->db, SQL_ENTRY_NEW, why, "iiiiiii", (int64_t)box->row.id, (int64_t)e.uid,
                (int64_t)message_id, (int64_t)e.flags, (int64_t)e.keyword_set, (int64_t)e.modseq,
                clock_now()) ||
        (m->uidl.len > 0 && !uidl_tell_apart(c, box, e.uid, e.uid, why)))
        return false;
    row_count(c, box, e.flags, size);
    if (box->view != NULL)
        view_append(&box->view, e);
    change_touch(c, box);
    change_event_new(c, box->row.id, e.uid, e.uid);
    *uid = e.uid;
    return true;
}

bool row_add_entry(struct change *c, struct change_box *box, uint64_t message_id, const struct new_message *m,
                   uint32_t *uid, struct fail *why)
{
    return row_put_entry(c, box, message_id, m, m->facts->size + m->prefix.len, uid, why);
}

bool row_references(struct db *db, uint64_t after, struct reference *out, size_t max, size_t *count,
                    struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_REFERENCES, why);

    *count = 0;
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)after);
    db_bind_i64(q, 2, (int64_t)max);
    while (*count < max && db_step(q, why)) {
        out[(*count)++] = (struct reference){
            .id = (uint64_t)db_col_i64(q, 0),
            .ref = (uint64_t)db_col_i64(q, 1),
            .size = (uint64_t)db_col_i64(q, 2),
            .prefix = (uint64_t)db_col_i64(q, 3),
            .cached = db_col_i64(q, 4) != 0,
        };
    }
    return db_done(q, why);
}
