/*
 * net/deadline.c - how long anything may take (docs/architecture.md section 4).
 *
 * Layer: net.  A connection has several deadlines at once and one timer, set
 * when it parks to the earliest of them:
 *
 *   phase_at      until login; or for a body of the announced size: 5 minutes and 1 s for each KB
 *   command_at    for the rest of a command or TLS record, from its first byte on,
 *                 not moved by further bytes; also for PROXY header and handshake
 *   output_at     when output began to wait, plus 5 minutes, plus 1 s for each KB the
 *                 client has taken since, but never more than 5 minutes from what it took
 *                 last: who reads, however much, is not ended; who drips or stalls is
 *   idle_at       logged in and silent; or 5 minutes without a byte of the body
 *
 * and two times at which the session only wants to be called: tick_at, delay_at.
 */
#include "net/loop.h"

#include "base/clock.h"

static int64_t seconds(unsigned s)
{
    return (int64_t)s * 1000;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return b != 0 && b < a ? b : a;
}

/* A minimal rate of 1 KB/s. */
static int64_t for_bytes(uint64_t n)
{
    return n < INT64_MAX / 2000 ? (int64_t)n * 1000 / 1024 : INT64_MAX / 4;
}

void deadline_start(struct conn *c)
{
    const struct net_limits *l = &c->net->limits;

    c->now = clock_mono_ms();
    c->phase = CONN_BEFORE_LOGIN;
    c->phase_since = c->now;
    c->phase_at = c->now + seconds(l->before_login_seconds);
    c->command_at = 0;
    timer_init(&c->timer);
}

static int64_t idle_ms(const struct conn *c)
{
    bool waits = c->waits_for != TURN_PARK || c->phase == CONN_BODY;

    return seconds(waits ? c->net->limits.body_seconds : c->row->idle_seconds);
}

void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t expected)
{
    const struct net_limits *l = &c->net->limits;
    int64_t now = clock_mono_ms();

    if (phase != c->phase)
        c->phase_since = now;
    if (c->phase == CONN_BEFORE_LOGIN && phase != CONN_BEFORE_LOGIN)
        in_forget(c);
    c->phase = phase;
    c->idle_at = now + idle_ms(c);
    stream_hide(c, phase == CONN_BEFORE_LOGIN);
    switch (phase) {
    case CONN_BEFORE_LOGIN: c->phase_at = c->phase_since + seconds(l->before_login_seconds); break;
    case CONN_BODY: c->phase_at = c->phase_since + seconds(l->body_seconds) + for_bytes(expected); break;
    case CONN_READY: c->phase_at = 0; break;
    }
}

void conn_set_ticks(struct conn *c, unsigned every)
{
    c->tick_seconds = every;
    c->tick_at = every > 0 ? clock_mono_ms() + seconds(every) : 0;
    c->ticked = false;
}

bool conn_take_tick(struct conn *c)
{
    bool seen = c->tick_seen;

    c->tick_seen = false;
    return seen;
}

void conn_wake_after(struct conn *c, unsigned ms)
{
    c->delay_at = clock_mono_ms() + (int64_t)ms;
}

/* Being woken by others is no sign of life from the client; consuming what it sent is. */
void deadline_activity(struct conn *c, enum turn before)
{
    if (c->consumed || c->waits_for != TURN_PARK || before != TURN_PARK)
        c->idle_at = c->now + idle_ms(c);
}

void deadline_sent(struct conn *c, uint64_t n)
{
    if (c->output_at == 0)
        return;
    c->output_at += for_bytes(n);
    c->output_at = earlier(c->output_at, c->now + seconds(c->net->limits.body_seconds));
    if (out_pending(c) > 0)
        return;
    c->output_at = 0;
    c->idle_at = c->now + idle_ms(c);
}

void deadline_end(struct conn *c, int64_t ms)
{
    c->phase_at = c->now + ms;
}

/* The time at which this connection has to end, as things are. */
static int64_t fatal_at(const struct conn *c)
{
    int64_t at = earlier(TIMER_NEVER, c->output_at);
    bool ticks = c->tick_seconds > 0 && c->waits_for == TURN_PARK;

    if (c->stage != STAGE_TALK || c->phase != CONN_READY)
        at = earlier(at, c->phase_at);
    if (c->stage < STAGE_DRAIN)
        at = earlier(at, c->command_at);
    if (c->stage == STAGE_TALK && c->phase != CONN_BEFORE_LOGIN && c->output_at == 0 && !ticks)
        at = earlier(at, c->idle_at);
    return at;
}

/* Is the client in the middle of something that it has a minute for? */
static bool command_is_open(const struct conn *c)
{
    switch (c->stage) {
    case STAGE_PROXY:
    case STAGE_HANDSHAKE: return true;
    case STAGE_TALK:
        if (c->phase == CONN_BODY || c->waits_for != TURN_PARK)
            return false;
        return c->in_len > c->in_at || c->tls_partial;
    case STAGE_OPEN:
    case STAGE_DRAIN:
    case STAGE_LINGER:
    case STAGE_GONE: break;
    }
    return false;
}

void deadline_park(struct conn *c)
{
    if (!command_is_open(c))
        c->command_at = 0;
    else if (c->command_at == 0 || c->consumed)
        c->command_at = c->now + seconds(c->net->limits.command_seconds);
    c->consumed = false;

    if (c->output_at == 0 && out_pending(c) > 0)
        c->output_at = c->now + seconds(c->net->limits.body_seconds);

    int64_t due = earlier(fatal_at(c), c->tick_at);
    timer_set(c->net->timers, &c->timer, earlier(due, c->delay_at));
}

void deadline_check(struct conn *c)
{
    timer_fired(&c->timer);
    if (c->tick_at != 0 && c->tick_at <= c->now) {
        c->ticked = true;
        c->tick_at = c->now + seconds(c->tick_seconds);
    }
    if (c->delay_at != 0 && c->delay_at <= c->now) {
        c->delay_over = true;
        c->delay_at = 0;
    }
    c->late = fatal_at(c) <= c->now;
}
