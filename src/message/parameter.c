/*
 * message/parameter.c - "type; name=value; ..." fields (RFC 2045, 2183, 2231).
 *
 * Layer: message.
 */
#include "message/parameter.h"

#include "message/decode.h"
#include "message/lex.h"

/* One "name=value" as written; RFC 2231 section 3: name "*" section "*" "=" value. */
struct piece {
    struct slice name;  /* without section and stars */
    struct slice value; /* quotes and escapes taken off */
    uint64_t section;   /* 0 if none was given */
    bool numbered;      /* it stands in a continuation */
    bool extended;      /* it ends in "*": %XX are octets, and the first one names a charset */
    bool used;
};

static void split_name(struct slice name, struct piece *out)
{
    out->extended = slice_ends(name, SLICE("*"));
    if (out->extended)
        name.len--;
    size_t star = slice_rfind_char(name, '*');
    out->numbered = star < name.len && slice_to_u64(slice_from(name, star + 1), 9999, &out->section);
    out->name = out->numbered ? slice_sub(name, 0, star) : name;
}

/*
 * value = token / quoted-string.  Unquoted values are read up to the ";" since
 * many programs forget the quotes around blanks and "="; a comment ends them.
 */
static struct slice take_value(struct lex *l, struct arena *a)
{
    lex_skip(l, NULL);
    if (lex_peek(l) == '"')
        return lex_unescape(a, lex_quoted(l));

    size_t start = l->at;
    while (!lex_at_end(l) && lex_peek(l) != ';') {
        if (lex_peek(l) == '(' && lex_is_blank(l->in.ptr[l->at - 1]))
            break;
        l->at++;
    }
    return slice_trim(slice_sub(l->in, start, l->at - start));
}

static size_t read_pieces(struct arena *a, struct slice text, size_t max, struct piece **out)
{
    struct lex l = {.in = text};
    struct piece *pieces = NULL;
    size_t count = 0, cap = 0;

    while (count < max && !lex_at_end(&l)) {
        lex_skip(&l, NULL); /* a ";" is often forgotten, so blanks will do */
        if (lex_accept(&l, ';'))
            continue;
        size_t start = l.at;
        struct slice name = lex_until(&l, "=;\"(");
        lex_skip(&l, NULL);
        if (name.len == 0 || !lex_accept(&l, '=')) {
            if (lex_peek(&l) == '"')
                (void)lex_quoted(&l);
            else if (l.at == start && !lex_at_end(&l))
                l.at++;
            continue;
        }
        if (count == cap) {
            size_t room = cap == 0 ? 4 : cap * 2;
            struct piece *more = arena_new_array(a, struct piece, room);

            if (more == NULL)
                break;
            if (count > 0)
                memcpy(more, pieces, count * sizeof(*more));
            pieces = more;
            cap = room;
        }
        split_name(name, &pieces[count]);
        pieces[count++].value = take_value(&l, a);
    }
    *out = pieces;
    return count;
}

/* Extended values: "%" and two hexadecimal digits are an octet. */
static void add_value(struct buf *out, struct slice value, bool extended)
{
    if (!extended) {
        buf_add(out, value);
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        int octet = value.ptr[i] == '%' ? lex_hex_octet(slice_from(value, i + 1)) : -1;

        buf_add_char(out, octet >= 0 ? (char)octet : value.ptr[i]);
        i += octet >= 0 ? 2 : 0;
    }
}

static struct piece *find_section(struct piece *pieces, size_t count, struct slice name, uint64_t section)
{
    for (size_t i = 0; i < count; i++)
        if (pieces[i].numbered && !pieces[i].used && pieces[i].section == section &&
            slice_eq_nocase(pieces[i].name, name))
            return &pieces[i];
    return NULL;
}

/* charset "'" [language] "'" text: takes off the first two, if they are there. */
static struct slice take_charset(struct slice *value)
{
    struct slice rest = *value, charset = slice_cut(&rest, '\'');
    size_t language = slice_find_char(rest, '\'');

    if (rest.ptr == NULL || language >= rest.len)
        return slice_make(NULL, 0);
    *value = slice_from(rest, language + 1);
    return charset;
}

/* All pieces of the parameter that `first` begins, joined and decoded; marks them used. */
static struct slice join_pieces(struct arena *a, struct piece *pieces, size_t count, struct piece *first)
{
    struct slice value = first->value, charset = first->extended ? take_charset(&value) : slice_make(NULL, 0);
    struct slice name = first->name;
    struct buf octets, utf8;
    bool numbered = first->numbered;

    first->used = true;
    if (!numbered && !first->extended)
        return value;
    buf_init(&octets, SIZE_MAX / 8);
    add_value(&octets, value, first->extended);
    for (uint64_t section = 1; numbered; section++) {
        struct piece *next = find_section(pieces, count, name, section);

        if (next == NULL)
            break;
        add_value(&octets, next->value, next->extended);
        next->used = true;
    }
    buf_init(&utf8, SIZE_MAX / 8);
    if (charset.len > 0) {
        struct charset_decoder *decoder = charset_decoder_create(charset);

        charset_decoder_feed(decoder, buf_slice(&octets), &utf8);
        charset_decoder_finish(decoder, &utf8);
        charset_decoder_destroy(&decoder);
    } else {
        buf_add(&utf8, buf_slice(&octets));
    }
    struct slice joined = arena_keep(a, buf_slice(&utf8));
    buf_finish(&octets);
    buf_finish(&utf8);
    return joined;
}

size_t parameters_parse(struct arena *a, struct slice text, size_t max, struct mime_parameter **out)
{
    struct piece *pieces;
    size_t pieces_count = read_pieces(a, text, max, &pieces), count = 0;
    struct mime_parameter *parameters =
        pieces_count > 0 ? arena_new_array(a, struct mime_parameter, pieces_count) : NULL;

    *out = parameters;
    if (parameters == NULL)
        return 0;
    for (size_t i = 0; i < pieces_count; i++) {
        struct piece *p = &pieces[i];

        if (p->used || (p->numbered && p->section != 0))
            continue;
        struct slice name = p->name;
        if (p->extended)
            name = arena_printf(a, PRIslice "*", SLICE_ARG(name));
        parameters[count].name = name;
        parameters[count++].value = join_pieces(a, pieces, pieces_count, p);
    }
    return count;
}

bool mime_parameter_find(const struct mime_parameter *parameters, size_t count, struct slice name,
                         struct slice *value)
{
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        struct slice has = parameters[i].name;
        bool extended = slice_ends(has, SLICE("*"));

        if (extended)
            has.len--;
        if (slice_eq_nocase(has, name) && (extended || !found)) {
            *value = parameters[i].value;
            if (extended)
                return true;
            found = true;
        }
    }
    return found;
}
