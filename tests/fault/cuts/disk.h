/*
 * tests/fault/cuts/disk.h - what a disk may hold after the power went, by the entries of a trace so far.
 *
 * Of a file: what was synced, for certain.  Each write since then may be there, be missing, or be there in part (any
 * of its sectors of 512 bytes; of what made the file longer, any number of bytes), independently of the others, so
 * also in another order; the file may be longer than what is in it (zeros), a hole punched or not.
 * Of a folder: the names that stood in it when it was synced.  Each change since then may have happened or not; one
 * that needs an earlier one did not happen without it; a rename happens whole.  That is less than ext4 and xfs
 * promise (changes of names in order, a new file's name with its fsync), and what POSIX does.
 */
#ifndef CUTS_DISK_H
#define CUTS_DISK_H

#include "trace.h"

struct disk;

struct disk *disk_create(uint64_t root); /* the inode of the folder, empty */
/* All that is in the folder, durable. */
struct disk *disk_load(const char *folder);
void disk_destroy(struct disk **d);
/* Entry number `index` (the first is 0) happened. */
void disk_add(struct disk *d, const struct entry *e, uint64_t index);

/* What the power cut does to what was not synced. */
enum mood {
    MOOD_LOSE,    /* all of it is lost */
    MOOD_NAMES,   /* only names are kept */
    MOOD_BYTES,   /* only contents are kept */
    MOOD_KEEP,    /* nothing is lost */
    MOOD_ZEROS,   /* names and lengths are kept, contents are zeros */
    MOOD_ORDERED, /* each file up to some write, which is torn; names up to some change */
    MOOD_CHAOS,   /* each as it comes, names up to some change */
    MOOD_CHAOS_NAMES, /* ... and names as they come */
    MOODS
};
const char *mood_name(enum mood m);
/* Writes what is left into the folder `to`, which is there and empty. */
void disk_cut(const struct disk *d, enum mood mood, uint64_t seed, const char *to);

uint64_t rng_next(uint64_t *state); /* splitmix64 */
static inline uint64_t rng_below(uint64_t *state, uint64_t n)
{
    return rng_next(state) % n;
}

#endif
