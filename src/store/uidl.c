/*
 * store/uidl.c - unique-ids that messages bring along, and what tells two entries apart.
 *
 * Layer: store.  See store/maildrop.h.
 */
#include <stdio.h>

#include "base/encode.h"
#include "store/internal.h"
#include "store/maildrop.h"
#include "store/uidl.h"

static const char option[] = "UIDL=";

bool uidl_is_valid(struct slice uidl)
{
    for (size_t i = 0; i < uidl.len; i++)
        if (uidl.ptr[i] < '!' || uidl.ptr[i] > '~')
            return false;
    return uidl.len > 0 && uidl.len <= UIDL_MAX;
}

struct slice uidl_make(uint64_t ref, int64_t internal_date, uint32_t again, char out[UIDL_MAX + 1])
{
    static const char digits[] = "0123456789abcdef";
    const uint64_t date = (uint64_t)internal_date;

    for (unsigned i = 0; i < 16; i++)
        out[i] = digits[ref >> (60 - 4 * i) & 15];
    for (unsigned i = 0; i < 8; i++)
        out[16 + i] = digits[date >> (28 - 4 * i) & 15];
    size_t len = UIDL_MADE;
    if (again != 0)
        len += (size_t)snprintf(out + len, UIDL_MAX + 1 - len, ".%u", again);
    return slice_make(out, len);
}

/* The reference that a name made by uidl_make stands for; false: it is of another kind. */
static bool reference_of(struct slice uidl, uint64_t *ref)
{
    uint64_t n = 0;

    if (uidl.len != UIDL_MADE)
        return false;
    for (size_t i = 0; i < uidl.len; i++) {
        const char c = uidl.ptr[i];
        if (!ascii_is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        if (i < 16)
            n = n << 4 | (uint64_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *ref = n;
    return true;
}

bool uidl_to_keep(struct db *db, struct slice uidl, struct slice *keep, struct fail *why)
{
    char made[UIDL_MAX + 1];
    uint64_t ref;

    *keep = uidl_is_valid(uidl) ? uidl : SLICE("");
    if (keep->len == 0 || !reference_of(uidl, &ref))
        return true;
    struct db_stmt *q = db_stmt(db, SQL_MESSAGE_BY_REF, why);
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)ref);
    if (db_step(q, why) && slice_eq(uidl, uidl_make(ref, db_col_i64(q, 1), 0, made)))
        *keep = SLICE("");
    return db_done(q, why);
}

bool uidl_tell_apart(struct change *c, const struct change_box *box, uint32_t first, uint32_t last, struct fail *why)
{
    return !slice_eq(box->row.name, SLICE("INBOX")) ||
           db_run(c->db, SQL_UIDL_TELL_APART, why, "iii", (int64_t)box->row.id, (int64_t)first, (int64_t)last);
}

struct slice uidl_as_option(struct arena *a, struct slice uidl)
{
    if (!uidl_is_valid(uidl))
        return SLICE("");
    return arena_printf(a, "%s" PRIslice, option, SLICE_ARG(uidl));
}

struct slice uidl_of_option(struct slice options)
{
    const size_t n = sizeof option - 1;

    if (options.len <= n || memcmp(options.ptr, option, n) != 0)
        return SLICE("");
    options = slice_from(options, n);
    return slice_cut(&options, ' ');
}
