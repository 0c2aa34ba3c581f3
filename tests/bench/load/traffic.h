/* WhatsApp webhooks as Meta sends them: one text message each, every one distinct, signed before the round begins. */
#ifndef BENCH_LOAD_TRAFFIC_H
#define BENCH_LOAD_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

/* Customers have the numbers 1555 and eight digits. */
#define TRAFFIC_MAX_CONTACTS 100000000u

struct traffic {
    char *body; /* with the digits of the last one that was asked for */
    size_t body_length;
    uint64_t first;    /* number of the first webhook */
    uint64_t contacts; /* whose they are, in turn; 0: each has a customer of its own */
    uint64_t first_contact;
    uint64_t count; /* how many are signed */
    unsigned char (*signatures)[32];
};

/* Signs `count` webhooks, numbered from `first`. */
void traffic_init(struct traffic *t, const char *secret, uint64_t first, uint64_t count, uint64_t contacts,
                  uint64_t first_contact);
void traffic_done(struct traffic *t);

/* The customer of the webhook at this place. */
uint64_t traffic_contact(const struct traffic *t, uint64_t place);

/* A whole request with room for the digits of any webhook; the caller's to free(). */
char *traffic_request(const struct traffic *t, const char *host, const char *path, size_t *ret_length);

/* Makes a request the one at this place. */
void traffic_fill(const struct traffic *t, char *request, uint64_t place);

#endif
