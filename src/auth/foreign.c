/*
 * auth/foreign.c - see auth/foreign.h.
 *
 * Layer: auth.
 */
#include "auth/foreign.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/scoped.h"

enum {
    DIGEST_MOST = 64,
    SALT_MOST = 64,
    CRYPT_ROUNDS = 1000000, /* half a second */
    BCRYPT_COST = 14,       /* a second */
    ITERATIONS = 2000000,   /* of HMAC: a second */
    ARGON_KIB = 256 << 10,
    ARGON_WORK = 1 << 20,   /* passes times KiB */
    DECODED_MOST = 512,
};

enum kind { KIND_PLAIN, KIND_CRYPT, KIND_DIGEST, KIND_PBKDF2, KIND_SCRAM, KIND_ARGON, KIND_MD5, KIND_REFUSED };
enum form { FORM_TEXT, FORM_HEX, FORM_BASE64 };

static const struct scheme {
    const char *name;
    enum kind kind;
    enum form form;
    const char *digest; /* OpenSSL's name; a refused one's reason */
    bool salted;
} schemes[] = {
    {"PLAIN", KIND_PLAIN, FORM_TEXT, NULL, false},
    {"CLEAR", KIND_PLAIN, FORM_TEXT, NULL, false},
    {"CLEARTEXT", KIND_PLAIN, FORM_TEXT, NULL, false},
    {"CRYPT", KIND_CRYPT, FORM_TEXT, NULL, false},
    {"DES-CRYPT", KIND_CRYPT, FORM_TEXT, NULL, false},
    {"MD5-CRYPT", KIND_CRYPT, FORM_TEXT, NULL, false},
    {"SHA256-CRYPT", KIND_CRYPT, FORM_TEXT, NULL, false},
    {"SHA512-CRYPT", KIND_CRYPT, FORM_TEXT, NULL, false},
    {"BLF-CRYPT", KIND_CRYPT, FORM_TEXT, NULL, false},
    {"ARGON2I", KIND_ARGON, FORM_TEXT, NULL, false},
    {"ARGON2ID", KIND_ARGON, FORM_TEXT, NULL, false},
    {"PBKDF2", KIND_PBKDF2, FORM_TEXT, "SHA1", false},
    {"SCRAM-SHA-1", KIND_SCRAM, FORM_TEXT, "SHA1", false},
    {"SCRAM-SHA-256", KIND_SCRAM, FORM_TEXT, "SHA256", false},
    {"MD5", KIND_MD5, FORM_TEXT, "MD5", false},
    {"PLAIN-MD5", KIND_DIGEST, FORM_HEX, "MD5", false},
    {"LDAP-MD5", KIND_DIGEST, FORM_BASE64, "MD5", false},
    {"SMD5", KIND_DIGEST, FORM_BASE64, "MD5", true},
    {"SHA", KIND_DIGEST, FORM_BASE64, "SHA1", false},
    {"SHA1", KIND_DIGEST, FORM_BASE64, "SHA1", false},
    {"SHA256", KIND_DIGEST, FORM_BASE64, "SHA256", false},
    {"SHA512", KIND_DIGEST, FORM_BASE64, "SHA512", false},
    {"SSHA", KIND_DIGEST, FORM_BASE64, "SHA1", true},
    {"SSHA256", KIND_DIGEST, FORM_BASE64, "SHA256", true},
    {"SSHA512", KIND_DIGEST, FORM_BASE64, "SHA512", true},
    {"CRAM-MD5", KIND_REFUSED, FORM_TEXT, "it is good for CRAM-MD5 alone, which nobody should speak any more", false},
    {"HMAC-MD5", KIND_REFUSED, FORM_TEXT, "it is good for CRAM-MD5 alone, which nobody should speak any more", false},
    {"DIGEST-MD5", KIND_REFUSED, FORM_TEXT, "it is good for DIGEST-MD5 alone (RFC 6331: historic)", false},
    {"LANMAN", KIND_REFUSED, FORM_TEXT, "anybody can turn it back into the password", false},
    {"NTLM", KIND_REFUSED, FORM_TEXT, "whoever has it can sign in elsewhere with it", false},
    {"PLAIN-MD4", KIND_REFUSED, FORM_TEXT, "MD4 is broken, and not in the libraries any more", false},
};

