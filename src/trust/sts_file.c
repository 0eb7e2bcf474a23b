/*
 * trust/sts_file.c - see trust/sts_file.h.
 *
 * Layer: trust.
 */
#include "trust/sts_file.h"

#define FIRST_LINE "posthorn mta-sts 1"

void sts_file_write(const struct sts_file *f, struct buf *out)
{
    buf_addf(out, FIRST_LINE "\nid %s\nfetched %lld\nused %lld\n\n", f->id, (long long)f->fetched, (long long)f->used);
    buf_add(out, buf_slice(&f->text));
}

/* "name value" */
static bool take_line(struct slice *text, struct slice name, struct slice *value)
{
    struct slice line = slice_cut(text, '\n');

    *value = line;
    return slice_eq(slice_cut(value, ' '), name);
}

static bool take_time(struct slice *text, struct slice name, int64_t *out)
{
    struct slice value;
    uint64_t     n;

    if (!take_line(text, name, &value) || !slice_to_u64(value, INT64_MAX / 2, &n))
        return false;
    *out = (int64_t)n;
    return true;
}

bool sts_file_read(struct slice text, struct sts_file *out)
{
    struct slice id;

    if (!slice_eq(slice_cut(&text, '\n'), SLICE(FIRST_LINE)) || !take_line(&text, SLICE("id"), &id) || id.len == 0 ||
        id.len > STS_ID_MAX || !take_time(&text, SLICE("fetched"), &out->fetched) || !take_time(&text, SLICE("used"), &out->used) ||
        slice_cut(&text, '\n').len > 0 || text.len == 0 || text.len > STS_TEXT_MAX)
        return false;
    memcpy(out->id, id.ptr, id.len);
    out->id[id.len] = '\0';
    buf_init(&out->text, STS_TEXT_MAX);
    buf_add(&out->text, text);
    return true;
}
