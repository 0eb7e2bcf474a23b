/* net/dns: messages from DNS servers, good and bad; the cache; the resolver against servers that fail. */
#include "net/dns.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/fail.h"
#include "net/dns_wire.h"
#include "tests/unit/check.h"
#include "tests/unit/net/fake_dns.h"

/* ---- messages, made by hand ---- */

struct made {
    unsigned char bytes[4096];
    size_t len;
};

static void put(struct made *m, const void *bytes, size_t n)
{
    memcpy(m->bytes + m->len, bytes, n);
    m->len += n;
}

static void put_u16(struct made *m, unsigned n)
{
    unsigned char two[2] = {(unsigned char)(n >> 8), (unsigned char)n};

    put(m, two, 2);
}

static void put_u32(struct made *m, uint32_t n)
{
    put_u16(m, n >> 16);
    put_u16(m, n & 0xffff);
}

static void put_name(struct made *m, const char *text)
{
    struct slice rest = slice_of(text);

    while (rest.len > 0) {
        struct slice label = slice_cut(&rest, '.');
        unsigned char n = (unsigned char)label.len;
        put(m, &n, 1);
        put(m, label.ptr, label.len);
    }
    put(m, "", 1);
}

static void begin(struct made *m, unsigned flags, const char *name, unsigned type, unsigned answers, unsigned authorities)
{
    m->len = 0;
    put_u16(m, 0x1234);
    put_u16(m, flags);
    put_u16(m, 1);
    put_u16(m, answers);
    put_u16(m, authorities);
    put_u16(m, 0);
    put_name(m, name);
    put_u16(m, type);
    put_u16(m, 1);
}

static void put_rr(struct made *m, const char *owner, unsigned type, uint32_t ttl, const void *data, size_t n)
{
    put_name(m, owner);
    put_u16(m, type);
    put_u16(m, 1);
    put_u32(m, ttl);
    put_u16(m, (unsigned)n);
    put(m, data, n);
}

static void put_rr_name(struct made *m, const char *owner, unsigned type, uint32_t ttl, int preference, const char *name)
{
    struct made data = {.len = 0};

    if (preference >= 0)
        put_u16(&data, (unsigned)preference);
    put_name(&data, name);
    put_rr(m, owner, type, ttl, data.bytes, data.len);
}

static void put_soa(struct made *m, uint32_t ttl, uint32_t minimum)
{
    struct made data = {.len = 0};

    put_name(&data, "ns.example");
    put_name(&data, "hostmaster.example");
    for (unsigned i = 0; i < 4; i++)
        put_u32(&data, 1);
    put_u32(&data, minimum);
    put_rr(m, "example", 6, ttl, data.bytes, data.len);
}

enum { YES = 0x8180, AUTHENTIC = 0x20, NX = 3, CUT = 0x200 };

static struct arena arena;

static struct dns_answer read_made(const struct made *m, const char *name, enum dns_type type)
{
    struct dns_answer out;
    bool ad;

    dns_message_read(slice_make(m->bytes, m->len), name, type, &arena, &out, &ad);
    return out;
}