/* "{SCHEME.form}rest" in pieces. */
struct parsed {
    const struct scheme *scheme;
    enum form form;
    struct slice rest;
};

static bool invalid(struct fail *why, const char *text)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s", text);
}

static bool parse(struct slice text, struct parsed *out, struct fail *why)
{
    struct slice name = SLICE("CRYPT");

    out->rest = text;
    if (slice_starts(text, SLICE("{"))) {
        size_t end = slice_find_char(text, '}');
        if (end == text.len)
            return invalid(why, "the scheme of a hash ends with }");
        name = slice_sub(text, 1, end - 1);
        out->rest = slice_from(text, end + 1);
    }
    struct slice encoding = name, bare = slice_cut(&encoding, '.');
    out->scheme = NULL;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (slice_eq_nocase(bare, slice_of(schemes[i].name)))
            out->scheme = &schemes[i];
    if (out->scheme == NULL)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "the scheme {" PRIslice "} is not known", SLICE_ARG(name));
    if (out->scheme->kind == KIND_REFUSED)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "a hash of {%s} cannot be taken: %s", out->scheme->name,
                        out->scheme->digest);
    out->form = out->scheme->form;
    if (slice_eq_nocase(encoding, SLICE("b64")) || slice_eq_nocase(encoding, SLICE("base64")))
        out->form = FORM_BASE64;
    else if (slice_eq_nocase(encoding, SLICE("hex")))
        out->form = FORM_HEX;
    else if (encoding.len > 0)
        return invalid(why, "a hash is encoded as b64 or hex");
    return true;
}

/* base64 as it is found: Dovecot takes it with and without padding. */
static bool decode_base64(struct slice text, struct buf *out)
{
    struct buf padded;

    buf_init(&padded, 4L * DECODED_MOST);
    buf_add(&padded, text);
    while (padded.len % 4 != 0 && !padded.failed)
        buf_add_char(&padded, '=');
    bool ok = !padded.failed && base64_decode(out, buf_slice(&padded));
    buf_finish(&padded);
    return ok;
}

/* Upper case too. */
static bool decode_hex(struct slice text, struct buf *out)
{
    struct buf lower;

    buf_init(&lower, 4L * DECODED_MOST);
    for (size_t i = 0; i < text.len; i++)
        buf_add_char(&lower, text.ptr[i] >= 'A' && text.ptr[i] <= 'F' ? (char)(text.ptr[i] + 32) : text.ptr[i]);
    bool ok = !lower.failed && hex_decode(out, buf_slice(&lower));
    buf_finish(&lower);
    return ok;
}

static bool decode(struct slice text, enum form form, struct buf *out)
{
    switch (form) {
    case FORM_TEXT: buf_add(out, text); return !out->failed;
    case FORM_HEX: return decode_hex(text, out);
    case FORM_BASE64: return decode_base64(text, out);
    }
    return false;
}

/* ---- what may be taken ---- */

/* "$6$rounds=5000$..." and "$5$". */
static bool rounds_fit(struct slice hash)
{
    struct slice rest = slice_from(hash, 3);
    uint64_t rounds;

    if (!slice_starts(rest, SLICE("rounds=")))
        return true;
    rest = slice_from(rest, 7);
    return slice_to_u64(slice_cut(&rest, '$'), CRYPT_ROUNDS, &rounds);
}

static bool is_des(struct slice hash)
{
    for (size_t i = 0; i < hash.len && hash.ptr != NULL; i++)
        if (strchr("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", hash.ptr[i]) == NULL)
            return false;
    return hash.len == 13;
}

