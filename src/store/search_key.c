/*
 * store/search_key.c - keys made ready, and asked.
 *
 * Layer: store.
 */
#include "base/clock.h"
#include "base/unicode.h"
#include "store/index.h"
#include "store/search_internal.h"

/* ---- made ready ---- */

static const enum search_cost op_cost[] = {
    [SEARCH_ALL] = COST_VIEW,
    [SEARCH_AND] = COST_VIEW,
    [SEARCH_OR] = COST_VIEW,
    [SEARCH_NOT] = COST_VIEW,
    [SEARCH_POSITIONS] = COST_VIEW,
    [SEARCH_UIDS] = COST_VIEW,
    [SEARCH_FLAGS] = COST_VIEW,
    [SEARCH_KEYWORD] = COST_VIEW,
    [SEARCH_RECENT] = COST_VIEW,
    [SEARCH_MODSEQ] = COST_VIEW,
    [SEARCH_NOTHING] = COST_VIEW,
    [SEARCH_LARGER] = COST_ROW,
    [SEARCH_SMALLER] = COST_ROW,
    [SEARCH_BEFORE] = COST_ROW,
    [SEARCH_ON] = COST_ROW,
    [SEARCH_SINCE] = COST_ROW,
    [SEARCH_OLDER] = COST_ROW,
    [SEARCH_YOUNGER] = COST_ROW,
    [SEARCH_SAVED_BEFORE] = COST_ROW,
    [SEARCH_SAVED_ON] = COST_ROW,
    [SEARCH_SAVED_SINCE] = COST_ROW,
    [SEARCH_EMAILID] = COST_ROW,
    [SEARCH_THREADID] = COST_ROW,
    [SEARCH_SENT_BEFORE] = COST_ENVELOPE,
    [SEARCH_SENT_ON] = COST_ENVELOPE,
    [SEARCH_SENT_SINCE] = COST_ENVELOPE,
    [SEARCH_FROM] = COST_ENVELOPE,
    [SEARCH_TO] = COST_ENVELOPE,
    [SEARCH_CC] = COST_ENVELOPE,
    [SEARCH_BCC] = COST_ENVELOPE,
    [SEARCH_SUBJECT] = COST_ENVELOPE,
    [SEARCH_HEADER] = COST_HEADER,
    [SEARCH_BODY] = COST_BODY,
    [SEARCH_TEXT] = COST_BODY,
};

static struct slice form(struct arena *arena, enum collation c, struct slice text)
{
    struct buf folded;

    buf_init(&folded, SIZE_MAX / 2);
    collation_form(c, &folded, text);
    struct slice kept = arena_keep(arena, buf_slice(&folded));
    buf_finish(&folded);
    return kept;
}

/* Before the first that costs more. */
static void insert_by_cost(struct search_key **list, struct search_key *k)
{
    while (*list != NULL && (*list)->cost <= k->cost)
        list = &(*list)->next;
    k->next = *list;
    *list = k;
}

static bool looks_for_text(const struct search_key *k)
{
    switch (k->cost) {
    case COST_ENVELOPE: return k->op == SEARCH_FROM || k->op == SEARCH_TO || k->op == SEARCH_CC ||
                               k->op == SEARCH_BCC || k->op == SEARCH_SUBJECT;
    case COST_HEADER:
    case COST_BODY: return k->op == SEARCH_HEADER || k->op == SEARCH_BODY || k->op == SEARCH_TEXT;
    case COST_VIEW:
    case COST_ROW: return false;
    }
    bug("cost %d", (int)k->cost);
}

/* What is about the same has no octets to compare: only one form will do. */
static void make_fuzzy(struct search_key *k, const struct search *given, struct arena *arena)
{
    struct slice wanted = form(arena, COLLATION_UNICODE_CASEMAP, given->text);

    k->fuzzy = fuzzy_make(arena, wanted);
    if (k->fuzzy == NULL)
        return;
    k->needle = wanted;
    k->collation = COLLATION_UNICODE_CASEMAP;
}

