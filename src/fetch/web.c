/*
 * fetch/web.c - see fetch/web.h.
 *
 * Layer: fetch.
 */
#include "fetch/web.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"

enum {
    HEADER_MAX = 64 * 1024, /* of an answer */
    TYPE_MAX = 255,
    LOCATION_MAX = 8192,
    CONNECT_MS = 10000,
};

/* ---- the library ---- */

struct web_library {
    void *handle;
    typeof(&curl_global_init) global_init;
    typeof(&curl_easy_init) init;
    typeof(&curl_easy_setopt) set;
    typeof(&curl_easy_perform) perform;
    typeof(&curl_easy_getinfo) info;
    typeof(&curl_easy_cleanup) cleanup;
    typeof(&curl_easy_strerror) text;
    typeof(&curl_slist_append) append;
    typeof(&curl_slist_free_all) free_all;
};

/* A data pointer becomes one to a function in the way POSIX asks for (dlsym). */
static bool find(void *library, const char *name, void *function)
{
    void *at = dlsym(library, name);

    memcpy(function, &at, sizeof at);
    return at != NULL;
}

struct web_library *web_library_open(struct fail *why)
{
    struct web_library *x = xcalloc(1, sizeof *x);
    const char         *what;

    x->handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (x->handle != NULL && find(x->handle, "curl_global_init", &x->global_init) && find(x->handle, "curl_easy_init", &x->init) &&
        find(x->handle, "curl_easy_setopt", &x->set) && find(x->handle, "curl_easy_perform", &x->perform) &&
        find(x->handle, "curl_easy_getinfo", &x->info) && find(x->handle, "curl_easy_cleanup", &x->cleanup) &&
        find(x->handle, "curl_easy_strerror", &x->text) && find(x->handle, "curl_slist_append", &x->append) &&
        find(x->handle, "curl_slist_free_all", &x->free_all) && x->global_init(CURL_GLOBAL_ALL) == CURLE_OK)
        return x;
    what = dlerror();
    (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "libcurl cannot be used: %s", what != NULL ? what : "it does not start");
    web_library_close(&x);
    return NULL;
}

/* What it allocated for good stays: unloading a library that other threads used gains nothing. */
void web_library_close(struct web_library **x)
{
    if (*x == NULL)
        return;
    free(*x);
    *x = NULL;
}

void web_answer_init(struct web_answer *a, struct buf *out)
{
    *a = (struct web_answer){.fresh = -1, .out = out};
    buf_init(&a->content_type, TYPE_MAX);
    buf_init(&a->location, LOCATION_MAX);
}

void web_answer_finish(struct web_answer *a)
{
    buf_finish(&a->content_type);
    buf_finish(&a->location);
}

/* ---- what the library asks of us ---- */

/* One exchange, for the callbacks. */
struct exchange {
    const struct web_request *q;
    struct web_answer        *answer;
    uint64_t                  sent;
    size_t                    header_bytes, got;
    bool                      too_long;
};

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct exchange *e = ctx;
    size_t           n = size * count;

    if (n > e->q->most - e->got) {
        e->too_long = true;
        return 0; /* ends the exchange */
    }
    e->got += n;
    buf_add(e->answer->out, slice_make(bytes, n));
    e->too_long = e->answer->out->failed;
    return e->too_long ? 0 : n;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *ctx)
{
    struct exchange *e = ctx;
    size_t           n = size * count;
    struct slice     line = slice_trim(slice_make(bytes, n)), value = line;
    struct slice     name = slice_cut(&value, ':');

    e->header_bytes += n;
    if (e->header_bytes > HEADER_MAX) {
        e->too_long = true;
        return 0;
    }
    if (slice_eq_nocase(name, SLICE("Cache-Control"))) {
        int64_t fresh = web_max_age(value);
        if (fresh >= 0)
            e->answer->fresh = fresh;
    }
    return n;
}

static size_t give_body(char *room, size_t size, size_t count, void *ctx)
{
    struct exchange *e = ctx;
    uint64_t         left = e->q->body_len - e->sent;
    size_t           n = size * count;

    n = left < n ? (size_t)left : n;
    if (e->q->body_fd >= 0) {
        ssize_t got = pread(e->q->body_fd, room, n, (off_t)e->sent);
        if (got <= 0 && n > 0)
            return CURL_READFUNC_ABORT;
        n = (size_t)got;
    } else if (n > 0) {
        memcpy(room, e->q->body.ptr + e->sent, n);
    }
    e->sent += n;
    return n;
}