/* libxcrypt's "$y$j9T$": flags, the logarithm of the memory, the block size; of at most 256 MB. */
static bool yescrypt_fits(struct slice hash)
{
    struct slice rest = slice_from(hash, slice_starts(hash, SLICE("$gy$")) ? 4 : 3), cost = slice_cut(&rest, '$');

    return cost.len == 3 && cost.ptr[0] == 'j' && cost.ptr[1] >= '/' && cost.ptr[1] <= 'D' && cost.ptr[2] >= '/' &&
           cost.ptr[2] <= 'T' && rest.len > 0;
}

static bool number_in(struct slice text, const char *name, uint64_t limit, uint64_t *out)
{
    size_t at = slice_find(text, slice_of(name));
    struct slice rest = slice_from(text, at + strlen(name));
    size_t digits = 0;

    while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9')
        digits++;
    return at < text.len && slice_to_u64(slice_sub(rest, 0, digits), limit, out) && *out > 0;
}

/* "$argon2id$v=19$m=65536,t=3,p=1$salt$hash" */
static bool argon_fits(struct slice hash, struct fail *why)
{
    struct hash_text text = {0};
    uint64_t memory, passes, lanes;

    if (hash.ptr == NULL || hash.len >= crypto_pwhash_STRBYTES ||
        !(slice_starts(hash, SLICE("$argon2id$v=19$")) || slice_starts(hash, SLICE("$argon2i$v=19$"))))
        return invalid(why, "an Argon2 hash is $argon2id$v=19$... or $argon2i$v=19$..., in at most 127 bytes");
    memcpy(text.text, hash.ptr, hash.len);
    int known = slice_starts(hash, SLICE("$argon2id$"))
                    ? crypto_pwhash_argon2id_str_needs_rehash(text.text, 1, crypto_pwhash_MEMLIMIT_MIN)
                    : crypto_pwhash_argon2i_str_needs_rehash(text.text, 3, crypto_pwhash_MEMLIMIT_MIN);
    if (known < 0)
        return invalid(why, "the Argon2 hash is damaged");
    if (!number_in(hash, "$m=", ARGON_KIB, &memory) || !number_in(hash, ",t=", ARGON_WORK, &passes) ||
        !number_in(hash, ",p=", 16, &lanes) || passes * memory > ARGON_WORK)
        return invalid(why, "the Argon2 hash takes more memory or time than a login may (256 MB)");
    return true;
}

static bool crypt_fits(struct slice hash, struct fail *why)
{
    uint64_t cost;

    if (slice_starts(hash, SLICE("$argon2")))
        return argon_fits(hash, why);
    if (slice_starts(hash, SLICE("!")) || slice_starts(hash, SLICE("*")))
        return invalid(why, "the password is locked");
    if (slice_starts(hash, SLICE("$1$")) || is_des(hash))
        return true;
    if (slice_starts(hash, SLICE("$5$")) || slice_starts(hash, SLICE("$6$")))
        return rounds_fit(hash) || invalid(why, "the hash has more rounds than a login may (1000000)");
    if (hash.ptr != NULL && slice_starts(hash, SLICE("$2")) && hash.len == 60 && hash.ptr[3] == '$' && strchr("aby", hash.ptr[2]) != NULL)
        return (slice_to_u64(slice_sub(hash, 4, 2), BCRYPT_COST, &cost) && cost >= 4) ||
               invalid(why, "the hash has a higher cost than a login may (14)");
    if (slice_starts(hash, SLICE("$y$")) || slice_starts(hash, SLICE("$gy$")))
        return yescrypt_fits(hash) || invalid(why, "the yescrypt hash is damaged or takes more than 256 MB");
    return invalid(why, "no hash that crypt(3) would know: DES, $1$, $2a$ to $2y$, $5$, $6$, $y$, $argon2id$");
}

