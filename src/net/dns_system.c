/*
 * net/dns_system.c - questions to the system's DNS servers, by glibc's resolver.
 *
 * Layer: net.  Runs in the resolver role.  glibc sends, waits, tries again and goes to TCP (res_nsend); the questions and
 * the reading of answers are ours (net/dns_message.c).
 *
 * The AD bit is a word of the server, and the way to it is unprotected: it is believed only if each server that may
 * answer is on loopback (RFC 6698 section 8.3 and appendix A.3; Postfix and glibc's trust-ad do the same).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/slice.h"
#include "net/dns_wire.h"
#include "net/net.h"

enum { TRY_SECONDS = 5, DNS_PORT = 53, ANSWER_ROOM = DNS_MESSAGE_MAX };

#define RESOLV_CONF "/etc/resolv.conf"

/* What one question needs; as many as are asked at once. */
struct asker {
    struct __res_state state;
    bool trusted;           /* all servers are on loopback */
    struct stat conf;       /* of resolv.conf, when it was read */
    struct asker *next;
    unsigned char answer[ANSWER_ROOM];
};

struct dns_system {
    struct dns_limits limits;
    struct sockaddr_storage servers[MAXNS];
    size_t server_count;    /* 0: resolv.conf's */
    pthread_mutex_t lock;
    struct asker *idle;     /* under the lock */
};

/* ---- servers ---- */

bool dns_server_address(const char *text, struct sockaddr_storage *out, struct fail *why)
{
    struct slice rest = slice_of(text), host = rest, port = SLICE("53");
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    char copy[INET6_ADDRSTRLEN];
    uint64_t number = 0;

    if (slice_starts(rest, SLICE("["))) {
        rest = slice_from(rest, 1);
        host = slice_cut(&rest, ']');
        if (rest.len > 0)
            port = rest.ptr[0] == ':' ? slice_from(rest, 1) : (struct slice){0};
    } else if (slice_find_char(rest, ':') == slice_rfind_char(rest, ':') && slice_find_char(rest, ':') < rest.len) {
        host = slice_cut(&rest, ':');
        port = rest;
    }
    if (host.len < sizeof copy && slice_to_u64(port, 65535, &number) && number > 0) {
        memcpy(copy, host.ptr, host.len);
        copy[host.len] = '\0';
        *out = (struct sockaddr_storage){0};
        four.sin_port = six.sin6_port = htons((uint16_t)number);
        if (inet_pton(AF_INET, copy, &four.sin_addr) == 1) {
            memcpy(out, &four, sizeof four);
            return true;
        }
        if (inet_pton(AF_INET6, copy, &six.sin6_addr) == 1) {
            memcpy(out, &six, sizeof six);
            return true;
        }
    }
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"%s\" is no IP address with or without a port", text);
}

static bool on_loopback(const struct sockaddr_storage *address)
{
    static const char *const blocks[] = {"127.0.0.0/8", "::1/128"};
    struct net_block block;

    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        if (net_block_parse(slice_of(blocks[i]), &block, NULL) && net_block_contains(&block, address))
            return true;
    }
    return false;
}

/* The server at a place of glibc's list: IPv6 addresses stand beside it, with a family of 0 in it. */
static bool server_at(const struct __res_state *s, int i, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (s->nsaddr_list[i].sin_family == AF_INET)
        memcpy(out, &s->nsaddr_list[i], sizeof s->nsaddr_list[i]);
    else if (s->_u._ext.nsaddrs[i] != NULL)
        memcpy(out, s->_u._ext.nsaddrs[i], sizeof *s->_u._ext.nsaddrs[i]);
    else
        return false;
    return true;
}

/* Ours instead of resolv.conf's.  res_nclose() frees what is allocated here. */
static void set_servers(const struct dns_system *d, struct __res_state *s)
{
    for (size_t i = 0; i < d->server_count; i++) {
        const struct sockaddr_storage *from = &d->servers[i];
        free(s->_u._ext.nsaddrs[i]);
        s->_u._ext.nsaddrs[i] = xcalloc(1, sizeof(struct sockaddr_in6));
        s->_u._ext.nssocks[i] = -1;
        s->nsaddr_list[i] = (struct sockaddr_in){0};
        if (from->ss_family == AF_INET) {
            memcpy(&s->nsaddr_list[i], from, sizeof(struct sockaddr_in));
            memcpy(s->_u._ext.nsaddrs[i], from, sizeof(struct sockaddr_in));
        } else {
            memcpy(s->_u._ext.nsaddrs[i], from, sizeof(struct sockaddr_in6));
        }
    }
    for (size_t i = d->server_count; i < MAXNS; i++) {
        free(s->_u._ext.nsaddrs[i]);
        s->_u._ext.nsaddrs[i] = NULL;
    }
    s->nscount = (int)d->server_count;
    s->_u._ext.nscount = (uint16_t)d->server_count;
}

