/*
 * net/dns.c - DNS, asked of the resolver role; answers are kept while their TTL lasts.
 *
 * Layer: net.
 *
 * An answer is kept as the bytes in which it came from the role, so finding one costs a look-up and a copy.  The one
 * that was not asked for longest goes first when there are too many, or too many bytes.
 */
#include "net/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/map.h"
#include "net/dns_wire.h"
#include "net/thread.h"

enum {
    FAILURE_SECONDS = 5, /* a failure is believed so long (RFC 2308 section 7): a dead server must not be waited for by each */
    BYTES_EACH = 1024,   /* of a kept answer on the average, at most */
    KEY_MAX = DNS_NAME_MAX + 8,
    GRACE_SECONDS = 5,   /* the role's own time-out comes first */
    AWAY_MS = 3000,      /* the role is waited for so long, at the start and while it is started again */
};

void dns_limits_default(struct dns_limits *l)
{
    *l = (struct dns_limits){.seconds = 20, .answers = 20000, .questions = 64};
}

struct kept {
    int64_t expires_ms;
    struct kept *newer, *older; /* by last use */
    size_t key_len, len;
    char bytes[]; /* the key, the answer */
};

struct dns_client {
    struct ipc_client *ipc;
    struct dns_limits limits;
    pthread_mutex_t lock; /* of what follows */
    struct map kept;
    struct kept *newest, *oldest;
    size_t bytes;
    unsigned attached;       /* how often there was a new role */
    pthread_cond_t attaching;
};

struct dns_call {
    struct dns_client *client;
    enum dns_type type;
    struct ipc_call *ipc;        /* NULL: the answer is known */
    struct kept *known;          /* a copy; NULL: `story` is the answer */
    enum dns_status status;      /* without both */
    bool lost;                   /* the role never answered */
    struct slice key;
    char text[KEY_MAX];          /* "15 example.org" */
    char story[sizeof ((struct fail *)NULL)->text];
};

struct dns_client *dns_client_create(const struct dns_limits *limits, const struct ipc_limits *ipc, struct fail *why)
{
    struct dns_client *c = xcalloc(1, sizeof *c);
    struct ipc_limits mine = *ipc;

    mine.timeout_seconds = limits->seconds + GRACE_SECONDS;
    c->limits = *limits;
    (void)pthread_mutex_init(&c->lock, NULL);
    cond_init(&c->attaching);
    map_init(&c->kept);
    c->ipc = ipc_client_create(&mine, "the resolver", NULL, NULL, why);
    if (c->ipc == NULL)
        dns_client_destroy(&c);
    return c;
}

void dns_client_destroy(struct dns_client **cp)
{
    struct dns_client *c = *cp;

    if (c == NULL)
        return;
    ipc_client_destroy(&c->ipc);
    while (c->oldest != NULL) {
        struct kept *k = c->oldest;
        c->oldest = k->newer;
        free(k);
    }
    map_finish(&c->kept);
    (void)pthread_cond_destroy(&c->attaching);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
    *cp = NULL;
}

