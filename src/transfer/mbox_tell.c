/*
 * transfer/mbox_tell.c - the messages of one mbox, told.
 *
 * Layer: transfer.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"
#include "transfer/mbox_source.h"

enum { DIGEST_BYTES = 16, KEY_MAX = 2 * DIGEST_BYTES + 24 };

/* A number of copies for each digest; the digest's first half is enough to count by. */
struct mbox_seen {
    struct idmap counts;
    EVP_MD_CTX  *digest;
};

struct mbox_seen *mbox_seen_create(void)
{
    struct mbox_seen *s = xcalloc(1, sizeof *s);

    idmap_init(&s->counts);
    s->digest = EVP_MD_CTX_new();
    if (s->digest == NULL)
        die_no_memory(1);
    return s;
}

void mbox_seen_destroy(struct mbox_seen **s)
{
    if (*s == NULL)
        return;
    idmap_finish(&(*s)->counts);
    EVP_MD_CTX_free((*s)->digest);
    free(*s);
    *s = NULL;
}

struct taking {
    struct body *body;
    EVP_MD_CTX  *digest;
};

static bool take_piece(void *ctx, struct slice piece, struct fail *why)
{
    struct taking *t = ctx;

    return body_add(t->body, piece, why) && (EVP_DigestUpdate(t->digest, piece.ptr, piece.len) == 1 ||
                                             fail_set(why, FAIL_TEMP, FAIL_OTHER, "SHA-256 failed"));
}

/* "9f86d081884c7d65-2": the second message of these bytes. */
static struct slice key_of(struct mbox_seen *s, struct buf *out)
{
    unsigned char bytes[EVP_MAX_MD_SIZE] = {0};
    uint64_t      id;

    (void)EVP_DigestFinal_ex(s->digest, bytes, NULL);
    memcpy(&id, bytes, sizeof id);
    uintptr_t count = (uintptr_t)idmap_get(&s->counts, id) + 1;
    (void)idmap_put(&s->counts, id, (void *)count);
    hex_encode(out, slice_make(bytes, DIGEST_BYTES));
    buf_addf(out, "-%llu", (unsigned long long)count);
    return buf_slice(out);
}

static void leave_out(const struct mbox_file *f, const struct mbox_message *m, const char *reason)
{
    struct buf what;

    buf_init(&what, 2000);
    buf_addf(&what, "%.1500s: the message at byte %llu", f->shown, (unsigned long long)m->offset);
    f->into->left_out(f->into->ctx, buf_slice(&what), reason);
    buf_finish(&what);
}

static bool tell(struct mbox_file *f, const struct mbox_message *m, const struct mbox_adjust *adjust, struct slice key,
                 const struct body *body, struct fail *why)
{
    struct transfer_message told = {.uid = adjust->uid,
                                    .flags = adjust->flags,
                                    .keywords = adjust->keywords,
                                    .keyword_count = adjust->keyword_count,
                                    .internal_date = m->has_date ? m->date : clock_now(),
                                    .internal_zone = m->has_date ? m->zone : 0,
                                    .key = key};

    if (mbox_base_of(f->mbox)->uidvalidity != 0)
        told.uidl = m->uidl;
    if (adjust->uid != 0)
        told.key = (struct slice){0}; /* the UID says it */
    if (f->into->has == NULL || !f->into->has(f->into->ctx, &told))
        told.body = body;
    return f->into->message(f->into->ctx, &told, why);
}

enum mbox_step mbox_tell_next(struct mbox_file *f, struct mbox_seen *seen, mbox_adjust *adjust, void *ctx, bool *whole, struct fail *why)
{
    struct mbox_message m;
    struct taking       t = {.body = body_create(&f->source->bodies), .digest = seen->digest};
    struct mbox_sink    sink = {take_piece, &t};
    struct buf          key;

    (void)EVP_DigestInit_ex(seen->digest, EVP_sha256(), NULL);
    buf_init(&key, KEY_MAX);
    enum mbox_step step = mbox_next(f->mbox, &sink, &m, why);
    if (step == MBOX_MESSAGE) {
        struct mbox_adjust told = {.uid = m.uid, .flags = m.flags, .keywords = m.keywords, .keyword_count = m.keyword_count};
        const char *reason = m.refused               ? m.refusal.text
                             : body_size(t.body) == 0 ? "there is nothing in it"
                             : m.cut_short           ? "the file ends in the middle of it; what is there was taken"
                                                     : m.keywords_cut        ? "it has more than 512 keywords; the others did not come along"
                                                     : NULL;
        bool        counts = !m.internal && !m.expunged && adjust(ctx, &m, &told);
        if (counts && reason != NULL) {
            leave_out(f, &m, reason);
            *whole = false;
        }
        if (counts && !m.refused && body_size(t.body) > 0 && !tell(f, &m, &told, key_of(seen, &key), t.body, why))
            step = MBOX_FAILED;
        *f->messages += counts;
        *f->bytes += m.end - m.offset;
        if (f->into->progress != NULL)
            f->into->progress(f->into->ctx, *f->messages, *f->bytes, 0, f->all_bytes);
    }
    buf_finish(&key);
    body_destroy(&t.body);
    return step;
}