static void test_records(void)
{
    struct made m;
    struct dns_answer a;

    begin(&m, YES, "Example.NET", DNS_MX, 3, 0);
    put_rr_name(&m, "example.net", DNS_MX, 300, 20, "B.example.net");
    put_rr_name(&m, "other.net", DNS_MX, 10, 5, "spoof.example.net");
    put_rr_name(&m, "EXAMPLE.net", DNS_MX, 200, 10, "a.example.net");
    a = read_made(&m, "example.net", DNS_MX);
    CHECK("mx", a.status == DNS_FOUND && a.count == 2 && a.ttl == 200);
    CHECK_SLICE("in the answer's order, lower case", slice_of(a.records[0].mx.host), SLICE("b.example.net"));
    CHECK("preference", a.records[0].mx.preference == 20 && a.records[1].mx.preference == 10);

    begin(&m, YES, "example.net", DNS_MX, 1, 0);
    put_rr_name(&m, "example.net", DNS_MX, 300, 0, "");
    a = read_made(&m, "example.net", DNS_MX);
    CHECK("null MX", a.status == DNS_FOUND && a.count == 1 && a.records[0].mx.host[0] == '\0');

    begin(&m, YES, "t.example", DNS_TXT, 1, 0);
    put_rr(&m, "t.example", DNS_TXT, 60, "\3abc\0\2de", 8);
    a = read_made(&m, "t.example", DNS_TXT);
    CHECK("text", a.status == DNS_FOUND && a.count == 1);
    CHECK_SLICE("joined", a.records[0].text, SLICE("abcde"));

    begin(&m, YES, "_25._tcp.a.example", DNS_TLSA, 1, 0);
    put_rr(&m, "_25._tcp.a.example", DNS_TLSA, 60, "\3\1\1\xaa\xbb", 5);
    a = read_made(&m, "_25._tcp.a.example", DNS_TLSA);
    CHECK("tlsa", a.status == DNS_FOUND && a.records[0].tlsa.usage == 3 && a.records[0].tlsa.selector == 1 && a.records[0].tlsa.matching == 1);
    CHECK_SLICE("its data", a.records[0].tlsa.data, SLICE("\xaa\xbb"));

    begin(&m, YES, "six.example", DNS_AAAA, 1, 0);
    put_rr(&m, "six.example", DNS_AAAA, 0x80000001u, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    a = read_made(&m, "six.example", DNS_AAAA);
    CHECK("aaaa; a TTL with the highest bit is 0", a.status == DNS_FOUND && a.records[0].aaaa.s6_addr[15] == 1 && a.ttl == 0);

    begin(&m, YES, "1.2.0.192.in-addr.arpa", DNS_PTR, 1, 0);
    put_rr_name(&m, "1.2.0.192.in-addr.arpa", DNS_PTR, 60, -1, "Host.Example");
    a = read_made(&m, "1.2.0.192.in-addr.arpa", DNS_PTR);
    CHECK_SLICE("ptr", slice_of(a.records[0].name), SLICE("host.example"));
}

static void test_aliases(void)
{
    struct made m;
    struct dns_answer a;

    begin(&m, YES, "www.example", DNS_A, 3, 0); /* the order does not matter */
    put_rr(&m, "c.example", DNS_A, 600, "\xc0\0\2\1", 4);
    put_rr_name(&m, "b.example", DNS_CNAME, 50, -1, "c.example");
    put_rr_name(&m, "www.example", DNS_CNAME, 300, -1, "b.example");
    a = read_made(&m, "www.example", DNS_A);
    CHECK("two CNAMEs", a.status == DNS_FOUND && a.count == 1 && a.ttl == 50);
    CHECK_SLICE("canonical", slice_of(a.canonical), SLICE("c.example"));

    begin(&m, YES, "www.example", DNS_CNAME, 1, 0);
    put_rr_name(&m, "www.example", DNS_CNAME, 300, -1, "b.example");
    a = read_made(&m, "www.example", DNS_CNAME);
    CHECK("asked for itself", a.status == DNS_FOUND && strcmp(a.records[0].name, "b.example") == 0 && strcmp(a.canonical, "www.example") == 0);

    begin(&m, YES | NX, "www.example", DNS_A, 1, 1);
    put_rr_name(&m, "www.example", DNS_CNAME, 300, -1, "gone.example");
    put_soa(&m, 100, 40);
    a = read_made(&m, "www.example", DNS_A);
    CHECK("to nowhere", a.status == DNS_NO_NAME && a.ttl == 40 && strcmp(a.canonical, "gone.example") == 0);

    begin(&m, YES, "a.example", DNS_A, 2, 0);
    put_rr_name(&m, "a.example", DNS_CNAME, 300, -1, "b.example");
    put_rr_name(&m, "b.example", DNS_CNAME, 300, -1, "a.example");
    a = read_made(&m, "a.example", DNS_A);
    CHECK("in a circle", a.status == DNS_FAILED);
}

static void test_none(void)
{
    struct made m;
    struct dns_answer a;

    begin(&m, YES, "none.example", DNS_MX, 0, 1);
    put_soa(&m, 100, 400);
    a = read_made(&m, "none.example", DNS_MX);
    CHECK("no data, for as long as the SOA", a.status == DNS_NO_DATA && a.ttl == 100 && a.count == 0);
    begin(&m, YES | NX, "none.example", DNS_MX, 0, 1);
    put_soa(&m, 1000000, 1000000);
    a = read_made(&m, "none.example", DNS_MX);
    CHECK("no name, three hours at most", a.status == DNS_NO_NAME && a.ttl == 3 * 3600);
    begin(&m, YES, "none.example", DNS_MX, 0, 0);
    CHECK("without a SOA", read_made(&m, "none.example", DNS_MX).ttl <= 5);

    begin(&m, YES | 2, "none.example", DNS_MX, 0, 0);
    CHECK("SERVFAIL", read_made(&m, "none.example", DNS_MX).status == DNS_FAILED);
    begin(&m, YES | 5, "none.example", DNS_MX, 0, 0);
    CHECK("REFUSED", read_made(&m, "none.example", DNS_MX).status == DNS_FAILED);
    begin(&m, YES | CUT, "none.example", DNS_MX, 0, 0);
    CHECK("cut short", read_made(&m, "none.example", DNS_MX).status == DNS_FAILED);
    begin(&m, YES, "other.example", DNS_MX, 0, 0);
    CHECK("to another question", read_made(&m, "none.example", DNS_MX).status == DNS_FAILED);
    begin(&m, YES, "none.example", DNS_A, 0, 0);
    CHECK("of another type", read_made(&m, "none.example", DNS_MX).status == DNS_FAILED);
    begin(&m, 0x0100, "none.example", DNS_MX, 0, 0);
    CHECK("a question", read_made(&m, "none.example", DNS_MX).status == DNS_FAILED);
}

static void test_broken(void)
{
    struct made m;
    struct dns_answer a;

    begin(&m, YES, "a.example", DNS_MX, 2, 0);
    put_rr_name(&m, "a.example", DNS_MX, 60, 10, "good.example");
    put_rr_name(&m, "a.example", DNS_MX, 60, 5, "with space.example");
    a = read_made(&m, "a.example", DNS_MX);
    CHECK("a host that no host can be called is left out", a.status == DNS_FOUND && a.count == 1);
    begin(&m, YES, "a.example", DNS_MX, 1, 0);
    put_rr_name(&m, "a.example", DNS_MX, 60, 5, "with space.example");
    CHECK("only such: not the same as none", read_made(&m, "a.example", DNS_MX).status == DNS_FAILED);

    begin(&m, YES, "a.example", DNS_A, 1, 0);
    put_rr(&m, "a.example", DNS_A, 60, "\1\2\3", 3);
    CHECK("an address too short", read_made(&m, "a.example", DNS_A).status == DNS_FAILED);
    begin(&m, YES, "a.example", DNS_A, 1, 0);
    put_rr(&m, "a.example", DNS_A, 60, "\1\2\3\4\5", 5);
    CHECK("too long", read_made(&m, "a.example", DNS_A).status == DNS_FAILED);
    begin(&m, YES, "a.example", DNS_TXT, 1, 0);
    put_rr(&m, "a.example", DNS_TXT, 60, "\5abc", 4);
    CHECK("a string past its record", read_made(&m, "a.example", DNS_TXT).status == DNS_FAILED);

    begin(&m, YES, "a.example", DNS_CNAME, 1, 0);
    size_t here = m.len;
    put(&m, "\xc0", 1); /* a pointer to itself */
    unsigned char low = (unsigned char)here;
    put(&m, &low, 1);
    put(&m, "\0\5\0\1\0\0\0\1\0\0", 10);
    CHECK("a pointer to itself", read_made(&m, "a.example", DNS_CNAME).status == DNS_FAILED);

    begin(&m, YES, "a.example", DNS_MX, 1, 0);
    put_rr_name(&m, "a.example", DNS_MX, 60, 10, "good.example");
    for (size_t cut = 0; cut < m.len; cut++) {
        struct made part = m;
        part.len = cut;
        CHECK("cut anywhere", read_made(&part, "a.example", DNS_MX).status == DNS_FAILED);
    }

    begin(&m, YES, "a.example", DNS_MX, 1, 0);
    put(&m, "\xc0\x0c", 2); /* the question's name; then "b" and "example" out of it */
    put(&m, "\0\x0f\0\1\0\0\0\x3c\0\6\0\7\1b\xc0\x0e", 16);
    a = read_made(&m, "a.example", DNS_MX);
    CHECK("compressed", a.status == DNS_FOUND && a.count == 1 && strcmp(a.records[0].mx.host, "b.example") == 0);
}

static void test_names(void)
{
    char label[66];
    memset(label, 'x', 65);
    label[65] = '\0';

    CHECK("plain", dns_name_valid(SLICE("_25._tcp.mx.example")) && dns_name_valid(SLICE("xn--bcher-kva.example")) && dns_name_valid(SLICE("test")));
    CHECK("no name", !dns_name_valid(SLICE("")) && !dns_name_valid(SLICE(".")) && !dns_name_valid(SLICE("a..b")) && !dns_name_valid(SLICE("a.")));
    CHECK("no bytes that are not visible", !dns_name_valid(SLICE("a b")) && !dns_name_valid(SLICE("b\xc3\xbc.example")) && !dns_name_valid(slice_make("a\0b", 3)));
    CHECK("a label of 63, and of 64", dns_name_valid(slice_make(label, 63)) && !dns_name_valid(slice_make(label, 64)));

    struct sockaddr_storage at;
    CHECK("servers", dns_server_address("127.0.0.1", &at, NULL) && dns_server_address("127.0.0.1:5353", &at, NULL) &&
                         dns_server_address("::1", &at, NULL) && dns_server_address("[::1]:5353", &at, NULL));
    CHECK("no servers", !dns_server_address("", &at, NULL) && !dns_server_address("localhost", &at, NULL) && !dns_server_address("127.0.0.1:", &at, NULL) &&
                            !dns_server_address("127.0.0.1:0", &at, NULL) && !dns_server_address("[::1]x", &at, NULL));

    char name[DNS_REVERSE_MAX];
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    CHECK("reverse", dns_reverse((struct sockaddr *)&four, "", name));
    CHECK_SLICE("four", slice_of(name), SLICE("1.2.0.192.in-addr.arpa"));
    CHECK("in a list", dns_reverse((struct sockaddr *)&four, "list.example", name) && strcmp(name, "1.2.0.192.list.example") == 0);
    (void)inet_pton(AF_INET6, "2001:db8::567:89ab", &six.sin6_addr);
    CHECK("six", dns_reverse((struct sockaddr *)&six, "", name));
    CHECK_SLICE("half bytes", slice_of(name), SLICE("b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"));
    (void)inet_pton(AF_INET6, "::ffff:192.0.2.1", &six.sin6_addr);
    CHECK("mapped", dns_reverse((struct sockaddr *)&six, "", name) && strcmp(name, "1.2.0.192.in-addr.arpa") == 0);
}

/* ---- the client and its cache ---- */

static void test_client(void)
{
    static const struct fake_dns_row rows[] = {
        {"example.net", DNS_MX, .secure = true, .ttl = 60, .records = {"10 mx.example.net", "0 "}},
        {"mx.example.net", DNS_A, .ttl = 0, .records = {"192.0.2.1"}},
        {"text.example", DNS_TXT, .ttl = 60, .records = {"v=spf1 -all"}},
        {"_25._tcp.mx.example.net", DNS_TLSA, .ttl = 60, .secure = true, .records = {"3 1 1 00ff"}},
        {"www.example", DNS_AAAA, .canonical = "host.example", .ttl = 60, .records = {"2001:db8::1"}},
        {"broken.example", DNS_A, .status = DNS_FAILED},
    };
    struct fake_dns *f = fake_dns_start(rows, ARRAY_LEN(rows));
    struct dns_answer a;

    dns_ask(f->client, "Example.NET.", DNS_MX, &arena, &a);
    CHECK("mx", a.status == DNS_FOUND && a.secure && a.count == 2 && a.records[0].mx.preference == 10);
    CHECK_SLICE("host", slice_of(a.records[0].mx.host), SLICE("mx.example.net"));
    CHECK("no host", a.records[1].mx.host[0] == '\0');
    dns_ask(f->client, "example.net", DNS_MX, &arena, &a);
    CHECK("kept", atomic_load(&f->asked) == 1 && a.count == 2 && a.secure && a.ttl <= 60 && a.ttl > 50);
    CHECK_SLICE("canonical", slice_of(a.canonical), SLICE("example.net"));
    dns_ask(f->client, "example.net", DNS_A, &arena, &a);
    CHECK("another type is another question", a.status == DNS_NO_DATA && atomic_load(&f->asked) == 2);

    dns_ask(f->client, "mx.example.net", DNS_A, &arena, &a);
    dns_ask(f->client, "mx.example.net", DNS_A, &arena, &a);
    CHECK("a TTL of 0 is not kept", a.status == DNS_FOUND && atomic_load(&f->asked) == 4);
    dns_ask(f->client, "text.example", DNS_TXT, &arena, &a);
    CHECK_SLICE("text", a.records[0].text, SLICE("v=spf1 -all"));
    dns_ask(f->client, "_25._tcp.mx.example.net", DNS_TLSA, &arena, &a);
    CHECK_SLICE("tlsa", a.records[0].tlsa.data, slice_make("\0\xff", 2));
    dns_ask(f->client, "www.example", DNS_AAAA, &arena, &a);
    CHECK_SLICE("alias", slice_of(a.canonical), SLICE("host.example"));
    dns_ask(f->client, "nothing.example", DNS_AAAA, &arena, &a);
    CHECK("no name", a.status == DNS_NO_NAME && a.why[0] == '\0');

    unsigned before = atomic_load(&f->asked);
    dns_ask(f->client, "broken.example", DNS_A, &arena, &a);
    CHECK("failed, with a reason", a.status == DNS_FAILED && a.why[0] != '\0' && a.count == 0);
    dns_ask(f->client, "broken.example", DNS_A, &arena, &a);
    CHECK("a failure is believed for a moment", a.status == DNS_FAILED && atomic_load(&f->asked) == before + 1);
    dns_ask(f->client, "b\xc3\xbc.example", DNS_A, &arena, &a);
    CHECK("what no name is is not asked", a.status == DNS_NO_NAME && atomic_load(&f->asked) == before + 1);

    struct dns_call *call = dns_ask_start(f->client, "gone.example", DNS_A, (struct waker){0});
    dns_call_end(&call, NULL, NULL);
    CHECK("nobody wants it any more", call == NULL);
    call = dns_ask_start(f->client, "example.net", DNS_MX, (struct waker){0});
    CHECK("known at once", dns_call_done(call));
    dns_call_end(&call, &arena, &a);
    CHECK("and told", a.count == 2);

    ipc_server_destroy(&f->server);
    dns_ask(f->client, "away.example", DNS_A, &arena, &a);
    CHECK("the role is away", a.status == DNS_FAILED && a.why[0] != '\0');
    dns_ask(f->client, "example.net", DNS_MX, &arena, &a);
    CHECK("what is kept is told all the same", a.status == DNS_FOUND);
    fake_dns_stop(&f);
}

static void test_bounds(void)
{
    static const struct fake_dns_row rows[] = {{"x", DNS_A, .records = {"192.0.2.1"}}};
    struct fake_dns *f = fake_dns_start(rows, 1);
    struct dns_limits limits;
    struct ipc_limits ipc;
    struct dns_answer a;
    struct fail why;
    char name[40];
    int ends[2];

    dns_limits_default(&limits);
    ipc_limits_default(&ipc);
    limits.answers = 10;
    dns_client_destroy(&f->client);
    f->client = dns_client_create(&limits, &ipc, &why);
    CHECK("socket", ipc_socket_pair(ends, &why) && ipc_server_attach(f->server, ends[1], &why));
    dns_client_attach(f->client, ends[0]);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned n = 0; n < 11; n++) { /* failures are kept for some seconds */
            (void)snprintf(name, sizeof name, "n%u.example", n);
            dns_ask(f->client, name, DNS_A, &arena, &a);
        }
    }
    CHECK("eleven in turn do not fit into ten", atomic_load(&f->asked) >= 11);
    fake_dns_stop(&f);
}

