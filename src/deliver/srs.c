/*
 * deliver/srs.c - reverse-paths of forwards: the Sender Rewriting Scheme.
 *
 * Layer: deliver.
 */
#include "deliver/srs.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "directory/directory.h"

enum {
    DAY = 86400,
    KEY_DAYS = 30,    /* then a new one is made */
    GOOD_DAYS = 21,   /* a bounce comes within that */
    DAYS_MODULO = 1024, /* two letters of base32 */
    KEYS_MAX = 4,
    HASH_LETTERS = 8, /* 40 bits */
    FILE_MAX = 4096,
    LOWER_MAX = 1024,
};

struct key {
    int64_t       made; /* seconds since 1970 */
    unsigned char bytes[crypto_auth_hmacsha256_KEYBYTES];
};

struct srs {
    char           *path, *domain;
    pthread_mutex_t lock; /* over the keys */
    struct key      keys[KEYS_MAX]; /* the newest first */
    size_t          count;
};

/* ---- keys ---- */

/* "SECONDS HEX" */
static bool read_key(struct slice line, struct key *out)
{
    uint64_t   made;
    struct buf bytes;

    buf_init(&bytes, sizeof out->bytes);
    bool ok = slice_to_u64(slice_cut(&line, ' '), INT64_MAX, &made) && hex_decode(&bytes, line) &&
              bytes.len == sizeof out->bytes;
    if (ok) {
        out->made = (int64_t)made;
        memcpy(out->bytes, bytes.data, sizeof out->bytes);
    }
    buf_wipe(&bytes);
    return ok;
}

static bool read_keys(struct srs *s, struct fail *why)
{
    struct buf text;
    bool ok = true;

    if (access(s->path, F_OK) != 0 && errno == ENOENT)
        return true;
    buf_init(&text, FILE_MAX);
    ok = io_read_file(s->path, &text, why);
    for (struct slice rest = buf_slice(&text); ok && rest.len > 0 && s->count < KEYS_MAX;) {
        struct slice line = slice_cut(&rest, '\n');
        ok = read_key(line, &s->keys[s->count++]) ||
             fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: a line that is no key", s->path);
    }
    buf_wipe(&text);
    return ok;
}

static bool write_keys(const struct srs *s, struct fail *why)
{
    struct buf text;

    buf_init(&text, FILE_MAX);
    for (size_t i = 0; i < s->count; i++) {
        buf_addf(&text, "%lld ", (long long)s->keys[i].made);
        hex_encode(&text, slice_make(s->keys[i].bytes, sizeof s->keys[i].bytes));
        buf_add_char(&text, '\n');
    }
    bool ok = io_replace_file(s->path, buf_slice(&text), 0600, why);
    buf_wipe(&text);
    return ok;
}

/* A new key in front once the newest is old; those that nothing good was made with any more go. */
static bool renew(struct srs *s, int64_t now, struct fail *why)
{
    const struct key *newest = &s->keys[0];

    if (s->count > 0 && now - newest->made < (int64_t)KEY_DAYS * DAY)
        return true;
    while (s->count > 1 && now - s->keys[s->count - 2].made > (int64_t)GOOD_DAYS * DAY)
        s->count--;
    if (s->count == KEYS_MAX)
        s->count--;
    memmove(&s->keys[1], &s->keys[0], s->count * sizeof s->keys[0]);
    s->keys[0].made = now;
    random_bytes(s->keys[0].bytes, sizeof s->keys[0].bytes);
    s->count++;
    return write_keys(s, why);
}

bool srs_open(const char *path, const char *domain, struct srs **out, struct fail *why)
{
    SCOPED(srs_close) struct srs *s = xcalloc(1, sizeof *s);

    s->path = xstrdup(path);
    s->domain = xstrdup(domain);
    (void)pthread_mutex_init(&s->lock, NULL);
    if (!read_keys(s, why) || !renew(s, clock_now(), why))
        return fail_at(why, "SRS");
    *out = s;
    s = NULL;
    return true;
}

void srs_close(struct srs **sp)
{
    struct srs *s = *sp;

    if (s == NULL)
        return;
    sodium_memzero(s->keys, sizeof s->keys);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s->domain);
    free(s);
    *sp = NULL;
}

/* ---- hash and day ---- */

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

static int base32_value(char c)
{
    const char *at = c != '\0' ? strchr(base32, ascii_lower(c)) : NULL;

    return at != NULL ? (int)(at - base32) : -1;
}

static void hash_with(const struct key *key, struct slice text, char out[HASH_LETTERS])
{
    unsigned char lower[LOWER_MAX], mac[crypto_auth_hmacsha256_BYTES];
    size_t n = text.len < sizeof lower ? text.len : sizeof lower;
    uint64_t bits = 0;

    for (size_t i = 0; i < n; i++)
        lower[i] = (unsigned char)ascii_lower(text.ptr[i]);
    (void)crypto_auth_hmacsha256(mac, lower, n, key->bytes);
    for (int i = 0; i < 5; i++)
        bits = bits << 8 | mac[i];
    for (int i = HASH_LETTERS; i-- > 0; bits >>= 5)
        out[i] = base32[bits & 31];
}

/* By any of the keys. */
static bool hash_is_ours(const struct srs *s, struct slice hash, struct slice text)
{
    struct srs *locked = (struct srs *)(uintptr_t)s; /* only its lock is touched */
    char given[HASH_LETTERS], right[HASH_LETTERS];
    bool ours = false;

    if (hash.len != HASH_LETTERS || text.len > LOWER_MAX)
        return false;
    for (size_t i = 0; i < HASH_LETTERS; i++)
        given[i] = ascii_lower(hash.ptr[i]);
    (void)pthread_mutex_lock(&locked->lock);
    for (size_t i = 0; i < s->count; i++) {
        hash_with(&s->keys[i], text, right);
        ours = ours || sodium_memcmp(given, right, sizeof right) == 0;
    }
    (void)pthread_mutex_unlock(&locked->lock);
    return ours;
}

