/*
 * base/make_letters.c - writes letters.h: the search forms of the common letters (base/search_form.c).
 *
 * Run while building; no part of the program.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

enum { FORM_MAX = 7, CHARACTERS = 64 };

static const struct {
    uint32_t first, last;
} ranges[] = {
    {0x0, 0x10ff},     /* the alphabets from Latin to Georgian */
    {0x1e00, 0x20ff},  /* Latin and Greek with marks, punctuation */
    {0x3000, 0x30ff},  /* Kana */
    {0xff00, 0xffef},  /* other widths of these */
};

static bool write_letter(uint32_t c)
{
    uint32_t titled = uc_totitle(c), apart[CHARACTERS], folded[CHARACTERS];
    size_t apart_len = CHARACTERS, folded_len = CHARACTERS, len = 4 * CHARACTERS;
    uint8_t form[4 * CHARACTERS];

    if (u32_normalize(UNINORM_NFKD, &titled, 1, apart, &apart_len) != apart)
        return false;
    uint32_t first = apart[0];
    for (size_t i = 0; i < apart_len; i++)
        apart[i] = uc_totitle(apart[i]);
    if (u32_casefold(apart, apart_len, NULL, NULL, folded, &folded_len) != folded)
        return false;
    if (u32_to_u8(folded, folded_len, form, &len) != form)
        return false;
    if (uc_combining_class(first) != 0 || len > FORM_MAX)
        len = 0; /* it may move before what precedes it; or it is too long */
    (void)printf("{{");
    for (size_t i = 0; i < len; i++)
        (void)printf(i == 0 ? "'\\x%02x'" : ", '\\x%02x'", form[i]);
    return printf(len > 0 ? "}, %zu},\n" : "0}, %zu},\n", len) > 0;
}

int main(void)
{
    for (size_t r = 0; r < sizeof(ranges) / sizeof(*ranges); r++) {
        (void)printf("static const struct letter letters_%zu[] = {\n", r);
        for (uint32_t c = ranges[r].first; c <= ranges[r].last; c++)
            if (!write_letter(c))
                return 1;
        (void)printf("};\n");
    }
    (void)printf("static const struct {\n    uint32_t first, last;\n    const struct letter *letters;\n"
                 "} letter_ranges[] = {\n");
    for (size_t r = 0; r < sizeof(ranges) / sizeof(*ranges); r++)
        (void)printf("    {%#x, %#x, letters_%zu},\n", (unsigned)ranges[r].first, (unsigned)ranges[r].last, r);
    (void)printf("};\n");
    return ferror(stdout) || fflush(stdout) != 0;
}