/* Asked before the role is there, as after a start. */
static void *attach_later(void *arg)
{
    struct fake_dns *f = arg;
    struct fail why;
    int ends[2];

    if (!ipc_socket_pair(ends, &why) || !ipc_server_attach(f->server, ends[1], &why))
        bug("%s", why.text);
    dns_client_attach(f->client, ends[0]);
    return NULL;
}

static void test_early(void)
{
    static const struct fake_dns_row rows[] = {{"x.example", DNS_A, .records = {"192.0.2.1"}}};
    struct fake_dns *f = fake_dns_start(rows, 1);
    struct dns_limits limits;
    struct ipc_limits ipc;
    struct dns_answer a;
    struct fail why;
    pthread_t thread;

    dns_limits_default(&limits);
    ipc_limits_default(&ipc);
    dns_client_destroy(&f->client);
    f->client = dns_client_create(&limits, &ipc, &why);
    struct dns_call *call = dns_ask_start(f->client, "x.example", DNS_A, (struct waker){0});
    CHECK("who does not wait hears so at once", dns_call_done(call));
    dns_call_end(&call, &arena, &a);
    CHECK("that the role is not there", a.status == DNS_FAILED && a.why[0] != '\0');
    CHECK("thread", pthread_create(&thread, NULL, attach_later, f) == 0);
    dns_ask(f->client, "x.example", DNS_A, &arena, &a);
    CHECK("who waits is answered", a.status == DNS_FOUND);
    (void)pthread_join(thread, NULL);
    fake_dns_stop(&f);
}

