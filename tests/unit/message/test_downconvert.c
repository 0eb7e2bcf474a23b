/* message/downconvert: what a server that takes less gets to see. */
#include "base/buf.h"
#include "message/downconvert.h"

#include "../check.h"

#define UE "\xc3\xbc"

static const struct {
    const char *note;
    enum downconvert_to to;
    const char *input;
    const char *output; /* NULL: as it was */
    const char *refused; /* part of the story */
    bool header_8bit;
} cases[] = {
    {.note = "ASCII", .input = "Subject: a\r\n\r\nb\r\n"},
    {.note = "a label is enough",
     .input = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nb\r\n",
     .output = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nb\r\n"},
    {.note = "text",
     .input = "MIME-Version: 1.0\r\nContent-Transfer-Encoding:\r\n 8bit\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr" UE "n = x and so on \r\nend",
     .output = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
               "gr=C3=BCn =3D x and so on=20\r\nend"},
    {.note = "a long line",
     .input = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" UE "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=xxxxxxxxx",
     .output = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
               "=C3=BCxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\r\n=3Dxxxxxxxxx"},
    {.note = "mostly not ASCII",
     .input = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" UE UE UE UE "\r\n",
     .output = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw7zDvMO8w7wNCg=="},
    {.note = "no MIME at all", .input = "Subject: a\r\n\r\nabc" UE "defghi\r\n",
     .output = "Subject: a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
               "abc=C3=BCdefghi\r\n"},
    {.note = "parts, each by itself; what nobody sees is masked",
     .input = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\np" UE "\r\n--b\r\n\r\nplain\r\n--b\r\n"
              "Content-Type: image/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" UE "\r\n--b--\r\ne" UE "\r\n",
     .output = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\np??\r\n--b\r\n\r\nplain\r\n--b\r\n"
               "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n--b--\r\ne??\r\n"},
    {.note = "a message in a message",
     .input = "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: in\r\nMIME-Version: 1.0\r\n"
              "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nabcdefg" UE "\r\n",
     .output = "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: in\r\nMIME-Version: 1.0\r\n"
               "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nabcdefg=C3=BC\r\n"},
    {.note = "quoted-printable with octets that are none",
     .input = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=20" UE "\r\n",
     .output = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=20=C3=BC\r\n"},
    {.note = "base64 with octets that are none", .input = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ" UE "==\r\n",
     .output = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n"},
    {.note = "an encoding nobody knows", .input = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-mine\r\n\r\n" UE "\r\n", .refused = "cannot be encoded"},
    {.note = "a part of a message", .input = "MIME-Version: 1.0\r\nContent-Type: message/partial; id=a\r\n\r\n" UE "\r\n", .refused = "message/partial"},
    {.note = "a header", .input = "Subject: " UE "\r\n\r\na\r\n", .header_8bit = true},
    {.note = "a part's header", .header_8bit = true,
     .input = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Description: " UE "\r\n\r\na\r\n--b--\r\n"},
    {.note = "8 bits may stay", .to = DOWNCONVERT_8BIT, .input = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" UE "\r\n"},
    {.note = "binary that is none", .to = DOWNCONVERT_8BIT,
     .input = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n" UE "\r\n",
     .output = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" UE "\r\n"},
    {.note = "binary", .to = DOWNCONVERT_8BIT,
     .input = "MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb",
     .output = "MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpi"},
};

static bool read_slice(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    const struct slice *in = ctx;

    (void)why;
    memcpy(out, in->ptr + offset, n);
    return true;
}

static bool keep(void *ctx, struct slice piece, struct fail *why)
{
    (void)why;
    buf_add(ctx, piece);
    return true;
}

int main(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice in = slice_of(cases[i].input);
        struct downconvert_source source = {read_slice, &in, in.len};
        struct downconvert *d = NULL;
        struct buf out;
        struct fail why = {0};
        bool ok = downconvert_plan(&source, cases[i].to, &d, &why);

        CHECK(cases[i].note, ok == (cases[i].refused == NULL));
        if (!ok) {
            CHECK(cases[i].note, cases[i].refused != NULL && strstr(why.text, cases[i].refused) != NULL && why.kind == FAIL_PERM);
            continue;
        }
        CHECK(cases[i].note, downconvert_is_needed(d) == (cases[i].output != NULL));
        CHECK(cases[i].note, downconvert_header_is_8bit(d) == cases[i].header_8bit);
        buf_init(&out, 1 << 20);
        CHECK(cases[i].note, downconvert_write(d, keep, &out, &why));
        if (!cases[i].header_8bit)
            CHECK_SLICE(cases[i].note, buf_slice(&out), slice_of(cases[i].output != NULL ? cases[i].output : cases[i].input));
        buf_finish(&out);
        downconvert_destroy(&d);
    }
    return check_done();
}
