/*
 * base/clock.h - what time it is, in a way that tests can move.
 *
 * Layer: base.  Underneath stands the C library's clock, so that a preloaded
 * library can move it (see tests/).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Microseconds since 1970-01-01T00:00:00Z; may jump when the machine's clock is set. */
int64_t clock_now_us(void);
/* Seconds since 1970. */
int64_t clock_now(void);
/* Milliseconds of a clock that never jumps; only differences mean something. */
int64_t clock_mono_ms(void);
/* Processor time of the calling thread, in microseconds. */
int64_t clock_thread_us(void);

/* RFC 5322 date-time in the local zone: "Sun, 22 Nov 2026 10:51:07 +0000". */
struct date_text { char text[40]; };
struct date_text clock_rfc5322(int64_t seconds);
/* Offset of the local zone at that time, minutes east of UTC. */
int clock_zone_minutes(int64_t seconds);

#endif
