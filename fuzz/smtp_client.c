/*
 * fuzz/smtp_client.c - a whole session with a hostile server.
 *
 * All that the server will ever say lies in the socket before the client opens its mouth, and then the connection ends:
 * so nothing waits, and the same input does the same.  Whatever it says, a message is only called sent if a reply said
 * 2xx, no recipient is both sent and without a reply, and the session survives.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "smtp/client_session.h"

static const char text[] = "From: a@us.example\r\nSubject: \xc3\xa4\r\n\r\n.hello\r\n\xc3\xb6\n.";

static bool read_text(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    (void)ctx, (void)why;
    FUZZ_CHECK(offset + n <= sizeof(text) - 1);
    memcpy(out, text + offset, n);
    return true;
}

static void send_one(struct smtp_client *c, unsigned how, struct arena *a)
{
    struct smtp_client_recipient r[3] = {{.address = SLICE("b@peer.example")}, {.address = SLICE("\xc3\xa4@peer.example")}, {.address = SLICE("c@peer.example")}};
    struct smtp_client_message m = {.sender = SLICE("a@us.example"), .recipients = r, .recipient_count = 3};
    struct fail why;

    m.options.body = how & 4 ? BODY_BINARYMIME : BODY_8BITMIME;
    m.options.utf8 = (how & 8) != 0;
    m.source = (struct smtp_source){.read = read_text, .size = sizeof(text) - 1};
    bool ok = smtp_client_send(c, &m, a, &why);
    for (size_t i = 0; i < 3; i++) {
        FUZZ_CHECK(!ok || r[i].reply.code != 0);
        FUZZ_CHECK(!r[i].sent || (r[i].reply.code / 100 == 2 && !r[i].reply.ours));
        FUZZ_CHECK(r[i].sent == (r[i].reply.code / 100 == 2));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size < 60000 ? size : 60000);
    unsigned how = fuzz_take(&in);
    struct smtp_peer peer = {.host = "mx", .helo = "us.example", .lmtp = (how & 1) != 0, .auth_in_clear = true, .xclient = (how & 16) != 0};
    struct smtp_client_limits limits;
    struct smtp_reply_text reply;
    struct arena a;
    struct fail why;
    int fds[2];

    if (how & 2)
        peer.user = "u", peer.password = "p";
    smtp_client_limits_default(&limits);
    arena_init(&a, 1 << 22);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        abort();
    int room = 1 << 20;
    (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    if (in.len > 0)
        (void)send(fds[0], in.ptr, in.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fds[0], SHUT_WR);
    struct smtp_client *c = smtp_client_adopt(fds[1], &peer, NULL, &limits, &reply, &a, &why);
    for (int i = 0; c != NULL && i < 3 && !c->closing && !c->wire.broken; i++)
        send_one(c, how, &a);
    smtp_client_close(&c);
    (void)close(fds[0]);
    arena_finish(&a);
    return 0;
}
