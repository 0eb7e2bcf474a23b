/*
 * main/certificate.h - how long is the certificate good?
 *
 * Layer: main.
 */
#ifndef MAIN_CERTIFICATE_H
#define MAIN_CERTIFICATE_H

#include "main/config.h"

struct certificate_warning { char text[400]; bool ended; };

/*
 * "" while the certificate is good for three weeks more, or there is none; what is wrong otherwise, also if it cannot be
 * read.  Whoever renews certificates by himself does so a month before.
 */
struct certificate_warning certificate_warning(const struct config *c);

#endif
