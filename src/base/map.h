/*
 * base/map.h - hash tables keyed by text or by number.
 *
 * Layer: base.  Keyed by SipHash with a per-process random key, so that nobody
 * outside can choose colliding keys.  Not locked: the owner locks.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

/* Text to pointer.  Keys are copied; values are the caller's. */
struct map_slot;
struct map {
    struct map_slot *slots;
    size_t           count, cap;
};

void  map_init(struct map *m);
void  map_finish(struct map *m); /* frees keys and table, not the values */
void *map_get(const struct map *m, struct slice key); /* NULL if absent */
/* Sets or replaces; returns the value replaced, or NULL.  `value` must not be NULL. */
void *map_put(struct map *m, struct slice key, void *value);
void *map_remove(struct map *m, struct slice key); /* the value removed, or NULL */
/* Walk: start with *at = 0; false at the end.  No change to the map meanwhile. */
bool  map_next(const struct map *m, size_t *at, struct slice *key, void **value);

/* Number to pointer. */
struct idmap_slot;
struct idmap {
    struct idmap_slot *slots;
    size_t             count, cap;
};

void  idmap_init(struct idmap *m);
void  idmap_finish(struct idmap *m);
void *idmap_get(const struct idmap *m, uint64_t key);
void *idmap_put(struct idmap *m, uint64_t key, void *value);
void *idmap_remove(struct idmap *m, uint64_t key);
bool  idmap_next(const struct idmap *m, size_t *at, uint64_t *key, void **value);

/* The keyed hash itself. */
uint64_t hash_bytes(struct slice s);
/* The same with a key that is known to all and never changes: for what is stored. */
uint64_t hash_for_good(struct slice s);

#endif
