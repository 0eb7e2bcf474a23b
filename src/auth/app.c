/*
 * auth/app.c - see auth/app.h.
 *
 * Layer: auth.
 */
#include "auth/app.h"

#include <sodium.h>

#include "base/encode.h"
#include "base/fail.h"
#include "base/unicode.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

void app_make(struct app_text *out)
{
    unsigned char random[APP_LETTERS];
    size_t at = 0;

    random_bytes(random, sizeof random);
    for (size_t i = 0; i < APP_LETTERS; i++) {
        if (i > 1 && i % 5 == 1) /* 6, 5, 5, 5, 5 */
            out->text[at++] = '-';
        out->text[at++] = letters[random[i] % 32];
    }
    out->text[at] = '\0';
    sodium_memzero(random, sizeof random);
}

bool app_hash(struct slice password, struct app_hash *out)
{
    char plain[APP_LETTERS];
    size_t n = 0;
    bool ok = password.len < 3 * (size_t)APP_LETTERS;

    for (size_t i = 0; ok && i < password.len; i++) {
        char c = ascii_lower(password.ptr[i]);
        if (c == '-' || c == ' ')
            continue;
        ok = n < APP_LETTERS && c != '\0' && slice_find_char(slice_of(letters), c) < 32;
        if (ok)
            plain[n++] = c;
    }
    ok = ok && n == APP_LETTERS;
    if (ok)
        (void)crypto_hash_sha256(out->bytes, (const unsigned char *)plain, n);
    sodium_memzero(plain, sizeof plain);
    return ok;
}

bool app_name_is_fit(struct slice name, struct fail *why)
{
    bool ok = name.len > 0 && name.len <= APP_NAME_MAX && utf8_valid(name);

    for (size_t i = 0; ok && i < name.len; i++)
        ok = (unsigned char)name.ptr[i] >= ' ' && name.ptr[i] != 0x7f;
    return ok || fail_set(why, FAIL_PERM, FAIL_INVALID,
                          "an app password's name has 1 to %d bytes of UTF-8 without control characters", APP_NAME_MAX);
}

bool app_services_are_fit(struct slice services, struct fail *why)
{
    static const char *const known[] = {"imap", "smtp", "pop3", "managesieve", "jmap"};

    while (services.len > 0) {
        struct slice word = slice_cut(&services, ' ');
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found = found || slice_eq(word, slice_of(known[i]));
        if (!found)
            return fail_set(why, FAIL_PERM, FAIL_INVALID,
                            "\"" PRIslice "\" is no service (imap, smtp, pop3, managesieve, jmap)", SLICE_ARG(word));
    }
    return true;
}

bool app_serves(struct slice services, struct slice service)
{
    if (services.len == 0)
        return true;
    while (services.len > 0)
        if (slice_eq(slice_cut(&services, ' '), service))
            return true;
    return false;
}
