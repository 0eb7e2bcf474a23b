/*
 * fuzz/foreign.c - password hashes that another server made (auth/foreign.h).
 *
 * What is taken is kept as it was read, is read again the same, costs no more than a login may, and no text makes
 * checking a password fail, but for memory.
 */
#include "auth/foreign.h"
#include "fuzz.h"

/* Those that iterate cost up to a second by design: they are read, and not run. */
static bool is_quick(const char *text)
{
    static const char *const quick[] = {"{SHA", "{SSHA", "{SMD5", "{PLAIN-MD5", "{LDAP-MD5"};

    for (size_t i = 0; i < sizeof quick / sizeof *quick; i++)
        if (slice_starts_nocase(slice_of(text), slice_of(quick[i])) && strstr(text, "-CRYPT") == NULL)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hash_text text, again;
    struct scram_keys keys;
    struct slice in = slice_make(data, size), password = SLICE("");
    struct fail why = {0};
    bool plain, right;

    if (!foreign_read(in, &text, &keys, &plain, &password, &why)) {
        FUZZ_CHECK(why.kind == FAIL_PERM && why.text[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(plain ? text.text[0] == '\0' : foreign_is(&text));
    FUZZ_CHECK(!plain || (password.ptr >= in.ptr && password.len <= in.len));
    if (plain)
        return 0;
    FUZZ_CHECK(strlen(text.text) >= in.len); /* nothing is cut */
    FUZZ_CHECK(foreign_read(slice_of(text.text), &again, &keys, &plain, &password, &why) && strcmp(again.text, text.text) == 0);
    if (is_quick(text.text))
        FUZZ_CHECK(foreign_verify(&text, SLICE("secret"), &right, &why));
    return 0;
}
