/*
 * deliver/srs.h - reverse-paths of forwards: the Sender Rewriting Scheme.
 *
 * Layer: deliver.  What is forwarded under its sender's own address fails SPF at the next server.  So the
 * reverse-path becomes one of ours, out of which bounces find back (the scheme of Shevek, 2004; libsrs2's form):
 *
 *     ann@a.test                             SRS0=HHHHHHHH=TT=a.test=ann@ours.test
 *     SRS0=xxxx@b.test (forwarded before)    SRS1=HHHHHHHH=b.test==xxxx@ours.test
 *
 * H is a keyed hash, so that nobody can make such addresses and have us forward to whom he likes; T the day.
 * Letters of an address may change their case on the way: neither depends on it.
 */
#ifndef DELIVER_SRS_H
#define DELIVER_SRS_H

#include "base/arena.h"
#include "base/fail.h"

struct directory;
struct srs;

/*
 * The keys are in the file `path`, which is made when it is not there; a new one is made every 30 days, and each
 * is good for as long as an address is.  `domain`: of the addresses made; empty: the directory's first.
 */
bool srs_open(const char *path, const char *domain, struct srs **out, struct fail *why);
void srs_close(struct srs **s); /* fine on NULL */

/*
 * The reverse-path for a forward of a message from `sender`, in the arena: itself where it is null, quoted, of a domain
 * of ours, or where there is no domain to rewrite it to.
 */
struct slice srs_forward(const struct srs *s, struct directory *d, struct slice sender, struct arena *a);

/* Is that the domain such addresses are made with by the config?  (The directory's are for it to know.) */
bool srs_is_domain(const struct srs *s, struct slice domain);
/* Does this look like such an address? */
bool srs_is(struct slice address);
/*
 * Back from the local part of one of ours.  SRS_BAD: the hash is not ours, or it is too old (3 weeks).
 * SRS_NOT: it is no such address.  *sender in the arena.
 */
enum srs_found { SRS_NOT, SRS_GOOD, SRS_BAD };
enum srs_found srs_reverse(const struct srs *s, struct slice local, struct arena *a, struct slice *sender);

#endif
