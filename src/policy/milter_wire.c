/*
 * policy/milter_wire.c - see policy/milter_wire.h.
 *
 * Layer: policy.
 */
#include "policy/milter_wire.h"

size_t milter_begin(struct buf *out, char command)
{
    const size_t began = out->len;

    milter_add_u32(out, 0);
    buf_add_char(out, command);
    return began;
}

static void put_u32(char *at, uint32_t n)
{
    at[0] = (char)(n >> 24);
    at[1] = (char)(n >> 16);
    at[2] = (char)(n >> 8);
    at[3] = (char)n;
}

void milter_end(struct buf *out, size_t began)
{
    if (!out->failed)
        put_u32(out->data + began, (uint32_t)(out->len - began - 4));
}

void milter_add_u32(struct buf *out, uint32_t n)
{
    char bytes[4];

    put_u32(bytes, n);
    buf_add(out, slice_make(bytes, sizeof bytes));
}

void milter_add_text(struct buf *out, struct slice text)
{
    buf_add(out, slice_sub(text, 0, slice_find_char(text, '\0')));
    buf_add_char(out, '\0');
}

bool milter_read_u32(struct slice *data, uint32_t *out)
{
    const unsigned char *b = (const unsigned char *)data->ptr;

    if (data->len < 4)
        return false;
    *out = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    *data = slice_from(*data, 4);
    return true;
}

bool milter_read_text(struct slice *data, struct slice *out)
{
    if (data->len == 0)
        return false;
    *out = slice_cut(data, '\0');
    return true;
}

enum milter_take milter_take(struct slice in, char *command, struct slice *data, size_t *used)
{
    struct slice rest = in;
    uint32_t length;

    if (!milter_read_u32(&rest, &length))
        return MILTER_MORE;
    if (length == 0 || length > MILTER_PACKET_MAX)
        return MILTER_BAD;
    if (rest.len < length)
        return MILTER_MORE;
    *command = rest.ptr[0];
    *data = slice_sub(rest, 1, length - 1);
    *used = 4 + (size_t)length;
    return MILTER_PACKET;
}

bool milter_read_options(struct slice data, struct milter_options *out)
{
    uint32_t stage;
    struct slice names;

    *out = (struct milter_options){0};
    if (!milter_read_u32(&data, &out->version) || !milter_read_u32(&data, &out->actions) || !milter_read_u32(&data, &out->protocol))
        return false;
    out->actions &= SMFIF_ALL;
    out->protocol &= SMFIP_ALL;
    while ((out->actions & SMFIF_SETSYMLIST) != 0 && milter_read_u32(&data, &stage) && milter_read_text(&data, &names))
        if (stage < MILTER_MACRO_STAGES)
            out->macros[stage] = names;
    return out->version >= MILTER_VERSION_MIN && out->version <= MILTER_VERSION;
}

static bool is_status(struct slice word)
{
    unsigned dots = 0;

    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '.')
            dots++;
        else if (!ascii_is_digit(word.ptr[i]))
            return false;
    }
    return dots == 2 && word.len >= 5 && word.len <= 9 && word.ptr[1] == '.';
}

bool milter_read_reply(struct slice data, struct milter_reply *out)
{
    struct slice line = slice_sub(data, 0, slice_find_char(data, '\0'));
    uint64_t code;

    line = slice_trim(slice_sub(line, 0, slice_find_char(line, '\n')));
    *out = (struct milter_reply){0};
    if (line.len < 3 || !slice_to_u64(slice_sub(line, 0, 3), 599, &code) || code < 400 || (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-'))
        return false;
    out->code = (unsigned)code;
    struct slice rest = slice_trim(slice_from(line, 4)), after = rest, word = slice_cut(&after, ' ');
    if (is_status(word)) {
        out->status = word;
        rest = slice_trim(after);
    }
    out->text = rest;
    return true;
}