static int seek_body(void *ctx, curl_off_t offset, int origin)
{
    struct exchange *e = ctx;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > e->q->body_len)
        return CURL_SEEKFUNC_FAIL;
    e->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr *b)
{
    if (a->ss_family != b->sa_family)
        return false;
    if (a->ss_family == AF_INET) {
        struct sockaddr_in one, other;
        memcpy(&one, a, sizeof one);
        memcpy(&other, b, sizeof other);
        return one.sin_addr.s_addr == other.sin_addr.s_addr;
    }
    struct sockaddr_in6 one, other;
    memcpy(&one, a, sizeof one);
    memcpy(&other, b, sizeof other);
    return memcmp(&one.sin6_addr, &other.sin6_addr, sizeof one.sin6_addr) == 0;
}

/* The last word about where a connection goes, whatever the library made of the URL. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    const struct exchange *e = ctx;

    (void)purpose;
    for (size_t i = 0; i < e->q->address_count; i++)
        if (same_address(&e->q->addresses[i], &to->addr))
            return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    return CURL_SOCKET_BAD;
}

/* ---- setting up ---- */

/* Lists that must live as long as the exchange. */
struct lists {
    struct curl_slist *resolve, *fields;
};

/* Takes what is in `line`, which is empty afterwards. */
static void add_line(const struct web_library *x, struct curl_slist **list, struct buf *line, bool *ok)
{
    buf_add_char(line, '\0');
    struct curl_slist *longer = *ok && !line->failed ? x->append(*list, line->data) : NULL;
    buf_reset(line);
    if (longer == NULL)
        *ok = false;
    else
        *list = longer;
}

static bool set_fields(const struct web_library *x, const struct web_request *q, struct lists *lists)
{
    struct slice rest = q->fields;
    struct buf   line;
    bool         ok = true;

    buf_init(&line, 64 * 1024);
    buf_add(&line, SLICE("Expect:")); /* no 100-continue: it costs a second where it is not known */
    add_line(x, &lists->fields, &line, &ok);
    if (q->content_type.len > 0) {
        buf_addf(&line, "Content-Type: " PRIslice, SLICE_ARG(q->content_type));
        add_line(x, &lists->fields, &line, &ok);
    }
    if (q->authorization.len > 0) {
        buf_addf(&line, "Authorization: " PRIslice, SLICE_ARG(q->authorization));
        add_line(x, &lists->fields, &line, &ok);
    }
    while (rest.len > 0) {
        buf_add(&line, slice_trim(slice_cut(&rest, '\n')));
        add_line(x, &lists->fields, &line, &ok);
    }
    buf_wipe(&line);
    return ok;
}

/* host:port:address,address... */
static bool set_addresses(const struct web_library *x, const struct web_request *q, struct lists *lists)
{
    struct buf line;
    bool       ok = true;
    char       text[INET6_ADDRSTRLEN];

    if (q->to->address.ss_family != AF_UNSPEC)
        return true; /* there is no name to resolve */
    buf_init(&line, 4096);
    buf_addf(&line, PRIslice ":%u:", SLICE_ARG(q->to->host), q->to->port);
    for (size_t i = 0; i < q->address_count; i++) {
        const struct sockaddr_storage *a = &q->addresses[i];
        struct sockaddr_in             four;
        struct sockaddr_in6            six;
        const char                    *made = NULL;
        if (a->ss_family == AF_INET) {
            memcpy(&four, a, sizeof four);
            made = inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
        } else {
            memcpy(&six, a, sizeof six);
            made = inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
        }
        if (made != NULL)
            buf_addf(&line, a->ss_family == AF_INET ? "%s%s" : "%s[%s]", i > 0 ? "," : "", text);
    }
    add_line(x, &lists->resolve, &line, &ok);
    buf_finish(&line);
    return ok;
}

struct setter {
    const struct web_library *x;
    CURL                     *curl;
    bool                      ok;
};

static void set_long(struct setter *s, CURLoption option, long value)
{
    s->ok = s->ok && s->x->set(s->curl, option, value) == CURLE_OK;
}

static void set_pointer(struct setter *s, CURLoption option, const void *value)
{
    s->ok = s->ok && s->x->set(s->curl, option, value) == CURLE_OK;
}

