/*
 * fuzz/mbox.c - an mbox in any dialect, read piece by piece.
 *
 * However many bytes come at a time, the messages are the same; they lie behind each other and cover the file.
 */
#include "fuzz.h"
#include "transfer/from_line.h"
#include "transfer/mbox.h"

struct source { struct slice bytes; size_t step; };
struct total { uint64_t messages, bytes, flags, offsets; struct buf text; };

static bool read_at(void *ctx, uint64_t offset, void *out, size_t n, size_t *got, struct fail *why)
{
    const struct source *s = ctx;
    struct slice piece = slice_sub(s->bytes, offset < s->bytes.len ? (size_t)offset : s->bytes.len, n < s->step ? n : s->step);

    (void)why;
    if (piece.len > 0)
        memcpy(out, piece.ptr, piece.len);
    *got = piece.len;
    return true;
}

static bool add(void *ctx, struct slice piece, struct fail *why)
{
    (void)why;
    buf_add(ctx, piece);
    return true;
}

static struct total read_all(struct slice bytes, size_t step, enum mbox_dialect dialect)
{
    struct source s = {bytes, step};
    struct mbox_input in = {read_at, &s};
    struct total t = {0};
    struct mbox_sink sink = {add, &t.text};
    struct mbox_message m;
    struct mbox *mbox = NULL;
    struct fail why;
    uint64_t end = 0;

    buf_init(&t.text, 8 << 20);
    if (!mbox_open(&in, dialect, &mbox, &why))
        return t;
    while (mbox_next(mbox, &sink, &m, &why) == MBOX_MESSAGE) {
        FUZZ_CHECK(m.offset >= end && m.end > m.offset && m.end <= bytes.len);
        FUZZ_CHECK(m.keyword_count <= MBOX_KEYWORDS_MAX && !m.refused);
        end = m.end;
        t.messages++;
        t.flags = t.flags * 31 + m.flags + m.uid + m.keyword_count;
        t.offsets = t.offsets * 31 + m.offset;
    }
    mbox_close(&mbox);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    unsigned how = fuzz_take(&in);
    enum mbox_dialect dialect = (enum mbox_dialect)(how % 5);
    struct total whole = read_all(in, SIZE_MAX, dialect), cut = read_all(in, 1 + how, dialect);
    struct from_line line;
    struct buf again;

    FUZZ_CHECK(whole.messages == cut.messages && whole.flags == cut.flags && whole.offsets == cut.offsets);
    FUZZ_CHECK(slice_eq(buf_slice(&whole.text), buf_slice(&cut.text)));
    buf_finish(&whole.text);
    buf_finish(&cut.text);
    if (from_line_read(in, &line)) { /* written, it says the same */
        int64_t date = line.date;
        int zone = line.zone;
        buf_init(&again, 4096);
        from_line_write(&again, line.sender, date, zone);
        FUZZ_CHECK(from_line_read(buf_slice(&again), &line));
        FUZZ_CHECK(line.date == date || date < -2208988800 || date > 253402300799 - 86400);
        buf_finish(&again);
    }
    return 0;
}
