/*
 * store/search_internal.h - what the files of the search share.
 *
 * Layer: store; private to search*.c.
 *
 * A search is evaluated in three rounds, each with more to look at than the one
 * before: the view, then the message's row with its cached envelope, then its bytes.  A
 * key that needs more than there is answers LATER; a message whose tree
 * answers LATER goes on to the next round, all others are done.  A key that reads
 * bytes remembers its last answer, and where in the message it was left when the time
 * was up, so that many of them over one large message can be asked in several turns.
 */
#ifndef STORE_SEARCH_INTERNAL_H
#define STORE_SEARCH_INTERNAL_H

#include "message/envelope.h"
#include "message/message.h"
#include "store/internal.h"
#include "store/fuzzy.h"
#include "store/search.h"

/* What a key looks at, in order of price. */
enum search_cost { COST_VIEW, COST_ROW, COST_ENVELOPE, COST_HEADER, COST_BODY };

enum search_answer { ANSWER_NO, ANSWER_YES, ANSWER_LATER };

/* A key made ready: children sorted by cost, ranges in order, text in its collation's form. */
struct search_key {
    enum search_op op;
    enum search_cost cost; /* of the dearest below */
    struct search_key *children, *next;
    struct uid_set set; /* POSITIONS, UIDS; on the heap */
    uint32_t flags;
    uint64_t number;
    struct slice field, needle;
    bool in_envelope; /* HEADER: of a field that envelopes have, */
    enum envelope_field envelope_field; /* this one */
    enum collation collation; /* of the needle's form; of a fuzzy key i;unicode-casemap's */
    bool needle_is_ascii;
    bool is_indexed;      /* the index was asked: */
    struct uid_set maybe; /* all others do not match; on the heap */
    uint32_t known_set; /* KEYWORD: the last keyword set that was looked at, */
    bool known_has;     /* and whether it has the keyword; set 0 has none */
    uint32_t asked_uid; /* of what needs bytes: the message last asked about, and the answer */
    bool asked_matches;
    struct fuzzy *fuzzy; /* NULL: it must match exactly */
    bool has_fuzzy;      /* this was asked for fuzzily, or something below */
    uint32_t scored_uid; /* of a fuzzy key: the message last scored, and how */
    unsigned score;
};

/* NULL: the arena is full. */
struct search_key *search_key_make(const struct search *given, struct arena *arena);
void search_key_finish(struct search_key *k);
/*
 * Has the index say which messages may match the keys that look for text, for up to
 * `left` of them; what matches more than `most` messages is sooner looked through as it
 * comes.  The view that is searched must be there already.
 */
struct index_asks {
    unsigned left;
    size_t most;
};
void search_key_ask_index(struct account *a, uint64_t mailbox_id, struct search_key *k,
                          struct index_asks *asks);
/* FETCH_ bits of what the tree's keys read of a row. */
unsigned search_key_wants(const struct search_key *k);
/* Is it worth asking for the envelope alone first, as that decides most messages though not all? */
bool search_key_wants_envelope(const struct search_key *k);

/* ---- one message ---- */

struct search_text;

struct search_subject {
    uint32_t position;
    struct view_entry entry;
    const struct message_info *info; /* NULL in the first round */
    struct search_text *text;
    bool bytes;  /* the last round: they may be read */
    int64_t until_ms; /* and then no more after this: what is not answered then is LATER */
    bool paused;
    bool unfinished; /* the key that is asked was left in the middle of the message */
    bool failed; /* they cannot be, for now: `why` */
    struct fail why;
};

enum search_answer search_ask(struct account *a, struct search_key *k, struct search_subject *m);
/* How well the message `uid`, which the tree was just asked about, matches its fuzzy keys; 0: it has none. */
unsigned search_key_score(const struct search_key *k, uint32_t uid);

/* ---- search_text.c: decoded, folded text of envelopes and bodies ---- */

struct search_text *search_text_create(struct store *st);
void search_text_destroy(struct search_text **t);
/* From here on it is about this message, whose slices must live meanwhile.  Reads nothing yet. */
void search_text_begin(struct search_text *t, const struct message_info *info);

/* Unstructured text or addresses of the envelope. */
bool search_text_subject(struct search_text *t, const struct search_key *k);
bool search_text_addresses(struct search_text *t, const struct search_key *k);
/*
 * A field of the header by what the envelope says of it; false: that is not all, or must be decoded, and the
 * header is to be read.
 */
bool search_text_field(struct search_text *t, const struct search_key *k, bool *holds);
/* The bytes.  false and m->failed: not readable now.  A damaged message matches nothing. */
bool search_text_header(struct search_text *t, const struct search_key *k, struct search_subject *m);
bool search_text_body(struct search_text *t, const struct search_key *k, struct search_subject *m);

/* The score of a fuzzy key; 0: no match. */
unsigned search_text_fuzzy(struct search_text *t, const struct search_key *k, struct search_subject *m);

/* Could the bytes of the message not be read, for good? */
bool search_text_is_damaged(const struct search_text *t);

struct grams;
/*
 * All text that any of the above may look at, and of the body, goes into `grams`.
 * Says the worst that became of its HTML: TEXT_AWAY or TEXT_REFUSED mean that a search
 * may look at other text another time.  m->failed: not readable now.
 */
enum text_result search_text_gather(struct search_text *t, struct grams *grams, struct search_subject *m);

/* The day of a moment in its own zone, counted from 1970-01-01. */
int64_t search_day(int64_t seconds, int zone_minutes);
/* Of the envelope's Date; false if it has none that can be read. */
bool search_sent_day(struct slice envelope, int64_t *day);

#endif
