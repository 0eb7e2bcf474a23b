/* base/address: which addresses are the same, which are none. */
#include "base/address.h"
#include "tests/unit/check.h"

#define A16 "aaaaaaaaaaaaaaaa"
#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *note, *input, *key, *given;
} addresses[] = {
    {"plain", "ann@example.org", "ann@example.org", "ann"},
    {"case folds, given stays", "Ann.Lee@EXAMPLE.Org", "ann.lee@example.org", "Ann.Lee"},
    {"all of atext", "!#$%&'*+-/=?^_`{|}~@x.org", "!#$%&'*+-/=?^_`{|}~@x.org", "!#$%&'*+-/=?^_`{|}~"},
    {"one label", "root@localhost", "root@localhost", "root"},
    {"quotes that need not be", "\"ann\"@example.org", "ann@example.org", "ann"},
    {"U-label",
     "ann@B\xc3\xbc"
     "cher.example",
     "ann@xn--bcher-kva.example", "ann"},
    {"U-label decomposed",
     "ann@bu\xcc\x88"
     "cher.example",
     "ann@xn--bcher-kva.example", "ann"},
    {"A-label", "ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example", "ann"},
    {"local part in UTF-8", "J\xc3\x9cRG@example.org", "j\xc3\xbcrg@example.org", "J\xc3\x9cRG"},
    {"local part decomposed", "ju\xcc\x88rg@example.org", "j\xc3\xbcrg@example.org", "ju\xcc\x88rg"},
    {"sharp s folds to two",
     "stra\xc3\x9f"
     "e@x.org",
     "strasse@x.org",
     "stra\xc3\x9f"
     "e"},
    {"address literal", "ann@[192.0.2.1]", "ann@[192.0.2.1]", "ann"},
    {"address literal v6", "ann@[IPv6:2001:DB8::1]", "ann@[ipv6:2001:db8::1]", "ann"},
    {"64 octets before the @", A16 A16 A16 A16 "@x.org", A16 A16 A16 A16 "@x.org", A16 A16 A16 A16},
    {"254 octets in all", "a@" L63 "." L63 "." L63 "." L60, "a@" L63 "." L63 "." L63 "." L60, "a"},
    {"65 octets before the @", A16 A16 A16 A16 "a@x.org", NULL, NULL},
    {"255 octets in all", "ab@" L63 "." L63 "." L63 "." L60, NULL, NULL},
    {"label of 64", "a@" L63 "a.org", NULL, NULL},
    {"empty", "", NULL, NULL},
    {"no @", "ann", NULL, NULL},
    {"no local part", "@example.org", NULL, NULL},
    {"no domain", "ann@", NULL, NULL},
    {"two @", "ann@b@example.org", NULL, NULL},
    {"dot first", ".ann@example.org", NULL, NULL},
    {"dot last", "ann.@example.org", NULL, NULL},
    {"two dots", "an..n@example.org", NULL, NULL},
    {"blank", "an n@example.org", NULL, NULL},
    {"bare CR", "an\rn@example.org", NULL, NULL},
    {"angle bracket", "<ann@example.org", NULL, NULL},
    {"blank in quotes", "\"an n\"@example.org", NULL, NULL},
    {"at sign in quotes", "\"a@b\"@example.org", NULL, NULL},
    {"escape in quotes", "\"an\\n\"@example.org", NULL, NULL},
    {"empty quotes", "\"\"@example.org", NULL, NULL},
    {"one quote", "\"@example.org", NULL, NULL},
    {"invalid UTF-8", "an\xffn@example.org", NULL, NULL},
    {"what folds to a semicolon", "an\xcd\xben@example.org", NULL, NULL},
    {"C1 control", "an\xc2\x85n@example.org", NULL, NULL},
    {"no-break space", "an\xc2\xa0n@example.org", NULL, NULL},
    {"domain: dot last", "ann@example.org.", NULL, NULL},
    {"domain: dot first", "ann@.example.org", NULL, NULL},
    {"domain: two dots", "ann@example..org", NULL, NULL},
    {"domain: hyphen first", "ann@-example.org", NULL, NULL},
    {"domain: hyphen last", "ann@example-.org", NULL, NULL},
    {"domain: underscore", "ann@ex_ample.org", NULL, NULL},
    {"domain: invalid UTF-8", "ann@ex\xff.org", NULL, NULL},
    {"domain: symbol that IDNA disallows", "ann@\xe2\x98\x83\xe2\x80\xa8.org", NULL, NULL},
    {"literal not closed", "ann@[192.0.2.1", NULL, NULL},
    {"literal with a bracket", "ann@[192.0[2.1]", NULL, NULL},
    {"literal that is empty", "ann@[]", NULL, NULL},
};

int main(void)
{
    struct address_key key;

    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        bool ok = address_key_parse(slice_of(addresses[i].input), &key);

        CHECK(addresses[i].note, ok == (addresses[i].key != NULL));
        if (ok && addresses[i].key != NULL) {
            CHECK_SLICE(addresses[i].note, key_text(&key), slice_of(addresses[i].key));
            CHECK_SLICE(addresses[i].note, key.given, slice_of(addresses[i].given));
        }
    }
    CHECK("NUL in the local part", !address_key_parse(SLICE("a\0b@example.org"), &key));
    CHECK("NUL in the domain", !address_key_parse(SLICE("a@exa\0mple.org"), &key));
    CHECK("NUL in a U-label", !address_key_parse(SLICE("a@b\xc3\xbc\0cher.org"), &key));

    CHECK("catch-all", address_key_join(SLICE(""), SLICE("Example.ORG"), &key));
    CHECK_SLICE("catch-all", key_text(&key), SLICE("@example.org"));
    CHECK_SLICE("catch-all: local part", key_local(&key), SLICE(""));
    CHECK_SLICE("catch-all: domain", key_domain(&key), SLICE("example.org"));
    return check_done();
}