/* ---- digests, iterated ones ---- */

static const EVP_MD *digest_of(const struct scheme *s)
{
    return EVP_get_digestbyname(s->digest);
}

struct iterated {
    unsigned iterations;
    unsigned char salt[SALT_MOST], expected[DIGEST_MOST], server[DIGEST_MOST];
    size_t salt_len;
};

static bool take(struct buf *from, unsigned char *out, size_t most, size_t *len)
{
    bool ok = !from->failed && from->len > 0 && from->len <= most;

    if (ok) {
        memcpy(out, from->data, from->len);
        *len = from->len;
    }
    buf_reset(from);
    return ok;
}

/* Dovecot's "$1$salt$rounds$hex" */
static bool read_pbkdf2(struct slice text, struct iterated *out)
{
    SCOPED(buf_finish) struct buf bytes = {0};
    struct slice rest = slice_from(text, 3), salt = slice_cut(&rest, '$'), rounds = slice_cut(&rest, '$');
    uint64_t n = 0;
    size_t len = 0;

    buf_init(&bytes, DECODED_MOST);
    if (!slice_starts(text, SLICE("$1$")) || salt.len == 0 || salt.len > SALT_MOST || !slice_to_u64(rounds, ITERATIONS, &n) ||
        n == 0 || !decode_hex(rest, &bytes) || !take(&bytes, out->expected, DIGEST_MOST, &len) || len != 20)
        return false;
    memcpy(out->salt, salt.ptr, salt.len);
    out->salt_len = salt.len;
    out->iterations = (unsigned)n;
    return true;
}

/* Dovecot's "iterations,salt,StoredKey,ServerKey", in base64. */
static bool read_scram(struct slice text, size_t size, struct iterated *out)
{
    SCOPED(buf_finish) struct buf bytes = {0};
    struct slice rest = text, rounds = slice_cut(&rest, ','), salt = slice_cut(&rest, ','), stored = slice_cut(&rest, ',');
    uint64_t n = 0;
    size_t len = 0, server = 0;

    buf_init(&bytes, DECODED_MOST);
    bool ok = slice_to_u64(rounds, ITERATIONS, &n) && n > 0 && decode_base64(salt, &bytes) &&
              take(&bytes, out->salt, SALT_MOST, &out->salt_len) && decode_base64(stored, &bytes) &&
              take(&bytes, out->expected, DIGEST_MOST, &len) && decode_base64(rest, &bytes) &&
              take(&bytes, out->server, DIGEST_MOST, &server) && len == size && server == size;
    out->iterations = (unsigned)n;
    return ok;
}

static bool digest_fits(const struct parsed *p)
{
    SCOPED(buf_finish) struct buf bytes = {0};
    const EVP_MD *md = digest_of(p->scheme);
    size_t size = md != NULL ? (size_t)EVP_MD_get_size(md) : 0;

    buf_init(&bytes, DECODED_MOST);
    return size > 0 && decode(p->rest, p->form, &bytes) &&
           (p->scheme->salted ? bytes.len > size && bytes.len <= size + SALT_MOST : bytes.len == size);
}

/* Dovecot's MD5 is any of three. */
static struct parsed md5_kind(struct slice rest)
{
    const char *name = slice_starts(rest, SLICE("$1$")) ? "MD5-CRYPT" : rest.len == 32 ? "PLAIN-MD5" : "LDAP-MD5";
    struct parsed p = {.scheme = &schemes[0], .rest = rest};

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (slice_eq(slice_of(name), slice_of(schemes[i].name)))
            p.scheme = &schemes[i];
    p.form = p.scheme->form;
    return p;
}

