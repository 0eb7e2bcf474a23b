/*
 * message/preview.c - the first words of a message (RFC 8970).
 *
 * Layer: message.  HTML is not parsed: tags, comments and what style and script
 * contain are left out, the commonest character references are read.
 */
#include "base/unicode.h"
#include "message/decode.h"
#include "message/envelope.h"

enum { PREVIEW_CHARACTERS = 200, TEXT_MAX = 128 * 1024 };

static const struct mime_part *find_text(const struct mime_part *part, struct slice subtype)
{
    if (part->is_multipart) {
        for (const struct mime_part *child = part->first_child; child != NULL; child = child->next) {
            const struct mime_part *found = find_text(child, subtype);

            if (found != NULL)
                return found;
        }
        return NULL;
    }
    bool shown = slice_eq_nocase(part->type, SLICE("text")) &&
                 !slice_eq_nocase(part->disposition, SLICE("attachment"));
    return shown && (subtype.len == 0 || slice_eq_nocase(part->subtype, subtype)) ? part : NULL;
}

const struct mime_part *preview_part(const struct mime_part *root)
{
    const struct mime_part *part = find_text(root, SLICE("plain"));

    if (part == NULL)
        part = find_text(root, SLICE("html"));
    return part != NULL ? part : find_text(root, SLICE(""));
}

static const struct {
    const char *name;
    uint32_t character;
} references[] = {{"amp;", '&'},       {"lt;", '<'},       {"gt;", '>'},       {"quot;", '"'},
                  {"apos;", '\''},     {"nbsp;", ' '},     {"zwnj;", ' '},     {"shy;", ' '},
                  {"copy;", 0xa9},     {"euro;", 0x20ac},  {"ndash;", 0x2013}, {"mdash;", 0x2014},
                  {"hellip;", 0x2026}, {"rsquo;", 0x2019}, {"lsquo;", 0x2018}, {"rdquo;", 0x201d},
                  {"ldquo;", 0x201c},  {"auml;", 0xe4},    {"ouml;", 0xf6},    {"uuml;", 0xfc},
                  {"szlig;", 0xdf},    {"eacute;", 0xe9},  {"egrave;", 0xe8}};

/* "&#" 1*DIGIT ";" or "&#x" 1*HEXDIG ";": its character, or 0. */
static uint32_t numeric_reference(struct slice digits)
{
    bool hex = digits.len > 0 && ascii_lower(digits.ptr[0]) == 'x';
    uint32_t value = 0;

    for (size_t i = hex ? 1 : 0; i < digits.len; i++) {
        char c = ascii_lower(digits.ptr[i]);
        unsigned digit = ascii_is_digit(c)      ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;

        if (digit >= (hex ? 16U : 10U) || value > 0x10ffff)
            return 0;
        value = value * (hex ? 16 : 10) + digit;
    }
    return value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff) ? 0 : value;
}

/* At '&': the character and how long the reference is; a bare '&' is itself. */
static uint32_t read_reference(struct slice s, size_t *len)
{
    struct slice name = slice_sub(s, 1, 10);
    size_t end = slice_find_char(name, ';');

    if (slice_starts(name, SLICE("#")) && end < name.len) {
        uint32_t character = numeric_reference(slice_sub(name, 1, end - 1));

        *len = end + 2;
        return character != 0 ? character : 0xfffd;
    }
    for (size_t i = 0; i < ARRAY_LEN(references); i++) {
        if (slice_starts_nocase(name, slice_of(references[i].name))) {
            *len = strlen(references[i].name) + 1;
            return references[i].character;
        }
    }
    *len = 1;
    return '&';
}

/* At '<': how long the tag is, with what style, script, title and comments hide. */
static size_t tag_length(struct slice s)
{
    static const struct {
        const char *start, *end;
    } hidden[] = {{"<!--", "-->"}, {"<style", "</style"}, {"<script", "</script"}, {"<title", "</title"}};
    size_t at = 0;

    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        if (slice_starts_nocase(s, slice_of(hidden[i].start)))
            at = slice_find_nocase(s, slice_of(hidden[i].end));
    size_t end = at + slice_find_char(slice_from(s, at), '>');
    return end < s.len ? end + 1 : s.len;
}

static void strip_html(struct buf *out, struct slice s)
{
    while (s.len > 0) {
        size_t len = 1;

        if (s.ptr[0] == '<') {
            len = tag_length(s);
            buf_add_char(out, ' ');
        } else if (s.ptr[0] == '&') {
            utf8_add(out, read_reference(s, &len));
        } else {
            while (len < s.len && s.ptr[len] != '<' && s.ptr[len] != '&')
                len++;
            buf_add(out, slice_sub(s, 0, len));
        }
        s = slice_from(s, len);
    }
}

/* Blanks and controls that only move the eye. */
static bool is_blank(uint32_t c)
{
    return c <= ' ' || c == 0x7f || (c >= 0x80 && c <= 0xa0) || (c >= 0x2000 && c <= 0x200f) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x2060 || c == 0x3000 || c == 0xfeff || c == 0xad || c == 0x34f;
}

static void add_folded(struct buf *out, struct slice text)
{
    bool blank = false;

    for (size_t at = 0, count = 0; at < text.len && count < PREVIEW_CHARACTERS;) {
        uint32_t c = utf8_next(text, &at);

        if (is_blank(c)) {
            blank = count > 0;
            continue;
        }
        if (blank && ++count < PREVIEW_CHARACTERS)
            buf_add_char(out, ' ');
        blank = false;
        if (count++ < PREVIEW_CHARACTERS)
            utf8_add(out, c);
    }
}

void preview_write(struct buf *out, const struct mime_part *part, struct slice text)
{
    struct buf bytes, decoded, plain;
    struct transfer_decoder transfer;
    struct slice charset = {0};

    buf_init(&bytes, TEXT_MAX);
    buf_init(&decoded, TEXT_MAX * 4);
    buf_init(&plain, TEXT_MAX * 4);
    (void)mime_parameter_find(part->parameters, part->parameter_count, SLICE("charset"), &charset);
    transfer_decoder_init(&transfer, transfer_encoding_of(part->encoding));
    transfer_decoder_feed(&transfer, slice_sub(text, 0, TEXT_MAX / 2), &bytes);
    transfer_decoder_finish(&transfer, &bytes);

    /* Not finished: half a character at the end of a piece is left out. */
    struct charset_decoder *decoder = charset_decoder_create(charset);
    charset_decoder_feed(decoder, buf_slice(&bytes), &decoded);
    charset_decoder_destroy(&decoder);
    if (slice_eq_nocase(part->subtype, SLICE("html"))) {
        strip_html(&plain, buf_slice(&decoded));
        add_folded(out, buf_slice(&plain));
    } else {
        add_folded(out, buf_slice(&decoded));
    }
    buf_finish(&plain);
    buf_finish(&decoded);
    buf_finish(&bytes);
}
