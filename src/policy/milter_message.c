/*
 * policy/milter_message.c - a milter sees the message, and says what is to be changed.
 *
 * Layer: policy.
 */
#include <stdlib.h>

#include "base/scoped.h"
#include "base/unicode.h"
#include "policy/edit.h"
#include "policy/milter_link.h"

enum { COMMAND_MAX = 80 << 20, CHANGES_MOST = 10000 };

/* Sends one part; *goes_on: the milter wants more of this kind.  false: a no, or it is broken. */
static bool send_part(struct policy_check *c, struct milter_link *l, struct buf *out, uint32_t no_reply, bool *goes_on)
{
    char reply;
    struct slice data;

    *goes_on = true;
    if (!link_send(c, l, out))
        return milter_unavailable(c, l);
    buf_reset(out);
    if ((l->options.protocol & no_reply) != 0)
        return true;
    if (!link_receive(c, l, l->config->content_seconds, &reply, &data))
        return milter_unavailable(c, l);
    *goes_on = reply == SMFIR_CONTINUE;
    return milter_obey(c, l, reply, data);
}

/* Nothing more is to be said to it about this message. */
static bool is_over(const struct policy_check *c, const struct milter_link *l)
{
    return l->broken || l->skipped || c->session->marks[SCOPE_MESSAGE].discard;
}

/* Folded lines come with LF alone; the blank behind the colon only to those who asked for it. */
static void add_header(struct buf *out, const struct milter_link *l, const struct edit_field *f)
{
    struct slice value = f->value;

    if ((l->options.protocol & SMFIP_HDR_LEADSPC) == 0 && value.len > 0 && value.ptr[0] == ' ')
        value = slice_from(value, 1);
    milter_add_text(out, f->name);
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] != '\r' && value.ptr[i] != '\0')
            buf_add_char(out, value.ptr[i]);
    buf_add_char(out, '\0');
}

static bool send_header(struct policy_check *c, struct milter_link *l, const struct edit *e, struct buf *out)
{
    bool goes_on = true;

    for (size_t i = 0; goes_on && i < e->count && (l->options.protocol & SMFIP_NOHDRS) == 0; i++) {
        if (e->fields[i].own || e->fields[i].name.len == 0)
            continue;
        size_t began = milter_begin(out, SMFIC_HEADER);
        add_header(out, l, &e->fields[i]);
        milter_end(out, began);
        if (!send_part(c, l, out, SMFIP_NR_HDR, &goes_on))
            return false;
        if (is_over(c, l))
            return true;
    }
    if ((l->options.protocol & SMFIP_NOEOH) != 0)
        return true;
    macros_add(c, l, out, MACRO_EOH, SMFIC_EOH);
    milter_end(out, milter_begin(out, SMFIC_EOH));
    return send_part(c, l, out, SMFIP_NR_EOH, &goes_on);
}

static bool send_body(struct policy_check *c, struct milter_link *l, const struct edit *e, struct buf *out)
{
    SCOPED(scoped_free) char *piece = xmalloc(MILTER_CHUNK);
    bool goes_on = (l->options.protocol & SMFIP_NOBODY) == 0;
    struct fail why = {0};
    size_t got = MILTER_CHUNK;

    for (uint64_t at = 0; goes_on && got == MILTER_CHUNK; at += got) {
        if (!edit_read_body(e, at, piece, MILTER_CHUNK, &got, &why))
            return check_say(c, POLICY_DEFER, 451, "4.3.0", "policy", "%s", why.text);
        if (got == 0)
            break;
        size_t began = milter_begin(out, SMFIC_BODY);
        buf_add(out, slice_make(piece, got));
        milter_end(out, began);
        if (!send_part(c, l, out, SMFIP_NR_BODY, &goes_on))
            return false;
        if (is_over(c, l))
            return true;
    }
    return true;
}

/* ---- changes ---- */

static struct slice without_brackets(struct slice path)
{
    path = slice_trim(path);
    if (path.len >= 2 && path.ptr[0] == '<' && path.ptr[path.len - 1] == '>')
        return slice_sub(path, 1, path.len - 2);
    return path;
}

static bool change_header(struct edit *e, char reply, struct slice data)
{
    uint32_t index = 0;
    struct slice name, value = SLICE("");

    if (reply != SMFIR_ADDHEADER && !milter_read_u32(&data, &index))
        return false;
    if (!milter_read_text(&data, &name))
        return false;
    (void)milter_read_text(&data, &value);
    switch (reply) {
    case SMFIR_ADDHEADER: return edit_insert(e, e->count, name, value);
    case SMFIR_INSHEADER: return edit_insert(e, index, name, value);
    default: return edit_change(e, index == 0 ? 1 : index, name, value);
    }
}