static bool fits(const struct parsed *p, struct iterated *it, struct fail *why)
{
    SCOPED(buf_finish) struct buf bytes = {0};
    struct parsed md5;

    buf_init(&bytes, DECODED_MOST);
    switch (p->scheme->kind) {
    case KIND_CRYPT:
    case KIND_ARGON:
        if (!decode(p->rest, p->form, &bytes) || memchr(bytes.data != NULL ? bytes.data : "", '\0', bytes.len) != NULL)
            return invalid(why, "the hash is damaged");
        return p->scheme->kind == KIND_ARGON ? argon_fits(buf_slice(&bytes), why) : crypt_fits(buf_slice(&bytes), why);
    case KIND_DIGEST: return digest_fits(p) || invalid(why, "the hash is damaged: not as long as it must be");
    case KIND_PBKDF2: return read_pbkdf2(p->rest, it) || invalid(why, "the PBKDF2 hash is damaged or has too many rounds");
    case KIND_SCRAM:
        return read_scram(p->rest, (size_t)EVP_MD_get_size(digest_of(p->scheme)), it) ||
               invalid(why, "the SCRAM keys are damaged or have too many iterations");
    case KIND_MD5: md5 = md5_kind(p->rest); return fits(&md5, it, why);
    case KIND_PLAIN:
    case KIND_REFUSED: break;
    }
    return p->scheme->kind == KIND_PLAIN;
}

bool foreign_is(const struct hash_text *stored)
{
    return stored->text[0] == '{';
}

bool foreign_read(struct slice text, struct hash_text *out, struct scram_keys *keys, bool *plain,
                  struct slice *password, struct fail *why)
{
    struct iterated it = {0};
    struct parsed p;

    *out = (struct hash_text){0};
    *keys = (struct scram_keys){0};
    *plain = false;
    for (size_t i = 0; i < text.len; i++) /* it is kept as a C string; a password itself may hold anything */
        if ((unsigned char)text.ptr[i] < ' ' && !slice_starts_nocase(text, SLICE("{PLAIN")) && !slice_starts_nocase(text, SLICE("{CLEAR")))
            return invalid(why, "the hash is damaged: there is a control character in it");
    if (!parse(text, &p, why) || !fits(&p, &it, why))
        return false;
    if (p.scheme->kind == KIND_PLAIN) {
        *plain = true;
        *password = p.rest;
        return p.form == FORM_TEXT || invalid(why, "a password without a hash is not encoded");
    }
    size_t at = slice_starts(text, SLICE("{")) ? 0 : sizeof "{CRYPT}" - 1;
    if (at + text.len >= sizeof out->text)
        return invalid(why, "the hash is too long");
    memcpy(out->text, "{CRYPT}", sizeof "{CRYPT}" - 1);
    memcpy(out->text + at, text.ptr, text.len);
    out->text[at + text.len] = '\0';
    if (slice_eq(slice_of(p.scheme->name), SLICE("SCRAM-SHA-256")) && it.salt_len == SCRAM_SALT_BYTES) {
        keys->iterations = it.iterations;
        memcpy(keys->salt, it.salt, sizeof keys->salt);
        memcpy(keys->stored_key, it.expected, sizeof keys->stored_key);
        memcpy(keys->server_key, it.server, sizeof keys->server_key);
    }
    return true;
}

/* ---- is it the password? ---- */

static bool verify_argon(const char *hash, struct slice password)
{
    return (strncmp(hash, "$argon2id$", 10) == 0 ? crypto_pwhash_argon2id_str_verify(hash, password.ptr, password.len)
                                                 : crypto_pwhash_argon2i_str_verify(hash, password.ptr, password.len)) == 0;
}

