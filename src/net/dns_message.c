/*
 * net/dns_message.c - DNS messages: writes a question, reads what came back.
 *
 * Layer: net.  RFC 1035; EDNS0 RFC 6891; negative answers RFC 2308; TLSA RFC 6698.  Runs in the resolver role.
 *
 * A message is a header, the question, and records in three sections.  Nothing in it is believed: each length is
 * checked, compression pointers only go backwards, and records count if their owner is the name that was asked for, or
 * the end of the CNAMEs that begin there.
 */
#include "net/dns_wire.h"

enum {
    HEADER_BYTES = 12,
    FLAG_ANSWER = 0x8000,
    OPCODE_MASK = 0x7800,
    FLAG_CUT = 0x0200,
    FLAG_RECURSE = 0x0100,
    FLAG_AUTHENTIC = 0x0020,
    RCODE_MASK = 0x000f,
    RCODE_NO_NAME = 3,
    CLASS_IN = 1,
    TYPE_SOA = 6,
    TYPE_OPT = 41,
    EDNS_BYTES = 1232, /* fits one packet everywhere; more comes by TCP */
    EDNS_DO = 0x8000,
    WIRE_NAME_MAX = 255,
    ALIASES_MAX = 16,  /* CNAMEs in a row */
    NEGATIVE_MAX = 3 * 3600, /* RFC 2308 section 5 */
    NEGATIVE_UNSAID = 5,     /* no SOA: it should not be kept; for the moment it is */
};

void dns_answer_failed(struct dns_answer *out, const char *why)
{
    *out = (struct dns_answer){.status = DNS_FAILED, .canonical = "", .why = why};
}

/* Visible ASCII that does not look like something else in text. */
static bool is_plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '.' && c != '\\' && c != '"' && c != '(' && c != ')' && c != ';';
}

bool dns_name_valid(struct slice name)
{
    if (name.len == 0 || name.len > DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != '.' && !is_plain((unsigned char)name.ptr[i]))
            return false;
    }
    for (bool more = true; more;) {
        size_t before = name.len;
        struct slice label = slice_cut(&name, '.');
        if (label.len == 0 || label.len > DNS_LABEL_MAX)
            return false;
        more = label.len < before;
    }
    return true;
}

/* ---- writing ---- */

static unsigned char *put16(unsigned char *at, unsigned n)
{
    at[0] = (unsigned char)(n >> 8 & 0xff);
    at[1] = (unsigned char)(n & 0xff);
    return at + 2;
}

static unsigned char *put_name(unsigned char *at, struct slice name)
{
    while (name.len > 0) {
        struct slice label = slice_cut(&name, '.');
        *at++ = (unsigned char)label.len;
        memcpy(at, label.ptr, label.len);
        at += label.len;
    }
    *at++ = 0;
    return at;
}

size_t dns_query_write(const char *name, enum dns_type type, uint16_t id, bool validated, unsigned char out[DNS_QUERY_MAX])
{
    unsigned char *at = put16(out, id);

    at = put16(at, validated ? FLAG_RECURSE | FLAG_AUTHENTIC : FLAG_RECURSE);
    at = put16(at, 1);
    at = put16(at, 0);
    at = put16(at, 0);
    at = put16(at, 1); /* OPT */
    at = put_name(at, slice_of(name));
    at = put16(at, (unsigned)type);
    at = put16(at, CLASS_IN);
    *at++ = 0; /* OPT's owner is the root */
    at = put16(at, TYPE_OPT);
    at = put16(at, EDNS_BYTES);
    at = put16(at, 0); /* extended RCODE, version */
    at = put16(at, validated ? EDNS_DO : 0);
    at = put16(at, 0);
    return (size_t)(at - out);
}

/* ---- reading ---- */

/* A reader that fails once stays failed. */
struct cursor {
    const unsigned char *bytes;
    size_t len, at;
    bool failed;
};

static const unsigned char *take(struct cursor *c, size_t n)
{
    static const unsigned char zeros[20];

    if (c->failed || n > c->len - c->at || n > 0xffff) {
        c->failed = true;
        return n <= sizeof zeros ? zeros : NULL;
    }
    c->at += n;
    return c->bytes + c->at - n;
}

static unsigned take8(struct cursor *c)
{
    return take(c, 1)[0];
}

static unsigned take16(struct cursor *c)
{
    const unsigned char *b = take(c, 2);

    return (unsigned)b[0] << 8 | b[1];
}

static uint32_t take32(struct cursor *c)
{
    uint32_t high = take16(c);

    return high << 16 | take16(c);
}

struct name {
    char text[WIRE_NAME_MAX + 1]; /* NUL-terminated */
    size_t len;
    bool odd; /* has bytes that no text form here has */
};

static void add_label(struct name *n, const unsigned char *label, size_t len)
{
    if (n->len > 0)
        n->text[n->len++] = '.';
    for (size_t i = 0; i < len; i++) {
        n->odd = n->odd || !is_plain(label[i]);
        n->text[n->len++] = ascii_lower((char)label[i]);
    }
}

