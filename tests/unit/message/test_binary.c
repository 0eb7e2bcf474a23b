/*
 * tests/unit/message/test_binary.c - binary parts as base64.
 */
#include "message/binary.h"

#include "base/buf.h"
#include "base/fail.h"
#include "../check.h"

#define BYTES(text) {text, sizeof(text) - 1}

static const struct {
    const char *note;
    struct slice in;
    bool lines;
    struct slice out; /* .ptr NULL: cannot be kept */
} cases[] = {
    {"nothing to do", BYTES("A: b\r\n\r\ntext\r\n"), true, BYTES("A: b\r\n\r\ntext\r\n")},
    {"one part", BYTES("A: b\r\n\r\na\0b"), false, BYTES("A: b\r\nContent-Transfer-Encoding: base64\r\n\r\nYQBi")},
    {"its encoding goes", BYTES("A: b\r\ncontent-transfer-encoding:\r\n binary\r\nC: d\r\n\r\n\0"), false,
     BYTES("A: b\r\nC: d\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==")},
    {"lines of 76", BYTES("A: b\r\n\r\n\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), false,
     BYTES("A: b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
           "AGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh\r\nYWFhYWE=")},
    {"only the part that needs it",
     BYTES("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
           "--b\r\n\r\nx\ry\r\n--b\r\n\r\n\0\r\n--b--\r\n"),
     false,
     BYTES("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
           "--b\r\n\r\nx\ry\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--b--\r\n")},
    {"line ends too", BYTES("A: b\r\n\r\nx\ny"), true,
     BYTES("A: b\r\nContent-Transfer-Encoding: base64\r\n\r\neAp5")},
    {"in a message in a message",
     BYTES("Content-Type: message/rfc822\r\n\r\nB: c\r\n\r\n\0"), false,
     BYTES("Content-Type: message/rfc822\r\n\r\nB: c\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==")},
    {"NUL in a header", BYTES("A: \0\r\n\r\n"), false, {NULL, 0}},
    {"NUL between parts", BYTES("Content-Type: multipart/mixed; boundary=b\r\n\r\n\0\r\n--b\r\n\r\nx\r\n--b--\r\n"), false,
     {NULL, 0}},
    {"NUL in base64", BYTES("Content-Transfer-Encoding: base64\r\n\r\nAA\0=="), false, {NULL, 0}},
    {"lone LF in a header", BYTES("A: b\n\r\n\r\n"), true, {NULL, 0}},
};

static struct body *body_of(struct slice s, size_t memory)
{
    struct body *b = body_create(&(struct body_limits){.memory_max = memory, .size_max = 1 << 20, .spool_dir = "/tmp"});

    CHECK("made", body_add(b, s, NULL));
    return b;
}

static void check_case(size_t i, size_t memory)
{
    const struct body_limits limits = {.memory_max = memory, .size_max = 1 << 20, .spool_dir = "/tmp"};
    struct body *in = body_of(cases[i].in, memory), *out = NULL;
    struct fail why = {0};
    char text[4096];
    size_t got;
    bool ok = binary_encode(in, &limits, cases[i].lines, &out, &why);

    CHECK(cases[i].note, ok == (cases[i].out.ptr != NULL));
    CHECK(cases[i].note, ok || why.reason == FAIL_INVALID);
    if (ok && cases[i].out.ptr != NULL) {
        CHECK(cases[i].note, body_read(out, 0, text, sizeof text, &got, &why));
        CHECK_SLICE(cases[i].note, slice_make(text, got), cases[i].out);
    }
    body_destroy(&out);
    body_destroy(&in);
}

int main(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check_case(i, 4096);
        check_case(i, 16); /* through a spool file */
    }
    return check_done();
}