static bool verify_crypt(struct slice hash, struct slice password, bool *right, struct fail *why)
{
    char *text = xslicedup(hash), *word = xslicedup(password);
    bool ok = true;

    if (strncmp(text, "$argon2", 7) == 0) {
        *right = verify_argon(text, password);
    } else if (memchr(password.ptr, '\0', password.len) == NULL) {
        struct crypt_data *data = xcalloc(1, sizeof *data);
        /* Not crypt_r: a sanitizer's own stands before it and looks for one that nobody else needs. */
        const char *made = crypt_rn(word, text, data, (int)sizeof *data);
        bool memory = made != NULL || errno != ENOMEM;
        size_t len = made != NULL ? strlen(made) : 0;
        *right = len == hash.len && len > 2 && sodium_memcmp(made, text, len) == 0;
        sodium_memzero(data, sizeof *data);
        free(data);
        ok = memory || fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.7.0", "no memory to check a password");
    }
    sodium_memzero(word, password.len);
    free(word);
    free(text);
    return ok;
}

static bool verify_digest(const struct parsed *p, struct slice password)
{
    SCOPED(buf_finish) struct buf bytes = {0};
    unsigned char made[EVP_MAX_MD_SIZE];
    const EVP_MD *md = digest_of(p->scheme);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned size = 0;

    buf_init(&bytes, DECODED_MOST);
    bool ok = ctx != NULL && md != NULL && decode(p->rest, p->form, &bytes) && bytes.len >= (size_t)EVP_MD_get_size(md) &&
              EVP_DigestInit_ex(ctx, md, NULL) == 1 && EVP_DigestUpdate(ctx, password.ptr, password.len) == 1 &&
              EVP_DigestUpdate(ctx, bytes.data + EVP_MD_get_size(md), bytes.len - (size_t)EVP_MD_get_size(md)) == 1 &&
              EVP_DigestFinal_ex(ctx, made, &size) == 1 && sodium_memcmp(made, bytes.data, size) == 0;
    EVP_MD_CTX_free(ctx);
    sodium_memzero(made, sizeof made);
    return ok;
}

/* RFC 5802 section 3: StoredKey = H(HMAC(SaltedPassword, "Client Key")); PBKDF2 is SaltedPassword itself. */
static bool verify_iterated(const struct parsed *p, struct slice password)
{
    unsigned char salted[EVP_MAX_MD_SIZE], client[EVP_MAX_MD_SIZE], stored[EVP_MAX_MD_SIZE];
    const EVP_MD *md = digest_of(p->scheme);
    struct iterated it = {0};
    unsigned size = (unsigned)EVP_MD_get_size(md), len = 0;
    bool scram = p->scheme->kind == KIND_SCRAM;

    if (!(scram ? read_scram(p->rest, size, &it) : read_pbkdf2(p->rest, &it)) ||
        PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, it.salt, (int)it.salt_len, (int)it.iterations, md, (int)size,
                          salted) != 1)
        return false;
    if (scram && (HMAC(md, salted, (int)size, (const unsigned char *)"Client Key", 10, client, &len) == NULL ||
                  EVP_Digest(client, size, stored, &len, md, NULL) != 1))
        return false;
    bool right = sodium_memcmp(scram ? stored : salted, it.expected, size) == 0;
    sodium_memzero(salted, sizeof salted);
    sodium_memzero(client, sizeof client);
    return right;
}

bool foreign_verify(const struct hash_text *stored, struct slice password, bool *right, struct fail *why)
{
    SCOPED(buf_finish) struct buf bytes = {0};
    struct parsed p = {0};

    *right = false;
    buf_init(&bytes, DECODED_MOST);
    if (!parse(slice_of(stored->text), &p, why) || p.scheme == NULL)
        return false;
    if (p.scheme->kind == KIND_MD5)
        p = md5_kind(p.rest);
    switch (p.scheme->kind) {
    case KIND_CRYPT:
    case KIND_ARGON: return !decode(p.rest, p.form, &bytes) || verify_crypt(buf_slice(&bytes), password, right, why);
    case KIND_DIGEST: *right = verify_digest(&p, password); return true;
    case KIND_PBKDF2:
    case KIND_SCRAM: *right = verify_iterated(&p, password); return true;
    case KIND_PLAIN:
    case KIND_MD5:
    case KIND_REFUSED: break; /* never kept */
    }
    return true;
}
