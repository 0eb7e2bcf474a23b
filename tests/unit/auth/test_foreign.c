/* auth/foreign: hashes that other servers made; the good ones by `doveadm pw` and crypt(3) of Debian 12. */
#include "auth/foreign.h"

#include "tests/unit/check.h"

static const struct {
    const char *note, *text;
} good[] = {
    {"CRYPT", "{CRYPT}$2y$05$iFE1FJHDj7bIPJNl.1YqwugXqP.yMYmwGd1LfCWFaLuYydeLWTUz6"},
    {"MD5-CRYPT", "{MD5-CRYPT}$1$/DYMI0aE$e1z8nPU9WfcjwLqpn2XP20"},
    {"SHA256-CRYPT", "{SHA256-CRYPT}$5$rounds=1000$.PO1DyeQJ4iI1T0u$UHwvolgK9OsvowcvwCrKl2gFS0UNYCNfo/ZJZwVMef6"},
    {"SHA512-CRYPT", "{SHA512-CRYPT}$6$rounds=1000$xlSiczkIkAGbNbTH$fHS7bMblLSnU1RVEO0gexpXHmCcG2wzDQ0Q6JtgRnGXaWuIH59HNHCSOnHfa7ipWR5wQ2P7jydJ.AsbWF.L/Q/"},
    {"BLF-CRYPT", "{BLF-CRYPT}$2y$05$tbxOmLb5Na4fLhkXWbVvlOV2M5yAmU8SSPbP5BMNgBNEKT/xdY3dC"},
    {"PBKDF2", "{PBKDF2}$1$5l9rukCgZnqZMcYu$100$f807cd02ebfb79bae84652ce06a644ce4ce312c0"},
    {"SCRAM-SHA-1", "{SCRAM-SHA-1}4096,GCZpgzgRpc/Kxqs80t5fzQ==,Ep6OJ6QXy79sN1LlaWJFr2FMRwQ=,lmnRzyRBU7O8Zv1tOj9J55uHFos="},
    {"SCRAM-SHA-256", "{SCRAM-SHA-256}4096,/n0TUES/U+ukhJH+ast4sQ==,adlkVuS5SOPut68eUg9ogzWa211R7IMWbgPDsJon1v4=,6mzrqKdVmTQNBM28hlEURFjfdfJgWnTJdic/P3KDxrw="},
    {"SHA", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="},
    {"SHA1", "{SHA1}5en6G6MezRroT3XKqkdPOmY/BfQ="},
    {"SHA256", "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="},
    {"SHA512", "{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg=="},
    {"SSHA", "{SSHA}jJCiLXgEIPVKWMPujyj1luOMiRJ8cgT6"},
    {"SSHA256", "{SSHA256}P3GG8AI1xh8c6cmXjcUybS8LCIswq/vDxsV/uTMzijfh/TTf"},
    {"SSHA512", "{SSHA512}Dex+XRjilj3I0aPkkVOCwly3IBpCr9DHN7hiwN1Au6XTlmmMwGDHtSmLo4GKoCEz5V0cn3ccILSVouLPIPOP4pgQd0k="},
    {"SSHA512.HEX", "{SSHA512.HEX}bce31a28f1fa383bf9d063913a3bf60f88e29ade7c43775c18b0cadfcececbc31284aab435671afcc13247f9c6da5dc56883fd1ffc224f789b89264ad686bcc4e0489571"},
    {"SHA256.HEX", "{SHA256.HEX}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"},
    {"SHA256.B64", "{SHA256.B64}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="},
    {"SMD5", "{SMD5}QZxi+IqGCAmbhHNOkHRA8elO13E="},
    {"PLAIN-MD5", "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69"},
    {"LDAP-MD5", "{LDAP-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ=="},
    {"MD5", "{MD5}$1$ToWpNJZ5$3z7H3qb.2fTM7aZOLkd2d."},
    {"DES-CRYPT", "{DES-CRYPT}KEmoQxk4FS.5s"},
    {"PLAIN", "{PLAIN}secret"},
    {"CLEARTEXT", "{CLEARTEXT}secret"},
    {"yescrypt", "{CRYPT}$y$j9T$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe."},
    {"no scheme", "abNANd1rDfiNc"},
    {"a scheme in small letters", "{ssha}PbqqzFOKjsIamzAbS2C67l58/a96At/I"},
    {"MD5 in hex", "{MD5}5EBE2294ECD0E0F08EAB7690D2A6EE69"},
    {"argon2i", "{ARGON2I}$argon2i$v=19$m=32768,t=3,p=1$1ud2q5gVyElO1Mxu1yB8QQ$Docnxt25UG2lekwNzWZlDUTxZa6+XMmQBCN25jK5Zrs"},
    {"argon2id", "{ARGON2ID}$argon2id$v=19$m=262144,t=3,p=1$o3Jn6MSvPlLm9Uv0ds+hDg$/Pdj2mhLkVLsbcr6qB7C4Ifw3KU+72iZdL44vut/9lE"},
};

static const struct {
    const char *note, *text, *reason;
} bad[] = {
    {"a scheme that nobody knows", "{ROT13}frperg", "not known"},
    {"a scheme without end", "{SSHA", "ends with }"},
    {"an encoding that nobody knows", "{SHA.b32}x", "b64 or hex"},
    {"CRAM-MD5", "{CRAM-MD5}9186d855e11eba527a7a52ca82b313e180d62234f0acc9051b527243d41e2740", "CRAM-MD5 alone"},
    {"DIGEST-MD5", "{DIGEST-MD5}77c1a8c437c9b08ba2f460fe5d58db5d", "DIGEST-MD5 alone"},
    {"NTLM", "{NTLM}878D8014606CDA29677A44EFA1353FC7", "sign in elsewhere"},
    {"nothing", "", "crypt(3)"},
    {"a locked account", "!$6$abc$def", "locked"},
    {"a locked account, otherwise", "*", "locked"},
    {"too many rounds", "{SHA512-CRYPT}$6$rounds=999999999$abcdefgh$x", "more rounds"},
    {"bcrypt that takes an hour", "{BLF-CRYPT}$2y$31$QKX7I5oD9k8JMgFU.bwkM.kuW69Q2o5ASJbkU83uAtscAZjjs2Nlm", "higher cost"},
    {"yescrypt of a gigabyte", "{CRYPT}$y$jFT$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe.", "256 MB"},
    {"Argon2 of a gigabyte",
     "{ARGON2ID}$argon2id$v=19$m=1048576,t=6,p=1$uaaRed3eXImX83H1UbN1sw$JT9S8W1EJh1vNzqR8Cp6fnSnznWwOzh9zFtndGJsP04",
     "256 MB"},
    {"Argon2 that is cut", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$uaaRed3eXImX83H1UbN1sw", "damaged"},
    {"PBKDF2 of too many rounds", "{PBKDF2}$1$salt$999999999$39d4c5cf2b88e598347c0f36c115a88db5fa1ccf", "too many"},
    {"SCRAM without its keys", "{SCRAM-SHA-256}4096,qsFzexUbu5plfHcc6D8KxA==", "damaged"},
    {"a digest that is cut", "{SSHA256}ZHeSTMSm", "not as long"},
    {"a digest that is no base64", "{SHA}****", "not as long"},
    {"an encoded password", "{PLAIN.b64}c2VjcmV0", "not encoded"},
};

static void test_good(void)
{
    struct hash_text text;
    struct scram_keys keys;
    struct slice password;
    struct fail why;
    bool plain, right;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        CHECK(good[i].note, foreign_read(slice_of(good[i].text), &text, &keys, &plain, &password, &why));
        if (plain) {
            CHECK(good[i].note, slice_eq(password, SLICE("secret")));
            continue;
        }
        CHECK(good[i].note, foreign_is(&text));
        CHECK(good[i].note, foreign_verify(&text, SLICE("secret"), &right, &why) && right);
        CHECK(good[i].note, foreign_verify(&text, SLICE("Secret"), &right, &why) && !right);
        CHECK(good[i].note, foreign_verify(&text, SLICE("secret\0x"), &right, &why) && !right);
        CHECK(good[i].note, foreign_verify(&text, SLICE(""), &right, &why) && !right);
        CHECK(good[i].note, (keys.iterations == 4096) == (strcmp(good[i].note, "SCRAM-SHA-256") == 0));
    }
}

/* It would be cut where it is kept. */
static void test_control(void)
{
    static const struct slice texts[] = {SLICE("{PBKDF2}$1$sa\0lt$1$39d4c5cf2b88e598347c0f36c115a88db5fa1ccf"),
                                         SLICE("{PBKDF2}$1$sa\nlt$1$39d4c5cf2b88e598347c0f36c115a88db5fa1ccf")};
    struct hash_text text;
    struct scram_keys keys;
    struct slice password;
    struct fail why;
    bool plain;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        CHECK("a control character", !foreign_read(texts[i], &text, &keys, &plain, &password, &why) && why.reason == FAIL_INVALID);
}

static void test_bad(void)
{
    struct hash_text text;
    struct scram_keys keys;
    struct slice password;
    struct fail why;
    bool plain;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK(bad[i].note, !foreign_read(slice_of(bad[i].text), &text, &keys, &plain, &password, &why) &&
                               why.reason == FAIL_INVALID && why.kind == FAIL_PERM);
        CHECK(why.text, strstr(why.text, bad[i].reason) != NULL);
    }
}

int main(void)
{
    test_good();
    test_bad();
    test_control();
    return check_done();
}
