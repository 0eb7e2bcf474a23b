/*
 * deliver/find.c - where does this address lead, return addresses of forwards included?
 *
 * Layer: deliver.
 */
#include "deliver/internal.h"
#include "deliver/srs.h"

/* Is it an address that a forward of ours was given as reverse-path? */
static bool is_return(struct deliver *d, struct slice local, struct slice domain)
{
    return d->limits.srs != NULL && srs_is(local) &&
           (srs_is_domain(d->limits.srs, domain) || directory_is_local_domain(d->directory, domain));
}

bool deliver_find(struct deliver *d, struct slice address, struct arena *a, struct route *out, struct fail *why)
{
    size_t at = slice_rfind_char(address, '@');
    struct slice local = slice_sub(address, 0, at), sender;

    if (at == address.len || !is_return(d, local, slice_from(address, at + 1)))
        return directory_route(d->directory, address, a, out, why);
    switch (srs_reverse(d->limits.srs, local, a, &sender)) {
    case SRS_NOT: break;
    case SRS_GOOD:
        if (!directory_route(d->directory, sender, a, out, why))
            return false;
        if (out->kind == ROUTE_REMOTE)
            out->kind = ROUTE_LOCAL; /* an address of ours that leads there, as an alias does */
        return true;
    case SRS_BAD:
        return fail_code(why, FAIL_PERM, FAIL_NOT_FOUND, "5.1.1",
                         "that return address is not one of ours, or is too old");
    }
    return directory_route(d->directory, address, a, out, why);
}