/* What holds for every exchange: nothing of the environment, of cookies, of other protocols. */
static void set_rules(struct setter *s, const struct web_request *q, const struct lists *lists, int64_t left_ms)
{
    set_pointer(s, CURLOPT_PROTOCOLS_STR, q->to->https ? "https" : "http");
    set_long(s, CURLOPT_FOLLOWLOCATION, 0L);
    set_long(s, CURLOPT_NOSIGNAL, 1L);
    set_pointer(s, CURLOPT_PROXY, "");
    set_long(s, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    set_long(s, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    set_long(s, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    set_long(s, CURLOPT_SSL_VERIFYPEER, 1L);
    set_long(s, CURLOPT_SSL_VERIFYHOST, 2L);
    set_long(s, CURLOPT_FORBID_REUSE, 1L);
    set_long(s, CURLOPT_HTTP09_ALLOWED, 0L);
    set_long(s, CURLOPT_PATH_AS_IS, 1L);
    set_long(s, CURLOPT_TIMEOUT_MS, (long)left_ms);
    set_long(s, CURLOPT_CONNECTTIMEOUT_MS, left_ms < CONNECT_MS ? (long)left_ms : (long)CONNECT_MS);
    set_pointer(s, CURLOPT_USERAGENT, "Posthorn/" POSTHORN_VERSION);
    if (q->authorities[0] != '\0') {
        set_pointer(s, CURLOPT_CAINFO, q->authorities);
        set_pointer(s, CURLOPT_CAPATH, NULL);
    }
    set_pointer(s, CURLOPT_RESOLVE, lists->resolve);
    set_pointer(s, CURLOPT_HTTPHEADER, lists->fields);
}

/* Callbacks; their types are libcurl's, which its variadic function cannot check. */
static void set_callbacks(struct setter *s, struct exchange *e, char *error)
{
    const struct web_library *x = s->x;
    curl_write_callback       body = take_body, header = take_header;
    curl_read_callback        read_body = give_body;
    curl_seek_callback        seek = seek_body;
    curl_opensocket_callback  opens = open_socket;

    s->ok = s->ok && x->set(s->curl, CURLOPT_WRITEFUNCTION, body) == CURLE_OK &&
            x->set(s->curl, CURLOPT_HEADERFUNCTION, header) == CURLE_OK &&
            x->set(s->curl, CURLOPT_READFUNCTION, read_body) == CURLE_OK &&
            x->set(s->curl, CURLOPT_SEEKFUNCTION, seek) == CURLE_OK &&
            x->set(s->curl, CURLOPT_OPENSOCKETFUNCTION, opens) == CURLE_OK;
    set_pointer(s, CURLOPT_WRITEDATA, e);
    set_pointer(s, CURLOPT_HEADERDATA, e);
    set_pointer(s, CURLOPT_READDATA, e);
    set_pointer(s, CURLOPT_SEEKDATA, e);
    set_pointer(s, CURLOPT_OPENSOCKETDATA, e);
    set_pointer(s, CURLOPT_ERRORBUFFER, error);
    if (e->q->post) {
        set_long(s, CURLOPT_POST, 1L);
        s->ok = s->ok && x->set(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)e->q->body_len) == CURLE_OK;
    }
}

/* ---- running ---- */

static bool tell_failure(const struct web_library *x, const struct exchange *e, CURLcode code, const char *error, struct fail *why)
{
    const char *text = error[0] != '\0' ? error : x->text(code);

    if (e->too_long)
        return fail_set(why, FAIL_TEMP, FAIL_TOO_BIG, "the answer is longer than %zu bytes", e->q->most);
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_INVALIDCERTSTATUS)
        return fail_set(why, FAIL_TEMP, FAIL_AUTH, "%s", text);
    return fail_set(why, FAIL_TEMP, FAIL_OTHER, "%s", text);
}

static bool read_outcome(const struct web_library *x, CURL *curl, struct web_answer *answer, struct fail *why)
{
    long  status = 0;
    char *type = NULL, *location = NULL;

    if (x->info(curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || x->info(curl, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK ||
        x->info(curl, CURLINFO_REDIRECT_URL, &location) != CURLE_OK || status < 100 || status > 999)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "an answer that makes no sense");
    answer->status = (unsigned)status;
    buf_add(&answer->content_type, slice_of(type));
    buf_add(&answer->location, slice_of(location));
    return true;
}

bool web_run(const struct web_library *x, const struct web_request *q, struct web_answer *answer, struct fail *why)
{
    struct exchange e = {.q = q, .answer = answer};
    struct lists    lists = {0};
    int64_t         left = q->deadline_ms - clock_mono_ms();
    char            error[CURL_ERROR_SIZE] = "";
    char           *url;
    bool            ok;

    if (left <= 0)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "no time was left to ask");
    struct setter s = {.x = x, .curl = x->init(), .ok = true};
    if (s.curl == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "no memory for a request");
    url = xslicedup(q->url);
    s.ok = set_fields(x, q, &lists) && set_addresses(x, q, &lists);
    set_pointer(&s, CURLOPT_URL, url);
    set_rules(&s, q, &lists, left);
    set_callbacks(&s, &e, error);
    if (s.ok) {
        CURLcode code = x->perform(s.curl);
        ok = code == CURLE_OK ? read_outcome(x, s.curl, answer, why) : tell_failure(x, &e, code, error, why);
    } else {
        ok = fail_set(why, FAIL_PERM, FAIL_OTHER, "libcurl does not do what is asked of it");
    }
    x->cleanup(s.curl);
    x->free_all(lists.resolve);
    x->free_all(lists.fields);
    free(url);
    return ok;
}
