/*
 * transfer/keeper_name.c - what a mailbox from elsewhere is called here.
 *
 * Layer: transfer.
 */
#include "transfer/keeper_name.h"

#include "base/map.h"
#include "base/unicode.h"

enum { LEVEL_MOST = 200, NAME_MOST = 800, LEVELS_MOST = 20, HASH_LETTERS = 9 };

/* A level without what no name may have in it. */
static void add_level(struct buf *out, struct slice level)
{
    struct buf clean;

    buf_init(&clean, SIZE_MAX);
    utf8_add_clean(&clean, level);
    struct slice text = slice_sub(buf_slice(&clean), 0, LEVEL_MOST);
    while (text.len < clean.len && text.len > 0 && ((unsigned char)clean.data[text.len] & 0xc0) == 0x80)
        text.len--; /* no half letter */
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        buf_add_char(out, c < 0x20 || c == 0x7f ? '_' : (char)c);
    }
    buf_finish(&clean);
}

static struct slice mend(struct arena *arena, struct slice name)
{
    struct buf   out;
    struct slice rest = name;
    unsigned     levels = 0;

    buf_init(&out, SIZE_MAX);
    while (rest.len > 0 && levels < LEVELS_MOST && out.len < NAME_MOST - LEVEL_MOST) {
        struct slice level = slice_cut(&rest, '/');
        if (level.len == 0)
            continue;
        if (levels++ > 0)
            buf_add_char(&out, '/');
        add_level(&out, level);
    }
    if (out.len == 0)
        buf_add_char(&out, '_');
    struct slice mended = arena_keep(arena, buf_slice(&out));
    buf_finish(&out);
    return mended;
}

struct slice keeper_name_apart(struct arena *arena, struct slice name, struct slice original)
{
    return arena_printf(arena, PRIslice "~%08x", SLICE_ARG(slice_sub(name, 0, NAME_MOST - HASH_LETTERS)),
                        (unsigned)(hash_for_good(original) & 0xffffffff));
}

struct slice keeper_name(struct arena *arena, struct slice name, const struct keeper_options *o, bool *mended)
{
    struct store_limits limits;
    struct slice        wanted = name, checked;

    store_limits_default(&limits);
    *mended = false;
    if (o->mailbox.len > 0)
        wanted = o->mailbox;
    else if (o->prefix.len > 0)
        wanted = arena_printf(arena, PRIslice "/" PRIslice, SLICE_ARG(o->prefix), SLICE_ARG(name));
    if (mailbox_name_check(arena, wanted, &limits, &checked, NULL))
        return checked;
    *mended = true;
    struct slice tidy = mend(arena, wanted);
    if (mailbox_name_check(arena, tidy, &limits, &checked, NULL))
        return checked;
    tidy = keeper_name_apart(arena, SLICE("imported"), name);
    return mailbox_name_check(arena, tidy, &limits, &checked, NULL) ? checked : SLICE("imported");
}
