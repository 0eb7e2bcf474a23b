/*
 * transfer/keeper_name.h - what a mailbox from elsewhere is called here.
 *
 * Layer: transfer; private to the keeper.
 */
#ifndef TRANSFER_KEEPER_NAME_H
#define TRANSFER_KEEPER_NAME_H

#include "transfer/keeper.h"

/*
 * In the arena: the name as the options want it, as our rules want it (store/store.h).  What they refuse is
 * mended: control characters and bytes that are no UTF-8 become '_', empty levels go, what is too long is cut and
 * told apart by a hash.  *mended: the name alone is not what it was.
 */
struct slice keeper_name(struct arena *arena, struct slice name, const struct keeper_options *o, bool *mended);
/* Another name for it, where that one is taken by something else. */
struct slice keeper_name_apart(struct arena *arena, struct slice name, struct slice original);

#endif