/*
 * How often each server is asked, so that all of it ends in time: glibc waits TRY_SECONDS for the first server of a
 * round, and (2 << i) / count times that for the others.
 */
static int tries_within(unsigned seconds, int servers)
{
    unsigned round = TRY_SECONDS;

    for (int i = 1; i < servers; i++)
        round += (unsigned)((TRY_SECONDS << i) / servers);
    unsigned tries = seconds / round;
    return tries == 0 ? 1 : tries > 4 ? 4 : (int)tries;
}

static bool prepare(const struct dns_system *d, struct asker *k)
{
    struct __res_state *s = &k->state;

    *s = (struct __res_state){0};
    if (stat(RESOLV_CONF, &k->conf) != 0)
        k->conf = (struct stat){0};
    if (res_ninit(s) != 0)
        return false;
    if (d->server_count > 0)
        set_servers(d, s);
    k->trusted = s->nscount > 0;
    for (int i = 0; i < s->nscount; i++) {
        struct sockaddr_storage server;
        k->trusted = k->trusted && server_at(s, i, &server) && on_loopback(&server);
    }
    s->options &= ~(unsigned long)(RES_ROTATE | RES_USE_DNSSEC | RES_TRUSTAD | RES_USEVC);
    s->options |= RES_USE_EDNS0;
    if (k->trusted)
        s->options |= RES_TRUSTAD;
    s->retrans = (int)d->limits.seconds < TRY_SECONDS ? (int)d->limits.seconds : TRY_SECONDS;
    s->retry = tries_within(d->limits.seconds, s->nscount);
    return true;
}

/* ---- askers ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static struct asker *take_asker(struct dns_system *d)
{
    struct stat now = {0};

    (void)pthread_mutex_lock(&d->lock);
    struct asker *k = d->idle;
    if (k != NULL)
        d->idle = k->next;
    (void)pthread_mutex_unlock(&d->lock);
    if (k != NULL) {
        if (stat(RESOLV_CONF, &now) != 0)
            now = (struct stat){0};
        if (d->server_count > 0 || same_file(&now, &k->conf))
            return k;
        res_nclose(&k->state);
    } else {
        k = xcalloc(1, sizeof *k);
    }
    if (prepare(d, k))
        return k;
    free(k);
    return NULL;
}

static void give_back(struct dns_system *d, struct asker *k)
{
    (void)pthread_mutex_lock(&d->lock);
    k->next = d->idle;
    d->idle = k;
    (void)pthread_mutex_unlock(&d->lock);
}

bool dns_system_create(const struct dns_limits *limits, const char *const *servers, struct dns_system **out, struct fail *why)
{
    struct dns_system *d = xcalloc(1, sizeof *d);
    bool ok = true;

    d->limits = *limits;
    (void)pthread_mutex_init(&d->lock, NULL);
    for (size_t i = 0; ok && servers != NULL && servers[i] != NULL && i < MAXNS; i++) {
        ok = dns_server_address(servers[i], &d->servers[i], why);
        d->server_count++;
    }
    if (!ok)
        dns_system_destroy(&d);
    *out = d;
    return ok;
}

void dns_system_destroy(struct dns_system **dp)
{
    struct dns_system *d = *dp;

    if (d == NULL)
        return;
    while (d->idle != NULL) {
        struct asker *k = d->idle;
        d->idle = k->next;
        res_nclose(&k->state);
        free(k);
    }
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
    *dp = NULL;
}

/* ---- asking ---- */

static const char *send_failure(int errnum)
{
    switch (errnum) {
    case ETIMEDOUT: return "no DNS server answered in time";
    case ECONNREFUSED: return "no DNS server can be reached, or none could answer";
    case ESRCH: return "no DNS server is configured";
    default: return "the question could not be sent to a DNS server";
    }
}

void dns_system_ask(struct dns_system *d, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out)
{
    unsigned char query[DNS_QUERY_MAX];
    uint16_t id = 0;
    bool authentic = false;
    struct asker *k = take_asker(d);

    if (k == NULL) {
        dns_answer_failed(out, "the system's resolver could not be set up");
        return;
    }
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        bug("getrandom");
    size_t n = dns_query_write(name, type, id, k->trusted, query);
    int got = res_nsend(&k->state, query, (int)n, k->answer, sizeof k->answer);
    int errnum = errno;
    if (got < 0 || k->state.nscount == 0)
        dns_answer_failed(out, k->state.nscount == 0 ? send_failure(ESRCH) : send_failure(errnum));
    else
        dns_message_read(slice_make(k->answer, (size_t)got < sizeof k->answer ? (size_t)got : sizeof k->answer), name, type, a,
                         out, &authentic);
    out->secure = k->trusted && authentic && out->status != DNS_FAILED;
    give_back(d, k);
}
