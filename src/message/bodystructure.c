/*
 * message/bodystructure.c - BODY and BODYSTRUCTURE of a tree (RFC 9051 section 7.5.2).
 *
 * Layer: message.
 */
#include "base/unicode.h"
#include "message/envelope.h"
#include "message/imap_text.h"

static void space(struct buf *out)
{
    buf_add_char(out, ' ');
}

/*
 * extended-value = charset "'" [language] "'" *(attribute-char / "%" 2HEXDIG)  (RFC 2231 section 7).
 * For IMAP4rev1, whose clients read "name*" as it is written in a message.
 */
static void write_extended_value(struct buf *out, struct slice value)
{
    static const char hex[] = "0123456789ABCDEF";

    buf_add_char(out, '"');
    buf_add(out, utf8_valid(value) ? SLICE("utf-8''") : SLICE("''"));
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c > ' ' && c < 0x7f && strchr("*'%()<>@,;:\\\"/[]?=", c) == NULL) {
            buf_add_char(out, (char)c);
        } else {
            buf_add_char(out, '%');
            buf_add_char(out, hex[c >> 4]);
            buf_add_char(out, hex[c & 15]);
        }
    }
    buf_add_char(out, '"');
}

/* Inside of body-fld-param. */
static void write_parameters(struct buf *out, const struct mime_parameter *parameters, size_t count,
                             unsigned form)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            space(out);
        imap_text_string(out, parameters[i].name);
        space(out);
        if (form & BODY_UTF8)
            imap_text_utf8(out, parameters[i].value);
        else if (slice_ends(parameters[i].name, SLICE("*")))
            write_extended_value(out, parameters[i].value);
        else
            imap_text_string(out, parameters[i].value);
    }
}

/* body-fld-param = "(" string SP string *(SP string SP string) ")" / nil */
static void write_parameter_list(struct buf *out, const struct mime_parameter *parameters, size_t count,
                                 unsigned form)
{
    if (count == 0) {
        buf_add(out, SLICE("NIL"));
        return;
    }
    buf_add_char(out, '(');
    write_parameters(out, parameters, count, form);
    buf_add_char(out, ')');
}

/* body-fld-dsp = "(" string SP body-fld-param ")" / nil */
static void write_disposition(struct buf *out, const struct mime_part *part, unsigned form)
{
    if (part->disposition.len == 0) {
        buf_add(out, SLICE("NIL"));
        return;
    }
    buf_add_char(out, '(');
    imap_text_string(out, part->disposition);
    space(out);
    write_parameter_list(out, part->disposition_parameters, part->disposition_parameter_count, form);
    buf_add_char(out, ')');
}

/* body-fld-lang = nstring / "(" string *(SP string) ")" */
static void write_languages(struct buf *out, const struct mime_part *part)
{
    if (part->language_count <= 1) {
        imap_text_nstring(out, part->language_count == 1 ? part->languages[0] : SLICE(""));
        return;
    }
    for (size_t i = 0; i < part->language_count; i++) {
        buf_add_char(out, i == 0 ? '(' : ' ');
        imap_text_string(out, part->languages[i]);
    }
    buf_add_char(out, ')');
}

/* What single parts and multiparts have in common behind their first extension field. */
static void write_extension(struct buf *out, const struct mime_part *part, unsigned form)
{
    space(out);
    write_disposition(out, part, form);
    space(out);
    write_languages(out, part);
    space(out);
    imap_text_nstring(out, part->location);
}

/*
 * media-basic / media-text / media-message.  A multipart without parts is shown
 * as the text it is (RFC 2045 section 5.2), a message that was not looked into
 * (too deep, or encoded) as plain bytes: the grammar has no words for either.
 */
static void write_media(struct buf *out, const struct mime_part *part, bool *is_text)
{
    bool multipart = slice_eq_nocase(part->type, SLICE("multipart"));
    bool opaque =
        slice_eq_nocase(part->type, SLICE("message")) && !part->is_message &&
        (slice_eq_nocase(part->subtype, SLICE("rfc822")) || slice_eq_nocase(part->subtype, SLICE("global")));

    *is_text = multipart || slice_eq_nocase(part->type, SLICE("text"));
    imap_text_string(out, multipart ? SLICE("text") : opaque ? SLICE("application") : part->type);
    space(out);
    imap_text_string(out, multipart ? SLICE("plain") : opaque ? SLICE("octet-stream") : part->subtype);
}

/* RFC 2046 section 4.1.2: plain text that names no charset is US-ASCII, and clients like to be told. */
static void write_type_parameters(struct buf *out, const struct mime_part *part, unsigned form)
{
    struct slice ignored;

    if (!slice_eq_nocase(part->type, SLICE("text")) || !slice_eq_nocase(part->subtype, SLICE("plain")) ||
        mime_parameter_find(part->parameters, part->parameter_count, SLICE("charset"), &ignored)) {
        write_parameter_list(out, part->parameters, part->parameter_count, form);
        return;
    }
    buf_add(out, SLICE("(\"charset\" \"us-ascii\""));
    if (part->parameter_count > 0)
        space(out);
    write_parameters(out, part->parameters, part->parameter_count, form);
    buf_add_char(out, ')');
}

/* body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part] */
static void write_single(struct buf *out, const struct mime_part *part, unsigned form)
{
    bool is_text;

    write_media(out, part, &is_text);
    space(out);
    write_type_parameters(out, part, form);
    space(out);
    imap_text_nstring(out, part->id);
    space(out);
    imap_text_nstring(out, part->description);
    space(out);
    imap_text_string(out, part->encoding);
    space(out);
    buf_add_u64(out, part->end_offset - part->body_offset);
    if (part->is_message) {
        space(out);
        buf_add(out, part->first_child->envelope);
        space(out);
        bodystructure_write(out, part->first_child, form);
    }
    if (part->is_message || is_text) {
        space(out);
        buf_add_u64(out, part->body_lines);
    }
    if (form & BODY_EXTENDED) {
        space(out);
        imap_text_nstring(out, part->md5);
        write_extension(out, part, form);
    }
}

/* body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart] */
static void write_multipart(struct buf *out, const struct mime_part *part, unsigned form)
{
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        bodystructure_write(out, child, form);
    space(out);
    imap_text_string(out, part->subtype);
    if (form & BODY_EXTENDED) {
        space(out);
        write_parameter_list(out, part->parameters, part->parameter_count, form);
        write_extension(out, part, form);
    }
}

void bodystructure_write(struct buf *out, const struct mime_part *root, unsigned form)
{
    buf_add_char(out, '(');
    if (root->is_multipart)
        write_multipart(out, root, form);
    else
        write_single(out, root, form);
    buf_add_char(out, ')');
}
