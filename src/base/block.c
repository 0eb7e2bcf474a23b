/*
 * base/block.c - "this worker is about to wait".
 *
 * Layer: base.
 */
#include "base/block.h"

#include <stddef.h>

#include "base/fail.h"

static _Thread_local const struct block_hook *hook; /* this worker's; NULL elsewhere */
static _Thread_local unsigned                 depth; /* of nested pairs: only the outermost tells */

void block_begin(void)
{
    if (depth++ == 0 && hook != NULL)
        hook->begin(hook->ctx);
}

void block_end(void)
{
    if (depth == 0)
        bug("block_end without block_begin");
    if (--depth == 0 && hook != NULL)
        hook->end(hook->ctx);
}

void block_set_hook(const struct block_hook *new_hook)
{
    if (depth != 0)
        bug("hook changed while blocking");
    hook = new_hook;
}
