/*
 * main/certificate.c - see certificate.h.
 *
 * Layer: main.
 */
#include "main/certificate.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

enum { WARN_DAYS = 21 };

static X509 *read_first(const char *path)
{
    BIO *in = BIO_new_file(path, "r");
    X509 *certificate = in != NULL ? PEM_read_bio_X509_AUX(in, NULL, NULL, NULL) : NULL;

    (void)BIO_free(in);
    return certificate;
}

struct certificate_warning certificate_warning(const struct config *c)
{
    struct certificate_warning out = {.text = ""};
    struct tm end;

    if (c->certificate[0] == '\0')
        return out;
    X509 *certificate = read_first(c->certificate);
    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) {
        (void)snprintf(out.text, sizeof out.text, "certificate %s: cannot be read", c->certificate);
        X509_free(certificate);
        return out;
    }
    X509_free(certificate);
    int64_t left = (int64_t)timegm(&end) - clock_now();
    char date[32];
    (void)strftime(date, sizeof date, "%Y-%m-%d", &end);
    out.ended = left <= 0;
    if (out.ended)
        (void)snprintf(out.text, sizeof out.text, "certificate %s: ended on %s; renew it, then reload", c->certificate, date);
    else if (left < (int64_t)WARN_DAYS * 86400)
        (void)snprintf(out.text, sizeof out.text, "certificate %s: ends on %s, in %lld days; renew it, then reload", c->certificate,
                       date, (long long)(left / 86400));
    return out;
}
