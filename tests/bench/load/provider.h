/* WhatsApp's side, on the same loop: takes messages, answers at once with an id, and says when each one came. */
#ifndef BENCH_LOAD_PROVIDER_H
#define BENCH_LOAD_PROVIDER_H

#include <stdint.h>

struct provider;

/* Listens on 127.0.0.1 and adds itself to the epoll. `taken` is told the customer of each message. */
struct provider *provider_new(int epoll, int port, void (*taken)(uint64_t contact, void *arg), void *arg);
void provider_free(struct provider *provider);

/* Handles an event of the epoll; false when it is not the provider's. */
int provider_event(struct provider *provider, void *data);

#endif
