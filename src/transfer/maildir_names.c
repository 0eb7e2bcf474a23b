/*
 * transfer/maildir_names.c - what the names in a Maildir say.
 *
 * Layer: transfer.
 */
#include "transfer/maildir_names.h"

#include "base/buf.h"
#include "base/unicode.h"
#include "store/store.h"

struct slice maildir_base(struct slice name)
{
    return slice_sub(name, 0, slice_find_char(name, ':'));
}

uint32_t maildir_flags(struct slice name, bool *passed, uint32_t *keywords)
{
    size_t       at = slice_rfind_char(name, ':');
    struct slice info = at < name.len ? slice_from(name, at + 1) : SLICE("");
    uint32_t     flags = 0;

    *passed = false;
    *keywords = 0;
    if (!slice_starts(info, SLICE("2,")))
        return 0;
    for (size_t i = 2; i < info.len && info.ptr[i] != ','; i++) {
        switch (info.ptr[i]) {
        case 'S': flags |= STORE_SEEN; break;
        case 'R': flags |= STORE_ANSWERED; break;
        case 'F': flags |= STORE_FLAGGED; break;
        case 'T': flags |= STORE_DELETED; break;
        case 'D': flags |= STORE_DRAFT; break;
        case 'P': *passed = true; break;
        default:
            if (info.ptr[i] >= 'a' && info.ptr[i] <= 'z')
                *keywords |= 1u << (info.ptr[i] - 'a');
        }
    }
    return flags;
}

/* ---- folders ---- */

static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* LISTESCAPE: "\2e" is a dot. */
static struct slice unescape(struct arena *a, struct slice s)
{
    char  *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; out != NULL && i < s.len; i++) {
        int high = s.ptr[i] == '\\' && i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.ptr[i + 2]) : -1;
        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = s.ptr[i];
        }
    }
    return slice_make(out, n);
}

static struct slice level_name(struct arena *a, struct slice level)
{
    struct slice text;
    bool         ascii = true;

    for (size_t i = 0; i < level.len; i++)
        ascii = ascii && (unsigned char)level.ptr[i] < 0x80;
    if (slice_find_char(level, '\\') < level.len)
        level = unescape(a, level);
    if (!ascii || !utf7_decode(a, level, &text))
        text = arena_keep(a, level);
    char *out = arena_alloc(a, text.len + 1);
    for (size_t i = 0; out != NULL && i < text.len; i++)
        out[i] = text.ptr[i] == '/' ? '_' : text.ptr[i];
    return slice_make(out, out != NULL ? text.len : 0);
}

struct slice maildir_mailbox_name(struct arena *a, struct slice folder, char separator)
{
    struct slice rest = folder, name = SLICE("");

    while (rest.len > 0) {
        struct slice level = level_name(a, slice_cut(&rest, separator));
        name = name.len == 0 ? level : arena_printf(a, PRIslice "/" PRIslice, SLICE_ARG(name), SLICE_ARG(level));
    }
    return name;
}

/* ---- unique-ids ---- */

static bool add_value(struct buf *out, char what, bool zero, unsigned width, bool hex, uint32_t uid,
                      uint32_t uidvalidity, struct slice base)
{
    uint32_t value = what == 'u' ? uid : uidvalidity;

    switch (what) {
    case 'u':
    case 'v':
        if (hex)
            buf_addf(out, zero ? "%0*x" : "%*x", (int)width, value);
        else
            buf_addf(out, zero ? "%0*u" : "%*u", (int)width, value);
        return true;
    case 'f':
    case 'g':
        buf_add(out, base);
        return true;
    default:
        return false;
    }
}

/* "uid | hex(8)", as Dovecot 2.4 says it. */
static bool add_long(struct buf *out, struct slice text, uint32_t uid, uint32_t uidvalidity, struct slice base)
{
    struct slice filter = text, name = slice_trim(slice_cut(&filter, '|'));
    uint64_t     width = 0;
    char         what = slice_eq(name, SLICE("uid"))           ? 'u'
                        : slice_eq(name, SLICE("uidvalidity")) ? 'v'
                        : slice_eq(name, SLICE("filename"))    ? 'f'
                        : slice_eq(name, SLICE("guid"))        ? 'g'
                                                               : '\0';

    filter = slice_trim(filter);
    if (filter.len == 0)
        return add_value(out, what, false, 0, false, uid, uidvalidity, base);
    if (slice_eq(filter, SLICE("hex")))
        return add_value(out, what, false, 0, true, uid, uidvalidity, base);
    if (!slice_starts(filter, SLICE("hex(")) || !slice_ends(filter, SLICE(")")) ||
        !slice_to_u64(slice_sub(filter, 4, filter.len - 5), 60, &width))
        return false;
    return add_value(out, what, true, (unsigned)width, true, uid, uidvalidity, base);
}

bool maildir_uidl(struct buf *out, struct slice format, uint32_t uid, uint32_t uidvalidity, struct slice base)
{
    for (size_t i = 0; i < format.len; i++) {
        if (format.ptr[i] != '%' || i + 1 == format.len) {
            buf_add_char(out, format.ptr[i]);
            continue;
        }
        struct slice rest = slice_from(format, ++i);
        if (rest.ptr[0] == '{') {
            size_t end = slice_find_char(rest, '}');
            if (end == rest.len || !add_long(out, slice_sub(rest, 1, end - 1), uid, uidvalidity, base))
                return false;
            i += end;
            continue;
        }
        size_t   at = 0;
        bool     zero = rest.ptr[0] == '0', hex = false;
        unsigned width = 0;
        for (; at < rest.len && ascii_is_digit(rest.ptr[at]); at++)
            width = width < 100 ? width * 10 + (unsigned)(rest.ptr[at] - '0') : width;
        for (; at < rest.len && (rest.ptr[at] == 'X' || rest.ptr[at] == 'L' || rest.ptr[at] == 'U'); at++)
            hex = hex || rest.ptr[at] == 'X';
        if (at == rest.len || width > 60 || !add_value(out, rest.ptr[at], zero, width, hex, uid, uidvalidity, base))
            return false;
        i += at;
    }
    return true;
}