/* ---- the role's answers are not believed either ---- */

static void test_wire(void)
{
    struct ipc_message m;
    struct ipc_reader r;
    struct dns_answer a;

    ipc_message_init(&m, DNS_MSG_ASK);
    ipc_add_u64(&m, DNS_FOUND);
    ipc_add_bool(&m, false);
    ipc_add_u64(&m, 60);
    ipc_add_bytes(&m, SLICE("x.example"));
    ipc_add_bytes(&m, SLICE(""));
    ipc_add_u64(&m, 1);
    ipc_add_u64(&m, 60);
    ipc_add_bytes(&m, SLICE("\1\2\3\4"));
    r = (struct ipc_reader){.rest = buf_slice(&m.bytes)};
    CHECK("right", dns_answer_get(&r, DNS_A, &arena, &a));
    r = (struct ipc_reader){.rest = buf_slice(&m.bytes)};
    CHECK("no IPv6 address", !dns_answer_get(&r, DNS_AAAA, &arena, &a));
    for (size_t cut = 0; cut < m.bytes.len; cut++) {
        r = (struct ipc_reader){.rest = slice_make(m.bytes.data, cut)};
        CHECK("cut", !dns_answer_get(&r, DNS_A, &arena, &a));
    }
    ipc_message_finish(&m);
}