static void hash_now(const struct srs *s, struct slice text, char out[HASH_LETTERS])
{
    struct srs *locked = (struct srs *)(uintptr_t)s;
    struct fail why;

    (void)pthread_mutex_lock(&locked->lock);
    if (!renew(locked, clock_now(), &why))
        log_event(LOG_ERROR, "deliver.srs_key", LOG_FAIL(&why));
    hash_with(&s->keys[0], text, out);
    (void)pthread_mutex_unlock(&locked->lock);
}

static unsigned today(void)
{
    return (unsigned)(clock_now() / DAY) % DAYS_MODULO;
}

static bool day_is_good(struct slice day)
{
    int high = day.len == 2 ? base32_value(day.ptr[0]) : -1, low = day.len == 2 ? base32_value(day.ptr[1]) : -1;

    if (high < 0 || low < 0)
        return false;
    unsigned age = (today() + DAYS_MODULO - (unsigned)(high * 32 + low)) % DAYS_MODULO;
    return age <= GOOD_DAYS || age == DAYS_MODULO - 1; /* our clock may have been set back */
}

/* ---- there ---- */

static bool is_srs(struct slice local, char kind)
{
    return local.len > 5 && slice_starts_nocase(local, SLICE("SRS")) && local.ptr[3] == kind &&
           (local.ptr[4] == '=' || local.ptr[4] == '+' || local.ptr[4] == '-');
}

bool srs_is_domain(const struct srs *s, struct slice domain)
{
    return s->domain[0] != '\0' && slice_eq_nocase(slice_of(s->domain), domain);
}

bool srs_is(struct slice address)
{
    return is_srs(address, '0') || is_srs(address, '1');
}

static struct slice with_hash(const struct srs *s, const char *kind, struct slice text, struct slice domain,
                              struct arena *a)
{
    char hash[HASH_LETTERS];

    hash_now(s, text, hash);
    return arena_printf(a, "%s=%.*s=" PRIslice "@" PRIslice, kind, HASH_LETTERS, hash, SLICE_ARG(text),
                        SLICE_ARG(domain));
}

struct slice srs_forward(const struct srs *s, struct directory *d, struct slice sender, struct arena *a)
{
    const size_t at = slice_rfind_char(sender, '@');
    const struct slice local = slice_sub(sender, 0, at), domain = slice_from(sender, at + 1);
    const struct slice ours = s->domain[0] != '\0' ? slice_of(s->domain) : directory_first_domain(d, a);

    /* With a quoted local part inside it would be no address at all: SPF's word against none. */
    if (local.len == 0 || local.ptr[0] == '"' || domain.len == 0 || ours.len == 0 || directory_is_local_domain(d, domain) ||
        slice_eq_nocase(domain, ours))
        return sender;
    if (is_srs(local, '0')) { /* its forwarder's name, and the rest as it is, with the sign behind SRS0 */
        struct slice text = arena_printf(a, PRIslice "=" PRIslice, SLICE_ARG(domain), SLICE_ARG(slice_from(local, 4)));
        return with_hash(s, "SRS1", text, ours, a);
    }
    if (is_srs(local, '1')) { /* the first forwarder is who knows the way back: nobody between needs to */
        struct slice rest = slice_from(local, 5);
        (void)slice_cut(&rest, '=');
        if (slice_find_char(rest, '=') < rest.len)
            return with_hash(s, "SRS1", rest, ours, a);
    }
    const unsigned day = today();
    struct slice text = arena_printf(a, "%c%c=" PRIslice "=" PRIslice, base32[day / 32], base32[day % 32],
                                     SLICE_ARG(domain), SLICE_ARG(local));
    return with_hash(s, "SRS0", text, ours, a);
}

/* ---- and back ---- */

/* hash=day=domain=local */
static bool reverse_0(const struct srs *s, struct slice rest, struct arena *a, struct slice *sender)
{
    struct slice hash = slice_cut(&rest, '='), text = rest, day = slice_cut(&rest, '='),
                 domain = slice_cut(&rest, '=');

    if (rest.len == 0 || domain.len == 0 || !day_is_good(day) || !hash_is_ours(s, hash, text))
        return false;
    *sender = arena_printf(a, PRIslice "@" PRIslice, SLICE_ARG(rest), SLICE_ARG(domain));
    return true;
}

/* hash=forwarder=(the rest of SRS0, with the sign behind it) */
static bool reverse_1(const struct srs *s, struct slice rest, struct arena *a, struct slice *sender)
{
    struct slice hash = slice_cut(&rest, '='), text = rest, forwarder = slice_cut(&rest, '=');

    if (rest.len < 2 || forwarder.len == 0 || !hash_is_ours(s, hash, text))
        return false;
    *sender = arena_printf(a, "SRS0" PRIslice "@" PRIslice, SLICE_ARG(rest), SLICE_ARG(forwarder));
    return true;
}

enum srs_found srs_reverse(const struct srs *s, struct slice local, struct arena *a, struct slice *sender)
{
    if (!srs_is(local))
        return SRS_NOT;
    const struct slice rest = slice_from(local, 5);
    const bool good = local.ptr[3] == '0' ? reverse_0(s, rest, a, sender) : reverse_1(s, rest, a, sender);

    return good && !a->failed ? SRS_GOOD : SRS_BAD;
}
