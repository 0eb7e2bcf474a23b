/*
 * base/when.h - a time as somebody types it.
 *
 * Layer: base.
 *
 *     2026-11-20                     the beginning of that day
 *     2026-11-20 14:00[:30[.5]]      or with a T between; Z, +01:00, +0100 or +01 behind it
 *     -2d, 2d, 90m, 1w12h, 2 days ago
 *     now, today, yesterday
 *     @1795183260                    seconds since 1970
 *
 * Where no zone stands behind it, the local one is meant (TZ).
 */
#ifndef BASE_WHEN_H
#define BASE_WHEN_H

#include <stdint.h>

#include "base/fail.h"

/* Seconds since 1970; `now` is what relative ones go back from.  FAIL_INVALID. */
bool when_parse(struct slice text, int64_t now, int64_t *out, struct fail *why);

/* The other way, in the local zone: "2026-11-20 14:00:30". */
struct when_text { char text[40]; };
struct when_text when_text(int64_t seconds);

#endif
