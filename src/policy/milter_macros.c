/*
 * policy/milter_macros.c - what a milter is told beside the commands: sendmail's macros.
 *
 * Layer: policy.
 */
#include "policy/milter_link.h"

static struct slice macro_value(struct policy_check *c, struct slice name)
{
    const struct policy_facts *f = &c->facts;
    const struct { const char *name; struct slice value; } known[] = {
        {"j", slice_of(c->policy->setting.hostname)},
        {"{daemon_name}", f->kind == POLICY_MX ? SLICE("smtp") : f->kind == POLICY_SUBMISSION ? SLICE("submission") : SLICE("lmtp")},
        {"v", SLICE("Posthorn")},
        {"i", f->trace},
        {"_", f->peer},
        {"{client_addr}", f->peer},
        {"{client_name}", slice_of(c->session->name != NULL ? c->session->name : "unknown")},
        {"{client_ptr}", slice_of(c->session->name != NULL ? c->session->name : "unknown")},
        {"{tls_version}", f->tls_version},
        {"{cipher}", f->tls_cipher},
        {"{auth_type}", f->user.len > 0 ? SLICE("SASL") : SLICE("")},
        {"{auth_authen}", f->user},
        {"{auth_author}", f->user},
        {"{mail_addr}", f->sender},
        {"{mail_mailer}", SLICE("smtp")},
        {"{mail_host}", slice_from(f->sender, slice_rfind_char(f->sender, '@') + 1)},
        {"{rcpt_addr}", f->recipient},
        {"{rcpt_mailer}", SLICE("local")},
        {"{rcpt_host}", slice_from(f->recipient, slice_rfind_char(f->recipient, '@') + 1)},
    };

    /* "{i}" and "i" are the same. */
    if (name.len == 3 && name.ptr[0] == '{')
        name = slice_sub(name, 1, 1);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(name, slice_of(known[i].name)))
            return known[i].value;
    return SLICE("");
}

void macros_add(struct policy_check *c, const struct milter_link *l, struct buf *out, enum milter_macro_stage stage, char command)
{
    static const char *const usual[MILTER_MACRO_STAGES] = {
        [MACRO_CONNECT] = "j _ v {daemon_name} {client_addr} {client_name} {client_ptr}",
        [MACRO_HELO] = "{tls_version} {cipher}",
        [MACRO_MAIL] = "i {tls_version} {cipher} {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_mailer} {mail_host}",
        [MACRO_RCPT] = "{rcpt_addr} {rcpt_mailer} {rcpt_host}",
        [MACRO_DATA] = "i",
        [MACRO_EOM] = "i",
        [MACRO_EOH] = "i",
    };
    struct slice names = slice_of(l->macros[stage] != NULL ? l->macros[stage] : usual[stage]);
    const size_t began = milter_begin(out, SMFIC_MACRO);
    bool any = false;

    buf_add_char(out, command);
    while (names.len > 0) {
        const struct slice name = slice_cut(&names, ' '), value = macro_value(c, name);
        if (name.len == 0 || value.len == 0)
            continue;
        milter_add_text(out, name);
        milter_add_text(out, value);
        any = true;
    }
    if (any)
        milter_end(out, began);
    else
        out->len = began;
}
