/*
 * base/map.c - hash tables keyed by text or by number.
 *
 * Layer: base.  Open addressing with linear probing over a power-of-two table, at
 * most three quarters full.  Removal moves later entries of the run back, so
 * there are no tombstones and a look-up ends at the first empty slot.
 */
#include "base/map.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/fail.h"

struct map_slot {
    char    *key; /* NULL: the slot is empty */
    size_t   key_len;
    uint64_t hash;
    void    *value;
};

struct idmap_slot {
    uint64_t key;
    void    *value; /* NULL: the slot is empty */
};

enum { CAP_FIRST = 8 };

/* One key for the whole process, drawn once. */
static unsigned char  hash_key[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void draw_hash_key(void)
{
    random_bytes(hash_key, sizeof hash_key);
}

uint64_t hash_bytes(struct slice s)
{
    uint64_t hash;

    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "SipHash-2-4 gives 64 bits");
    (void)pthread_once(&hash_key_once, draw_hash_key);
    (void)crypto_shorthash((unsigned char *)&hash, (const unsigned char *)(s.ptr != NULL ? s.ptr : ""), s.len,
                           hash_key);
    return hash;
}

uint64_t hash_for_good(struct slice s)
{
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "posthorn threads";
    uint64_t hash;

    (void)crypto_shorthash((unsigned char *)&hash, (const unsigned char *)(s.ptr != NULL ? s.ptr : ""), s.len,
                           key);
    return hash;
}

static bool too_full(size_t count, size_t cap)
{
    return count + 1 > cap - cap / 4;
}

static size_t grown_cap(size_t cap, size_t slot_size)
{
    if (cap > SIZE_MAX / 2 / slot_size)
        die_no_memory(SIZE_MAX);
    return cap > 0 ? cap * 2 : CAP_FIRST;
}

/*
 * After slot `hole` was emptied: may the entry at `at`, whose home is `home`, stay
 * where it is?  Yes if its home lies in the run behind the hole (cyclically).
 */
static bool may_stay(size_t hole, size_t at, size_t home)
{
    return hole <= at ? home > hole && home <= at : home > hole || home <= at;
}

/* ---- text ---- */

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_finish(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i].key);
    free(m->slots);
    map_init(m);
}

/* The key's slot, or the empty one where it would go.  The table has an empty slot. */
static struct map_slot *map_slot(const struct map *m, struct slice key, uint64_t hash)
{
    size_t at = (size_t)hash & (m->cap - 1);

    while (m->slots[at].key != NULL) {
        struct map_slot *s = &m->slots[at];
        if (s->hash == hash && slice_eq(slice_make(s->key, s->key_len), key))
            return s;
        at = (at + 1) & (m->cap - 1);
    }
    return &m->slots[at];
}

static void map_grow(struct map *m)
{
    struct map bigger = {.count = m->count, .cap = grown_cap(m->cap, sizeof *m->slots)};

    bigger.slots = xcalloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < m->cap; i++) {
        struct map_slot *s = &m->slots[i];
        if (s->key != NULL)
            *map_slot(&bigger, slice_make(s->key, s->key_len), s->hash) = *s;
    }
    free(m->slots);
    *m = bigger;
}

void *map_get(const struct map *m, struct slice key)
{
    return m->count > 0 ? map_slot(m, key, hash_bytes(key))->value : NULL;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    uint64_t hash = hash_bytes(key);

    if (value == NULL)
        bug("NULL put into a map");
    if (m->cap == 0 || too_full(m->count, m->cap))
        map_grow(m);
    struct map_slot *s = map_slot(m, key, hash);
    void            *old = s->value;
    if (s->key == NULL) {
        *s = (struct map_slot){.key = xslicedup(key), .key_len = key.len, .hash = hash};
        m->count++;
    }
    s->value = value;
    return old;
}

void *map_remove(struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    struct map_slot *s = map_slot(m, key, hash_bytes(key));
    void            *value = s->value;
    if (s->key == NULL)
        return NULL;
    free(s->key);
    m->count--;

    size_t hole = (size_t)(s - m->slots), mask = m->cap - 1;
    for (size_t at = (hole + 1) & mask; m->slots[at].key != NULL; at = (at + 1) & mask) {
        if (!may_stay(hole, at, (size_t)m->slots[at].hash & mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    return value;
}

bool map_next(const struct map *m, size_t *at, struct slice *key, void **value)
{
    while (*at < m->cap) {
        const struct map_slot *s = &m->slots[(*at)++];
        if (s->key != NULL) {
            *key = slice_make(s->key, s->key_len);
            *value = s->value;
            return true;
        }
    }
    return false;
}

/* ---- numbers ---- */

void idmap_init(struct idmap *m)
{
    *m = (struct idmap){0};
}

void idmap_finish(struct idmap *m)
{
    free(m->slots);
    idmap_init(m);
}

static size_t idmap_home(const struct idmap *m, uint64_t key)
{
    return (size_t)hash_bytes(slice_make(&key, sizeof key)) & (m->cap - 1);
}

static struct idmap_slot *idmap_slot(const struct idmap *m, uint64_t key)
{
    size_t at = idmap_home(m, key);

    while (m->slots[at].value != NULL && m->slots[at].key != key)
        at = (at + 1) & (m->cap - 1);
    return &m->slots[at];
}

static void idmap_grow(struct idmap *m)
{
    struct idmap bigger = {.count = m->count, .cap = grown_cap(m->cap, sizeof *m->slots)};

    bigger.slots = xcalloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].value != NULL)
            *idmap_slot(&bigger, m->slots[i].key) = m->slots[i];
    }
    free(m->slots);
    *m = bigger;
}

void *idmap_get(const struct idmap *m, uint64_t key)
{
    return m->count > 0 ? idmap_slot(m, key)->value : NULL;
}

void *idmap_put(struct idmap *m, uint64_t key, void *value)
{
    if (value == NULL)
        bug("NULL put into a map");
    if (m->cap == 0 || too_full(m->count, m->cap))
        idmap_grow(m);
    struct idmap_slot *s = idmap_slot(m, key);
    void              *old = s->value;
    if (old == NULL)
        m->count++;
    *s = (struct idmap_slot){.key = key, .value = value};
    return old;
}

void *idmap_remove(struct idmap *m, uint64_t key)
{
    if (m->count == 0)
        return NULL;
    struct idmap_slot *s = idmap_slot(m, key);
    void              *value = s->value;
    if (value == NULL)
        return NULL;
    m->count--;

    size_t hole = (size_t)(s - m->slots), mask = m->cap - 1;
    for (size_t at = (hole + 1) & mask; m->slots[at].value != NULL; at = (at + 1) & mask) {
        if (!may_stay(hole, at, idmap_home(m, m->slots[at].key))) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = (struct idmap_slot){0};
    return value;
}

bool idmap_next(const struct idmap *m, size_t *at, uint64_t *key, void **value)
{
    while (*at < m->cap) {
        const struct idmap_slot *s = &m->slots[(*at)++];
        if (s->value != NULL) {
            *key = s->key;
            *value = s->value;
            return true;
        }
    }
    return false;
}