/* `given` with its own text and ranges; not its children. */
static struct search_key *key_alone(const struct search *given, struct arena *arena)
{
    struct search_key *k = arena_new(arena, struct search_key);

    if (k == NULL)
        return NULL;
    k->op = given->op;
    k->cost = op_cost[given->op];
    k->flags = given->flags;
    k->number = given->number;
    k->field = given->field;
    if (given->op == SEARCH_KEYWORD)
        k->needle = given->text;
    else
        k->needle = form(arena, given->collation, given->text);
    k->collation = given->collation;
    if (given->fuzzy && looks_for_text(k))
        make_fuzzy(k, given, arena);
    k->needle_is_ascii = slice_is_ascii(k->needle);
    k->has_fuzzy = given->fuzzy;
    k->in_envelope = k->op == SEARCH_HEADER && k->fuzzy == NULL && envelope_field_named(k->field, &k->envelope_field);
    if (given->op == SEARCH_POSITIONS || given->op == SEARCH_UIDS)
        k->set = uid_set_of_ranges(given->ranges, given->range_count);
    return k;
}

struct search_key *search_key_make(const struct search *given, struct arena *arena)
{
    struct search_key *k = key_alone(given, arena);

    for (const struct search *c = given->children; k != NULL && c != NULL; c = c->next) {
        struct search_key *child = search_key_make(c, arena);
        if (child == NULL) {
            search_key_finish(k);
            return NULL;
        }
        if (child->cost > k->cost)
            k->cost = child->cost;
        k->has_fuzzy = k->has_fuzzy || child->has_fuzzy;
        insert_by_cost(&k->children, child);
    }
    return k;
}

void search_key_finish(struct search_key *k)
{
    if (k == NULL)
        return;
    uid_set_finish(&k->set);
    uid_set_finish(&k->maybe);
    for (struct search_key *c = k->children; c != NULL; c = c->next)
        search_key_finish(c);
}

static unsigned leaves_want(const struct search_key *k)
{
    unsigned wants = 0;

    for (const struct search_key *c = k->children; c != NULL; c = c->next)
        wants |= leaves_want(c);
    if (k->children != NULL)
        return wants;
    switch (k->cost) {
    case COST_VIEW: return 0;
    case COST_ROW: return k->op == SEARCH_THREADID ? FETCH_THREAD : 0;
    case COST_ENVELOPE: return FETCH_ENVELOPE;
    case COST_HEADER:
    case COST_BODY: return FETCH_STRUCTURE | (k->in_envelope ? FETCH_ENVELOPE : 0);
    }
    bug("cost %d", (int)k->cost);
}

/* Is there a key that looks at the row itself, or needs to know from it where the bytes are? */
static bool reads_row(const struct search_key *k)
{
    for (const struct search_key *c = k->children; c != NULL; c = c->next)
        if (reads_row(c))
            return true;
    return k->children == NULL && k->cost != COST_VIEW && k->cost != COST_ENVELOPE;
}

/* Can the tree be asked with nothing but an envelope, and only header fields be left to be read? */
static bool envelope_comes_first(const struct search_key *k)
{
    for (const struct search_key *c = k->children; c != NULL; c = c->next)
        if (!envelope_comes_first(c))
            return false;
    return k->children != NULL || k->in_envelope || k->cost == COST_VIEW || k->cost == COST_ENVELOPE;
}

bool search_key_wants_envelope(const struct search_key *k)
{
    return k->cost > COST_ENVELOPE && envelope_comes_first(k);
}

unsigned search_key_wants(const struct search_key *k)
{
    unsigned wants = leaves_want(k);

    return wants == FETCH_ENVELOPE && !reads_row(k) ? FETCH_ENVELOPE | FETCH_BARE : wants;
}

/* ---- the index ---- */

/*
 * The index has text in the form of i;unicode-casemap.  There ASCII stands side by side as in the text itself, in
 * lower case; of other characters the form may be mixed with what is behind them (marks are put in order).
 */