/*
 * Labels until the root's empty one; a pointer goes on at an earlier place (RFC 1035 section 4.1.4), each one before
 * the one that led there, so it has an end.
 */
static void take_name(struct cursor *c, struct name *out)
{
    struct cursor here = *c;
    size_t lowest = c->at, wire = 1;
    bool   jumped = false;

    out->len = 0;
    out->odd = false;
    for (;;) {
        unsigned n = take8(&here);
        if (here.failed || (n & 0xc0) == 0x40 || (n & 0xc0) == 0x80)
            break;
        if (n >= 0xc0) {
            size_t to = (size_t)(n & 0x3f) << 8 | take8(&here);
            if (here.failed || to >= lowest)
                break;
            if (!jumped)
                c->at = here.at;
            jumped = true;
            here.at = lowest = to;
            continue;
        }
        if (n == 0) {
            if (!jumped)
                c->at = here.at;
            out->text[out->len] = '\0';
            return;
        }
        const unsigned char *label = take(&here, n);
        wire += n + 1;
        if (here.failed || wire > WIRE_NAME_MAX)
            break;
        add_label(out, label, n);
    }
    c->failed = true;
    out->len = 0;
    out->text[0] = '\0';
}

static bool name_is(const struct name *n, const char *text)
{
    return slice_eq_nocase(slice_make(n->text, n->len), slice_of(text));
}

struct rr {
    struct name owner;
    unsigned type, class;
    uint32_t ttl;
    struct cursor data; /* the message up to the end of the data, at its beginning: names in it may point backwards */
};

static void take_rr(struct cursor *c, struct rr *out)
{
    take_name(c, &out->owner);
    out->type = take16(c);
    out->class = take16(c);
    out->ttl = take32(c);
    if (out->ttl > INT32_MAX)
        out->ttl = 0; /* RFC 2181 section 8 */
    size_t n = take16(c);
    out->data = (struct cursor){.bytes = c->bytes, .len = c->at + n, .at = c->at};
    (void)take(c, n);
    out->data.failed = c->failed;
}

/* ---- records ---- */

struct reading {
    struct cursor sections; /* behind the question */
    unsigned answers, authorities;
    enum dns_type type;
    struct arena *arena;
    bool malformed;
    size_t unusable; /* records that name what no text form here has */
};

/* TXT: strings of up to 255 bytes, one behind the other; read as one (RFC 7208 section 3.3, RFC 6376 section 3.6.2.2). */
static struct slice read_text(struct cursor *data, struct arena *a)
{
    char  *out = arena_alloc(a, data->len - data->at + 1);
    size_t len = 0;

    if (out == NULL)
        data->failed = true;
    while (!data->failed && data->at < data->len) {
        unsigned n = take8(data);
        const unsigned char *bytes = take(data, n);
        if (data->failed)
            break;
        memcpy(out + len, bytes, n);
        len += n;
    }
    return slice_make(out, len);
}

/* false: it is malformed.  *usable: it can be shown. */
static bool read_data(struct reading *r, struct rr *rr, struct dns_record *out, bool *usable)
{
    struct name name = {0};

    *out = (struct dns_record){.ttl = rr->ttl};
    if (rr->data.at == rr->data.len)
        return false;
    switch (r->type) {
    case DNS_A: memcpy(&out->a, take(&rr->data, sizeof out->a), sizeof out->a); break;
    case DNS_AAAA: memcpy(&out->aaaa, take(&rr->data, sizeof out->aaaa), sizeof out->aaaa); break;
    case DNS_MX:
        out->mx.preference = take16(&rr->data);
        take_name(&rr->data, &name);
        out->mx.host = arena_cstr(r->arena, slice_make(name.text, name.len));
        break;
    case DNS_CNAME:
    case DNS_PTR:
        take_name(&rr->data, &name);
        out->name = arena_cstr(r->arena, slice_make(name.text, name.len));
        break;
    case DNS_TXT: out->text = read_text(&rr->data, r->arena); break;
    case DNS_TLSA:
        out->tlsa.usage = take8(&rr->data);
        out->tlsa.selector = take8(&rr->data);
        out->tlsa.matching = take8(&rr->data);
        size_t n = rr->data.len - rr->data.at;
        const unsigned char *bytes = take(&rr->data, n);
        if (!rr->data.failed)
            out->tlsa.data = arena_keep(r->arena, slice_make(bytes, n));
        break;
    }
    *usable = !name.odd && !r->arena->failed;
    return !rr->data.failed && rr->data.at == rr->data.len;
}

