/*
 * policy/milter_wire.h - the milter protocol's packets, version 2 to 6.
 *
 * Layer: policy.  Sendmail's libmilter/docs and mfdef.h; a packet is a 32-bit length, a letter, and data.  Pure: bytes in,
 * meaning out.
 */
#ifndef POLICY_MILTER_WIRE_H
#define POLICY_MILTER_WIRE_H

#include "base/buf.h"

enum {
    MILTER_VERSION = 6,
    MILTER_VERSION_MIN = 2,
    MILTER_CHUNK = 65535,       /* of a body */
    MILTER_PACKET_MAX = 1 << 20, /* that we read */
};

enum { /* to a milter */
    SMFIC_ABORT = 'A', SMFIC_BODY = 'B', SMFIC_CONNECT = 'C', SMFIC_MACRO = 'D', SMFIC_BODYEOB = 'E', SMFIC_HELO = 'H',
    SMFIC_HEADER = 'L', SMFIC_MAIL = 'M', SMFIC_EOH = 'N', SMFIC_OPTNEG = 'O', SMFIC_QUIT = 'Q', SMFIC_RCPT = 'R',
    SMFIC_DATA = 'T', SMFIC_UNKNOWN = 'U',
};
enum { /* from it */
    SMFIR_ADDRCPT = '+', SMFIR_DELRCPT = '-', SMFIR_ADDRCPT_PAR = '2', SMFIR_SHUTDOWN = '4', SMFIR_ACCEPT = 'a',
    SMFIR_REPLBODY = 'b', SMFIR_CONTINUE = 'c', SMFIR_DISCARD = 'd', SMFIR_CHGFROM = 'e', SMFIR_CONN_FAIL = 'f',
    SMFIR_ADDHEADER = 'h', SMFIR_INSHEADER = 'i', SMFIR_CHGHEADER = 'm', SMFIR_PROGRESS = 'p', SMFIR_QUARANTINE = 'q',
    SMFIR_REJECT = 'r', SMFIR_SKIP = 's', SMFIR_TEMPFAIL = 't', SMFIR_REPLYCODE = 'y',
};
enum { /* what it may change */
    SMFIF_ADDHDRS = 0x1, SMFIF_CHGBODY = 0x2, SMFIF_ADDRCPT = 0x4, SMFIF_DELRCPT = 0x8, SMFIF_CHGHDRS = 0x10,
    SMFIF_QUARANTINE = 0x20, SMFIF_CHGFROM = 0x40, SMFIF_ADDRCPT_PAR = 0x80, SMFIF_SETSYMLIST = 0x100, SMFIF_ALL = 0x1ff,
};
enum { /* what it does not want, or does not answer */
    SMFIP_NOCONNECT = 0x1, SMFIP_NOHELO = 0x2, SMFIP_NOMAIL = 0x4, SMFIP_NORCPT = 0x8, SMFIP_NOBODY = 0x10, SMFIP_NOHDRS = 0x20,
    SMFIP_NOEOH = 0x40, SMFIP_NR_HDR = 0x80, SMFIP_NOUNKNOWN = 0x100, SMFIP_NODATA = 0x200, SMFIP_SKIP = 0x400,
    SMFIP_RCPT_REJ = 0x800, SMFIP_NR_CONN = 0x1000, SMFIP_NR_HELO = 0x2000, SMFIP_NR_MAIL = 0x4000, SMFIP_NR_RCPT = 0x8000,
    SMFIP_NR_DATA = 0x10000, SMFIP_NR_UNKN = 0x20000, SMFIP_NR_EOH = 0x40000, SMFIP_NR_BODY = 0x80000, SMFIP_HDR_LEADSPC = 0x100000,
    SMFIP_ALL = 0x1fffff & ~SMFIP_RCPT_REJ, /* refused recipients are not told */
};

enum { MILTER_MACRO_STAGES = 7 }; /* connect, helo, mail, rcpt, data, end of message, end of header */
enum milter_macro_stage { MACRO_CONNECT, MACRO_HELO, MACRO_MAIL, MACRO_RCPT, MACRO_DATA, MACRO_EOM, MACRO_EOH };

/* ---- writing ---- */

/* A packet begins; milter_end writes its length.  Returns where it began. */
size_t milter_begin(struct buf *out, char command);
void   milter_end(struct buf *out, size_t began);
void   milter_add_u32(struct buf *out, uint32_t n);
/* With a NUL behind; a NUL inside ends it. */
void   milter_add_text(struct buf *out, struct slice text);

/* ---- reading ---- */

enum milter_take { MILTER_MORE, MILTER_PACKET, MILTER_BAD };
/* The packet at the front of `in`; *used bytes of it. */
enum milter_take milter_take(struct slice in, char *command, struct slice *data, size_t *used);

struct milter_options {
    uint32_t     version, actions, protocol;
    struct slice macros[MILTER_MACRO_STAGES]; /* names with blanks between; ptr NULL: as usual */
};
/* false: it is no answer to what was offered. */
bool milter_read_options(struct slice data, struct milter_options *out);

/* NUL-ended texts; the last NUL may be missing.  false: there is none. */
bool milter_read_text(struct slice *data, struct slice *out);
bool milter_read_u32(struct slice *data, uint32_t *out);

/* "550 5.7.1 text", also of many lines.  false: that is no refusal. */
struct milter_reply {
    unsigned     code;
    struct slice status; /* may be empty */
    struct slice text;   /* of the first line */
};
bool milter_read_reply(struct slice data, struct milter_reply *out);

#endif
