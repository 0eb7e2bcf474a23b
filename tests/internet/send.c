/*
 * tests/internet/send.c - the SMTP client by itself: sends a message so many times to one server.
 *
 *     smtp-send ADDRESS PORT [count=N] [size=BYTES] [from=A] [to=A,B...] [tls=none|may|must|wrapped] [lmtp=1] [user=U password=P]
 *               [host=NAME] [seconds=N] [verify=CAFILE]
 *
 * Prints each recipient's fate for the first message, and what one message cost.  Exit status 0: all were sent.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "net/tls_client.h"
#include "smtp/client.h"

enum { RECIPIENTS_MOST = 2000 };

struct order {
    struct smtp_peer peer;
    struct smtp_client_limits limits;
    struct tls_client_rule rule;
    const char *names[2], *authorities;
    struct slice from;
    struct smtp_client_recipient recipients[RECIPIENTS_MOST];
    size_t recipient_count, count, size;
};

static bool read_text(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    (void)why;
    memcpy(out, (const char *)ctx + offset, n);
    return true;
}

static char *make_text(size_t size)
{
    static const char head[] = "From: <a@us.example>\r\nTo: <b@peer.example>\r\nSubject: a test\r\nMessage-ID: <test@us.example>\r\n\r\n";
    static const char line[] = ".The quick brown fox jumps over the lazy dog, once more.\r\n";
    char *text = xmalloc(size + 1);

    for (size_t i = 0; i < size; i++)
        text[i] = i < sizeof(head) - 1 ? head[i] : line[(i - (sizeof(head) - 1)) % (sizeof(line) - 1)];
    return text;
}

static void add_recipients(struct order *o, struct slice list)
{
    while (list.len > 0 && o->recipient_count < RECIPIENTS_MOST)
        o->recipients[o->recipient_count++].address = slice_cut(&list, ',');
}

static bool read_option(struct order *o, const char *option)
{
    struct slice value = slice_of(option), name = slice_cut(&value, '=');
    uint64_t n = 0;

    (void)slice_to_u64(value, 1u << 30, &n);
    if (slice_eq(name, SLICE("count")))
        o->count = n;
    else if (slice_eq(name, SLICE("size")))
        o->size = n;
    else if (slice_eq(name, SLICE("from")))
        o->from = value;
    else if (slice_eq(name, SLICE("to")))
        add_recipients(o, value);
    else if (slice_eq(name, SLICE("lmtp")))
        o->peer.lmtp = n == 1;
    else if (slice_eq(name, SLICE("user")))
        o->peer.user = value.ptr;
    else if (slice_eq(name, SLICE("password")))
        o->peer.password = value.ptr;
    else if (slice_eq(name, SLICE("host")))
        o->peer.host = value.ptr;
    else if (slice_eq(name, SLICE("verify")))
        o->authorities = value.ptr;
    else if (slice_eq(name, SLICE("seconds")))
        o->limits.connect_seconds = o->limits.greeting_seconds = o->limits.command_seconds = o->limits.data_seconds = o->limits.final_seconds = (unsigned)n;
    else if (slice_eq(option[0] == 't' ? name : SLICE(""), SLICE("tls")))
        o->peer.tls = slice_eq(value, SLICE("may")) ? CLIENT_TLS_MAY : slice_eq(value, SLICE("must")) ? CLIENT_TLS_MUST : slice_eq(value, SLICE("wrapped")) ? CLIENT_TLS_WRAPPED : CLIENT_TLS_NONE;
    else
        return false;
    return true;
}

static bool read_address(struct order *o, const char *address, const char *port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&o->peer.address;

    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    o->peer.address_len = sizeof(*in);
    return inet_pton(AF_INET, address, &in->sin_addr) == 1;
}

static void tell(const struct order *o)
{
    for (size_t i = 0; i < o->recipient_count && i < 20; i++) {
        const struct smtp_client_recipient *r = &o->recipients[i];
        printf(PRIslice ": %s%s%u " PRIslice "\n", SLICE_ARG(r->address), r->sent ? "sent " : "", r->reply.ours ? "ours " : "", r->reply.code, SLICE_ARG(r->reply.text));
    }
}

static bool run(struct order *o, struct tls_client *tls)
{
    struct smtp_client_message m = {.sender = o->from, .recipients = o->recipients, .recipient_count = o->recipient_count};
    struct smtp_reply_text reply;
    struct arena a;
    struct fail why = {0};
    struct timespec before, after;
    bool ok = true;

    arena_init(&a, 64 << 20);
    m.source = (struct smtp_source){.read = read_text, .ctx = make_text(o->size), .size = o->size};
    struct smtp_client *c = smtp_client_open(&o->peer, tls, &o->limits, &reply, &a, &why);
    if (c == NULL) {
        printf("no session: %s (%s)\n", why.text, tls_client_failure(&why));
        return false;
    }
    printf("tls: %s %s\n", smtp_client_tls_text(c), smtp_client_tls_complaint(c));
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    int64_t began = clock_now_us();
    for (size_t i = 0; ok && i < o->count; i++) {
        arena_reset(&a);
        ok = smtp_client_send(c, &m, &a, &why);
        if (!ok)
            printf("broke: %s\n", why.text);
        if (i == 0)
            tell(o);
        for (size_t r = 0; ok && r < o->recipient_count; r++)
            ok = o->recipients[r].sent;
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double cpu = (double)(after.tv_sec - before.tv_sec) * 1e6 + (double)(after.tv_nsec - before.tv_nsec) / 1e3;
    if (o->count > 1)
        printf("%.1f us of CPU, %.1f us in all for each of %zu messages\n", cpu / (double)o->count, (double)(clock_now_us() - began) / (double)o->count, o->count);
    smtp_client_close(&c);
    free(m.source.ctx);
    arena_finish(&a);
    return ok;
}

int main(int argc, char **argv)
{
    struct order *o = xcalloc(1, sizeof(*o));
    struct tls_client *tls = NULL;
    struct fail why;

    (void)signal(SIGPIPE, SIG_IGN);
    *o = (struct order){.from = SLICE("a@us.example"), .count = 1, .size = 4096};
    smtp_client_limits_default(&o->limits);
    o->peer.host = "localhost";
    o->peer.helo = "us.example";
    bool ok = argc >= 3 && read_address(o, argv[1], argv[2]);
    for (int i = 3; ok && i < argc; i++)
        ok = read_option(o, argv[i]);
    if (!ok) {
        fprintf(stderr, "usage: see the top of send.c\n");
        return 2;
    }
    if (o->recipient_count == 0)
        add_recipients(o, SLICE("b@peer.example"));
    if (o->authorities != NULL) {
        o->names[0] = o->peer.host;
        o->rule = (struct tls_client_rule){.check = TLS_CHECK_PKIX, .names = o->names};
        o->peer.rule = &o->rule;
    }
    if (!tls_client_create(o->authorities, &tls, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 2;
    }
    ok = run(o, tls);
    tls_client_destroy(&tls);
    free(o);
    return ok ? 0 : 1;
}