static bool may_ask_index(const struct search_key *k)
{
    return looks_for_text(k) && k->fuzzy == NULL &&
           (k->collation == COLLATION_UNICODE_CASEMAP || k->needle_is_ascii);
}

void search_key_ask_index(struct account *a, uint64_t mailbox_id, struct search_key *k,
                          struct index_asks *asks)
{
    for (struct search_key *c = k->children; c != NULL; c = c->next)
        search_key_ask_index(a, mailbox_id, c, asks);
    if (k->children != NULL || !may_ask_index(k) || asks->left == 0)
        return;
    asks->left--;
    struct buf needle;
    buf_init(&needle, SIZE_MAX / 2);
    collation_form(COLLATION_UNICODE_CASEMAP, &needle, k->needle);
    k->is_indexed = index_candidates(a, mailbox_id, buf_slice(&needle), asks->most, &k->maybe);
    buf_finish(&needle);
}

/* ---- asked ---- */

static bool has_keyword(struct account *a, struct search_key *k, uint32_t set_id)
{
    if (set_id == 0 || set_id == k->known_set)
        return set_id != 0 && k->known_has;

    struct keyword_set set = account_keyword_set(a, set_id);
    k->known_set = set_id;
    k->known_has = false;
    for (size_t i = 0; i < set.count; i++)
        k->known_has = k->known_has || slice_eq_nocase(set.names[i], k->needle);
    return k->known_has;
}

static bool date_matches(enum search_op op, int64_t day, int64_t wanted)
{
    if (op == SEARCH_BEFORE || op == SEARCH_SENT_BEFORE || op == SEARCH_SAVED_BEFORE)
        return day < wanted;
    if (op == SEARCH_ON || op == SEARCH_SENT_ON || op == SEARCH_SAVED_ON)
        return day == wanted;
    return day >= wanted;
}

static bool sent_matches(const struct search_key *k, const struct search_subject *m)
{
    int64_t day;

    return search_sent_day(m->info->envelope, &day) && date_matches(k->op, day, (int64_t)k->number);
}

static bool fuzzily_matches(struct search_key *k, struct search_subject *m)
{
    k->score = search_text_fuzzy(m->text, k, m);
    k->scored_uid = m->entry.uid;
    return k->score > 0;
}

/* All that is not made of other keys and has what it needs. */
static bool matches(struct account *a, struct search_key *k, struct search_subject *m)
{
    if (k->fuzzy != NULL)
        return fuzzily_matches(k, m);
    switch (k->op) {
    case SEARCH_ALL: return true;
    case SEARCH_NOTHING: return false;
    case SEARCH_POSITIONS: return uid_set_has(&k->set, m->position + 1);
    case SEARCH_UIDS: return uid_set_has(&k->set, m->entry.uid);
    case SEARCH_FLAGS: return (m->entry.flags & k->flags) == k->flags;
    case SEARCH_KEYWORD: return has_keyword(a, k, m->entry.keyword_set);
    case SEARCH_RECENT: return m->entry.uid >= k->number;
    case SEARCH_MODSEQ: return m->entry.modseq >= k->number;
    case SEARCH_LARGER: return m->info->size > k->number;
    case SEARCH_SMALLER: return m->info->size < k->number;
    case SEARCH_BEFORE:
    case SEARCH_ON:
    case SEARCH_SINCE:
        return date_matches(k->op, search_day(m->info->internal_date, m->info->internal_zone),
                            (int64_t)k->number);
    case SEARCH_OLDER: return m->info->internal_date <= (int64_t)k->number;
    case SEARCH_YOUNGER: return m->info->internal_date >= (int64_t)k->number;
    case SEARCH_SAVED_BEFORE:
    case SEARCH_SAVED_ON:
    case SEARCH_SAVED_SINCE:
        return date_matches(k->op, search_day(m->info->saved_date, 0), (int64_t)k->number);
    case SEARCH_EMAILID: return m->info->message_id == k->number;
    case SEARCH_THREADID: return m->info->thread_id == k->number;
    case SEARCH_SENT_BEFORE:
    case SEARCH_SENT_ON:
    case SEARCH_SENT_SINCE: return sent_matches(k, m);
    case SEARCH_FROM:
    case SEARCH_TO:
    case SEARCH_CC:
    case SEARCH_BCC: return search_text_addresses(m->text, k);
    case SEARCH_SUBJECT: return search_text_subject(m->text, k);
    case SEARCH_HEADER: return search_text_header(m->text, k, m);
    case SEARCH_BODY:
    case SEARCH_TEXT: return search_text_body(m->text, k, m);
    case SEARCH_AND:
    case SEARCH_OR:
    case SEARCH_NOT: break;
    }
    bug("search key %d", (int)k->op);
}