void dns_client_attach(struct dns_client *c, int fd)
{
    ipc_client_attach(c->ipc, fd);
    (void)pthread_mutex_lock(&c->lock);
    c->attached++;
    (void)pthread_cond_broadcast(&c->attaching);
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- what is kept; under the lock ---- */

static struct slice key_of(const struct kept *k)
{
    return slice_make(k->bytes, k->key_len);
}

static void unlink_kept(struct dns_client *c, struct kept *k)
{
    *(k->newer != NULL ? &k->newer->older : &c->newest) = k->older;
    *(k->older != NULL ? &k->older->newer : &c->oldest) = k->newer;
}

static void link_newest(struct dns_client *c, struct kept *k)
{
    k->newer = NULL;
    k->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = k;
    c->newest = k;
}

static void forget(struct dns_client *c, struct kept *k)
{
    (void)map_remove(&c->kept, key_of(k));
    unlink_kept(c, k);
    c->bytes -= k->key_len + k->len;
    free(k);
}

/* A copy of what is known, NULL if nothing is. */
static struct kept *find_kept(struct dns_client *c, struct slice key)
{
    struct kept *copy = NULL;

    (void)pthread_mutex_lock(&c->lock);
    struct kept *k = map_get(&c->kept, key);
    if (k != NULL && clock_mono_ms() >= k->expires_ms) {
        forget(c, k);
        k = NULL;
    }
    if (k != NULL) {
        copy = xmalloc(sizeof *k + k->key_len + k->len);
        memcpy(copy, k, sizeof *k + k->key_len + k->len);
        if (c->newest != k) {
            unlink_kept(c, k);
            link_newest(c, k);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
    return copy;
}

static void keep(struct dns_client *c, struct slice key, struct slice answer, uint32_t seconds)
{
    if (seconds == 0)
        return;
    struct kept *k = xmalloc(sizeof *k + key.len + answer.len);
    *k = (struct kept){.expires_ms = clock_mono_ms() + (int64_t)seconds * 1000, .key_len = key.len, .len = answer.len};
    memcpy(k->bytes, key.ptr, key.len);
    memcpy(k->bytes + key.len, answer.ptr, answer.len);

    (void)pthread_mutex_lock(&c->lock);
    struct kept *before = map_get(&c->kept, key);
    if (before != NULL)
        forget(c, before);
    (void)map_put(&c->kept, key, k);
    link_newest(c, k);
    c->bytes += k->key_len + k->len;
    while (c->kept.count > c->limits.answers || c->bytes / BYTES_EACH > c->limits.answers)
        forget(c, c->oldest);
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- asking ---- */

static void set_story(struct dns_call *call, enum dns_status status, const char *text)
{
    call->status = status;
    (void)snprintf(call->story, sizeof call->story, "%s", text);
}

static void send_question(struct dns_call *call, struct slice name, struct waker w)
{
    struct ipc_message m;
    struct fail why;

    ipc_message_init(&m, DNS_MSG_ASK);
    ipc_add_bytes(&m, name);
    ipc_add_u64(&m, (uint64_t)call->type);
    call->ipc = ipc_call_start(call->client->ipc, &m, w, &why);
    ipc_message_finish(&m);
    if (call->ipc == NULL) {
        set_story(call, DNS_FAILED, why.text);
        call->lost = true;
    }
}

struct dns_call *dns_ask_start(struct dns_client *c, const char *name, enum dns_type type, struct waker w)
{
    struct dns_call *call = xcalloc(1, sizeof *call);
    struct slice asked = slice_of(name);

    call->client = c;
    call->type = type;
    if (asked.len > 1 && asked.ptr[asked.len - 1] == '.')
        asked.len--;
    if (!dns_name_valid(asked)) {
        set_story(call, DNS_NO_NAME, "");
        return call;
    }
    int n = snprintf(call->text, sizeof call->text, "%d ", (int)type);
    for (size_t i = 0; i < asked.len; i++)
        call->text[(size_t)n + i] = ascii_lower(asked.ptr[i]);
    call->key = slice_make(call->text, (size_t)n + asked.len);
    call->known = find_kept(c, call->key);
    if (call->known == NULL)
        send_question(call, slice_from(call->key, (size_t)n), w);
    return call;
}

bool dns_call_done(struct dns_call *call)
{
    return call->ipc == NULL || ipc_call_done(call->ipc);
}

static struct slice name_of(const struct dns_call *call)
{
    struct slice name = call->key;

    (void)slice_cut(&name, ' ');
    return name;
}

static void fail_with(const struct dns_call *call, struct arena *a, struct dns_answer *out, const char *story)
{
    *out = (struct dns_answer){.status = call->status, .canonical = arena_cstr(a, name_of(call)),
                               .why = arena_cstr(a, slice_of(story))};
}

/* What came from the role just now. */
static void take_answer(struct dns_call *call, struct arena *a, struct dns_answer *out)
{
    struct ipc_reader r;
    struct fail why;

    call->status = DNS_FAILED;
    ipc_call_wait(call->ipc);
    if (!ipc_call_answer(call->ipc, &r, &why)) {
        call->lost = true;
        fail_with(call, a, out, why.text);
        return;
    }
    struct slice bytes = r.rest;
    if (!dns_answer_get(&r, call->type, a, out))
        fail_with(call, a, out, a->failed ? "the answer of the DNS server is too large" : "the resolver answered with what is no answer");
    else
        keep(call->client, call->key, bytes, out->status == DNS_FAILED ? FAILURE_SECONDS : out->ttl);
}

static void take_known(const struct dns_call *call, struct arena *a, struct dns_answer *out)
{
    const struct kept *k = call->known;
    struct ipc_reader r = {.rest = slice_make(k->bytes + k->key_len, k->len)};

    if (!dns_answer_get(&r, call->type, a, out))
        fail_with(call, a, out, "the answer of the DNS server is too large"); /* for this arena: it was read before */
    int64_t left = (k->expires_ms - clock_mono_ms()) / 1000;
    out->ttl = left > 0 ? (uint32_t)left : 0;
}

/* false: the role never answered. */
static bool end_call(struct dns_call *call, struct arena *a, struct dns_answer *out)
{
    if (out != NULL && call->known != NULL)
        take_known(call, a, out);
    else if (out != NULL && call->ipc != NULL)
        take_answer(call, a, out);
    else if (out != NULL)
        fail_with(call, a, out, call->story);
    bool lost = call->lost;
    ipc_call_end(&call->ipc);
    free(call->known);
    free(call);
    return !lost;
}

void dns_call_end(struct dns_call **call, struct arena *a, struct dns_answer *out)
{
    if (*call != NULL)
        (void)end_call(*call, a, out);
    *call = NULL;
}

static unsigned attached(struct dns_client *c)
{
    (void)pthread_mutex_lock(&c->lock);
    unsigned n = c->attached;
    (void)pthread_mutex_unlock(&c->lock);
    return n;
}

/* Until there is another role than the one of that number; false: there was none within a moment. */
static bool wait_for_role(struct dns_client *c, unsigned before)
{
    struct timespec until = time_after_ms(AWAY_MS);
    bool in_time = true;

    block_begin();
    (void)pthread_mutex_lock(&c->lock);
    while (c->attached == before && in_time)
        in_time = pthread_cond_timedwait(&c->attaching, &c->lock, &until) != ETIMEDOUT;
    bool there = c->attached != before;
    (void)pthread_mutex_unlock(&c->lock);
    block_end();
    return there;
}

/* Whoever can wait anyway does not fail because the role is just being started (again). */
void dns_ask(struct dns_client *c, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out)
{
    int64_t began = clock_mono_ms();

    for (bool again = true; again;) {
        unsigned role = attached(c);
        struct dns_call *call = dns_ask_start(c, name, type, (struct waker){0});
        again = !end_call(call, a, out) && clock_mono_ms() - began < AWAY_MS && wait_for_role(c, role);
    }
}

/* ---- names of addresses ---- */

static int put_four(const unsigned char b[4], char *out, size_t size)
{
    return snprintf(out, size, "%u.%u.%u.%u", (unsigned)b[3], (unsigned)b[2], (unsigned)b[1], (unsigned)b[0]);
}

/* RFC 3596 section 2.5: a label for each half byte, the last one first. */
static int put_six(const unsigned char b[16], char out[64])
{
    static const char digits[] = "0123456789abcdef";
    int n = 0;

    for (int i = 15; i >= 0; i--) {
        out[n++] = digits[b[i] & 15];
        out[n++] = '.';
        out[n++] = digits[b[i] >> 4];
        out[n++] = '.';
    }
    out[n - 1] = '\0';
    return n - 1;
}

bool dns_reverse(const struct sockaddr *address, const char *zone, char out[DNS_REVERSE_MAX])
{
    struct sockaddr_in four;
    struct sockaddr_in6 six = {0};
    unsigned char bytes[4];
    const char *standard = "in-addr.arpa";
    int n;

    if (address->sa_family == AF_INET) {
        memcpy(&four, address, sizeof four);
        memcpy(bytes, &four.sin_addr, 4);
        n = put_four(bytes, out, DNS_REVERSE_MAX);
    } else if (address->sa_family == AF_INET6) {
        memcpy(&six, address, sizeof six);
        bool mapped = IN6_IS_ADDR_V4MAPPED(&six.sin6_addr);
        standard = mapped ? standard : "ip6.arpa";
        n = mapped ? put_four(&six.sin6_addr.s6_addr[12], out, DNS_REVERSE_MAX) : put_six(six.sin6_addr.s6_addr, out);
    } else {
        return false;
    }
    int more = snprintf(out + n, (size_t)(DNS_REVERSE_MAX - n), ".%s", zone[0] != '\0' ? zone : standard);
    return more >= 0 && n + more <= DNS_NAME_MAX;
}
