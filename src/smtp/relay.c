/*
 * smtp/relay.c - who may send where?
 *
 * Layer: smtp.  Mail that is not for us goes on only for those who signed in, from networks the config names,
 * and to domains it names (for which this is a backup).  What a local part looks like never counts: only the
 * domain behind the last "@", which is where the mail would be sent.
 */
#include "base/address.h"
#include "smtp/session.h"

bool smtp_in_blocks(const struct smtp_session *s, const struct net_block *blocks, size_t count)
{
    const struct sockaddr_storage peer = smtp_peer(s);

    for (size_t i = 0; i < count; i++)
        if (net_block_contains(&blocks[i], &peer))
            return true;
    return false;
}

bool smtp_is_trusted(const struct smtp_session *s)
{
    return s->user != NULL || (s->service->kind == SMTP_MX &&
                               smtp_in_blocks(s, s->service->relay_networks, s->service->relay_network_count));
}

/* "example.org" itself, ".example.org" what is below it. */
static bool domain_fits(struct slice domain, struct slice row)
{
    return slice_eq_nocase(domain, row) || (row.len > 1 && row.ptr[0] == '.' && domain.len > row.len &&
                                            slice_eq_nocase(slice_from(domain, domain.len - row.len), row));
}

bool smtp_may_relay(const struct smtp_session *s, struct slice recipient)
{
    const struct smtp_service *service = s->service;
    const size_t at = slice_rfind_char(recipient, '@');
    struct domain_key domain;

    if (smtp_is_trusted(s))
        return true;
    if (service->kind != SMTP_MX || at == recipient.len || !domain_key_parse(slice_from(recipient, at + 1), &domain))
        return false;
    for (size_t i = 0; i < service->relay_domain_count; i++)
        if (domain_fits(domain_text(&domain), slice_of(service->relay_domains[i])))
            return true;
    return false;
}