/* ---- the resolver, against a server of our own ---- */

struct answering {
    int udp;
    atomic_bool silent;
    atomic_uint rcode;
};

/* Answers every A question with 192.0.2.7 and AD, if asked for it. */
static void *answer_questions(void *arg)
{
    struct answering *s = arg;
    unsigned char in[600];
    struct sockaddr_storage peer;

    for (;;) {
        socklen_t len = sizeof peer;
        ssize_t n = recvfrom(s->udp, in, sizeof in, 0, (struct sockaddr *)&peer, &len);
        if (n < 12)
            return NULL; /* the test is over */
        struct made m = {.len = 0};
        size_t question = (size_t)n - 11;
        if (atomic_load(&s->silent))
            continue;
        put(&m, in, question);
        m.bytes[2] = 0x81;
        m.bytes[3] = (unsigned char)(0x80 | (in[3] & 0x20) | atomic_load(&s->rcode));
        m.bytes[7] = atomic_load(&s->rcode) == 0;
        m.bytes[11] = 0; /* no OPT */
        if (atomic_load(&s->rcode) == 0)
            put(&m, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7", 16);
        (void)sendto(s->udp, m.bytes, m.len, 0, (struct sockaddr *)&peer, len);
    }
}

static void test_system(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    struct answering s = {.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    pthread_t thread;
    char server[40];
    const char *servers[] = {server, NULL};
    struct dns_limits limits;
    struct dns_system *d = NULL;
    struct dns_answer a;
    struct fail why;

    CHECK("bind", bind(s.udp, (struct sockaddr *)&at, sizeof at) == 0 && getsockname(s.udp, (struct sockaddr *)&at, &len) == 0);
    (void)snprintf(server, sizeof server, "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    dns_limits_default(&limits);
    limits.seconds = 1;
    CHECK("thread", pthread_create(&thread, NULL, answer_questions, &s) == 0);
    CHECK("made", dns_system_create(&limits, servers, &d, &why));
    dns_system_ask(d, "some.example", DNS_A, &arena, &a);
    CHECK("found", a.status == DNS_FOUND && a.count == 1 && a.records[0].a.s_addr == htonl(0xc0000207));
    CHECK("the AD bit of a server on loopback", a.secure);
    atomic_store(&s.rcode, 2);
    dns_system_ask(d, "some.example", DNS_A, &arena, &a);
    CHECK("SERVFAIL", a.status == DNS_FAILED && !a.secure && a.why[0] != '\0');
    atomic_store(&s.rcode, 3);
    dns_system_ask(d, "some.example", DNS_A, &arena, &a);
    CHECK("NXDOMAIN, and that is secure too", a.status == DNS_NO_NAME && a.secure);
    atomic_store(&s.silent, true);
    dns_system_ask(d, "some.example", DNS_A, &arena, &a);
    CHECK("silence", a.status == DNS_FAILED);
    dns_system_destroy(&d);

    (void)sendto(s.udp, "end", 3, 0, (struct sockaddr *)&at, sizeof at);
    (void)pthread_join(thread, NULL);
    (void)close(s.udp);
    CHECK("no server there", dns_system_create(&limits, servers, &d, &why));
    dns_system_ask(d, "some.example", DNS_A, &arena, &a);
    CHECK("refused", a.status == DNS_FAILED);
    dns_system_destroy(&d);
}

int main(void)
{
    arena_init(&arena, 64 * 1024 * 1024);
    test_records();
    test_aliases();
    test_none();
    test_broken();
    test_names();
    test_client();
    test_bounds();
    test_early();
    test_wire();
    test_system();
    arena_finish(&arena);
    return check_done();
}