/* One walk through the answers: those of the type at `name`, and where a CNAME there leads ("": nowhere). */
static void collect(struct reading *r, const char *name, struct dns_answer *out, uint32_t *ttl, struct name *alias)
{
    struct cursor c = r->sections;
    struct rr rr;

    alias->len = 0;
    for (unsigned i = 0; i < r->answers; i++) {
        take_rr(&c, &rr);
        if (c.failed) {
            r->malformed = true;
            return;
        }
        if (rr.class != CLASS_IN || rr.owner.odd || !name_is(&rr.owner, name))
            continue;
        if (rr.type == (unsigned)r->type && out->count < DNS_RECORDS_MAX) {
            bool usable = false;
            if (!read_data(r, &rr, &out->records[out->count], &usable))
                r->malformed = true;
            else if (usable)
                out->count++;
            else
                r->unusable++;
        } else if (rr.type == DNS_CNAME && r->type != DNS_CNAME && alias->len == 0) {
            take_name(&rr.data, alias);
            if (rr.data.failed || rr.data.at != rr.data.len || alias->odd)
                r->malformed = true;
        } else {
            continue;
        }
        if (rr.ttl < *ttl)
            *ttl = rr.ttl;
    }
}

/* How long "there is none" holds: the SOA in the authority section says (RFC 2308 section 5). */
static uint32_t negative_ttl(const struct reading *r)
{
    struct cursor c = r->sections;
    struct rr rr;
    struct name name;

    for (unsigned i = 0; i < r->answers + r->authorities; i++) {
        take_rr(&c, &rr);
        if (c.failed)
            break;
        if (i < r->answers || rr.type != TYPE_SOA || rr.class != CLASS_IN)
            continue;
        take_name(&rr.data, &name);
        take_name(&rr.data, &name);
        (void)take(&rr.data, 16); /* serial, refresh, retry, expire */
        uint32_t least = take32(&rr.data);
        if (rr.data.failed)
            break;
        return least < rr.ttl ? least : rr.ttl;
    }
    return NEGATIVE_UNSAID;
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
    return n < most ? n : most;
}

static void read_answers(struct reading *r, const char *name, bool no_name, struct dns_answer *out)
{
    uint32_t ttl = DNS_KEPT_MAX;
    struct name alias;
    unsigned hops = 0;

    out->records = arena_new_array(r->arena, struct dns_record, r->answers < DNS_RECORDS_MAX ? r->answers : DNS_RECORDS_MAX);
    for (;;) {
        collect(r, name, out, &ttl, &alias);
        if (r->malformed || r->arena->failed) {
            dns_answer_failed(out, r->malformed ? "the answer is malformed" : "the answer is too large");
            return;
        }
        if (out->count > 0 || r->unusable > 0 || alias.len == 0)
            break;
        if (hops++ == ALIASES_MAX) {
            dns_answer_failed(out, "too many CNAMEs in a row");
            return;
        }
        name = arena_cstr(r->arena, slice_make(alias.text, alias.len));
    }
    out->canonical = name;
    out->ttl = ttl;
    if (out->count > 0) {
        out->status = DNS_FOUND;
    } else if (r->unusable > 0) {
        dns_answer_failed(out, "the answer names what no host can be called");
    } else {
        out->status = no_name ? DNS_NO_NAME : DNS_NO_DATA;
        out->ttl = at_most(negative_ttl(r), at_most(ttl, NEGATIVE_MAX));
    }
}

static const char *rcode_text(unsigned rcode)
{
    switch (rcode) {
    case 1: return "the DNS server did not understand the question";
    case 2: return "the DNS server failed (SERVFAIL)";
    case 4: return "the DNS server does not know such questions";
    case 5: return "the DNS server refused to answer";
    default: return "the DNS server answered with an error";
    }
}

void dns_message_read(struct slice message, const char *name, enum dns_type type, struct arena *a, struct dns_answer *out,
                      bool *authentic)
{
    struct cursor c = {.bytes = (const unsigned char *)message.ptr, .len = message.len};
    struct name asked;

    *out = (struct dns_answer){.canonical = name, .why = ""};
    (void)take16(&c); /* the id was compared where it came in */
    unsigned flags = take16(&c), questions = take16(&c);
    struct reading r = {.type = type, .arena = a};
    r.answers = take16(&c);
    r.authorities = take16(&c);
    (void)take16(&c);
    take_name(&c, &asked);
    unsigned asked_type = take16(&c), asked_class = take16(&c), rcode = flags & RCODE_MASK;
    *authentic = (flags & FLAG_AUTHENTIC) != 0;
    r.sections = c;

    if (c.failed || (flags & FLAG_ANSWER) == 0 || (flags & OPCODE_MASK) != 0 || questions != 1 || !name_is(&asked, name) ||
        asked_type != (unsigned)type || asked_class != CLASS_IN)
        dns_answer_failed(out, "what came is no answer to the question");
    else if (rcode != 0 && rcode != RCODE_NO_NAME)
        dns_answer_failed(out, rcode_text(rcode));
    else if ((flags & FLAG_CUT) != 0)
        dns_answer_failed(out, "the answer was cut short");
    else
        read_answers(&r, name, rcode == RCODE_NO_NAME, out);
}
