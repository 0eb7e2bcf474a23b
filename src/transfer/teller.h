/*
 * transfer/teller.h - an account of ours, told to whoever keeps it elsewhere.
 *
 * Layer: transfer.  Each mailbox as it is in one moment: its view is taken once, bodies are
 * read one at a time.  Keys are UIDs.  Subscriptions to names without a mailbox and Sieve
 * scripts follow at the end.
 */
#ifndef TRANSFER_TELLER_H
#define TRANSFER_TELLER_H

#include "transfer/transfer.h"

struct teller_options {
    struct slice              mailbox; /* only this one and what is below it; empty: all */
    const struct body_limits *bodies;
    /* What it tells is older than what clients may have seen under these UIDVALIDITYs: they are not told. */
    bool                      fresh;
    bool                      beside; /* what there is already keeps its Sieve scripts and special uses: none are told */
};

bool teller_tell(struct account *a, const struct teller_options *options, const struct transfer_into *into,
                 struct fail *why);

#endif