/* It goes into an envelope, and into header fields: whether it leads anywhere others find out, but it must be one line. */
static bool is_one_address(struct slice address)
{
    enum { MOST = 1000 };

    for (size_t i = 0; i < address.len; i++)
        if ((unsigned char)address.ptr[i] < ' ' || address.ptr[i] == 0x7f || address.ptr[i] == '<' || address.ptr[i] == '>')
            return false;
    return address.len <= MOST && (address.len == 0 || slice_rfind_char(address, '@') < address.len) && utf8_valid(address);
}

static bool change_envelope(struct policy_check *c, char reply, struct slice data)
{
    struct slice address;

    if (!milter_read_text(&data, &address))
        return false;
    address = without_brackets(address);
    if ((address.len == 0 && reply != SMFIR_CHGFROM) || !is_one_address(address))
        return false;
    check_change(c, reply == SMFIR_CHGFROM ? POLICY_CHANGE_SENDER : reply == SMFIR_DELRCPT ? POLICY_REMOVE_RECIPIENT : POLICY_ADD_RECIPIENT,
                 address);
    return true;
}

/* What it may do depends on what it said at the beginning. */
static uint32_t needed_action(char reply)
{
    switch (reply) {
    case SMFIR_ADDHEADER:
    case SMFIR_INSHEADER: return SMFIF_ADDHDRS;
    case SMFIR_CHGHEADER: return SMFIF_CHGHDRS;
    case SMFIR_REPLBODY: return SMFIF_CHGBODY;
    case SMFIR_ADDRCPT: return SMFIF_ADDRCPT;
    case SMFIR_ADDRCPT_PAR: return SMFIF_ADDRCPT_PAR;
    case SMFIR_DELRCPT: return SMFIF_DELRCPT;
    case SMFIR_CHGFROM: return SMFIF_CHGFROM;
    case SMFIR_QUARANTINE: return SMFIF_QUARANTINE;
    default: return 0;
    }
}

/* *known: it was a change, done or not. */
static bool change(struct policy_check *c, struct milter_link *l, struct edit *e, char reply, struct slice data, bool *fresh_body)
{
    struct fail why = {0};
    bool ok = true;

    if ((l->options.actions & needed_action(reply)) == 0) {
        ok = false;
    } else if (reply == SMFIR_REPLBODY) {
        if (*fresh_body) /* its own body, not more of the one that another milter made */
            body_destroy(&e->body);
        *fresh_body = false;
        if (!edit_add_body(e, &c->policy->setting.body, data, &why))
            return check_say(c, POLICY_DEFER, 451, "4.3.0", milter_by(c, l), "%s", why.text);
    } else if (reply == SMFIR_QUARANTINE) {
        c->verdict.junk = true;
        c->verdict.by = slice_of(milter_by(c, l));
    } else if (reply == SMFIR_ADDHEADER || reply == SMFIR_INSHEADER || reply == SMFIR_CHGHEADER) {
        ok = change_header(e, reply, data);
    } else {
        ok = change_envelope(c, reply, data);
    }
    if (!ok)
        log_event(LOG_WARNING, "policy.milter_change_ignored", LOG_CSTR("milter", l->config->name), LOG_TEXT("trace", c->facts.trace),
                  LOG_TEXT("change", slice_make(&reply, 1)));
    return true;
}

static bool end_of_message(struct policy_check *c, struct milter_link *l, struct edit *e, struct buf *out)
{
    char reply;
    struct slice data;
    bool fresh_body = true;

    macros_add(c, l, out, MACRO_EOM, SMFIC_BODYEOB);
    milter_end(out, milter_begin(out, SMFIC_BODYEOB));
    if (!link_send(c, l, out))
        return milter_unavailable(c, l);
    for (unsigned i = 0; i < CHANGES_MOST; i++) {
        if (!link_receive(c, l, l->config->content_seconds, &reply, &data))
            return milter_unavailable(c, l);
        if (needed_action(reply) == 0) {
            l->in_message = false;
            return milter_obey(c, l, reply, data);
        }
        if (!change(c, l, e, reply, data, &fresh_body))
            return false;
    }
    (void)link_break(c, l, "never comes to an end");
    return milter_unavailable(c, l);
}

bool milter_message(struct policy_check *c, struct milter_link *l, struct edit *e)
{
    struct buf out;

    buf_init(&out, COMMAND_MAX);
    bool ok = send_header(c, l, e, &out);
    if (ok && !is_over(c, l))
        ok = send_body(c, l, e, &out);
    if (ok && !is_over(c, l))
        ok = end_of_message(c, l, e, &out);
    buf_finish(&out);
    return ok;
}