/* AND ends at the first NO, OR at the first YES: `end`. */
static enum search_answer ask_children(struct account *a, struct search_key *k, struct search_subject *m,
                                       enum search_answer end)
{
    enum search_answer answer = end == ANSWER_NO ? ANSWER_YES : ANSWER_NO;

    for (struct search_key *c = k->children; c != NULL; c = c->next) {
        enum search_answer one = search_ask(a, c, m);
        if (one == end)
            return end;
        if (one == ANSWER_LATER)
            answer = ANSWER_LATER;
    }
    return answer;
}

static enum search_cost affordable(const struct search_subject *m)
{
    return m->info == NULL ? COST_VIEW : !m->bytes ? COST_ENVELOPE : COST_BODY;
}

static enum search_answer opposite(enum search_answer one)
{
    return one == ANSWER_YES ? ANSWER_NO : one == ANSWER_NO ? ANSWER_YES : ANSWER_LATER;
}

/* UIDs are not zero, so no message is taken for one that was asked about. */
static enum search_answer ask_bytes(struct account *a, struct search_key *k, struct search_subject *m)
{
    if (k->asked_uid != m->entry.uid) {
        if (m->paused)
            return ANSWER_LATER;
        k->asked_matches = matches(a, k, m);
        if (m->unfinished)
            return ANSWER_LATER;
        k->asked_uid = m->failed ? 0 : m->entry.uid;
        m->paused = clock_mono_ms() >= m->until_ms;
    }
    return k->asked_matches ? ANSWER_YES : ANSWER_NO;
}

enum search_answer search_ask(struct account *a, struct search_key *k, struct search_subject *m)
{
    if (k->op == SEARCH_AND)
        return ask_children(a, k, m, ANSWER_NO);
    if (k->op == SEARCH_OR)
        return ask_children(a, k, m, ANSWER_YES);
    if (k->op == SEARCH_NOT) /* of all its children, should there be several */
        return opposite(ask_children(a, k, m, ANSWER_NO));
    if (k->is_indexed && !uid_set_has(&k->maybe, m->entry.uid))
        return ANSWER_NO;
    bool holds;
    if (k->in_envelope && affordable(m) != COST_VIEW && k->asked_uid != m->entry.uid && search_text_field(m->text, k, &holds))
        return holds ? ANSWER_YES : ANSWER_NO;
    if (k->cost > affordable(m))
        return ANSWER_LATER;
    if (k->cost > COST_ENVELOPE)
        return ask_bytes(a, k, m);
    return matches(a, k, m) ? ANSWER_YES : ANSWER_NO;
}

unsigned search_key_score(const struct search_key *k, uint32_t uid)
{
    unsigned sum = 0, count = 0, best = 0;

    if (k->fuzzy != NULL)
        return k->scored_uid == uid ? k->score : 0;
    if (k->op == SEARCH_NOT) /* what it does not say has no degrees */
        return 0;
    for (const struct search_key *c = k->children; c != NULL; c = c->next) {
        unsigned one = c->has_fuzzy ? search_key_score(c, uid) : 0;
        sum += one;
        count += one > 0;
        best = one > best ? one : best;
    }
    return k->op == SEARCH_OR || count == 0 ? best : sum / count;
}
