/*
 * net/hush.c - see net/hush.h.
 *
 * Layer: net.
 */
#include "net/hush.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/fail.h"

enum { WAYS = 4, SETS = HUSH_ENTRIES / WAYS, KINDS = 2 };

struct entry {
    bool used;
    struct hush_count told;
    uint64_t key;
    int64_t since;
};

struct hush {
    pthread_mutex_t lock;
    struct entry entries[SETS][WAYS];
    unsigned lines; /* written since */
    int64_t lines_since;
    unsigned lost[KINDS]; /* counts of entries that had to go, and what was too much in all */
    int64_t next_look;    /* of hush_next: not before */
};

struct hush *hush_create(void)
{
    struct hush *h = xcalloc(1, sizeof(*h));

    (void)pthread_mutex_init(&h->lock, NULL);
    return h;
}

void hush_destroy(struct hush **h)
{
    if (*h == NULL)
        return;
    (void)pthread_mutex_destroy(&(*h)->lock);
    free(*h);
    *h = NULL;
}

static bool is_over(const struct entry *e, int64_t now)
{
    return now - e->since >= HUSH_MS;
}

/* Its entry, or NULL and in *place where a new one may be: one whose minute is over, else the quietest. */
static struct entry *find(struct hush *h, enum hush_kind kind, uint64_t key, int64_t now, struct entry **place)
{
    struct entry *set = h->entries[(key ^ key >> 32 ^ key >> 17) % SETS];

    *place = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *e = &set[i];
        if (e->used && e->key == key && e->told.kind == kind && !is_over(e, now))
            return e;
        if (!e->used || ((*place)->used && e->told.count < (*place)->told.count))
            *place = e;
    }
    return NULL;
}

static bool line_is_free(struct hush *h, int64_t now)
{
    if (now - h->lines_since >= HUSH_MS) {
        h->lines = 0;
        h->lines_since = now;
    }
    return h->lines++ < HUSH_LINES;
}

static bool speak(struct hush *h, enum hush_kind kind, uint64_t key, const struct conn_address *peer, int64_t now)
{
    struct entry *place, *e = find(h, kind, key, now, &place);

    if (e != NULL) {
        e->told.count++;
        return false;
    }
    if (!line_is_free(h, now)) {
        h->lost[kind]++;
        return false;
    }
    if (place->used)
        h->lost[place->told.kind] += place->told.count;
    *place = (struct entry){.used = true, .told = {.kind = kind, .peer = *peer}, .key = key, .since = now};
    return true;
}

bool hush_speak(struct hush *h, enum hush_kind kind, uint64_t key, const struct conn_address *peer, int64_t now)
{
    (void)pthread_mutex_lock(&h->lock);
    bool may = speak(h, kind, key, peer, now);
    (void)pthread_mutex_unlock(&h->lock);
    return may;
}

static bool next(struct hush *h, int64_t now, struct hush_count *out)
{
    for (unsigned s = 0; s < SETS; s++) {
        for (unsigned i = 0; i < WAYS; i++) {
            struct entry *e = &h->entries[s][i];
            if (!e->used || !is_over(e, now))
                continue;
            e->used = false;
            *out = e->told;
            if (out->count > 0)
                return true;
        }
    }
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (h->lost[kind] == 0)
            continue;
        *out = (struct hush_count){.kind = (enum hush_kind)kind, .count = h->lost[kind]};
        h->lost[kind] = 0;
        return true;
    }
    return false;
}

bool hush_next(struct hush *h, int64_t now, struct hush_count *out)
{
    bool found = false;

    (void)pthread_mutex_lock(&h->lock);
    if (now >= h->next_look) {
        found = next(h, now, out);
        if (!found)
            h->next_look = now + HUSH_MS / 4;
    }
    (void)pthread_mutex_unlock(&h->lock);
    return found;
}
